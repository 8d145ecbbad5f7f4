"""The tables of the benchmark: scores, gains, entity types, data sets, single runs."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Any

from unibert.benchmark.schema import LanguageScore, Result
from unibert.benchmark.scores import Board, Gain, Mean, Row
from unibert.languages import language
from unibert.report.contents import number
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import NOTHING, decimal, listing, plural, signed


def _score_cell(score: Mean | None, best: float | None, missing: str, fewer: bool = False) -> Cell:
    """`fewer`: say how many seeds there are, since they are not those of the row."""
    if score is None:
        return Cell(NOTHING, note=missing)
    small = f"± {decimal(score.margin)}" if score.margin is not None else ""
    if fewer:
        small = f"{small} ({plural(score.seeds, 'seed')})".strip()
    strong = best is not None and round(score.value, 2) == best
    return Cell(decimal(score.value), score.value, small=small, strong=strong)


def score_table(board: Board) -> Table:
    """Models x settings against languages (the paper's Table 2), the best of every column in bold."""
    averages = [row.average(board.languages) for row in board.rows]

    def best(scores: list[Mean | None]) -> float | None:
        found = [round(score.value, 2) for score in scores if score]
        return max(found) if len(found) > 1 else None

    best_of = {code: best([row.cell(code) for row in board.rows]) for code in board.languages}
    best_average = best(averages)
    rows = []
    for row, average in zip(board.rows, averages, strict=True):
        cells = [
            _score_cell(row.cell(code), best_of[code], "no result in benchmark/results") for code in board.languages
        ]
        lacking = [code for code in board.languages if row.cell(code) is None]
        why = "no average: no seed has every language"
        if lacking:
            why = (
                f"no average: {listing(lacking)} missing, and averages over other sets of languages cannot be compared"
            )
        rows.append(
            [
                words(row.model),
                words(row.label),
                *cells,
                _score_cell(average, best_average, why, average is not None and average.seeds < _least(row)),
                Cell(_seed_range(row), _least(row)),
            ]
        )
    columns = [Column("Model", False), Column("Setting", False)]
    columns += [Column(f"{code} {language(code).name}") for code in board.languages]
    columns += [Column("Average"), Column("Seeds")]
    notes = [
        "F1 from 0 to 100, the mean over seeds. each: fine-tuned and tested on one language; all: fine-tuned once on "
        "every language together, tested on each.",
        "Bold is the highest mean of its column, which is not the same as a difference that can be trusted.",
    ]
    if any("±" in cell.small for row in rows for cell in row):
        notes.append(
            "± is half the width of a 95 % interval over seeds (Student's t). The choice of test data is not in it."
        )
    if any(cell.text == NOTHING for row in rows for cell in row):
        notes.append(f"{NOTHING}: no result; what was planned and is not there is listed under “What is missing”.")
    return Table(board.name, f"{board.title}: F1 by language", columns, rows, notes, heading_columns=2)


def _seed_range(row: Row) -> str:
    numbers = sorted({len(seeds) for seeds in row.scores.values()})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _least(row: Row) -> int:
    return min(len(seeds) for seeds in row.scores.values())


def seeds_table(board: Board) -> Table:
    """Every single result, for other programs and for doubt."""
    rows = []
    for result in sorted(
        board.results, key=lambda result: (result.model, result.setting, result.languages, result.seed)
    ):
        for code, score in sorted(result.scores.items()):
            values = [Cell(decimal(value), value) for value in (score.f1, score.precision, score.recall)]
            names = [words(text) for text in (result.model, result.setting, "+".join(result.languages), code)]
            rows.append([*names, number(result.seed), *values, number(score.support), words(result.address)])
    columns = [Column(label, False) for label in ("Model", "Setting", "Trained on", "Tested on")]
    columns += [Column(label) for label in ("Seed", "F1", "Precision", "Recall", "Entities")] + [
        Column("Address", False)
    ]
    return Table(f"{board.name}-seeds", f"{board.title}: every run", columns, rows)


def gain_table(board: Board, found: list[Gain]) -> Table:
    """Each -> all for every model, with what may be said about it."""
    rows = []
    for gain in found:
        interval = Cell(NOTHING, note="needs two seeds that both settings have")
        if gain.low is not None and gain.high is not None:
            interval = Cell(f"{signed(gain.low)} to {signed(gain.high)} %", gain.low)
        partial = gain.languages != board.languages
        rows.append(
            [
                words(gain.model),
                Cell(decimal(gain.each), gain.each),
                Cell(decimal(gain.all), gain.all),
                Cell(
                    f"{signed(gain.percent)} %",
                    gain.percent,
                    small=f"over {', '.join(gain.languages)}" if partial else "",
                ),
                interval,
                number(gain.seeds),
                words(gain.verdict),
            ]
        )
    headings = ("Average, each", "Average, all", "Relative gain", "95 % interval", "Seeds in common")
    return Table(
        f"{board.name}-gain",
        f"{board.title}: what training on all languages together brings",
        [Column("Model", False), *(Column(heading) for heading in headings), Column("What can be said", False)],
        rows,
        ["Relative gain: (average of all − average of each) / average of each, for every seed, and the mean of that."],
    )


def types_table(board: Board) -> Table:
    """The scores of every entity type, the mean over seeds."""
    rows = []
    for row in board.rows:
        for code in board.languages:
            scores: list[LanguageScore] = row.details.get(code, [])
            for kind in sorted({kind for score in scores for kind in score.types}):
                of_kind = [score.types[kind] for score in scores if kind in score.types]
                means = [
                    fmean(getattr(score, measure) for score in of_kind) for measure in ("f1", "precision", "recall")
                ]
                names = [words(text) for text in (row.model, row.label, code, kind)]
                rows.append([*names, *(Cell(decimal(mean), mean) for mean in means), number(of_kind[0].support)])
    columns = [Column(label, False) for label in ("Model", "Setting", "Language", "Type")]
    columns += [Column(label) for label in ("F1", "Precision", "Recall", "Entities")]
    return Table(
        f"{board.name}-types",
        f"{board.title}: scores by entity type, mean over seeds",
        columns,
        rows,
        heading_columns=4,
    )


def data_table(board: Board) -> Table:
    """How much each language had to learn from, and how much it was tested on."""
    files: dict[str, dict[str, dict[str, Any] | None]] = defaultdict(dict)
    entities: dict[str, int] = {}
    for result in board.results:
        for code, found in result.data.items():
            files[code].update(found)
        entities |= {code: score.support for code, score in result.scores.items()}
    rows = []
    for code in board.languages:
        parts = [files[code].get(part) for part in ("train", "dev", "test")]
        sentences = [_counted(part, "sentences", "no such file was given") for part in parts]
        rows.append(
            [
                words(code),
                words(language(code).name),
                *sentences,
                _counted(parts[2], "tokens", "not in the files"),
                number(entities.get(code)),
            ]
        )
    headings = ("Train sentences", "Dev sentences", "Test sentences", "Test tokens", "Test entities")
    columns = [Column("Code", False), Column("Language", False), *(Column(heading) for heading in headings)]
    return Table(f"{board.name}-data", f"{board.title}: data sets", columns, rows)


def _counted(part: dict[str, Any] | None, key: str, missing: str) -> Cell:
    value = (part or {}).get(key)
    return number(value if isinstance(value, int) else None, missing)


def fine_tuning(results: list[Result]) -> str:
    """The settings that all results share, as one sentence; differing ones stand in the table's rows."""
    keys = dict.fromkeys(key for result in results for key in result.settings)
    same = [
        f"{key.replace('_', ' ')} {results[0].settings.get(key)}"
        for key in keys
        if len({repr(result.settings.get(key)) for result in results}) == 1
    ]
    return f"Fine-tuning: {', '.join(same)}." if same else ""
