"""Results in model cards: what the hub reads and what people read, and nothing else in the card is touched."""

import errno
import os
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from grid_support import make_result
from ner_support import write_tiny_bert
from unibert.benchmark.cards import measured, refresh_cards
from unibert.benchmark.schema import Result
from unibert.errors import DataError
from unibert.pretrain.card_metadata import card_problems
from unibert.pretrain.card_results import evaluation_section, with_results
from unibert.tasks.encoder import find_encoder

CARD = f"""---
language:
- multilingual
- 'no'
license: apache-2.0
tags: [mine]
---

# demo: student

What somebody wrote.

{evaluation_section(())}

## Limits

- None.
"""


def results(**more) -> list[Result]:
    """Two seeds of *each* and *all* in two languages; of another model too."""
    found = []
    for seed, shift in ((1, 0.0), (2, 1.0)):
        found.append(make_result("student", "all", ["es", "no"], seed, {"es": 70.125 + shift, "no": 61.5}, **more))
        found += [make_result("student", "each", [code], seed, 60.0 + shift, **more) for code in ("es", "no")]
        found.append(make_result("teacher", "all", ["es", "no"], seed, 99.0))
    return [Result.model_validate(result) for result in found]


def own(found: list[Result]) -> list[Result]:
    return [result for result in found if result.model == "student"]


def test_the_hub_reads_what_the_tables_show():
    text = with_results(CARD, measured(own(results())))
    assert text and card_problems(text) == []
    data = ModelCard(text).data
    assert data.model_name == "demo: student"
    assert data.language == ["multilingual", "no"] and data.tags == ["mine"]
    read = {(entry.dataset_config, entry.metric_name): entry for entry in data.eval_results}
    # Two seeds 1 apart: half the 95 % interval is Student's t of one degree of freedom (12.7062) times 1/2.
    assert {key: entry.metric_value for key, entry in read.items()} == {
        ("es", "entity F1, each, mean of 2 seeds (± 6.35)"): 60.5,
        ("no", "entity F1, each, mean of 2 seeds (± 6.35)"): 60.5,
        (None, "entity F1, average over 2 languages, each, mean of 2 seeds (± 6.35)"): 60.5,
        ("es", "entity F1, all, mean of 2 seeds (± 6.35)"): 70.62,
        ("no", "entity F1, all, mean of 2 seeds (± 0.00)"): 61.5,
        (None, "entity F1, average over 2 languages, all, mean of 2 seeds (± 3.18)"): 66.06,
    }
    entry = read["es", "entity F1, each, mean of 2 seeds (± 6.35)"]
    assert (entry.task_type, entry.task_name) == ("token-classification", "Named entity recognition")
    assert (entry.dataset_type, entry.dataset_name, entry.dataset_split) == ("ner", "ner", "test")
    assert entry.metric_type == "f1"


def test_people_read_the_same():
    text = with_results(CARD, measured(own(results())))
    section = text.split("## Evaluation")[1].split("## Limits")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert rows == [
        "| code | language | each | all |",
        "| --- | --- | --: | --: |",
        "| es | Spanish | 60.50 ± 6.35 | 70.62 ± 6.35 |",
        "| no | Norwegian Bokmål | 60.50 ± 6.35 | 61.50 ± 0.00 |",
        "|  | average | 60.50 ± 6.35 | 66.06 ± 3.18 |",
    ]
    assert "entity F1, 2 seeds" in section


def test_new_results_take_the_place_of_old_ones_and_the_rest_stays():
    first = with_results(CARD, measured(own(results())))
    again = with_results(first, measured(own(results())))
    assert again == first
    assert with_results(first, ()) == CARD
    edited = first.replace("What somebody wrote.", "What somebody else wrote.").replace("tags: [mine]", "tags: [more]")
    assert with_results(edited, ()) == CARD.replace("somebody wrote", "somebody else wrote").replace("[mine]", "[more]")
    one = with_results(first, measured(own(results())[:1]))
    assert one.count("model-index") == one.count("## Evaluation") == 1 and "one seed" in one


def test_missing_languages_have_no_average_and_correlations_three_decimals():
    tree = make_result(
        "student", "each", ["es"], 1, 0.12345, task="sts", benchmark="sts22", title="STS22", per_cent=False
    )
    tree["metric"] = "pearson"
    for score in tree["scores"].values():
        score["metrics"] = {"pearson": 0.12345, "spearman": 0.2}
    other = {
        **tree,
        "setting": "all",
        "languages": ["es", "no"],
        "scores": {**tree["scores"], "no": tree["scores"]["es"]},
    }
    found = measured([Result.model_validate(tree), Result.model_validate({**other, "address": "x"})])
    assert [(number.code, number.setting, number.value) for number in found] == [
        ("es", "each", 0.123), ("es", "all", 0.123), ("no", "all", 0.123), (None, "all", 0.123),
    ]  # fmt: skip
    (entry, *_) = ModelCard(with_results(CARD, found)).data.eval_results
    assert (entry.metric_type, entry.task_type, entry.dataset_name) == ("pearsonr", "sentence-similarity", "STS22")


@pytest.mark.parametrize(
    "card", ["my own card\n", "---\nlicense: mit\n---\n# Mine\n", CARD.replace("delete this", "I did")]
)
def test_a_card_without_the_mark_is_somebody_s_own(card):
    assert with_results(card, measured(own(results()))) is None


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    for number, name in enumerate(("student", "teacher")):
        write_tiny_bert(tmp_path / name, seed=number)
        (tmp_path / name / "README.md").write_text(CARD, encoding="utf-8")
    return {name: tmp_path / name for name in ("student", "teacher")}


def test_cards_of_a_run_get_the_results_of_their_own_weights(models):
    mark = find_encoder(models["student"], "student").fingerprint
    assert refresh_cards(models, results(model_fingerprint=mark)) == []
    cards = {name: (folder / "README.md").read_text(encoding="utf-8") for name, folder in models.items()}
    assert "70.62" in cards["student"] and "99.00" not in cards["student"]
    assert cards["teacher"] == CARD, "those results are of other weights"
    # The card is not among what a model is known by, so that results stay its own.
    assert find_encoder(models["student"], "student").fingerprint == mark
    refresh_cards(models, [])
    assert (models["student"] / "README.md").read_text(encoding="utf-8") == CARD


def test_own_cards_are_told_and_missing_ones_are_none(models):
    mark = find_encoder(models["student"], "student").fingerprint
    (models["teacher"] / "README.md").unlink()
    mine = models["student"] / "README.md"
    mine.write_text("mine\n")
    assert refresh_cards(models, results(model_fingerprint=mark)) == [mine]
    assert mine.read_text() == "mine\n"
    assert refresh_cards(models, []) == []


def test_what_stands_there_already_is_not_written_and_a_full_disk_is_told(models, monkeypatch):
    found = results(model_fingerprint=find_encoder(models["student"], "student").fingerprint)
    refresh_cards(models, found)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("unibert.benchmark.cards.atomic_file", full)
    assert refresh_cards(models, found) == []
    with pytest.raises(DataError, match=r"README\.md: cannot be written"):
        refresh_cards(models, found[:1])
