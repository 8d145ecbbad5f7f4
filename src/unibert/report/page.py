"""The report itself: one HTML page that needs nothing else, the same in Markdown, figures and tables as files."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unibert import __version__
from unibert.benchmark.scores import Board, Gain, gains
from unibert.files import fingerprint, telling_of_full_disk
from unibert.report import contents, corpus_figures, curves, dots, figures, score_tables
from unibert.report.collect import Run, collect
from unibert.report.lineage import mismatches
from unibert.report.scores import boards, planned_gaps
from unibert.report.standing import Standing, latest_table, silences, standing_sentence, standings
from unibert.report.summary import cautions, key_numbers, opening
from unibert.report.tables import Column, Table, plain_markdown, to_csv, to_html, to_markdown, words
from unibert.report.theme import COLOURS, Picture
from unibert.report.wording import duration, percent, plural


@dataclass(frozen=True)
class FigureBlock:
    """Pictures that belong together, with one caption."""

    title: str
    caption: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Details:
    """Tables that are folded away until asked for."""

    title: str
    tables: list[Table]


@dataclass(frozen=True)
class ProgressBar:
    """How much of something is done, from 0 to 1, and what it is."""

    label: str
    share: float


Block = str | Table | FigureBlock | Details | ProgressBar | list[str]


@dataclass
class Section:
    """A part of the page: text, tables and figures in order. A list of sentences is shown as a list of cautions."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def build_report(folder: Path, title: str | None = None) -> Path:
    """Write `folder/report`: index.html, report.md, figures/*.svg and tables/*.csv, from the files in the run's folder.

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


def write_report(run: Run, title: str | None = None, refresh: int | None = None) -> Path:
    """Write the report of what was collected.

    Args:
        run: see `collect`; gaps that only the whole picture shows are added to it.
        title: as for `build_report`.
        refresh: seconds after which browsers are to load the page again; only for as long as it is rewritten.

    Returns:
        The path of index.html.

    Raises:
        DataError: the disk is full.
    """
    run.gaps.extend(mismatches(run))
    found = boards(run.results, run.gaps)
    found_gains = [gains(board) for board in found]
    for board in found:
        run.gaps.extend(planned_gaps(board, run))
    going = standings(run)
    run.gaps.extend(silences(going))
    # While something is trained, how it goes comes first.
    first = [_progress(going), _training(run), _languages(run)] if going else []
    rest = [_corpus(run), _models(run)] if going else [_corpus(run), _models(run), _training(run), _languages(run)]
    benchmarks = [_benchmark(run, board, its) for board, its in zip(found, found_gains, strict=True)]
    content = {
        "title": title or run.name,
        "paragraphs": [standing_sentence(standing, refresh) for standing in going]
        + opening(run, found, found_gains, [standing.group for standing in going]),
        "numbers": key_numbers(run, found, going),
        "urgent": [section for section in first if section.blocks],
        "sections": [section for section in rest if section.blocks] + benchmarks,
        "gaps": run.gaps,
        "provenance": provenance_table(run),
        "recipe": run.recipe_text,
        "commands": _commands(run),
        "version": __version__,
        "made": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "colours": COLOURS,
        "refresh": refresh,
    }
    target = run.folder / "report"
    with telling_of_full_disk(target), tempfile.TemporaryDirectory(".tmp", ".report.", run.folder) as scratch:
        _write(Path(scratch), content)
        _replace(Path(scratch), target)
    return target / "index.html"


def _replace(made: Path, target: Path) -> None:
    """Put every new file in the place of the old one, the page last, and remove pictures and tables that are no more.

    The folder as a whole cannot be exchanged in one go, and a browser that looks just then would be told that there is
    no page, and would not ask again.
    """
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    for name in sorted(files, key=lambda name: name.name == "index.html"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with (made / name).open("rb") as stream:
            os.fsync(stream.fileno())  # a power cut leaves the old file or the new one
        os.replace(made / name, target / name)
    for path in [*target.glob("figures/*.svg"), *target.glob("tables/*.csv")]:
        if path.relative_to(target) not in files:
            path.unlink(missing_ok=True)


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    environment = Environment(
        loader=PackageLoader("unibert.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = lambda table: Markup(to_html(table))
    environment.filters["markdown_table"] = to_markdown
    environment.filters["plain"] = plain_markdown
    environment.filters["unbroken"] = unbroken
    environment.tests.update(
        table=lambda block: isinstance(block, Table),
        figure=lambda block: isinstance(block, FigureBlock),
        details=lambda block: isinstance(block, Details),
        progress=lambda block: isinstance(block, ProgressBar),
        cautions=lambda block: isinstance(block, list),
    )
    (folder / "index.html").write_text(environment.get_template("page.html").render(content), encoding="utf-8")
    # Markdown is not HTML: tables are escaped by to_markdown, everything else by the template's filter `plain`.
    plain = environment.overlay(autoescape=False)
    (folder / "report.md").write_text(plain.get_template("report.md").render(content), encoding="utf-8")
    (folder / "figures").mkdir()
    (folder / "tables").mkdir()
    sections: list[Section] = [*content["urgent"], *content["sections"]]
    for block in [*(block for section in sections for block in section.blocks), content["provenance"]]:
        if isinstance(block, FigureBlock):
            for picture in block.pictures:
                (folder / "figures" / f"{picture.name}.svg").write_text(picture.file, encoding="utf-8")
        for table in [block] if isinstance(block, Table) else block.tables if isinstance(block, Details) else []:
            (folder / "tables" / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")


def unbroken(text: str) -> str:
    """The text with numbers held to their units, so that no line ends between them."""
    return re.sub(r"(\d) (kB|[KMGT]?B|[KM]|%|s|min|h|d)(?!\w)", "\\1\N{NO-BREAK SPACE}\\2", text)


def _corpus(run: Run) -> Section:
    section = Section("corpus", "Corpus")
    if run.corpus is None:
        return section
    sizes = corpus_figures.corpus_sizes({code: counts.bytes for code, counts in run.corpus.languages.items()})
    caption = "UTF-8 bytes of clean text, on a logarithmic scale; the paper's Figure 1."
    section.blocks += _figure("Size of the corpus per language", caption, [sizes] if sizes else [])
    lengths = corpus_figures.sample_lengths(run.corpus.totals.lengths)
    caption = (
        "Tokens in a sample, on a logarithmic scale. Areas are shares of the samples: where the curve is at 30 %, "
        "lengths from n to 2n would hold 30 % of the samples if it stayed there."
    )
    section.blocks += _figure("How long the samples are", caption, [lengths] if lengths else [])
    section.blocks += [contents.corpus_table(run.corpus, run.tokens), contents.rules_table(run.corpus)]
    return section


def _figure(title: str, caption: str, pictures: list[Picture]) -> list[Block]:
    return [FigureBlock(title, caption, pictures)] if pictures else []


def _models(run: Run) -> Section:
    table = contents.models_table(run)
    section = Section("models", "Models")
    if not table.rows:
        return section
    section.blocks.append(table)
    if run.recipe and run.recipe.teacher.model:
        section.blocks.append(
            f"The student's teacher was {run.recipe.teacher.model}, a finished model that is not part of this run."
        )
    return section


def _progress(going: Sequence[Standing]) -> Section:
    section = Section("progress", "Progress")
    for standing in going:
        if standing.share is not None:
            section.blocks.append(ProgressBar(f"Training of the {standing.group}", standing.share))
        table = latest_table(standing)
        section.blocks += [table] if table else []
    return section


def _training(run: Run) -> Section:
    section = Section("training", "Training")
    for group, trainings in run.groups.items():
        summary = next((training.summary for training in trainings if training.summary), None)
        pictures = curves.training_curves(group, trainings, summary.languages if summary else list(trainings[0].shares))
        caption = "A panel per logged quantity. With many records, a point is a mean and the shade the range around it."
        settings = run.settings(group)
        if settings and settings.label_smoothing:
            caption += (
                " The training values of masked language modelling include label smoothing of "
                f"{settings.label_smoothing:g}, the held-out ones do not, so the two cannot be compared."
            )
        drawn = {picture.name.removeprefix(f"{group}-") for picture in pictures}
        absent = [what for what in ("adversary", "distillation") if what not in drawn]
        if pictures and absent:
            caption += f" This run logged no {' and no '.join(absent)}."
        section.blocks += _figure(f"Training of the {group}", caption, pictures)
    return section


def _languages(run: Run) -> Section:
    section = Section("languages", "Languages in training")
    losses = {
        role: evaluation.languages
        for role, training in run.trainings.items()
        if (evaluation := training.last_held_out) and evaluation.languages
    }
    caption = (
        "Cross-entropy in nats per masked piece, lowest first by the first model. A language whose words take many "
        "pieces is easier piece by piece, so read it as progress per language and not as a ranking."
    )
    section.blocks += _figure("Held-out loss per language", caption, dots.held_out_losses(losses))
    for group, trainings in run.groups.items():
        expected, drawn = contents.expected_shares(run, group), trainings[0].shares
        caption = "What was drawn; the mixture that the recipe asks for cannot be told from the files that are there."
        if expected:
            caption = "Dots: the mixture that the recipe asks for, p ∝ samples^α. Diamonds: what was drawn."
        if expected and drawn:
            code, off = max(
                ((code, drawn.get(code, 0) - share) for code, share in expected.items()), key=lambda item: abs(item[1])
            )
            caption += f" The largest difference is {percent(abs(off))[:-2]} percentage points ({code})."
        pictures = dots.language_shares(group, expected, drawn)
        section.blocks += _figure(f"Share of each language, {group}", caption, pictures)
    table = contents.languages_table(run)
    if table:
        section.blocks.append(table)
    return section


def _benchmark(run: Run, board: Board, found: list[Gain]) -> Section:
    section = Section(f"benchmark-{board.name}", board.title)
    seeds = f"{plural(len(board.seeds), 'seed')} ({', '.join(map(str, board.seeds))})"
    runs = plural(len(board.results), "fine-tuning run")
    spent = duration(sum(result.seconds for result in board.results))
    section.blocks.append(f"{seeds}, {runs}, {spent} in all. {score_tables.fine_tuning(board.results)}")
    section.blocks += [score_tables.score_table(board), cautions(run, board)]
    if found:
        picture = figures.relative_gains(f"{board.name}-gain", board.title, found)
        caption = "(average of all − average of each) / average of each; the paper's Figure 3. "
        caption += (
            "Thin bars: 95 % interval over seeds."
            if any(gain.low is not None for gain in found)
            else "Without at least two seeds there are no intervals, and nothing can be concluded from a bar's length."
        )
        section.blocks += _figure("Relative gain of training on all languages", caption, [picture] if picture else [])
        section.blocks.append(score_tables.gain_table(board, found))
    section.blocks.append(score_tables.data_table(board))
    types = score_tables.types_table(board)
    folded = [Details("Scores by type", [types])] if types.rows else []
    section.blocks += [*folded, Details("Every run", [score_tables.seeds_table(board)])]
    return section


def provenance_table(run: Run) -> Table:
    """Commit, versions and hardware of every stage, as they were recorded when it ran."""
    records = [
        (name, f"started {_time(stage.get('started'))}" if stage.get("started") else "not recorded", stage)
        for name, stage in run.stages.items()
    ]
    # Hundreds of results come from a handful of set-ups; each is told once, with the times between which it ran.
    set_ups: dict[str, list[dict[str, Any]]] = {}
    for result in run.results:
        set_ups.setdefault(fingerprint({**result.provenance, "finished": None}), []).append(result.provenance)
    for number, of_one in enumerate(set_ups.values(), start=1):
        times = sorted(str(record["finished"]) for record in of_one if record.get("finished"))
        when = f"finished {_time(times[0])}" if times else "not recorded"
        when += f" to {_time(times[-1])}" if times and times[0] != times[-1] else ""
        records.append(("benchmark" if len(set_ups) == 1 else f"benchmark, set-up {number}", when, of_one[0]))
    rows = [
        [
            words(name),
            words(when),
            words(str(record.get("commit") or "not recorded")),
            words(_pairs(record.get("versions"))),
            words(_pairs(record.get("hardware"))),
            words(str(record.get("fingerprint") or "")),
        ]
        for name, when, record in records
    ]
    labels = ("Stage", "When", "Commit", "Versions", "Hardware", "Fingerprint")
    note = "A commit with +changes was run with edits that are not in that commit."
    return Table("provenance", "Where the numbers come from", [Column(label, False) for label in labels], rows, [note])


def _time(text: object) -> str:
    """2026-01-02T03:04:05Z with a space where a line may end."""
    return str(text).replace("T", " ")


def _pairs(record: Any) -> str:
    if not isinstance(record, Mapping):
        return "not recorded"
    return ", ".join(f"{key} {value}" for key, value in record.items())


def _commands(run: Run) -> list[str]:
    """The command lines that the stages recorded, each once."""
    found: dict[str, None] = {}
    for stage in [*run.stages.values(), *(result.provenance for result in run.results)]:
        command = stage.get("command")
        if command:
            found[" ".join(map(str, command)) if isinstance(command, list) else str(command)] = None
    return list(found)
