"""Inference: files, labels, a model that learns a pattern, and scores against scikit-learn's."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_support import write_tiny_bert
from pair_support import labelled_pairs, train_briefly
from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks import nli
from unibert.tasks.data import Split
from unibert.tasks.encoder import find_encoder
from unibert.tasks.nli import Pair

LABELS = ["maybe", "no", "yes"]
SETTINGS = FineTune(epochs=6, batch_size=16, max_length=40, precision="float32")


def write(folder, rows, name="pairs.jsonl"):
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def row(**changes):
    return {"premise": "It rains.", "hypothesis": "It is wet.", "label": "yes", **changes}


# Files and labels ----------------------------------------------------------------------------------------------------


def test_reading(tmp_path):
    path = write(tmp_path, [row(label=" yes "), row(premise=" It is\n", label=0), row(hypothesis="他", label="0")])
    assert nli.read(path, {}) == [
        Pair("It rains.", "It is wet.", "yes"),
        Pair(" It is\n", "It is wet.", "0"),
        Pair("It rains.", "他", "0"),
    ]
    assert [pair.line for pair in nli.read(path, {})] == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"premise": ""}, ["premise is empty"]),
        ({"hypothesis": " \t"}, ["hypothesis is empty"]),
        ({"hypothesis": None}, ["hypothesis is null, not a text"]),
        ({"premise": ["a"] * 40}, ["premise is [", "..., not a text"]),
        ({"premise": "a\ud83d"}, ["half a character", "\\ud83d"]),
        ({"label": ""}, ["the label is empty"]),
        ({"label": None}, ["the label is None"]),
        ({"label": 1.5}, ["the label is 1.5"]),
        ({"label": True}, ["the label is True"]),
        ({"label": "\udc00"}, ["label has half a character"]),
    ],
)
def test_bad_rows_are_told_with_their_line(tmp_path, changes, parts):
    path = write(tmp_path, [row(), row(**changes)])
    with pytest.raises(DataError) as caught:
        nli.read(path, {})
    assert caught.value.fix
    for part in ["pairs.jsonl:2", *parts]:
        assert part in str(caught.value)


def split(*labels, source="dev.tsv", line=7):
    return Split(source, "", [Pair("a", "b", label, line) for label in labels])


def test_labels_are_known_by_name():
    samples = [Pair("a", "b", label) for label in ("no", "yes", "no", "maybe")]
    assert nli.label_names(samples) == LABELS
    nli.check(split("no", "yes"), LABELS, "train.tsv")


@pytest.mark.parametrize(
    ("samples", "labels", "parts"),
    [
        (split("yes", "Yes"), LABELS, ["dev.tsv:7: the label 'Yes' is not in train.tsv (maybe, no, yes)"]),
        (split("x", line=None), LABELS, ["dev.tsv: the label 'x'"]),
        (split("x"), [f"label{number:02}" for number in range(14)], ["label09 and 4 more"]),
        (split("yes"), ["yes"], ["train.tsv: every label in it is yes"]),
        (split("yes", ""), LABELS, ["dev.tsv: there are no labels in it", "columns"]),
    ],
)
def test_useless_labels_are_refused(samples, labels, parts):
    with pytest.raises(DataError) as caught:
        nli.check(samples, labels, "train.tsv")
    assert caught.value.fix
    for part in parts:
        assert part in str(caught.value)


def test_pairs_without_labels_can_be_predicted_on_but_not_trained_on(tmp_path):
    path = write(tmp_path, [{"premise": "a", "hypothesis": "b"}])
    pairs = nli.read(path, {})
    assert pairs == [Pair("a", "b")]
    with pytest.raises(DataError, match="there are no labels"):
        nli.check(Split(str(path), "", pairs), nli.label_names(pairs), str(path))


# The model -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def trained(base):
    import torch

    torch.manual_seed(1)
    model, tokenizer = nli.load(find_encoder(base), LABELS, SETTINGS)
    losses = train_briefly(nli, model, tokenizer, labelled_pairs(250, 1), LABELS, SETTINGS)
    return model, tokenizer, losses


def test_features_name_the_label_by_its_place(base):
    _, tokenizer = nli.load(find_encoder(base), LABELS, SETTINGS)
    features = nli.features([Pair("in", "a", "yes"), Pair("a", "a b", "maybe")], tokenizer, LABELS, SETTINGS)
    assert [feature["labels"] for feature in features] == [2, 0]
    batch = nli.collate(features, tokenizer)
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "input_ids": (2, 6),
        "token_type_ids": (2, 6),
        "attention_mask": (2, 6),
        "labels": (2,),
    }


def test_a_tiny_model_learns_a_trivial_pattern(trained):
    model, tokenizer, losses = trained
    samples = labelled_pairs(60, 2)
    found = nli.scores(samples, nli.predict(model, tokenizer, samples, SETTINGS), "en")
    assert found["macro_f1"] > 90
    assert losses[0] > 0.8
    assert losses[-1] < 0.5


def test_prediction_does_not_depend_on_the_batch(trained, monkeypatch):
    model, tokenizer, _ = trained
    samples = labelled_pairs(30, 3)
    whole = nli.predict(model, tokenizer, samples, SETTINGS)
    assert len(set(whole)) == 3
    assert [nli.predict(model, tokenizer, [pair], SETTINGS)[0] for pair in samples] == whole
    unlabelled = [Pair(pair.premise, pair.hypothesis) for pair in samples]
    monkeypatch.setattr("unibert.tasks.batches.BATCH_TOKENS", 50)
    done = []
    assert nli.predict(model, tokenizer, unlabelled, SETTINGS, done.append) == whole
    assert sum(done) == 30
    assert len(done) > 5


def test_a_saved_model_predicts_the_same(trained, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer, _ = trained
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, own = nli.load(find_encoder(tmp_path), LABELS, SETTINGS)
    assert again.config.id2label == dict(enumerate(LABELS))
    samples = labelled_pairs(30, 4)
    expected = nli.predict(model, tokenizer, samples, SETTINGS)
    assert nli.predict(again, own, samples, SETTINGS) == expected
    # And so it does for those who know transformers alone.
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    pieces = AutoTokenizer.from_pretrained(tmp_path)(
        [pair.premise for pair in samples], [pair.hypothesis for pair in samples], padding=True, return_tensors="pt"
    )
    assert [plain.config.id2label[number] for number in plain(**pieces).logits.argmax(-1).tolist()] == expected


def test_a_model_of_another_task_gets_a_new_head(trained, tmp_path):
    """What it was fine-tuned for is in its configuration and must not decide the loss."""
    model, tokenizer, _ = trained
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "problem_type": "regression"}))
    again, own = nli.load(find_encoder(tmp_path), ["no", "yes"], SETTINGS)
    batch = nli.collate(nli.features([Pair("a", "b", "yes")], own, ["no", "yes"], SETTINGS), own)
    assert again(**batch).logits.shape == (1, 2)
    assert math.isfinite(again(**batch).loss.item())


def test_distillation_draws_the_student_to_the_teacher(trained, base):
    import torch

    teacher, tokenizer, _ = trained
    torch.manual_seed(2)
    student, _ = nli.load(find_encoder(base), LABELS, SETTINGS)
    batch = nli.collate(nli.features(labelled_pairs(16, 5), tokenizer, LABELS, SETTINGS), tokenizer)
    with torch.no_grad():
        taught = teacher(**batch)
    assert nli.distillation_loss(taught, taught, batch, 2.0).item() == pytest.approx(0, abs=1e-6)
    student.eval()
    before = nli.distillation_loss(student(**batch), taught, batch, 2.0)
    before.backward()
    with torch.no_grad():
        for weight in student.parameters():
            if weight.grad is not None:
                weight -= 0.05 * weight.grad
    assert 0 < nli.distillation_loss(student(**batch), taught, batch, 2.0) < before


# Scores --------------------------------------------------------------------------------------------------------------

CHOICES = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=30)


def of(choices):
    return [Pair("p", "h", gold) for gold, _ in choices], [predicted for _, predicted in choices]


@given(CHOICES)
def test_scores_equal_scikit_learns(choices):
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    samples, predictions = of(choices)
    gold = [pair.label for pair in samples]
    labels = sorted({*gold, *predictions})
    found = nli.scores(samples, predictions, "en")
    each = precision_recall_fscore_support(gold, predictions, labels=labels, zero_division=0)
    assert list(found["types"]) == labels
    for number, label in enumerate(labels):
        entry = found["types"][label]
        assert [entry["precision"], entry["recall"], entry["f1"]] == pytest.approx(
            [100 * part[number] for part in each[:3]]
        )
        assert entry["support"] == each[3][number]
    assert found["macro_f1"] == pytest.approx(100 * np.mean(each[2]), abs=1e-9)
    assert found["accuracy"] == pytest.approx(100 * accuracy_score(gold, predictions))
    assert found["support"] == len(samples)


@given(CHOICES, st.randoms(use_true_random=False))
def test_sums_of_statistics_give_the_score_of_any_samples(choices, chooser):
    from sklearn.metrics import f1_score

    samples, predictions = of(choices)
    statistics = nli.statistics(samples, predictions, "en")
    assert float(nli.value(statistics.sum(axis=0))) == nli.scores(samples, predictions, "en")["macro_f1"]
    drawn = np.array([[chooser.randrange(len(choices)) for _ in choices] for _ in range(3)])
    found = nli.value(statistics[drawn].sum(axis=1))
    assert found.shape == (3,)
    for score, numbers in zip(found, drawn, strict=True):
        gold, predicted = zip(*(choices[number] for number in numbers), strict=True)
        assert score == pytest.approx(100 * f1_score(gold, predicted, average="macro", zero_division=0), abs=1e-9)


def test_known_scores():
    samples, predictions = of([("a", "a"), ("a", "b"), ("b", "b"), ("c", "b")])
    found = nli.scores(samples, predictions, "en")
    # a: P 1, R 1/2; b: P 1/3, R 1; c: never predicted.
    assert found["macro_f1"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    assert found["accuracy"] == 50
    assert found["types"]["c"] == {"f1": 0, "precision": 0, "recall": 0, "support": 1}
    assert json.loads(json.dumps(found)) == found


def test_a_header_of_other_names_is_no_pair(tmp_path):
    path = tmp_path / "mine.csv"
    rows = "It rains.,It is wet.,yes\nIt snows.,It is dry.,no\nGo.,Went.,yes\n"
    path.write_text("text_a,text_b,gold\n" + rows)
    with pytest.raises(DataError, match="it looks like a header line") as caught:
        nli.read(path, {})
    assert "--column premise=text_a --column hypothesis=text_b --column label=gold" in caught.value.fix
    columns = {"premise": "text_a", "hypothesis": "text_b", "label": "gold"}
    assert [pair.label for pair in nli.read(path, columns)] == ["yes", "no", "yes"]
    path.write_text("Rain,Wet,no\n" + rows)
    assert len(nli.read(path, {})) == 4
