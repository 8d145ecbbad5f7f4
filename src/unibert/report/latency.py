"""The section on latency: how fast the models are, in words first, then in a figure and tables."""

from __future__ import annotations

from statistics import median

from unibert.report import latency_tables as tables
from unibert.report.blocks import Block, Details, FigureBlock, KeyNumber, Section
from unibert.report.latency_figure import latency_figure
from unibert.report.latency_file import ENOUGH_CALLS, TITLES, Latency, Measurement
from unibert.report.reading import Gap
from unibert.report.wording import count, decimal, listing, milliseconds, percent, plural, size


def latency_section(found: Latency | None, gaps: list[Gap]) -> Section:
    """How fast the models are; without blocks where nothing was measured.

    Args:
        found: see `latency_of`.
        gaps: gets what could not be measured.
    """
    section = Section("latency", "Latency")
    if found is None:
        return section
    told = latency_sentence(found)
    blocks: list[Block] = [told] if told else []
    if found.absent:
        reason = f"{plural(len(found.absent), 'part')} left out, see “Latency”"
        gaps.append(Gap("latency", "left out", reason))
    picture = latency_figure(found)
    if picture and found.reference:
        caption = (
            f"{_size(found.reference)}. Marks: the median call, the median over rounds; the line to the right ends at "
            "the 95th percentile. The scale is logarithmic: equal distances are equal factors."
        )
        blocks.append(FigureBlock("Time per call", caption, [picture]))
    overview = tables.overview_table(found)
    blocks += [overview] if overview else []
    blocks.append(tables.models_table(found))
    blocks.append(cautions(found))
    if found.measurements:
        blocks.append(
            Details(
                "Loading, memory, and every size of batch", [tables.loading_table(found), tables.cells_table(found)]
            )
        )
    left_out = tables.absent_table(found)
    blocks += [left_out] if left_out else []
    section.blocks += blocks
    return section


def latency_sentence(found: Latency | None) -> str:
    """The fastest, and the slowest with as many threads; empty where nothing was measured."""
    if found is None or found.reference is None:
        return ""
    fast = min(found.at(*found.reference), key=lambda item: item[1].p50)
    alike = [item for item in found.at(*found.reference) if item[0].threads == fast[0].threads]
    slow = max(alike, key=lambda item: item[1].p50)
    text = (
        f"At {_size(found.reference)} a call of {_named(found, fast[0])} takes {milliseconds(fast[1].p50)} ms (median)"
    )
    if slow[0].key == fast[0].key:
        return f"{text}, on {found.machine.processor}."
    return (
        f"{text}, one of {_named(found, slow[0])} {milliseconds(slow[1].p50)} ms, "
        f"{decimal(slow[1].p50 / max(fast[1].p50, 1e-9), 1)} times as long, on {found.machine.processor}."
    )


def latency_numbers(found: Latency | None) -> list[KeyNumber]:
    """The fastest call, and the smallest file."""
    if found is None or found.reference is None:
        return []
    fast, cell = min(found.at(*found.reference), key=lambda item: item[1].p50)
    small = min(found.measurements, key=lambda each: each.file_bytes)
    return [
        KeyNumber(f"Time per call, {_size(found.reference)}", f"{milliseconds(cell.p50)} ms", _named(found, fast)),
        KeyNumber("Smallest model file", size(small.file_bytes), f"{small.model}, {TITLES[small.backend]}"),
    ]


def cautions(found: Latency) -> list[str]:
    """What the numbers do not say."""
    told = [
        "What is timed is the model alone: neither tokenisation nor what is made of its output. Threads wait for one "
        "another without spinning, by every backend; on an idle machine several would be a little faster with it."
    ]
    drawn = [model.name for model in found.models if model.random_weights]
    if drawn:
        told.append(
            f"{listing(drawn)} {'has' if len(drawn) == 1 else 'have'} random weights: the speed, memory and size of "
            "that shape, and nothing about the quality of a model."
        )
    kinds = {model.measures for model in found.models}
    if len(kinds) > 1:
        told.append(f"Not the same is measured of all models: {listing(sorted(kinds))}.")
    told.append(_about_rounds(found))
    calls = [each.calls for part in found.measurements for cell in part.cells for each in cell.rounds]
    if calls and min(calls) < ENOUGH_CALLS:
        told.append(
            f"The 99th percentile of fewer than {ENOUGH_CALLS} calls is little else than the slowest of them; the "
            f"fewest were {count(min(calls))} in a round."
        )
    busy = max(found.machine.load_average, default=0.0)
    if busy >= 0.5:
        told.append(
            f"Other programs were at work: a load of up to {decimal(busy, 1)} on "
            f"{plural(found.machine.cores, 'core')} before a round."
        )
    if found.machine.energy:
        told.append(f"Energy was not measured: {found.machine.energy}.")
    if found.interrupted:
        told.append("It was interrupted: what is missing was not reached.")
    return [sentence for sentence in told if sentence]


def _about_rounds(found: Latency) -> str:
    spreads = [
        (cell.spread, part, cell) for part in found.measurements for cell in part.cells if cell.spread is not None
    ]
    if not spreads:
        return "There was one round: how much the machine drifts cannot be told." if found.measurements else ""
    most, part, cell = max(spreads, key=lambda item: item[0])
    return (
        f"From round to round medians differ by {percent(median(item[0] for item in spreads), 0)} (median) to "
        f"{percent(most, 0)} ({_named(found, part)}, {_size((cell.batch, cell.length))}): smaller differences between "
        "two rows mean nothing."
    )


def _size(at: tuple[int, int]) -> str:
    return f"{at[0]} × {at[1]} tokens"


def _named(found: Latency, part: Measurement) -> str:
    drawn = ", random weights" if found.model(part.model).random_weights else ""
    return f"{part.model} ({TITLES[part.backend]}, {plural(part.threads, 'thread')}{drawn})"
