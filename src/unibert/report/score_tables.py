"""The tables of the benchmark: scores, gains, entity types, data sets, single runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from unibert.benchmark.gains import Gain
from unibert.benchmark.schema import LanguageScore, Result
from unibert.benchmark.scores import Board, Mean, Row, mean_over_seeds
from unibert.languages import language
from unibert.report.contents import number
from unibert.report.tables import Cell, Column, Table, Value, words
from unibert.report.wording import NOTHING, coded, decimal, listing, plural, signed


def digits(board: Board) -> int:
    """Decimals of a score: two in per cent, three of a correlation."""
    return 2 if board.per_cent else 3


def score_cell(score: Mean | None, best: float | None, missing: str, places: int, fewer: bool = False) -> Cell:
    """A mean with its margin, bold if it is the best.

    Args:
        score: the mean over seeds.
        best: the highest of its column, rounded.
        missing: why there is none.
        places: decimals.
        fewer: say how many seeds there are, since they are not those of the row.
    """
    if score is None:
        return Cell(NOTHING, note=missing)
    small, parts = margin_of(score, places)
    if fewer:
        small = f"{small} ({plural(score.seeds, 'seed')})".strip()
        parts["seeds"] = score.seeds
    strong = best is not None and round(score.value, places) == best
    return Cell(decimal(score.value, places), score.value, small=small, strong=strong, parts=parts)


def margin_of(score: Mean, places: int) -> tuple[str, dict[str, Value]]:
    """A score's margin as a cell shows it in small type, and as its CSV file has it."""
    if score.margin is None:
        return "", {}
    return f"± {decimal(score.margin, places)}", {"±": score.margin}


_SETTINGS = {
    "each": "each: fine-tuned and tested on one language",
    "all": "all: fine-tuned once on every language together, tested on each",
    "mono": "mono: the same without samples in two languages at once",
    "zero-shot": "zero-shot: fine-tuned on one language, tested on all",
}


def _sentence_start(text: str) -> str:
    return text[:1].upper() + text[1:]


def score_table(board: Board) -> Table:
    """Models x settings against languages (the paper's Tables 2 to 6), the best of every column in bold.

    Of a quoted board the average is computed from the row all the same; the printed one stands beside it.
    """
    averages = [row.average(board.languages) for row in board.rows]
    places = digits(board)

    def best(scores: Iterable[float | None]) -> float | None:
        found = [round(score, places) for score in scores if score is not None]
        return max(found) if len(found) > 1 else None

    cells_of = {code: [row.cell(code) for row in board.rows] for code in board.languages}
    best_of = {code: best(cell.value if cell else None for cell in cells) for code, cells in cells_of.items()}
    best_average = best(average.value if average else None for average in averages)
    best_quoted = best(row.quoted_average for row in board.rows)
    missing = f"not in {board.quoted}" if board.quoted else "no result in benchmark/results"
    rows = []
    for position, (row, average) in enumerate(zip(board.rows, averages, strict=True)):
        cells = [score_cell(cells_of[code][position], best_of[code], missing, places) for code in board.languages]
        lacking = [code for code in board.languages if cells_of[code][position] is None]
        why = "no average: no seed has every language"
        if lacking:
            why = (
                f"no average: {listing(lacking)} missing, and averages over other sets of languages cannot be compared"
            )
        fewer = average is not None and average.seeds < _least(row)
        cells.append(score_cell(average, best_average, why, places, fewer))
        if board.quoted:
            quoted = mean_over_seeds([row.quoted_average]) if row.quoted_average is not None else None
            cells.append(score_cell(quoted, best_quoted, missing, places))
        else:
            cells.append(Cell(_seed_range(row), _least(row)))
        rows.append([words(row.model), words(row.label), *cells])
    columns = [Column("Model", False), Column("Setting", False)]
    columns += [Column(coded(code)) for code in board.languages]
    columns += [Column("Average"), Column("Average, printed") if board.quoted else Column("Seeds")]
    title = f"{board.title}: {board.metric_name} by language"
    return Table(board.name, title, columns, rows, _score_notes(board, rows), heading_columns=2)


