"""A run's scores beside those that the paper prints for the same model, task, language and setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import fmean

from unibert import recipe as settings
from unibert.benchmark.catalog import KNOWN
from unibert.benchmark.models import BASELINES
from unibert.benchmark.scores import Board, Mean, Row
from unibert.models.sizes import architecture
from unibert.report.blocks import Block, Details
from unibert.report.collect import Run
from unibert.report.paper import TABLES, PaperModel, PrintedTable, paper_board, paper_models
from unibert.report.schema import Architecture
from unibert.report.score_tables import digits, margin_of
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import NOTHING, coded, decimal, listing, plural, signed

_OF_HUB = dict(
    zip(
        (PurePosixPath(name).name for name in BASELINES),
        ("Distil-mBERT-base", "mBERT-base", "XLM-RoBERTa-base", "XLM-RoBERTa-large", "XLM-V-base"),
        strict=True,
    )
)
"""The paper's names of the five baselines, by the last part of their hub names: owners have changed on the hub."""


@dataclass(frozen=True)
class Match:
    """A model of the run, the paper's name of the same model, and how they were found to be the same."""

    model: str
    paper: str
    how: str


@dataclass(frozen=True)
class Pair:
    """A score of the run and the printed one."""

    row: Row
    paper: str
    language: str
    ours: Mean
    printed: float

    @property
    def difference(self) -> float:
        """The run's minus the paper's."""
        return self.ours.value - self.printed


def find_match(model: str, run: Run) -> Match | None:
    """The paper's model that a model of the run is.

    A hub name or the name of a folder tells it (`xlm-roberta-base`, `someone/unibert-small`); a student is told by its
    layers, width and heads; a teacher that was not trained here by its name in the recipe.
    """
    training = run.trainings.get(model)
    if training and training.summary and training.group != "teacher":
        return _by_shape(model, training.summary.architecture, "its summary")
    students = run.recipe.pretrain.members if run.recipe else {}
    if model in students:
        return _by_shape(model, architecture(students[model]), "the recipe")
    source = model
    if model == "teacher":
        source = (run.recipe.teacher.model if run.recipe else None) or ""
    name = PurePosixPath(source).name.lower()
    own = {found.name.lower(): found.name for found in paper_models() if found.own}
    paper = _OF_HUB.get(name) or own.get(name)
    if paper is None:
        return None
    return Match(model, paper, "by its name" if source == model else f"the recipe's teacher is {source}")


def _by_shape(model: str, shape: Architecture | settings.Architecture, source: str) -> Match | None:
    for found in paper_models():
        if found.own and (found.layers, found.hidden, found.heads) == (shape.layers, shape.hidden, shape.heads):
            return Match(model, found.name, f"by its shape in {source}: {_shape(found)}")
    return None


def _shape(model: PaperModel) -> str:
    return f"{model.layers} layers of width {model.hidden} with {model.heads} heads"


def find_table(board: Board) -> PrintedTable | None:
    """The paper's table of a board's benchmark; for files of one's own, the first of the same task.

    None where the board is of a known benchmark that the paper did not test on.
    """
    titles = {KNOWN[name].title: table for table in TABLES for name in table.known}
    # A part or a split of a benchmark is named with it; so is what another one's training part was used for.
    tested = board.benchmark_title.partition(", trained on ")[0].removeprefix("a part of ").removeprefix("a split of ")
    if tested in titles:
        return titles[tested]
    if tested in {known.title for known in KNOWN.values()}:
        return None
    return next((table for table in TABLES if table.task == board.task), None)


def pairs(board: Board, table: PrintedTable, matches: dict[str, Match]) -> list[Pair]:
    """Every score of the board that the paper's table has too."""
    printed = {(row.model, row.setting): row for row in paper_board(table).rows}
    found = []
    for row in board.rows:
        match = matches.get(row.model)
        theirs = printed.get((match.paper, row.setting)) if match else None
        if match is None or theirs is None:
            continue
        for code in board.languages:
            ours = row.cell(code)
            if ours is not None and code in theirs.scores:
                found.append(Pair(row, match.paper, code, ours, theirs.scores[code][0]))
    return found


def against_blocks(board: Board, run: Run) -> list[Block]:
    """What a board's section says about the paper's values: how models were matched, two tables, what to beware of.

    Args:
        board: of the run's results.
        run: says what the models are.
    """
    table = find_table(board)
    if table is None:
        return [f"The paper has no results on {board.benchmark_title}: there is nothing to set beside it."]
    matches = {row.model: match for row in board.rows if (match := find_match(row.model, run))}
    found = pairs(board, table, matches)
    told = _told(board, table, matches, found)
    if not found:
        return [told]
    folded = Details("Language by language, beside the paper", [_languages_table(board, table, found)])
    return [told, _averages_table(board, table, found), folded, _cautions(board, table, found)]


