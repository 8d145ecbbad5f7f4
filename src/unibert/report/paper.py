"""The paper's printed numbers (Avram et al., arXiv 2503.12608v3): Tables 1 to 6 and what its text and Figure 3 say.

They lie beside this file, in `printed/`, and nothing in them is recalculated. Table 1 has a row per model; Tables 2 to
6 are long, (model, setting, language, score), and their rows of the language `Avg` are averages as printed.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from unibert.benchmark.scores import Board, Row
from unibert.errors import DataError
from unibert.languages import LANGUAGES
from unibert.report.score_tables import score_table
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import count

SETTINGS = ("each", "mono", "all")
"""In the order of the printed rows."""
_AVERAGE = "Avg"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class PrintedTable:
    """One of the Tables 2 to 6: what it is of, and its file."""

    number: int
    file: str
    task: str
    benchmark: str
    title: str
    """The benchmark's, as tables call it."""
    known: tuple[str, ...]
    """The benchmarks' names in the catalogue."""
    metric: str
    per_cent: bool = True

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"the paper's Table {self.number}"


TABLES = (
    PrintedTable(2, "table2_ner_conll", "ner", "conll", "CoNLL-2002 and CoNLL-2003", ("conll2002", "conll2003"), "f1"),
    PrintedTable(3, "table3_nli_xnli", "nli", "xnli", "XNLI", ("xnli",), "macro_f1"),
    PrintedTable(4, "table4_qa_mlqa", "qa", "mlqa", "MLQA", ("mlqa",), "f1"),
    PrintedTable(5, "table5_sts_sts22", "sts", "sts22", "STS22", ("sts22",), "pearson", per_cent=False),
    # The paper does not say which of MAPA's two layers of annotation it is.
    PrintedTable(6, "table6_ner_mapa", "ner", "mapa", "MAPA", ("mapa", "mapa-fine"), "f1"),
)
FOUR_TASKS = TABLES[:4]
"""Those of Figure 3 and of the t-test; Table 6 came on top."""


@dataclass(frozen=True)
class PaperModel:
    """A row of Table 1; `vocabulary`, `parameters` and `size` (bytes) as printed, such as `120K`."""

    name: str
    layers: int
    hidden: int
    heads: int
    vocabulary: str
    parameters: str
    size: str

    @property
    def own(self) -> bool:
        """Whether it is the paper's own, not one that it compares with."""
        return self.name.startswith("UniBERT-")


@dataclass(frozen=True)
class PrintedScore:
    """A cell of the Tables 2 to 6: its number, and how many decimals are printed."""

    model: str
    setting: str
    language: str
    value: float
    decimals: int


@dataclass(frozen=True)
class Claim:
    """A number of the paper's text or figures: what it is of, as printed, and its place."""

    claim: str
    subject: str
    printed: str
    place: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.printed)

    @property
    def decimals(self) -> int:
        """How many are printed."""
        return decimals_of(self.printed)


def decimals_of(text: str) -> int:
    """The decimals of a number as it is written: 2 in `89.26`."""
    return len(text.partition(".")[2])


@cache
def paper_models() -> tuple[PaperModel, ...]:
    """Table 1, in its order."""
    return tuple(read_models(_lines("table1_models"), "table1_models.csv"))


@cache
def paper_board(table: PrintedTable) -> Board:
    """One of the Tables 2 to 6, in its order of models; the languages by their codes."""
    name = f"{table.file}.csv"
    scores = read_scores(_lines(table.file), name, table.per_cent, {model.name for model in paper_models()})
    rows: dict[tuple[str, str], Row] = {}
    for score in scores:
        row = rows.setdefault((score.model, score.setting), Row(score.model, score.setting, ""))
        if score.language == _AVERAGE:
            row.quoted_average = score.value
        else:
            row.scores[score.language][0] = score.value
    order = {model.name: number for number, model in enumerate(paper_models())}
    ordered = sorted(rows.values(), key=lambda row: (order[row.model], SETTINGS.index(row.setting)))
    languages = sorted({language for row in ordered for language in row.scores})
    kind = (table.title, table.metric, table.per_cent)
    return Board(table.task, table.benchmark, *kind, languages, ordered, quoted=table.place)


@cache
def paper_claims() -> tuple[Claim, ...]:
    """What the text and Figure 3 say in numbers."""
    rows = _rows(_lines("claims"), "claims.csv", ("claim", "subject", "value", "place"))
    found = tuple(Claim(row["claim"], row["subject"], row["value"], row["place"]) for _, row in rows)
    for (number, _), claim in zip(rows, found, strict=True):
        _number(claim.printed, f"claims.csv, line {number}", -math.inf, math.inf)
    return found