def _score_notes(board: Board, rows: Sequence[Sequence[Cell]]) -> list[str]:
    scale = "from 0 to 100" if board.per_cent else "from −1 to 1"
    of = f"quoted from {board.quoted}" if board.quoted else "the mean over seeds"
    settings = {row.setting.partition(" ")[0] for row in board.rows}
    told = [meaning for setting, meaning in _SETTINGS.items() if setting in settings or setting in ("each", "all")]
    highest = "value" if board.quoted else "mean"
    notes = [
        f"{_sentence_start(board.metric_name)} {scale}, {of}. {'; '.join(told)}.",
        f"Bold is the highest {highest} of its column, which is not the same as a difference that can be trusted.",
    ]
    if any("±" in cell.small for row in rows for cell in row):
        notes.append(
            "± is half the width of a 95 % interval over seeds (Student's t). The choice of test data is not in it."
        )
    lacking = any(cell.text == NOTHING for row in rows for cell in row)
    if lacking and board.quoted:
        notes.append(f"{NOTHING}: not printed; an average is computed only of rows that have every language.")
    elif lacking:
        notes.append(f"{NOTHING}: no result; what was planned and is not there is listed under “What is missing”.")
    return notes


def _seed_range(row: Row) -> str:
    numbers = sorted({len(seeds) for seeds in row.scores.values()})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _least(row: Row) -> int:
    return min(len(seeds) for seeds in row.scores.values())


def seeds_table(board: Board) -> Table:
    """Every single result, for other programs and for doubt."""
    rows = []
    places = digits(board)
    names = board.metric_names
    for result in sorted(
        board.results, key=lambda result: (result.model, result.setting, result.languages, result.seed)
    ):
        for code, score in sorted(result.scores.items()):
            values = [_value(score.metrics.get(key), places) for key in names]
            values[1:1] = [_value(end, places) for end in (score.low, score.high)]
            labels = [words(result.model), words(result.setting), _trained_on(result.languages), words(code)]
            rows.append([*labels, number(result.seed), *values, number(score.support), words(result.address)])
    headings = [_sentence_start(name) for name in names.values()]
    headings[1:1] = ["Low", "High"]
    columns = [Column(label, False) for label in ("Model", "Setting", "Trained on", "Tested on")]
    columns += [Column(label) for label in ("Seed", *headings, _support(board))] + [Column("Address", False)]
    note = f"Low and high: the 95 % interval of {board.metric_name} over test samples (bootstrap), of this run alone."
    # All that tells a run from the others: the parts of a wide table on paper are of no use without.
    return Table(f"{board.name}-seeds", f"{board.title}: every run", columns, rows, [note], heading_columns=5)


_FEW = 6
"""So many languages are listed in a cell."""


def _trained_on(codes: Sequence[str]) -> Cell:
    together = "+".join(codes)
    if len(codes) <= _FEW:
        return words(together)
    return Cell(plural(len(codes), "language"), together, note=f"trained on {', '.join(codes)}")


def _value(value: float | None, places: int) -> Cell:
    return Cell(decimal(value, places), value) if value is not None else Cell(NOTHING, note="not in the result")


def _support(board: Board) -> str:
    return _sentence_start(board.support or "samples")


def gain_table(board: Board, found: list[Gain]) -> Table:
    """Each -> all for every model, with what may be said about it."""
    rows = []
    for gain in found:
        lacking = "needs two seeds that both settings have"
        if gain.seeds > 1:
            lacking = "the average of each is not clearly above 0 over these seeds, so a share of it has no bounds"
        ends = [Cell(NOTHING, note=lacking) if end is None else _per_cent(end) for end in (gain.low, gain.high)]
        partial = ", ".join(gain.languages) if gain.languages != board.languages else ""
        share = _per_cent(gain.percent)
        if partial:
            share = replace(share, small=f"over {partial}", parts={"languages": partial})
        averages = [_value(average, digits(board)) for average in (gain.each, gain.all)]
        rows.append([words(gain.model), *averages, share, *ends, number(gain.seeds), words(gain.verdict)])
    columns = [Column("Model", False), Column("Average, each"), Column("Average, all")]
    columns += [Column(heading, unit="%") for heading in ("Relative gain", "Low", "High")]
    columns += [Column("Seeds in common"), Column("What can be said", False)]
    notes = [GAIN_DEFINITION, GAIN_INTERVAL]
    if board.quoted:  # without seeds there is nothing to say of them
        columns, rows = columns[:4], [row[:4] for row in rows]
        notes = ["Relative gain: (average of all − average of each) / average of each; no spread is printed."]
    title = f"{board.title}: what training on all languages together brings"
    return Table(f"{board.name}-gain", title, columns, rows, notes)