def _told(board: Board, table: PrintedTable, matches: dict[str, Match], found: list[Pair]) -> str:
    """How the models were matched, and what has no counterpart."""
    lacking = list(dict.fromkeys(row.model for row in board.rows if row.model not in matches))
    text = f"Beside {table.place} ({table.title}). "
    if matches:
        text += f"{'; '.join(f'{match.model} is {match.paper} ({match.how})' for match in matches.values())}. "
    if lacking:
        text += f"The paper has no model like {listing(lacking)}. "
    if not found:
        return text + "No score has the same model, setting and language in the paper."
    settings = {pair.row.setting for pair in found}
    without = list(dict.fromkeys(row.setting for row in board.rows if row.setting not in settings))
    if without:
        text += f"In the setting {listing(without)} there is nothing to compare. "
    codes = {pair.language for pair in found}
    alone = [code for code in board.languages if code not in codes]
    if alone:
        text += f"The paper prints nothing for {listing(alone)}. "
    return text.strip()


def _averages_table(board: Board, table: PrintedTable, found: list[Pair]) -> Table:
    """A row per model and setting: the averages over the languages that both have."""
    rows = []
    places = digits(board)
    for row in board.rows:
        its = [pair for pair in found if pair.row is row]
        if not its:
            continue
        codes = [pair.language for pair in its]
        printed = fmean(pair.printed for pair in its)
        # Only seeds that have every language make an average.
        ours = row.average(codes)
        cells = [Cell(NOTHING, note="no seed has every language")] * 2
        if ours:
            cells = [_ours(ours, places), Cell(signed(ours.value - printed, places), ours.value - printed)]
        names = [words(row.model), words(its[0].paper), words(row.label)]
        rows.append([*names, cells[0], Cell(decimal(printed, places), printed), cells[1], words(", ".join(codes))])
    columns = [*_NAMES, Column("Here"), Column("Paper"), Column("Difference"), Column("Languages", False)]
    caption = f"{board.title}: averages beside those of {table.place}"
    notes = [
        f"Averages of {board.metric_name} over the languages that both have, and so not the printed ones. Difference: "
        "here minus paper.",
        *_margin_note(rows),
    ]
    return Table(f"{board.name}-against-paper", caption, columns, rows, notes, heading_columns=3)


def _languages_table(board: Board, table: PrintedTable, found: list[Pair]) -> Table:
    places = digits(board)
    rows = [
        [
            words(pair.row.model),
            words(pair.paper),
            words(pair.row.label),
            words(coded(pair.language)),
            _ours(pair.ours, places),
            Cell(decimal(pair.printed, places), pair.printed),
            Cell(signed(pair.difference, places), pair.difference),
        ]
        for pair in found
    ]
    columns = [*_NAMES, Column("Language", False), Column("Here"), Column("Paper"), Column("Difference")]
    caption = f"{board.title}: every language beside {table.place}"
    return Table(f"{board.name}-against-paper-languages", caption, columns, rows, _margin_note(rows), heading_columns=4)


_NAMES = [Column("Model", False), Column("In the paper", False), Column("Setting", False)]


def _ours(score: Mean, places: int) -> Cell:
    small, parts = margin_of(score, places)
    return Cell(decimal(score.value, places), score.value, small=small, parts=parts)


def _margin_note(rows: list[list[Cell]]) -> list[str]:
    if not any("±" in cell.small for row in rows for cell in row):
        return []
    return ["± is half the width of a 95 % interval over this run's seeds; the paper's values come without one."]


def _tested(board: Board) -> str:
    """How many samples were scored here, as far as the results tell."""
    tests = [files.get("test") or {} for result in board.results for files in result.data.values()]
    sizes = sorted({test["samples"] for test in tests if isinstance(test.get("samples"), int)})
    if not sizes:
        return ""
    many = f"between {sizes[0]:,} and {sizes[-1]:,} were" if len(sizes) > 1 else plural(sizes[0], "was", "were")
    return f" (here {many} scored per language)"


def _cautions(board: Board, table: PrintedTable, found: list[Pair]) -> list[str]:
    told = [
        "The paper's values come without seeds or intervals, so no difference here can be called significant.",
        "The paper does not give its hyper-parameters of fine-tuning (epochs, learning rate, batch) or its seeds; a "
        "difference may come from them.",
    ]
    own_files = board.benchmark_title not in {KNOWN[name].title for name in table.known}
    if own_files:
        told.append(
            f"The data here are called “{board.benchmark_title}”; they need not be the samples and the split of "
            f"{table.title} that the paper tested on."
        )
    else:
        told.append(
            f"The paper's scores are of {table.title}, and which of its training, dev and test samples it used is not "
            f"printed{_tested(board)}."
        )
    trained = {code for result in board.results if result.setting == "all" for code in result.languages}
    theirs = paper_board(table).languages
    if any(pair.row.setting == "all" for pair in found) and trained != set(theirs):
        told.append(
            f"The setting all is fine-tuning on {', '.join(sorted(trained))} here, and in the paper on the languages "
            f"of its table, {', '.join(theirs)}: with other languages the same model scores otherwise."
        )
    if any(model.own for model in paper_models() if model.name in {pair.paper for pair in found}):
        told.append(
            "A model of the same shape is the paper's model only if its corpus, languages, steps (a million of 128 "
            "samples in the paper) and objective are the paper's too; the summary tells what this run did."
        )
    return told
