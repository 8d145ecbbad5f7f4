"""Means, margins and gains against an independent calculation and against the paper's printed tables."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

from unibert.benchmark.gains import gains
from unibert.benchmark.results import format_table
from unibert.benchmark.schema import Result
from unibert.report.collect import Run
from unibert.report.score_tables import data_table, fine_tuning, gain_table, score_table, seeds_table, types_table
from unibert.report.scores import boards, planned_gaps, untouched_gaps
from unibert.report.tables import marks, to_csv


def result(model: str, setting: str, languages: list[str], seed: int, scores: dict[str, float], **more) -> Result:
    measured = {
        code: {"metrics": {"f1": f1, "precision": f1, "recall": f1}, "low": f1, "high": f1, "support": 7}
        for code, f1 in scores.items()
    }
    address = f"{model}-{setting}-{'+'.join(languages)}-{seed}-{more}"
    base = {"schema": 2, "address": address, "task": "ner", "benchmark": "ner", "model": model, "setting": setting}
    base |= {"model_fingerprint": "ff", "parameters": 7, "settings": {}, "data": {}, "dev_scores": [], "best_epoch": 1}
    base |= {"seconds": 1.0, "provenance": {}, "title": "ner", "metric": "f1", "per_cent": True}
    base |= {"trained_parameters": 7, "learning_rate": 0.1}
    return Result.model_validate({**base, "languages": languages, "seed": seed, "scores": measured, **more})


# Table 2 of the paper (NER, F1 in en, es, nl): each and all.
PRINTED = {
    "Distil-mBERT-base": ([89.26, 86.50, 87.02], [90.02, 87.11, 88.94]),
}


def test_gain_is_the_ratio_of_averages():
    found = []
    for model, (each, joint) in PRINTED.items():
        codes = ["en", "es", "nl"]
        found += [result(model, "each", [code], 1, {code: f1}) for code, f1 in zip(codes, each, strict=True)]
        found.append(result(model, "all", codes, 1, dict(zip(codes, joint, strict=True))))
    (board,) = boards(found, [])
    (gain,) = gains(board)
    each, joint = PRINTED["Distil-mBERT-base"]
    assert gain.percent == pytest.approx((sum(joint) / 3 - sum(each) / 3) / (sum(each) / 3) * 100)
    assert gain.low is None and "nothing can be concluded" in gain.verdict


@pytest.mark.parametrize(
    ("joint", "verdict"),
    [
        ([62.0, 62.2, 62.1], "a gain over these seeds"),
        ([58.0, 58.2, 58.1], "a loss over these seeds"),
        ([55.0, 60.3, 66.0], "cannot be told from no difference"),
    ],
)
def test_verdict_follows_the_interval(joint, verdict):
    each = [60.0, 60.1, 60.2]
    found = [result("m", "each", ["es"], seed, {"es": f1}) for seed, f1 in enumerate(each)]
    found += [result("m", "all", ["es"], seed, {"es": f1}) for seed, f1 in enumerate(joint)]
    (gain,) = gains(boards(found, [])[0])
    ratio = sum(joint) / sum(each)
    assert gain.percent == pytest.approx(100 * (ratio - 1))
    # With so little spread in each, the delta method comes near to Fieller's interval.
    off = [(after - ratio * before) / 60.1 for before, after in zip(each, joint, strict=True)]
    half = 4.302653 * 100 * math.sqrt(sum(value**2 for value in off) / 2) / 3**0.5  # Student's t, two degrees
    assert (gain.low, gain.high) == pytest.approx((gain.percent - half, gain.percent + half), rel=0.01, abs=0.1)
    assert gain.verdict == verdict


def test_average_is_withheld_where_a_language_is_missing():
    found = [result("m", "each", ["es"], 1, {"es": 60.0}), result("n", "each", ["es"], 1, {"es": 50.0})]
    found.append(result("n", "each", ["nl"], 1, {"nl": 70.0}))
    (board,) = boards(found, [])
    averages = {row.model: row.average(board.languages) for row in board.rows}
    assert averages["m"] is None
    assert averages["n"] is not None and averages["n"].value == 60.0


def test_average_takes_only_seeds_with_every_language():
    found = [result("m", "each", ["es"], seed, {"es": 60.0 + seed}) for seed in (1, 2, 3)]
    found += [result("m", "each", ["nl"], seed, {"nl": 70.0 - seed}) for seed in (1, 2)]
    (board,) = boards(found, [])
    average = board.rows[0].average(board.languages)
    assert average is not None and average.seeds == 2
    assert (average.value, average.margin) == pytest.approx((65.0, 0.0))


def test_page_and_terminal_agree():
    found = []
    for model, base in (("m", 60.0), ("n", 48.5)):
        for seed in (1, 2, 4):
            each = {"es": base + seed**1.5, "nl": base - seed / 3}
            found += [result(model, "each", [code], seed, {code: f1}) for code, f1 in each.items()]
            found.append(result(model, "all", ["es", "nl"], seed, {"es": base + 3.3, "nl": base + seed}))
    (board,) = boards(found, [])
    printed = [line.replace(" ± ", "±").replace(" %", "").split() for line in format_table(found).splitlines()[2:]]
    shown = score_table(board).rows
    assert [line[:2] for line in printed] == [[row[0].text, row[1].text] for row in shown]
    for line, row in zip(printed, shown, strict=True):
        for cell, text in zip(row[2:5], line[2:5], strict=True):
            value, margin = text.split("±")
            assert value == cell.text
            assert float(margin) == pytest.approx(float(cell.small.removeprefix("± ")), abs=0.055)
    assert [line[5] for line in printed[0::2]] == ["-", "-"]
    gains_shown = [row[3:6] for row in gain_table(board, gains(board)).rows]
    told = [[float(line[5]), float(line[6].strip("(")), float(line[8].strip(")"))] for line in printed[1::2]]
    for numbers, cells in zip(told, gains_shown, strict=True):
        assert numbers == pytest.approx([cell.value for cell in cells], abs=0.051)


def test_other_languages_of_a_model_trained_on_one_are_not_its_score():
    found = [result("m", "each", ["es"], 1, {"es": 60.0, "nl": 12.0})]
    (board,) = boards(found, [])
    assert board.languages == ["es"]


def test_weights_and_settings_that_differ_make_rows_of_their_own():
    found = [
        result("m", "all", ["es"], 1, {"es": 60.0}, model_fingerprint="aaaaaaaabbbb", settings={"epochs": 3}),
        result("m", "all", ["es"], 1, {"es": 70.0}, model_fingerprint="ccccccccdddd", settings={"epochs": 3}),
        result("m", "all", ["es"], 1, {"es": 80.0}, model_fingerprint="ccccccccdddd", settings={"epochs": 9}),
    ]
    gaps = []
    (board,) = boards(found, gaps)
    assert sorted(row.label for row in board.rows) == [
        "all (weights aaaaaaaa; epochs 3)",
        "all (weights cccccccc; epochs 3)",
        "all (weights cccccccc; epochs 9)",
    ]
    assert gaps == []


def test_results_that_are_there_twice_are_told_and_not_averaged():
    first = result("m", "all", ["es"], 1, {"es": 60.0})
    second = result("m", "all", ["es"], 1, {"es": 90.0}, seconds=2.0)
    gaps = []
    (board,) = boards([first, second], gaps)
    assert board.rows[0].scores["es"] == {1: 60.0}
    assert len(gaps) == 1 and "twice" in gaps[0].reason


def test_two_versions_of_a_test_set_are_told():
    data = [{"es": {"test": {"file": "t", "sha256": mark, "samples": 1}}} for mark in ("aa", "bb")]
    found = [result("m", "all", ["es"], seed, {"es": 60.0}, data=data[seed]) for seed in (0, 1)]
    gaps = []
    boards(found, gaps)
    assert "cannot be compared" in gaps[0].reason


def correlation(setting: str, languages: list[str], seed: int, scores: dict[str, float]) -> Result:
    measured = {
        code: {"metrics": {"pearson": value, "spearman": value / 2}, "low": -0.5, "high": 0.75, "support": 31}
        for code, value in scores.items()
    }
    tree = result("m", setting, languages, seed, dict.fromkeys(scores, 0.0)).as_json()
    names = {"task": "sts", "benchmark": "sts22", "title": "STS22", "metric": "pearson", "per_cent": False}
    return Result.model_validate({**tree, **names, "scores": measured, "address": f"sts-{setting}-{seed}"})


def test_correlations_have_three_decimals_and_zero_shot_a_row_of_its_own():
    found = [result("m", "each", ["es"], 1, {"es": 60.0})]
    found += [
        correlation("zero-shot", ["en"], seed, {"en": 0.5, "de-en": value}) for seed, value in ((1, -0.25), (2, 0.0))
    ]
    ner, sts = boards(found, [])
    assert (ner.name, sts.name, sts.title) == ("ner", "sts-sts22", "Semantic textual similarity: STS22")
    table = score_table(sts)
    (row,) = table.rows
    assert [cell.text for cell in row[:5]] == ["m", "zero-shot from en", "\N{MINUS SIGN}0.125", "0.500", "0.188"]
    assert "from \N{MINUS SIGN}1 to 1" in table.notes[0] and "zero-shot: fine-tuned on one language" in table.notes[0]
    assert "zero-shot" not in score_table(ner).notes[0]
    every = seeds_table(sts)
    names = {tuple(cell.text for cell in row[: every.heading_columns]) for row in every.rows}
    assert len(names) == len(every.rows), "the headings of a row on paper tell it from the others"
    labels = [column.label for column in every.columns]
    assert labels[4:9] == ["Seed", "Pearson's r", "Low", "High", "Spearman's rho"]
    assert labels[9] == "Pairs"
    assert [cell.text for cell in every.rows[1][4:10]] == ["1", "0.500", "\N{MINUS SIGN}0.500", "0.750", "0.250", "31"]
    assert types_table(sts).rows == []
    assert [row[0].text for row in data_table(sts).rows] == ["de-en", "en"]


def run_with(planned: dict | None) -> Run:
    return Run(Path(), None, "", None, None, {}, [], {}, [], planned=planned)


def test_what_the_plan_has_and_the_results_lack_is_told():
    found = [result("m", "each", ["es"], 1, {"es": 60.0}), result("m", "zero-shot", ["en"], 1, {"es": 50.0})]
    (board,) = boards(found, [])
    both = {"benchmark": "ner", "model": "m", "tested": ["es", "nl"]}
    planned = {
        "there": {**both, "setting": "each", "languages": ["es"], "seed": 1},
        "lacking": {**both, "setting": "each", "languages": ["nl"], "seed": 1},
        "zero": {**both, "setting": "zero-shot", "languages": ["en"], "seed": 1},
        "other zero": {**both, "setting": "zero-shot", "languages": ["de"], "seed": 2},
        "elsewhere": {**both, "benchmark": "other", "setting": "all", "languages": ["es"], "seed": 1},
        "damaged": {},
    }
    told = {gap.part: gap.reason for gap in planned_gaps([board], run_with(planned))}
    assert told == {
        "Named entity recognition: m, each": "the recipe plans it, but there is no result for nl (seed 1)",
        "Named entity recognition: m, zero-shot from de": (
            "the recipe plans it, but there is no result for es (seed 2) and nl (seed 2)"
        ),
    }
    assert planned_gaps([board], run_with(None)) == []


def test_result_of_an_unknown_task_is_told_once_and_takes_no_gap_with_it():
    other = result("m", "each", ["nl"], 1, {"nl": 50.0}, task="poetry", address="0123")
    gaps = []
    found = boards([result("m", "each", ["es"], 1, {"es": 60.0}), other], gaps)
    assert [(gap.part, gap.reason) for gap in gaps] == [
        (
            "ner, task poetry",
            "no task of this version: the scores of 0123.json are shown by themselves, and not tested",
        )
    ]
    run = {"benchmark": "ner", "model": "m", "setting": "each", "seed": 1, "tested": ["es", "nl", "en"]}
    planned = {code: {**run, "languages": [code]} for code in ("es", "nl", "en")}
    (gap,) = planned_gaps(found, run_with(planned))
    assert gap.reason == "the recipe plans it, but there is no result for en (seed 1)"


def test_planned_benchmark_without_any_result_is_told():
    found = boards([result("m", "each", ["es"], 1, {"es": 60.0})], [])
    run = {"model": "m", "setting": "each", "languages": ["es"], "tested": ["es"]}
    planned = {f"{name} {seed}": {**run, "benchmark": name, "seed": seed} for name in ("ner", "ler") for seed in (1, 2)}
    (gap,) = untouched_gaps(found, run_with(planned))
    assert (gap.part, gap.reason) == ("ler", "2 runs planned, and none has a result: it is not on this page")
    assert untouched_gaps(found, run_with(None)) == []


def test_settings_that_say_nothing_are_not_told():
    settings = {
        "epochs": 3,
        "learning_rates": [],
        "patience": None,
        "stride": 64,
        "method": "full",
        "lora": {"rank": 8},
    }
    assert fine_tuning([result("m", "all", ["es"], 1, {"es": 1.0}, settings=settings)]) == (
        "Fine-tuning: epochs 3, method full."
    )
    lora = {**settings, "method": "lora", "learning_rates": [0.1, 0.2]}
    told = fine_tuning([result("m", "all", ["es"], 1, {"es": 1.0}, settings=lora)])
    assert told == "Fine-tuning: epochs 3, learning rates 0.1, 0.2, method lora, lora rank 8."


def three_seeds(each: list[float], joint: list[float]) -> list[Result]:
    found = [result("m", "each", ["es"], seed, {"es": f1}) for seed, f1 in enumerate(each)]
    return [*found, *(result("m", "all", ["es"], seed, {"es": f1}) for seed, f1 in enumerate(joint))]


def test_gain_table_as_csv_has_both_ends_of_the_interval():
    (board,) = boards(three_seeds([60.0, 60.1, 60.2], [62.0, 62.3, 62.1]), [])
    (gain,) = gains(board)
    heading, row = csv.reader(io.StringIO(to_csv(gain_table(board, [gain]))))
    assert heading[3:7] == ["Relative gain (%)", "Low (%)", "High (%)", "Seeds in common"]
    assert [float(text) for text in row[3:7]] == [gain.percent, gain.low, gain.high, 3]


def test_gain_without_bounds_says_why_and_what_is_known_all_the_same():
    (board,) = boards(three_seeds([2.0, 20.0, 14.0], [30.0, 34.0, 32.0]), [])
    (row,) = gain_table(board, gains(board)).rows
    assert row[3].text == "+166.67 %"
    assert [cell.value for cell in row[4:6]] == [None, None]
    assert all("not clearly above 0" in cell.note for cell in row[4:6])
    assert row[-1].text == "a gain over these seeds; how large a share is open"


def test_gain_over_some_languages_names_them_in_csv_too():
    found = [*three_seeds([60.0, 60.1], [62.0, 62.3]), result("m", "each", ["nl"], 1, {"nl": 50.0})]
    (board,) = boards(found, [])
    heading, row = csv.reader(io.StringIO(to_csv(gain_table(board, gains(board)))))
    assert row[heading.index("Relative gain, languages")] == "es"


def test_scores_as_csv_have_their_margins_beside_them():
    (board,) = boards(three_seeds([60.0, 61.0, 65.0], [62.0, 62.3, 62.1]), [])
    heading, *rows = csv.reader(io.StringIO(to_csv(score_table(board))))
    assert heading == ["Model", "Setting", "es Spanish", "es Spanish, ±", "Average", "Average, ±", "Seeds"]
    for row, shown in zip(rows, board.rows, strict=True):
        mean = shown.cell("es")
        assert mean is not None and [float(text) for text in row[2:6]] == [mean.value, mean.margin] * 2


def test_many_languages_that_were_trained_on_are_a_number_with_the_list_below():
    codes = ["ar", "de", "en", "es", "fr", "it", "nl"]
    (board,) = boards([result("m", "all", codes, 1, dict.fromkeys(codes, 60.0))], [])
    made = seeds_table(board)
    cell = made.rows[0][2]
    assert (cell.text, cell.value) == ("7 languages", "+".join(codes))
    assert list(marks(made)) == [f"trained on {', '.join(codes)}"]