GAIN_DEFINITION = (
    "Relative gain: (average of all − average of each) / average of each, both averages being means over the seeds "
    "that both settings have."
)
GAIN_INTERVAL = (
    "Low and high: its 95 % interval over seeds, by Fieller's theorem for the ratio of two means; there is none where "
    "the average of each is not clearly above 0."
)


def _per_cent(value: float) -> Cell:
    return Cell(f"{signed(value)} %", value)


def types_table(board: Board) -> Table:
    """The scores of every type of entity or label, the mean over seeds."""
    rows = []
    everything = [score for row in board.rows for found in row.details.values() for score in found]
    keys = list(dict.fromkeys(key for score in everything for kind in score.types.values() for key in kind.metrics))
    for row in board.rows:
        for code in board.languages:
            scores: list[LanguageScore] = row.details.get(code, [])
            for kind in sorted({kind for score in scores for kind in score.types}):
                of_kind = [score.types[kind] for score in scores if kind in score.types]
                measured = [[score.metrics[key] for score in of_kind if key in score.metrics] for key in keys]
                means = [fmean(values) if values else None for values in measured]
                names = [words(text) for text in (row.model, row.label, code, kind)]
                cells = [_value(mean, digits(board)) for mean in means]
                rows.append([*names, *cells, number(of_kind[0].support)])
    columns = [Column(label, False) for label in ("Model", "Setting", "Language", "Type")]
    headings = [key.upper() if key == "f1" else _sentence_start(key.replace("_", " ")) for key in keys]
    columns += [Column(label) for label in (*headings, _support(board))]
    what = "entity type" if board.task == "ner" else "label"
    return Table(
        f"{board.name}-types",
        f"{board.title}: scores by {what}, mean over seeds",
        columns,
        rows,
        heading_columns=4,
    )


def data_table(board: Board) -> Table:
    """How much each language had to learn from, and how much it was tested on."""
    files: dict[str, dict[str, dict[str, Any] | None]] = defaultdict(dict)
    support: dict[str, int] = {}
    for result in board.results:
        for code, found in result.data.items():
            # Where a language was only tested on, its other parts were not used; they may have been elsewhere.
            files[code].update({part: entry for part, entry in found.items() if entry or part not in files[code]})
        support |= {code: score.support for code, score in result.scores.items()}
    rows = []
    for code in board.languages:
        parts = [files[code].get(part) for part in ("train", "dev", "test")]
        samples = [_counted(part, "samples", "no such part was used") for part in parts]
        rows.append([words(code), words(language(code).name), *samples, number(support.get(code))])
    headings = ("Train samples", "Dev samples", "Test samples", f"Test {board.support or 'scores'}")
    columns = [Column("Code", False), Column("Language", False), *(Column(heading) for heading in headings)]
    return Table(f"{board.name}-data", f"{board.title}: data sets", columns, rows)


def _counted(part: dict[str, Any] | None, key: str, missing: str) -> Cell:
    value = (part or {}).get(key)
    return number(value if isinstance(value, int) else None, missing)


_ONLY_FOR = {"stride": "qa", "max_answer_tokens": "qa", "sts": "sts"}


def fine_tuning(results: list[Result]) -> str:
    """The settings that all results share, as one sentence; differing ones stand in the table's rows."""
    keys = dict.fromkeys(key for result in results for key in result.settings)
    same = []
    for key in keys:
        value = results[0].settings.get(key)
        shared = len({repr(result.settings.get(key)) for result in results}) == 1
        # What is not in use says nothing: an option that is unset, the shape of updates that nobody learns.
        unused = value is None or value == [] or (key == "lora" and results[0].settings.get("method") != "lora")
        unused |= _ONLY_FOR.get(key, results[0].task) != results[0].task
        if shared and not unused:
            same.append(f"{key.replace('_', ' ')} {_setting(value)}")
    return f"Fine-tuning: {', '.join(same)}." if same else ""


def _setting(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key.replace('_', ' ')} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
