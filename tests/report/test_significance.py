"""What is concluded from a benchmark whose truth is known, and what is said of files that are not as they should be."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from scipy import stats

from significance_support import LANGUAGES, SKILLS, draw_statistics, write_scored_result, write_scored_run
from unibert.benchmark.gains import gains
from unibert.benchmark.results import load_results
from unibert.benchmark.scores import boards
from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.report import statistics
from unibert.report.blocks import Details
from unibert.report.comparisons import corrected
from unibert.report.conclusions import answers
from unibert.report.gain_groups import gain_groups
from unibert.report.significance import format_significance, report_significance
from unibert.report.significance_page import significance_section
from unibert.report.statistics import holm, paired_bootstrap
from unibert.report.tables import Table, to_csv, to_html
from unibert.tasks import ner

DRAWS = 500
SETTINGS = ("each", "all")


def found_in(run, **options):
    return report_significance(run, draws=DRAWS, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_scored_run(tmp_path_factory.mktemp("scored") / "zebra")


@pytest.fixture(scope="module")
def found(run):
    return found_in(run)


def test_all_is_compared_with_each_for_every_model(run, found):
    student, teacher = found.comparisons
    assert student.name == "student: all against each" and teacher.first.model == "teacher"
    assert (student.languages, student.seeds) == (list(LANGUAGES), [1, 2])
    assert student.over_samples is not None and student.over_samples.samples == 300 * len(LANGUAGES)
    each, joint = (
        {
            code: [
                float(ner.value(draw_statistics("ner", skill, code, setting, seed, 300).sum(axis=0))) for seed in (1, 2)
            ]
            for code in LANGUAGES
        }
        for setting, skill in (("each", 0.55), ("all", 0.7))
    )
    differences = {code: np.mean(joint[code]) - np.mean(each[code]) for code in LANGUAGES}
    assert student.differences == pytest.approx(differences)
    assert {code: tested.difference for code, tested in student.by_language.items()} == pytest.approx(differences)
    assert student.over_samples.difference == pytest.approx(np.mean(list(differences.values())))
    assert student.gain is not None
    mean_each = np.mean(list(each.values()))
    assert student.gain.value == pytest.approx(100 * np.mean(list(differences.values())) / mean_each)
    expected = stats.wilcoxon(list(differences.values()), method="exact")
    assert student.over_languages.p == pytest.approx(expected.pvalue)
    by_seed = [np.mean([joint[code][seed] - each[code][seed] for code in LANGUAGES]) for seed in (0, 1)]
    ends = stats.ttest_1samp(by_seed, 0).confidence_interval()
    assert student.over_seeds.margin == pytest.approx((ends.high - ends.low) / 2)
    assert found.gaps == []


def test_truth_is_found(found):
    student, teacher = found.comparisons
    assert student.over_samples is not None and student.over_samples.p == 1 / (DRAWS + 1)
    assert answers(student).samples == "all is better"
    assert teacher.over_samples is not None and teacher.over_samples.p > 0.05
    assert answers(teacher).samples == answers(teacher).seeds == answers(teacher).languages == "cannot be told"


def test_one_language_and_seed_is_the_plain_paired_bootstrap(tmp_path):
    found = found_in(write_scored_run(tmp_path, languages=("en",), seeds=(1,)))
    student = found.comparisons[0]
    first, second = (
        draw_statistics("ner", SKILLS["student", setting], "en", setting, 1, 300) for setting in ("all", "each")
    )
    plain = paired_bootstrap(first, second, ner.value, draws=4000)
    assert student.over_samples == student.by_language["en"]
    assert student.over_samples is not None
    assert (student.over_samples.first, student.over_samples.second) == pytest.approx((plain.first, plain.second))
    assert student.over_samples.high == pytest.approx(plain.high, rel=0.1)
    assert answers(student).sentence == (
        "on other samples: all is better; with other seeds: one seed, not tested; "
        "in other languages: one language, not tested"
    )
    assert student.over_seeds.margin is None


def test_holm_is_over_all_comparisons_of_a_kind(found):
    sampled = [comparison.over_samples.p for comparison in found.comparisons if comparison.over_samples]
    assert [comparison.holm_over_samples for comparison in found.comparisons] == holm(sampled)
    over_languages = holm([comparison.over_languages.p for comparison in found.comparisons])
    assert [comparison.holm_over_languages for comparison in found.comparisons] == over_languages
    single = [tested.p for comparison in found.comparisons for tested in comparison.by_language.values()]
    told = [p for comparison in found.comparisons for p in comparison.holm_by_language.values()]
    assert len(told) == 12 and told == holm(single)
    assert corrected(found.comparisons) == found.comparisons


def test_models_are_compared_on_request(run):
    found = found_in(run, between_models=True)
    names = [comparison.name for comparison in found.comparisons]
    assert names[2:] == ["each: teacher against student", "all: teacher against student"]
    better = found.comparisons[2]
    assert better.over_samples is not None and better.over_samples.difference == pytest.approx(20, abs=4)
    assert answers(better).samples == "teacher is better"
    assert better.holm_over_samples == pytest.approx(min(1, 4 * better.over_samples.p))


def test_samples_are_drawn_once_for_all_comparisons_and_as_for_one_alone(tmp_path, monkeypatch):
    skills = {(model, setting): 0.5 + 0.02 * number for number, (model, setting) in enumerate(product("abc", SETTINGS))}
    write_scored_run(tmp_path, skills, ("en", "de"), (1, 2), 50, "ner")
    drawn = []
    counts = statistics._counts
    monkeypatch.setattr(statistics, "_counts", lambda *asked: drawn.append(asked[1:]) or counts(*asked))
    several = found_in(tmp_path, between_models=True).comparisons
    assert len(several) == 9
    assert drawn == [(50, DRAWS)] * 2, "once for each language"
    for item in several:
        code = "de"
        sides = [
            [draw_statistics("ner", skills[side.model, side.setting], code, side.setting, seed, 50) for seed in (1, 2)]
            for side in (item.first, item.second)
        ]
        alone = statistics.resample(*sides, ner.value, DRAWS, name=f"ner {code}").compared()
        assert asdict(item.by_language[code]) == pytest.approx(asdict(alone))


def test_variants_are_compared_with_their_like(tmp_path):
    for number, setting in enumerate(("each", "all")):
        for fingerprint in ("aaaaaaaa1", "bbbbbbbb2"):
            path = write_scored_result(tmp_path / "benchmark", "m", setting, ("en",), 1, 0.5 + number / 10)
            tree = json.loads(path.read_text()) | {
                "model_fingerprint": fingerprint,
                "address": f"{setting}{fingerprint}",
            }
            path.rename(path.with_stem(tree["address"])).write_text(json.dumps(tree))
    # Without a plan only the latest weights would count.
    runs = {
        path.stem: {
            "benchmark": "ner",
            "model": "m",
            "setting": "all",
            "languages": ["en"],
            "tested": ["en"],
            "seed": 1,
        }
        for path in (tmp_path / "benchmark/results").glob("*.json")
    }
    (tmp_path / "benchmark/plan.json").write_text(json.dumps({"schema": 2, "runs": runs}))
    found = found_in(tmp_path)
    assert [comparison.name for comparison in found.comparisons] == [
        "m: all (weights aaaaaaaa) against each (weights aaaaaaaa)",
        "m: all (weights bbbbbbbb) against each (weights bbbbbbbb)",
    ]


def test_correlations(tmp_path):
    skills = {("student", "each"): 0.5, ("student", "all"): 0.8}
    (student,) = found_in(write_scored_run(tmp_path, skills, ("en", "de"), task="sts")).comparisons
    assert not student.per_cent and student.metric == "Pearson's r"
    rows = [
        [
            draw_statistics("sts", skills["student", setting], code, setting, seed, 300)
            for code in ("en", "de")
            for seed in (1, 2)
        ]
        for setting in ("all", "each")
    ]
    expected = [np.mean([np.corrcoef(part[:, 1], part[:, 2])[0, 1] for part in side]) for side in rows]
    assert student.over_samples is not None
    assert (student.over_samples.first, student.over_samples.second) == pytest.approx(expected)
    assert student.over_samples.low > 0 and student.over_samples.p < 0.05


# What is not as it should be


def result_path(run, name):
    return run / "benchmark/results" / f"ner-{name}.json"


def predictions_path(run, name):
    return run / "benchmark/predictions" / f"ner-{name}.jsonl.gz"


def change(run, name, **values):
    path = result_path(run, name)
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")


def replace_predictions(run, name, lines):
    """Other lines, which the result knows of."""
    path = predictions_path(run, name)
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    described = {"file": f"predictions/{path.name}", "sha256": sha256_of_file(path), "samples": len(lines)}
    change(run, name, predictions=described)


def changed_lines(run, name, **values):
    with gzip.open(predictions_path(run, name), "rt") as stream:
        replace_predictions(run, name, [json.loads(line) | values for line in stream])


@pytest.fixture
def small(tmp_path):
    """Two languages, one seed, to be spoilt."""
    return write_scored_run(tmp_path / "run", languages=("en", "es"), seeds=(1,), samples=60)


SPOILT = "student-each-es-1"
PART = "benchmark/predictions/ner-student-each-es-1.jsonl.gz"
COMPARED = "Named entity recognition: student: all against each"


@pytest.mark.parametrize(
    ("spoil", "part", "reason"),
    [
        (lambda run: predictions_path(run, SPOILT).unlink(), PART, "no such file, though there is a result"),
        (
            lambda run: predictions_path(run, SPOILT).write_bytes(b"x"),
            PART,
            "not the predictions that were written with the result",
        ),
        (
            lambda run: replace_predictions(run, SPOILT, [{"language": "es", "prediction": 1}]),
            PART,
            "there are no statistics in it, of an older version",
        ),
        (
            lambda run: replace_predictions(run, SPOILT, [{"statistics": [0, 1, 1]}] * 60),
            PART,
            "its lines do not hold the statistics of one task",
        ),
        (
            lambda run: replace_predictions(
                run, SPOILT, [{"language": "es", "statistics": [1.0] * (1 + n % 2)} for n in range(60)]
            ),
            PART,
            "its lines do not hold the statistics of one task",
        ),
        (
            lambda run: change(run, SPOILT, predictions=None),
            "benchmark/results/ner-student-each-es-1.json",
            "holds no predictions, so nothing is tested over samples with it",
        ),
        (
            lambda run: changed_lines(run, SPOILT, statistics=[float("nan")] * 3),
            COMPARED,
            "es not tested over samples: statistics that cannot be used (statistics that are not finite numbers)",
        ),
        (
            lambda run: changed_lines(run, SPOILT, statistics=[0.0, 1.0, 1.0]),
            COMPARED,
            "es not tested over samples: the predictions give other scores than the results",
        ),
        (
            lambda run: changed_lines(run, SPOILT, statistics=[1.0]),
            COMPARED,
            "es not tested over samples: statistics that cannot be used",
        ),
        (
            lambda run: replace_predictions(run, SPOILT, [{"language": "es", "statistics": [0, 1, 1]}] * 59),
            COMPARED,
            "es not tested over samples: statistics that cannot be used (not the same samples: 59 and 60 of them)",
        ),
        (
            lambda run: replace_predictions(run, SPOILT, [{"language": "es", "statistics": [0, 1, 1]}] * 9),
            COMPARED,
            "es not tested over samples: fewer than 10 test samples",
        ),
        (
            lambda run: change(run, SPOILT, data={"es": {"test": {"sha256": "another"}}}),
            COMPARED,
            "es not tested over samples: tested on files of different content",
        ),
    ],
)
def test_what_cannot_be_tested_is_told_by_name_and_the_rest_is(small, spoil, part, reason):
    spoil(small)
    found = found_in(small)
    (told,) = [gap for gap in found.gaps if gap.part == part]
    assert told.reason.startswith(reason)
    student, teacher = found.comparisons
    assert list(student.by_language) == ["en"] and "es" in student.untested
    assert student.over_samples == student.by_language["en"]
    assert list(student.differences) == ["en", "es"]
    assert list(teacher.by_language) == ["en", "es"] and not teacher.untested
    assert str(small) not in json.dumps(found.as_json())


def test_without_any_predictions_languages_are_still_compared(small):
    for path in (small / "benchmark/results").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"predictions": None}))
    found = found_in(small)
    student = found.comparisons[0]
    assert student.over_samples is None and student.gain is None and student.holm_over_samples is None
    assert student.over_languages.pairs == 2
    assert answers(student).samples == "not tested"
    assert answers(student).languages == "all is better in all 2: too few to tell"
    (gap,) = found.gaps
    assert gap.part.count("benchmark/results/ner-") == 5 and gap.part.endswith("and 1 other")
    json.dumps(found.as_json(), allow_nan=False)
    assert "on other samples: not tested" in format_significance(found)


def test_files_that_are_no_results_are_told(small):
    folder = small / "benchmark/results"
    (folder / "half.json").write_text('{"schema": 2, "addr', encoding="utf-8")
    change(small, "teacher-each-es-1", schema=1)
    path = result_path(small, "student-each-es-1")
    tree = json.loads(path.read_text())
    tree["scores"]["es"]["metrics"]["f1"] = float("nan")
    path.write_text(json.dumps(tree))
    found = found_in(small)
    told = {gap.part: gap.reason for gap in found.gaps}
    assert "benchmark/results/half.json" in told
    assert "older version" in told["benchmark/results/ner-teacher-each-es-1.json"]
    assert "nan is not a number from 0 to 100" in told["benchmark/results/ner-student-each-es-1.json"]
    assert [comparison.languages for comparison in found.comparisons] == [["en"], ["en"]]


def test_a_task_of_another_version_is_compared_by_its_scores(small):
    for path in (small / "benchmark/results").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"task": "summaries"}))
    student = found_in(small).comparisons[0]
    assert student.over_samples is None and "no task summaries" in student.untested["en"]


def test_no_common_seed_is_told(tmp_path):
    for setting, seed in (("each", 1), ("all", 2)):
        write_scored_result(tmp_path / "benchmark", "m", setting, ("en",), seed, 0.5)
    found = found_in(tmp_path)
    assert found.comparisons == [] and found.cautions == []
    assert "no seed that both have" in found.gaps[0].reason
    assert format_significance(found).startswith("nothing to compare")


@pytest.mark.parametrize("make", [lambda run: None, lambda run: (run / "benchmark/results").mkdir(parents=True)])
def test_a_run_without_results_is_an_error(tmp_path, make):
    make(tmp_path)
    with pytest.raises(DataError, match="no results of a benchmark"):
        report_significance(tmp_path)


# The paper's t-test


def test_groups_of_gains(tmp_path):
    generator = np.random.default_rng(4)
    for model in ("small", "xsmall", "acme/base", "bert-base-multilingual-cased", "teacher"):
        for task in ("ner", "sts"):
            skill = {"each": 0.5, "all": 0.5 + 0.1 * generator.random()}
            for setting in ("each", "all"):
                write_scored_result(tmp_path / "benchmark", model, setting, ("en",), 1, skill[setting], 40, task)
    results, _ = load_results(tmp_path / "benchmark/results")
    found = boards(results)
    groups = gain_groups(found)
    assert groups is not None
    assert {entry.model for entry in groups.own} == {"small", "xsmall"}
    assert (len(groups.own), len(groups.others)) == (4, 6)
    expected = {}
    for board in found:
        for gain in gains(board):
            each, joint = (gain.each, gain.all) if board.task == "ner" else ((gain.each + 1) / 2, (gain.all + 1) / 2)
            expected[gain.model, board.title] = 100 * (joint / each - 1)
    told = {(entry.model, entry.board): entry.percent for entry in [*groups.own, *groups.others]}
    assert told == pytest.approx(expected)
    theirs = stats.ttest_ind(
        [entry.percent for entry in groups.own], [entry.percent for entry in groups.others], equal_var=False
    )
    assert (groups.test.t, groups.test.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    chosen = gain_groups(found, own={"teacher", "small"})
    assert chosen is not None and {entry.model for entry in chosen.own} == {"teacher", "small"}
    assert gain_groups(found[:1], own=set()) is None


# How it is told


def test_cautions_follow_from_what_was_tested(found, tmp_path):
    text = " ".join(found.cautions)
    assert "covers 2 comparisons of this report" in text and "only 2 seeds" in text
    assert "translations of each other" in text and "more data" in text
    for absent in ("fewer than six languages", "Fewer than 100", "Learning rates", "Welch", "correlation"):
        assert absent not in text
    write_scored_run(tmp_path, {("m", "each"): 0.5, ("m", "all"): 0.6}, ("en", "de"), (1,), 50, "sts")
    path = next((tmp_path / "benchmark/results").glob("*all*.json"))
    tried = [{"learning_rate": rate, "dev_score": 0.5} for rate in (0.1, 0.2)]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tried": tried}))
    text = " ".join(found_in(tmp_path).cautions)
    assert "fewer than six languages" in text and "Semantic textual similarity de, en" in text
    assert "Learning rates were chosen" in text and "only 1 seed: how far" in text and "of a correlation" in text


@pytest.mark.parametrize(
    ("skills", "seeds", "languages", "told"),
    [
        ({"each": 0.5, "all": 0.7}, (1, 2, 3), LANGUAGES, ("all is better",) * 3),
        ({"each": 0.7, "all": 0.5}, (1,), LANGUAGES, ("each is better", "one seed, not tested", "each is better")),
        ({"each": 0.6, "all": 0.6}, (1, 2), LANGUAGES, ("cannot be told",) * 3),
        (
            {"each": 0.5, "all": 0.7},
            (1, 2, 3),
            ("en", "es", "nl"),
            ("all is better", "all is better", "all is better in all 3: too few to tell"),
        ),
        (
            {"each": 0.6, "all": 0.6},
            (1,),
            ("en", "es"),
            ("cannot be told", "one seed, not tested", "2: too few to tell"),
        ),
    ],
)
def test_answers(tmp_path, skills, seeds, languages, told):
    skills = {("m", setting): skill for setting, skill in skills.items()}
    (comparison,) = found_in(write_scored_run(tmp_path, skills, languages, seeds)).comparisons
    found = answers(comparison)
    assert (found.samples, found.seeds, found.languages) == told


def test_seeds_that_contradict_each_other_are_told(tmp_path):
    for seed, joint in ((1, 0.5), (2, 0.8)):
        for setting, skill in (("each", 0.5), ("all", joint)):
            write_scored_result(tmp_path / "benchmark", "m", setting, ("en",), seed, skill)
    (comparison,) = found_in(tmp_path).comparisons
    assert (answers(comparison).samples, answers(comparison).seeds) == ("all is better", "cannot be told")


def test_terminal_shows_what_was_found(found):
    lines = format_significance(found).splitlines()
    student = found.comparisons[0]
    assert student.over_samples is not None and student.gain is not None
    assert lines[0].startswith("Named entity recognition: entity F1, first minus second")
    row = next(line for line in lines if line.startswith("student: all against each  "))
    for text in (f"+{student.over_samples.difference:.2f}", f"+{student.gain.value:.1f}", "0.0020", "0.0040", "0.0312"):
        assert text in row
    assert any(line == f"- {student.name}: {answers(student).sentence}" for line in lines)
    assert "What may not be concluded:" in lines


def test_json_holds_everything(found):
    tree = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert tree["schema"] == 1
    student = tree["comparisons"][0]
    expected = found.comparisons[0]
    assert expected.over_samples is not None
    assert student["over_samples"]["p"] == expected.over_samples.p
    assert student["first"] == {"model": "student", "setting": "all"}
    assert student["answers"]["samples"] == answers(expected).samples and list(student["by_language"]) == list(
        LANGUAGES
    )
    assert tree["cautions"] == found.cautions and tree["groups"] is None


def test_section_of_the_page(tmp_path):
    skills = dict(SKILLS)
    for number, model in enumerate(("small", "xsmall", "acme/base", "acme/large")):
        skills |= {(model, "each"): 0.5, (model, "all"): 0.55 + number / 20}
    run = write_scored_run(tmp_path, skills, ("en", "es"), (1,), 60)
    predictions_path(run, "student-each-es-1").unlink()
    results, _ = load_results(run / "benchmark/results")
    gaps = []
    section = significance_section(results, run / "benchmark", gaps)
    assert section is not None and section.anchor == "significance"
    assert [gap.part for gap in gaps] == [PART]
    tables = [block for block in section.blocks if isinstance(block, Table)]
    folded = [table for block in section.blocks if isinstance(block, Details) for table in block.tables]
    assert [table.name for table in tables + folded] == [
        "significance", "significance-samples", "significance-languages", "significance-by-language",
        "significance-gains",
    ]  # fmt: skip
    (row,) = [row for row in tables[0].rows if row[1].text == "student"]
    assert row[2].small.endswith(", without es)")
    assert [cell.text for cell in row[5:]] == ["one seed, not tested", "all is better in all 2: too few to tell"]
    assert folded[0].rows[tables[0].rows.index(row)][2].text == "en"
    assert any("Welch's t" in block for block in section.blocks if isinstance(block, str))
    (cautions,) = [block for block in section.blocks if isinstance(block, list)]
    assert len(cautions) >= 5
    for table in tables + folded:
        assert "nan" not in to_csv(table) and "<table" in to_html(table)
    every = {row[2].text for row in folded[2].rows}
    assert every == {"en English", "es Spanish"} and len(folded[2].rows) == 11


def test_nothing_to_compare_is_no_section(tmp_path):
    write_scored_result(tmp_path / "benchmark", "m", "all", ("en",), 1, 0.5)
    results, _ = load_results(tmp_path / "benchmark/results")
    assert significance_section(results, tmp_path / "benchmark", []) is None
