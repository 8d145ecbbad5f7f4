"""Universality in lines and dots: layer by layer, language by language, against what there is of each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unibert.report import universality_values as values
from unibert.report.clouds import SHAPES, cloud, sample
from unibert.report.dots import Scale, panels, power_of_ten
from unibert.report.theme import INK, SERIES, WIDTH, Picture, canvas, legend_columns, shortened, to_picture
from unibert.report.wording import decimal, percent, plain_number
from unibert.universality.schema import Disparity, Universality

_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))  # type: ignore[assignment]
_MARKERS = ("o", "D", "s", "^", "v")
_LEGEND_ROW = 15.0
_NAME = 30
"""Letters of an encoder's name in a legend."""
_LEFT, _RIGHT, _FOOT, _HEAD, _PLOT = 50.0, 12.0, 38.0, 24.0, 210.0
"""Margins and height of a scatter plot in SVG units."""


@dataclass(frozen=True)
class _Panel:
    """One quantity over layers: values by line and layer."""

    name: str
    title: str
    lines: dict[str, dict[int, float]]
    chance: float | None = None
    share: bool = True


def layer_panels(found: Sequence[Universality]) -> list[Picture]:
    """Probe, retrieval and geometry by layer; a line per encoder, or per treatment where there is one encoder."""
    drawn = [panel for panel in _alone(found[0]) if panel.lines] if len(found) == 1 else _together(found)
    # One layer is a number and no curve: the table has it.
    drawn = [panel for panel in drawn if any(len(line) > 1 for line in panel.lines.values())]
    rows = max((ceil(len(_labels(p)) / legend_columns(_labels(p), beside=40)) for p in drawn), default=0)
    return [_curve(panel, rows) for panel in drawn]


def _labels(panel: _Panel) -> list[str]:
    shown = [shortened(label, _NAME) for label in panel.lines]
    return [*shown, *(["chance"] if panel.chance is not None else [])]


def _alone(encoder: Universality) -> list[_Panel]:
    probes = {"linear": _probe_line(encoder, "linear"), "MLP": _probe_line(encoder, "mlp")}
    made = [_Panel("probe", "Probe's accuracy", probes, _probe_chance([encoder]))]
    for similarity, title in (("cosine", "cosine"), ("csls", "CSLS")):
        its: dict[str, dict[int, float]] = {
            t: _retrieval_line(encoder, s, t) for s, t in values.ways([encoder]) if s == similarity
        }
        made.append(_Panel(f"retrieval-{similarity}", f"Retrieval, {title}", its, _retrieval_chance([encoder])))
    anisotropy = {"raw": _shape_line(encoder, "anisotropy"), "centred": _shape_line(encoder, "anisotropy_centred")}
    made.append(_Panel("anisotropy", "Anisotropy", anisotropy, share=False))
    made.append(_Panel("between", "Variance between languages", {"raw": _shape_line(encoder, "between")}))
    return [_Panel(p.name, p.title, {k: v for k, v in p.lines.items() if v}, p.chance, p.share) for p in made]


def _together(found: Sequence[Universality]) -> list[_Panel]:
    made = [
        _Panel(f"probe-{kind}", f"Probe's accuracy, {title}",
               {each.model: _probe_line(each, kind) for each in found}, _probe_chance(found))
        for kind, title in (("linear", "linear"), ("mlp", "MLP"))
    ]  # fmt: skip
    made += [
        _Panel(f"retrieval-{similarity}-{treatment}", f"Retrieval, {values.way(similarity, treatment)}",
               {each.model: _retrieval_line(each, similarity, treatment) for each in found}, _retrieval_chance(found))
        for similarity, treatment in values.ways(found)
    ]  # fmt: skip
    anisotropy = {each.model: _shape_line(each, "anisotropy") for each in found}
    made.append(_Panel("anisotropy", "Anisotropy, raw", anisotropy, share=False))
    made.append(
        _Panel(
            "between", "Variance between languages, raw", {each.model: _shape_line(each, "between") for each in found}
        )
    )
    return [_Panel(p.name, p.title, {k: v for k, v in p.lines.items() if v}, p.chance, p.share) for p in made]


