"""The report of a run: its sections in order, told in a summary, written as one page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unibert.benchmark.gains import gains
from unibert.report import sections
from unibert.report.against import against_blocks
from unibert.report.blocks import Details, Section
from unibert.report.collect import Run, collect
from unibert.report.copies import contradictions
from unibert.report.cost import costs
from unibert.report.gain_groups import is_own
from unibert.report.latency import latency_numbers, latency_section, latency_sentence
from unibert.report.lineage import mismatches
from unibert.report.names import with_short_names
from unibert.report.origin import command_lines, provenance_table
from unibert.report.reading import Gap
from unibert.report.rendering import Page, write_page
from unibert.report.scores import boards, planned_gaps, untouched_gaps
from unibert.report.significance_page import significance_section
from unibert.report.standing import silences, standing_sentence, standings
from unibert.report.summary import key_numbers, opening
from unibert.report.tables import Table
from unibert.report.universality import universality_numbers, universality_section, universality_sentence


def build_report(folder: Path, title: str | None = None) -> Path:
    """Write `folder/report`: index.html, report.md, figures and tables as files, from the files in the run's folder.

    Older files there are replaced one by one, each by a whole new one, when all of the new report is made. Parts of the
    run that are missing or damaged are named in the report; they do not stop it. Of a model that is being trained it
    shows how far it is.

    Args:
        folder: the run's folder (see the README for what is in one).
        title: the page's title; the recipe's name when not given.

    Returns:
        The path of index.html.

    Raises:
        DataError: there is no such folder, it holds nothing of a run, or the disk is full.
    """
    return write_report(collect(Path(folder)), title)


def write_report(run: Run, title: str | None = None, refresh: int | None = None, against_paper: bool = False) -> Path:
    """Write the report of what was collected.

    Args:
        run: see `collect`, and `subsets.chosen`; gaps that only the whole picture shows are added to it.
        title: as for `build_report`.
        refresh: seconds after which browsers are to load the page again; only for as long as it is rewritten.
        against_paper: set the paper's values beside the run's.

    Returns:
        The path of index.html.

    Raises:
        DataError: the disk is full.
    """
    contradicting = contradictions(run.folder, run.results)
    told = {gap.part for gap in contradicting}
    run.gaps[:] = [gap for gap in run.gaps if gap.part not in told] + contradicting
    run.gaps.extend(mismatches(run))
    own = {result.model for result in run.results if is_own(result.model)}
    run, names = with_short_names(run)
    found = boards(run.results, run.gaps)
    found_gains = [gains(board) for board in found]
    run.gaps.extend(planned_gaps(found, run))
    run.gaps.extend(untouched_gaps(found, run))
    going = standings(run)
    run.gaps.extend(silences(going))
    spent = costs(run, found)
    made = [sections.corpus_section(run), sections.models_section(run)]
    trained = [sections.training_section(run), sections.languages_section(run)]
    # While something is trained, how it goes comes first.
    urgent = [sections.progress_section(going), *trained] if going else []
    rest = [*made] if going else [*made, *trained]
    rest.append(sections.overview_section(found, found_gains))
    for board, its in zip(found, found_gains, strict=True):
        rest.append(sections.benchmark_section(run, board, its, against_blocks(board, run) if against_paper else ()))
    rest.append(universality_section(run.universality, run.gaps))
    rest.append(latency_section(run.latency, run.gaps))
    # A page that is written anew in a moment does without what takes longest to compute.
    differences = None
    if refresh is None:
        differences = significance_section(run.results, run.folder / "benchmark", run.gaps, own)
    rest += [*([differences] if differences else []), sections.cost_section(spent)]
    shown = _filled(urgent), _filled(rest)
    run.gaps.extend(_same_names([*shown[0], *shown[1]]))
    page = Page(
        title=title or run.name,
        paragraphs=[standing_sentence(standing, refresh) for standing in going]
        + opening(run, found, found_gains, [standing.group for standing in going], spent)
        + [names] * bool(names)
        + [told for told in (universality_sentence(run.universality), latency_sentence(run.latency)) if told],
        numbers=key_numbers(run, found, going, spent)
        + universality_numbers(run.universality)
        + latency_numbers(run.latency),
        urgent=shown[0],
        sections=shown[1],
        gaps=run.gaps,
        provenance=provenance_table(run),
        recipe=run.recipe_text,
        commands=command_lines(run),
        refresh=refresh,
    )
    return write_page(page, run.folder / "report")


def _filled(made: Sequence[Section]) -> list[Section]:
    return [section for section in made if section.blocks]


def _same_names(made: Sequence[Section]) -> list[Gap]:
    """Tables whose names, made from those of benchmarks, are the same: of their files only one can be there."""
    names = Counter(
        table.name
        for section in made
        for block in section.blocks
        for table in ([block] if isinstance(block, Table) else block.tables if isinstance(block, Details) else [])
    )
    reason = "several tables have this name: on the page they are all there, as files only the last"
    return [Gap(f"tables/{name}", "incomplete", reason) for name, number in names.items() if number > 1]
