"""A run's scores beside the paper's: which model is which, which table, and the differences by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid_support import make_result
from unibert.benchmark.schema import Result
from unibert.benchmark.scores import Board, boards
from unibert.recipe import Recipe
from unibert.report.against import against_blocks, find_match, find_table, pairs
from unibert.report.blocks import Details
from unibert.report.collect import Run
from unibert.report.schema import Summary
from unibert.report.tables import Table
from unibert.report.trainings import Training


def run_of(recipe: dict | None = None, trainings: dict[str, Training] | None = None) -> Run:
    settings = Recipe.model_validate({"name": "r", **recipe}) if recipe else None
    return Run(Path(), settings, "", None, None, trainings or {}, [], {}, [])


def training(role: str, layers: int, hidden: int, heads: int, folder: str = "") -> Training:
    shape = {"layers": layers, "hidden": hidden, "heads": heads, "feed_forward": 7}
    numbers = {"vocabulary_size": 9, "parameters": 9, "megabytes": 1.0, "steps": 9, "tokens": 9, "seconds": 1.0}
    tree = {"schema": 1, "name": role, "architecture": shape, **numbers, "seed": 1, "languages": ["en"]}
    return Training(role, Summary.model_validate({**tree, "weights_sha256": "ab"}), folder=folder)


def ner_board(title: str, found: list[dict]) -> Board:
    results = [Result.model_validate({**tree, "title": title}) for tree in found]
    (board,) = boards(results)
    return board


@pytest.mark.parametrize(
    ("name", "paper"),
    [
        ("bert-base-multilingual-cased", "mBERT-base"),
        ("google-bert/bert-base-multilingual-cased", "mBERT-base"),
        ("FacebookAI/xlm-roberta-large", "XLM-RoBERTa-large"),
        ("facebook/xlm-v-base", "XLM-V-base"),
        ("models/xlm-roberta-base", "XLM-RoBERTa-base"),
        ("distilbert/distilbert-base-multilingual-cased", "Distil-mBERT-base"),
        ("someone/UniBERT-XSmall", "UniBERT-XSmall"),
        ("bert-base-cased", None),
        ("xlm-roberta-base-finetuned", None),
        ("student", None),
        ("teacher", None),
    ],
)
def test_models_are_known_by_their_names(name, paper):
    match = find_match(name, run_of())
    assert (match and match.paper) == paper


@pytest.mark.parametrize(
    ("shape", "paper"),
    [
        ((6, 512, 8), "UniBERT-Small"),
        ((4, 256, 8), "UniBERT-XSmall"),
        ((4, 128, 4), "UniBERT-XXSmall"),
        ((4, 128, 8), None),
    ],
)
def test_students_are_known_by_their_shape(shape, paper):
    layers, hidden, heads = shape
    recipe = {"teacher": {"model": "t"}, "pretrain": {"student": {"layers": layers, "hidden": hidden, "heads": heads}}}
    by_recipe = find_match("student", run_of(recipe))
    by_summary = find_match("student", run_of(None, {"student": training("student", *shape)}))
    assert (by_recipe and by_recipe.paper) == (by_summary and by_summary.paper) == paper


def test_members_of_a_family_are_known_by_their_shape_whatever_their_name():
    recipe = {
        "teacher": {"model": "t"},
        "pretrain": {
            "students": {
                "tiny": {"layers": 4, "hidden": 128, "heads": 4},
                "other": {"layers": 2, "hidden": 64, "heads": 2},
            }
        },
    }
    run = run_of(recipe)
    match = find_match("tiny", run)
    assert match is not None and match.paper == "UniBERT-XXSmall"
    assert match.how == "by its shape in the recipe: 4 layers of width 128 with 4 heads"
    assert find_match("other", run) is None


def test_what_was_trained_counts_and_not_what_the_recipe_asks_for_now():
    run = run_of({"teacher": {"model": "t"}}, {"student": training("student", 4, 256, 8)})
    match = find_match("student", run)
    assert match is not None and match.paper == "UniBERT-XSmall" and "its summary" in match.how


def test_a_teacher_is_the_recipes_model_and_never_one_of_the_papers_own():
    match = find_match("teacher", run_of({"teacher": {"model": "bert-base-multilingual-cased"}}))
    assert match is not None and match.paper == "mBERT-base" and "bert-base-multilingual-cased" in match.how
    assert find_match("teacher", run_of(None, {"teacher": training("teacher", 4, 128, 4)})) is None


@pytest.mark.parametrize(
    ("task", "title", "number"),
    [
        ("ner", "CoNLL-2003", 2),
        ("ner", "a part of CoNLL-2002", 2),
        ("ner", "MAPA (coarse)", 6),
        ("ner", "PAN-X", None),
        ("ner", "ner", 2),
        ("ner", "mapa (own files)", 2),
        ("nli", "XNLI", 3),
        ("qa", "a part of a split of MLQA", 4),
        ("qa", "a part of MLQA, trained on XQuAD", 4),
        ("qa", "XQuAD", None),
        ("qa", "XQuAD, trained on MLQA", None),
        ("sts", "STS22", 5),
        ("sts", "STSb-multi-mt", None),
        ("chess", "chess", None),
    ],
)
def test_a_benchmark_has_the_papers_table_of_it(task, title, number):
    board = Board(task, "b", title, "f1", True, [], [])
    table = find_table(board)
    assert (table and table.number) == number


FOUND = [
    *(make_result("xlm-roberta-base", "each", ["en"], seed, {"en": 90.0 + seed}) for seed in (1, 2, 4)),
    make_result("xlm-roberta-base", "each", ["nl"], 1, {"nl": 80.0}),
    make_result("xlm-roberta-base", "each", ["de"], 1, {"de": 70.0}),
    make_result("student", "all", ["en", "es", "nl"], 1, {"en": 80.0, "es": 70.5, "nl": 60.0}),
    make_result("student", "zero-shot", ["en"], 1, {"es": 33.0}),
    make_result("acme/base", "each", ["en"], 1, {"en": 50.0}),
]


def test_every_pair_is_the_same_model_setting_and_language():
    board = ner_board("CoNLL-2003", FOUND)
    run = run_of({"teacher": {"model": "t"}, "pretrain": {"student": "xxsmall"}})
    table = find_table(board)
    assert table is not None
    matches = {name: match for name in ("xlm-roberta-base", "student") if (match := find_match(name, run))}
    found = {(p.paper, p.row.setting, p.language): (p.ours.value, p.printed) for p in pairs(board, table, matches)}
    # The second of each pair is typed from the paper's Table 2.
    assert found == {
        ("XLM-RoBERTa-base", "each", "en"): (pytest.approx(90 + 7 / 3), 91.02),
        ("XLM-RoBERTa-base", "each", "nl"): (80.0, 91.31),
        ("UniBERT-XXSmall", "all", "en"): (80.0, 80.14),
        ("UniBERT-XXSmall", "all", "es"): (70.5, 73.14),
        ("UniBERT-XXSmall", "all", "nl"): (60.0, 69.90),
    }


def test_blocks_tell_matches_tables_and_cautions():
    board = ner_board("CoNLL-2003", FOUND)
    told, averages, folded, cautions = against_blocks(
        board, run_of({"teacher": {"model": "t"}, "pretrain": {"student": "xxsmall"}})
    )
    assert isinstance(told, str) and isinstance(averages, Table) and isinstance(folded, Details)
    assert "student is UniBERT-XXSmall (by its shape in the recipe: 4 layers of width 128 with 4 heads)" in told
    assert "xlm-roberta-base is XLM-RoBERTa-base (by its name)" in told
    assert "The paper has no model like acme/base." in told
    assert "In the setting zero-shot from en there is nothing to compare." in told
    assert "The paper prints nothing for de." in told
    rows = {(row[0].text, row[2].text): [cell.text for cell in row[3:]] for row in averages.rows}
    # en has the seeds 1, 2 and 4 and nl only 1: the average is that of seed 1, (91 + 80) / 2.
    assert rows["xlm-roberta-base", "each"] == ["85.50", "91.16", "−5.66", "en, nl"]
    assert rows["student", "all"][0] == "70.17"
    (languages,) = folded.tables
    first = next(row for row in languages.rows if (row[0].text, row[3].text) == ("xlm-roberta-base", "en English"))
    assert first[4].small.startswith("± ") and first[4].text == "92.33"
    assert any("without one" in note for note in languages.notes)
    assert isinstance(cautions, list)
    assert any("a million of 128" in sentence for sentence in cautions)
    assert any("The paper's scores are of CoNLL-2002 and CoNLL-2003" in sentence for sentence in cautions)


def test_what_was_scored_and_trained_on_is_told_beside_the_paper():
    # `make_result` has a support that is no number of samples: it counts entities.
    found = [make_result("xlm-roberta-base", "all", ["es", "nl"], 1, {"es": 70.0, "nl": 60.0})]
    found[0]["data"] = {"es": {"test": {"samples": 1517}}, "nl": {"test": {"samples": 5195}}}
    told = against_blocks(ner_board("CoNLL-2002", found), run_of())[-1]
    assert any("(here between 1,517 and 5,195 were scored per language)" in sentence for sentence in told)
    assert any("fine-tuning on es, nl here, and in the paper on" in sentence for sentence in told)
    found[0]["languages"] = ["en", "es", "nl"]
    told = against_blocks(ner_board("CoNLL-2002", found), run_of())[-1]
    assert not any("fine-tuning on" in sentence for sentence in told), "the same languages"


def test_own_files_are_told_to_be_that():
    blocks = against_blocks(ner_board("news", FOUND), run_of())
    (cautions,) = [block for block in blocks if isinstance(block, list)]
    assert any("The data here are called “news”" in sentence for sentence in cautions)
    assert not any("a million" in sentence for sentence in cautions), "no model of the paper's own is compared"


def test_nothing_to_compare_is_said():
    (told,) = against_blocks(ner_board("PAN-X", FOUND), run_of())
    assert told == "The paper has no results on PAN-X: there is nothing to set beside it."
    (told,) = against_blocks(ner_board("CoNLL-2003", FOUND[-1:]), run_of())
    assert isinstance(told, str) and told.endswith("No score has the same model, setting and language in the paper.")


def test_a_seed_that_lacks_a_language_gives_no_average():
    found = [
        make_result("xlm-roberta-base", "each", ["en"], 1, {"en": 90.0}),
        make_result("xlm-roberta-base", "each", ["nl"], 2, {"nl": 80.0}),
    ]
    averages = against_blocks(ner_board("CoNLL-2003", found), run_of())[1]
    assert isinstance(averages, Table)
    assert [(cell.text, cell.note) for cell in averages.rows[0][3:6:2]] == [("—", "no seed has every language")] * 2


def test_variants_of_a_model_are_rows_of_their_own():
    found = [
        {
            **make_result("xlm-roberta-base", "all", ["en"], 1, {"en": 90.0 + e}),
            "settings": {"epochs": e},
            "address": f"a{e}",
        }
        for e in (3, 9)
    ]
    averages = against_blocks(ner_board("CoNLL-2003", found), run_of())[1]
    assert isinstance(averages, Table)
    assert [row[2].text for row in averages.rows] == ["all (epochs 3)", "all (epochs 9)"]
    assert [row[5].value for row in averages.rows] == pytest.approx([93 - 91.40, 99 - 91.40])