def _probe_line(encoder: Universality, kind: str) -> dict[int, float]:
    return {p.layer: values.accuracy(p).value for p in sorted(encoder.probes, key=lambda p: p.layer) if p.kind == kind}


def _retrieval_line(encoder: Universality, similarity: str, treatment: str) -> dict[int, float]:
    its = [r for r in encoder.retrieval if (r.similarity, r.treatment) == (similarity, treatment) and r.pairs]
    return {table.layer: table.mean for table in sorted(its, key=lambda table: table.layer)}


def _shape_line(encoder: Universality, what: str) -> dict[int, float]:
    return {shape.layer: getattr(shape, what) for shape in sorted(encoder.geometry, key=lambda shape: shape.layer)}


def _probe_chance(found: Sequence[Universality]) -> float | None:
    return next((probe.chance for encoder in found for probe in encoder.probes), None)


def _retrieval_chance(found: Sequence[Universality]) -> float | None:
    return next((values.chance(encoder, table) for encoder in found for table in encoder.retrieval), None)


def _curve(panel: _Panel, legend_rows: int) -> Picture:
    show = _per_cent if panel.share else plain_number
    with canvas(190 + _LEGEND_ROW * legend_rows) as (figure, axes):
        for position, (label, line) in enumerate(panel.lines.items()):
            axes.plot(
                list(line), list(line.values()), color=SERIES[position % len(SERIES)],
                linestyle=_DASHES[position % len(_DASHES)], marker=_MARKERS[position % len(_MARKERS)],
                markersize=4, label=shortened(label, _NAME),
            )  # fmt: skip
        if panel.chance is not None:
            axes.axhline(panel.chance, color=INK, linestyle=(0, (2, 2)), linewidth=1.2, label="chance")
        axes.set_title(panel.title)
        axes.set_xlabel("layer (0: the embeddings)")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.0), high)
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(show))
        columns = legend_columns(_labels(panel), beside=40)
        figure.legend(loc="outside lower left", ncols=columns, handlelength=1.8, columnspacing=1.2)
        tell = (lambda value: percent(value, 1)) if panel.share else decimal
        told = "; ".join(
            f"{label} from {tell(line[min(line)])} at layer {min(line)} to {tell(line[max(line)])} at layer {max(line)}"
            for label, line in panel.lines.items()
        )
        told += f"; chance {tell(panel.chance)}" if panel.chance is not None else ""
        return to_picture(figure, f"universality-{panel.name}", f"{panel.title} by layer: {told}.")


def _per_cent(value: float, _: object = None) -> str:
    return f"{plain_number(round(value * 100, 6))} %"


def retrieval_by_language(name: str, encoder: Universality) -> list[Picture]:
    """Accuracy of every language, raw and with each language's mean removed, at `values.reference_layer`.

    The language with the highest centred accuracy first; up to `dots.ROWS_PER_PANEL` languages to a picture.
    """
    layer = values.reference_layer(encoder)
    series = {
        treatment: found
        for treatment in ("centred", "raw")
        if (found := values.by_language(encoder, encoder.retrieval_at(layer, "cosine", treatment)))
    }
    if not series:
        return []
    first = next(iter(series.values()))
    codes = sorted(first, key=lambda code: (-first[code], code))
    highest = max(value for found in series.values() for value in found.values()) or 1.0
    scale = Scale(0.0, highest * 1.38, lambda share: percent(share, 1), _per_cent)
    label = f"Retrieval per language, {encoder.model}, cosine at layer {layer}"
    return panels(name, label, codes, series, scale)


@dataclass(frozen=True)
class _Scatter:
    """A measure against a property of the languages: points by encoder."""

    name: str
    measure: str
    property: str
    points: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    """By encoder and language, property and measure."""