def read_models(lines: Iterable[str], name: str) -> list[PaperModel]:
    """Read a table of models in the form of `table1_models.csv`.

    Raises:
        DataError: names the file, the line and what is wrong with it.
    """
    keys = ("model", "layers", "hidden", "heads", "vocab", "params", "size")
    found: dict[str, PaperModel] = {}
    for number, row in _rows(lines, name, keys):
        place = f"{name}, line {number}"
        shape = [row[key] for key in keys[1:4]]
        if not all(text.isdecimal() for text in shape):
            raise DataError(f"{place}: {', '.join(shape)} are not three whole numbers")
        for key in keys[4:]:
            amount(row[key], place)
        if row["model"] in found:
            raise DataError(f"{place}: {row['model']} is there twice")
        layers, hidden, heads = map(int, shape)
        printed = {"vocabulary": row["vocab"], "parameters": row["params"], "size": row["size"]}
        found[row["model"]] = PaperModel(row["model"], layers, hidden, heads, **printed)
    return list(found.values())


def read_scores(lines: Iterable[str], name: str, per_cent: bool, models: Iterable[str]) -> list[PrintedScore]:
    """Read a table of scores in the form of `table2_ner_conll.csv`.

    Args:
        lines: of the file.
        name: of the file, for messages.
        per_cent: scores go from 0 to 100; else from -1 to 1.
        models: those that may be named.

    Raises:
        DataError: names the file, the line and what is wrong: a column that is missing, an unknown model, setting or
            language, a score that is no number or out of range, a cell that is there twice, a row without its average.
    """
    known = set(models)
    low = 0.0 if per_cent else -1.0
    found: dict[tuple[str, str, str], PrintedScore] = {}
    for number, row in _rows(lines, name, ("model", "setting", "language", "score")):
        place = f"{name}, line {number}"
        key = (row["model"], row["setting"], row["language"])
        if key[0] not in known:
            raise DataError(f"{place}: {key[0]} is not a model of Table 1")
        if key[1] not in SETTINGS:
            raise DataError(f"{place}: {key[1]} is no setting; they are {', '.join(SETTINGS)}")
        if key[2] != _AVERAGE and key[2] not in LANGUAGES:
            raise DataError(f"{place}: {key[2]} is the code of no language")
        if key in found:
            raise DataError(f"{place}: {', '.join(key)} is there twice")
        value = _number(row["score"], place, low, 100.0 if per_cent else 1.0)
        found[key] = PrintedScore(*key, value, decimals_of(row["score"]))
    for model, setting, _ in found:
        if (model, setting, _AVERAGE) not in found:
            raise DataError(f"{name}: {model}, {setting}: no average")
    return list(found.values())


def amount(text: str, place: str) -> int:
    """A number as Table 1 prints it: `120K`, `1.12G`; in thousands, millions, thousand millions."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text)
    if not match:
        raise DataError(f"{place}: {text!r} is not a number with K, M or G")
    return round(float(match[1]) * _UNITS[match[2]])


def models_table() -> Table:
    """Table 1."""
    rows = [
        [
            words(model.name),
            *(Cell(count(value), value) for value in (model.layers, model.hidden, model.heads)),
            *(Cell(text, amount(text, "Table 1")) for text in (model.vocabulary, model.parameters, model.size)),
        ]
        for model in paper_models()
    ]
    columns = [Column("Model", False), *(Column(heading) for heading in ("Layers", "Hidden", "Heads", "Vocabulary"))]
    columns += [Column("Parameters"), Column("Size", unit="bytes")]
    return Table("table-1", "Table 1. The models", columns, rows, ["As printed, and so rounded."])


def printed_table(table: PrintedTable) -> Table:
    """One of the Tables 2 to 6, through the code that shows one's own results."""
    shown = score_table(paper_board(table))
    caption = f"Table {table.number}. {shown.caption}"
    return Table(
        f"table-{table.number}", caption, shown.columns, shown.rows, shown.notes, heading_columns=shown.heading_columns
    )


def _lines(file: str) -> list[str]:
    return files("unibert.report").joinpath("printed", f"{file}.csv").read_text(encoding="utf-8").splitlines()


def _rows(lines: Iterable[str], name: str, keys: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with the numbers of their lines."""
    reader = csv.DictReader(lines)
    if tuple(reader.fieldnames or ()) != keys:
        raise DataError(f"{name}: its columns are not {', '.join(keys)}")
    found = []
    for row in reader:
        if None in row or None in row.values():
            raise DataError(f"{name}, line {reader.line_num}: not {len(keys)} values")
        found.append((reader.line_num, row))
    if not found:
        raise DataError(f"{name}: nothing in it")
    return found


def _number(text: str, place: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{place}: {text!r} is not a number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise DataError(f"{place}: {text} is not a number from {low:g} to {high:g}")
    return value
