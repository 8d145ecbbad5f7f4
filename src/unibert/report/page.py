"""The report itself: one HTML page that needs nothing else, the same in Markdown, figures and tables as files."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unibert import __version__
from unibert.benchmark.scores import Board, Gain, gains
from unibert.files import atomic_folder, fingerprint
from unibert.report import contents, corpus_figures, dots, figures, score_tables
from unibert.report.collect import Run, collect
from unibert.report.lineage import mismatches
from unibert.report.scores import boards, planned_gaps
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


Block = str | Table | FigureBlock | Details | list[str]


@dataclass
class Section:
    """A part of the page: text, tables and figures in order. A list of sentences is shown as a list of cautions."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def build_report(folder: Path, title: str | None = None) -> Path:
    """Write `folder/report`: index.html, report.md, figures/*.svg and tables/*.csv, from the files in the run's folder.

    An older report there is replaced when the new one is whole. Parts of the run that are missing or damaged are named
    in the report; they do not stop it.

    Args:
        folder: the run's folder (see the README for what is in one).
        title: the page's title; the recipe's name when not given.

    Returns:
        The path of index.html.

    Raises:
        DataError: there is no such folder, or it holds nothing of a run.
    """
    folder = Path(folder)
    run = collect(folder)
    run.gaps.extend(mismatches(run))
    found = boards(run.results, run.gaps)
    found_gains = [gains(board) for board in found]
    for board in found:
        run.gaps.extend(planned_gaps(board, run.recipe))
    sections = [section for section in (_corpus(run), _models(run), _training(run), _languages(run)) if section.blocks]
    sections += [_benchmark(run, board, its) for board, its in zip(found, found_gains, strict=True)]
    content = {
        "title": title or run.name,
        "paragraphs": opening(run, found, found_gains),
        "numbers": key_numbers(run, found),
        "sections": sections,
        "gaps": run.gaps,
        "provenance": provenance_table(run),
        "recipe": run.recipe_text,
        "commands": _commands(run),
        "version": __version__,
        "made": time.strftime("%Y-%m-%d %H:%M %z"),
        "colours": COLOURS,
    }
    target = folder / "report"
    with atomic_folder(target) as scratch:
        _write(scratch, content, sections)
    return target / "index.html"


def _write(folder: Path, content: Mapping[str, Any], sections: Sequence[Section]) -> None:
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
        cautions=lambda block: isinstance(block, list),
    )
    (folder / "index.html").write_text(environment.get_template("page.html").render(content), encoding="utf-8")
    # Markdown is not HTML: tables are escaped by to_markdown, everything else by the template's filter `plain`.
    plain = environment.overlay(autoescape=False)
    (folder / "report.md").write_text(plain.get_template("report.md").render(content), encoding="utf-8")
    (folder / "figures").mkdir()
    (folder / "tables").mkdir()
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


def _training(run: Run) -> Section:
    section = Section("training", "Training")
    for role, training in run.trainings.items():
        known = training.summary.languages if training.summary else list(training.shares)
        pictures = figures.training_curves(training, known)
        caption = "A panel per logged quantity. With many records, a point is a mean and the shade the range around it."
        settings = run.recipe and (run.recipe.pretrain if role == "student" else run.recipe.teacher.train)
        if settings and settings.label_smoothing:
            caption += (
                " The training values of masked language modelling include label smoothing of "
                f"{settings.label_smoothing:g}, the held-out ones do not, so the two cannot be compared."
            )
        drawn = {picture.name.removeprefix(f"{role}-") for picture in pictures}
        absent = [what for what in ("adversary", "distillation") if what not in drawn]
        if pictures and absent:
            caption += f" This run logged no {' and no '.join(absent)}."
        section.blocks += _figure(f"Training of the {role}", caption, pictures)
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
    for role in run.trainings:
        expected, drawn = contents.expected_shares(run, role), run.trainings[role].shares
        caption = "What was drawn; the mixture that the recipe asks for cannot be told from the files that are there."
        if expected:
            caption = "Dots: the mixture that the recipe asks for, p ∝ samples^α. Diamonds: what was drawn."
        if expected and drawn:
            code, off = max(
                ((code, drawn.get(code, 0) - share) for code, share in expected.items()), key=lambda item: abs(item[1])
            )
            caption += f" The largest difference is {percent(abs(off))[:-2]} percentage points ({code})."
        pictures = dots.language_shares(role, expected, drawn)
        section.blocks += _figure(f"Share of each language, {role}", caption, pictures)
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
    folded = [Details("Scores by entity type", [types])] if types.rows else []
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