def disparity_scatters(found: Sequence[Universality]) -> list[Picture]:
    """Every measure against bytes of text, on a logarithmic scale, and against the tokenizer's fertility."""
    made = []
    for number, (measure, by_model) in enumerate(values.measures(found).items(), start=1):
        properties: dict[str, Mapping[str, Mapping[str, float]]] = {
            "bytes": {encoder.model: {c: b for c, b in encoder.bytes.items() if b > 0} for encoder in found},
            "fertility": {encoder.model: {c: s.fertility for c, s in encoder.spelling.items()} for encoder in found},
        }
        for name, its in properties.items():
            # How long pieces are and how many a word takes are the same thing twice.
            if name == "fertility" and measure == "characters per piece":
                continue
            points = {
                model: {code: (its[model][code], value) for code, value in shown.values.items() if code in its[model]}
                for model, shown in by_model.items()
            }
            points = {model: of for model, of in points.items() if len(of) > 2}
            if points:
                scatter = _Scatter(f"universality-disparity-{number}-{name}", measure, name, points)
                made.append(_scatter(scatter, by_model))
    return made


def _scatter(scatter: _Scatter, by_model: Mapping[str, Disparity]) -> Picture:
    labels = [_with_rank(model, by_model[model], scatter.property) for model in scatter.points]
    columns = legend_columns(labels, beside=24)
    legend = 13.0 * ceil(len(labels) / columns)
    height = _HEAD + _PLOT + _FOOT + legend
    of = {"bytes": "bytes of text", "fertility": "pieces per word"}[scatter.property]
    with canvas(height, constrained=False) as (figure, axes):
        axes.set_position((_LEFT / WIDTH, (_FOOT + legend) / height, 1 - (_LEFT + _RIGHT) / WIDTH, _PLOT / height))
        every = [point for its in scatter.points.values() for point in its.values()]
        _limits(axes, every, scatter.property == "bytes")
        handles = []
        for position, its in enumerate(scatter.points.values()):
            colour, shape = SERIES[position % len(SERIES)], SHAPES[position % len(SHAPES)]
            # Where encoders share a tokenizer, points lie on points: each is smaller than the one beneath it.
            width = 5.5 * 0.78**position
            cloud(axes, [x for x, _ in its.values()], [y for _, y in its.values()], colour, width, shape)
            handles.append(sample(colour, 5, shape))
        first, its = next(iter(scatter.points.items()))
        _name_some(axes, {code: its[code] for code in by_model[first].worst if code in its})
        axes.set_title(f"{shortened(scatter.measure, 30)} against {of}", x=-_LEFT / (WIDTH - _LEFT - _RIGHT))
        axes.set_xlabel(of)
        figure.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 0), ncols=columns, handletextpad=0.1,
            columnspacing=1.0, borderaxespad=0.0, borderpad=0.1, labelspacing=0.2,
        )  # fmt: skip
        told = "; ".join(
            f"{label}, {len(its)} languages" for label, its in zip(labels, scatter.points.values(), strict=True)
        )
        return to_picture(figure, scatter.name, f"{scatter.measure} of each language against its {of}: {told}.")


def _name_some(axes: Axes, points: Mapping[str, tuple[float, float]], most: int = 5) -> None:
    """The codes of the first few languages beside their points, as far as there is room."""
    taken: list[tuple[float, float]] = []
    for code, point in points.items():
        x, y = (axes.transScale + axes.transLimits).transform(point)
        if len(taken) < most and all(abs(x - a) > 0.09 or abs(y - b) > 0.06 for a, b in taken):
            taken.append((x, y))
            axes.annotate(code, point, (4, 3), textcoords="offset points", fontsize=9, color=INK)


def _with_rank(model: str, disparity: Disparity, name: str) -> str:
    rank = disparity.correlations.get(name)
    return shortened(model, _NAME) + (f", ρ = {decimal(rank.value)}" if rank else "")


def _limits(axes: Axes, points: Sequence[tuple[float, float]], logarithmic: bool) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(min(xs) / 1.6, max(xs) * 1.6)
        axes.xaxis.set_major_locator(LogLocator(10, numticks=5))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    else:
        room = 0.06 * (max(xs) - min(xs)) or 0.5
        axes.set_xlim(min(xs) - room, max(xs) + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    room = 0.06 * (max(ys) - min(ys)) or 0.5
    axes.set_ylim(min(ys) - room, max(ys) + room)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
