"""Similarity: files, a cross-encoder that learns a pattern, and correlations against scipy's."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ner_support import write_tiny_bert
from pair_support import scored_pairs, train_briefly
from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks import sts
from unibert.tasks.data import Split
from unibert.tasks.encoder import find_encoder
from unibert.tasks.sts import ScoredPair

SETTINGS = FineTune(epochs=6, batch_size=16, max_length=40, precision="float32")


# Files ---------------------------------------------------------------------------------------------------------------


def test_reading(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('"A plane, taking off.",A plane.,5.0\nUn «avión»,"He said ""no"".",-1e-1\na,b, 3 \n')
    assert sts.read(path, {}) == [
        ScoredPair("A plane, taking off.", "A plane.", 5.0),
        ScoredPair("Un «avión»", 'He said "no".', -0.1),
        ScoredPair("a", "b", 3.0),
    ]
    lines = tmp_path / "pairs.jsonl"
    lines.write_text('{"a": "x", "sentence2": "y", "score": 3}\n{"a": "x", "sentence2": "y", "score": "2.5"}')
    assert [pair.score for pair in sts.read(lines, {"sentence1": "a"})] == [3.0, 2.5]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"score": "high"}, "the score is 'high', not a finite number"),
        ({"score": "3,8"}, "'3,8'"),
        ({"score": "1_0"}, "'1_0'"),
        ({"score": ""}, "''"),
        ({"score": "nan"}, "'nan'"),
        ({"score": float("inf")}, "inf"),
        ({"score": 10**400}, "not a finite number"),
        ({"score": None}, "None"),
        ({"score": True}, "True"),
        ({"score": [1]}, "[1]"),
        ({"sentence1": " "}, "sentence1 is empty"),
        ({"sentence2": 3}, "sentence2 is 3, not a text"),
    ],
)
def test_bad_rows_are_told_with_their_line(tmp_path, changes, part):
    good = {"sentence1": "a", "sentence2": "b", "score": 1}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(good) + "\n\n" + json.dumps({**good, **changes}))
    with pytest.raises(DataError) as caught:
        sts.read(path, {})
    assert caught.value.fix
    assert "pairs.jsonl:3" in str(caught.value)
    assert part in str(caught.value)


def test_useless_scores_are_refused(tmp_path):
    def check(*scores):
        sts.check(Split("dev.csv", "", [ScoredPair("a", "b", score) for score in scores]), [], "train.csv")

    check(1.0, 2.0)
    for scores in [(), (3.0,), (3.0, 3.0)]:
        with pytest.raises(DataError, match=r"dev\.csv: there are no two different scores"):
            check(*scores)
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\n")
    (pair,) = sts.read(path, {})
    assert (pair.first, pair.second) == ("a", "b")
    with pytest.raises(DataError, match=r"dev\.csv: there are no scores"):
        check(pair.score, 1.0)
    assert sts.label_names([pair]) == []


# The cross-encoder ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    import torch

    torch.manual_seed(1)
    base = write_tiny_bert(tmp_path_factory.mktemp("model"))
    model, tokenizer = sts.load(find_encoder(base), [], SETTINGS)
    return model, tokenizer, train_briefly(sts, model, tokenizer, scored_pairs(250, 1), [], SETTINGS)


def test_scores_become_shares_of_their_range(trained):
    _, tokenizer, _ = trained
    samples = [ScoredPair("in", "a", score) for score in (-2.0, 8.0, 3.0)]
    features = sts.features(samples, tokenizer, [], SETTINGS)
    assert [feature["labels"] for feature in features] == [0.0, 1.0, 0.5]
    assert sts.collate(features, tokenizer)["labels"].tolist() == [0.0, 1.0, 0.5]
    # All whole numbers, as 1 to 4 at the ends: still no integers, which no regression takes.
    assert sts.collate(features[:2], tokenizer)["labels"].is_floating_point()


def test_a_tiny_model_learns_a_trivial_pattern(trained):
    model, tokenizer, losses = trained
    assert model.config.num_labels == 1
    samples = scored_pairs(60, 2)
    predictions = sts.predict(model, tokenizer, samples, SETTINGS)
    assert sts.scores(samples, predictions, "en")["pearson"] > 0.8
    assert losses[-1] < 0.5 * losses[0]
    assert json.loads(json.dumps(predictions)) == predictions
    # What is written down is what was scored.
    assert [sts.described(*both)["score"] for both in zip(samples, predictions, strict=True)] == predictions


def test_one_pair_alone_and_a_batch_of_one(trained, monkeypatch):
    model, tokenizer, _ = trained
    samples = scored_pairs(12, 3)
    whole = sts.predict(model, tokenizer, samples, SETTINGS)
    assert [sts.predict(model, tokenizer, [pair], SETTINGS)[0] for pair in samples] == pytest.approx(whole, abs=1e-5)
    features = sts.features(samples, tokenizer, [], SETTINGS)
    assert math.isfinite(model(**sts.collate(features[:1], tokenizer)).loss.item())


def test_a_saved_model_predicts_the_same(trained, tmp_path):
    model, tokenizer, _ = trained
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    samples = scored_pairs(12, 4)
    again, own = sts.load(find_encoder(tmp_path), [], SETTINGS)
    assert sts.predict(again, own, samples, SETTINGS) == sts.predict(model, tokenizer, samples, SETTINGS)


def test_distillation_compares_outputs(trained):
    import torch

    model, tokenizer, _ = trained
    batch = sts.collate(sts.features(scored_pairs(8, 5), tokenizer, [], SETTINGS), tokenizer)
    output = model(**batch)
    other = type(output)(logits=(output.logits + 0.5).detach())
    loss = sts.distillation_loss(output, other, batch, 2.0)
    assert loss.item() == pytest.approx(0.25)
    loss.backward()
    assert torch.any(model.classifier.weight.grad != 0)


# Correlations --------------------------------------------------------------------------------------------------------


def pairs(*scores):
    return [ScoredPair("a", "b", score) for score in scores]


NUMBER = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e4, 1e4, width=32))
NUMBERS = st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=30)


def spread(numbers):
    return np.std(numbers) > 1e-3 * np.abs(numbers).max()


@given(NUMBERS)
def test_correlations_equal_scipys(numbers):
    gold, predicted = (list(column) for column in zip(*numbers, strict=True))
    assume(spread(gold) and spread(predicted))
    found = sts.scores(pairs(*gold), predicted, "en")
    expected = stats.pearsonr(gold, predicted).statistic
    assert found["pearson"] == pytest.approx(expected, abs=1e-12)
    assert found["spearman"] == pytest.approx(stats.spearmanr(gold, predicted).statistic, abs=1e-12)
    assert found["support"] == len(gold)
    sums = sts.statistics(pairs(*gold), predicted, "en").sum(axis=0)
    assert float(sts.value(sums)) == pytest.approx(expected, abs=1e-9)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_sums_of_statistics_give_the_score_of_any_samples(numbers, chooser):
    gold, predicted = (np.array(column) for column in zip(*numbers, strict=True))
    assume(spread(gold) and spread(predicted))
    statistics = sts.statistics(pairs(*gold.tolist()), predicted.tolist(), "en")
    drawn = np.array([[chooser.randrange(len(gold)) for _ in gold] for _ in range(3)])
    found = sts.value(statistics[drawn].sum(axis=1))
    assert found.shape == (3,)
    for score, chosen in zip(found, drawn, strict=True):
        x, y = gold[chosen], predicted[chosen]
        if len(set(x)) == 1 or len(set(y)) == 1:
            assert score == 0
        elif spread(x - gold.mean()) and spread(y - predicted.mean()):
            assert score == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-8)


def test_far_from_zero_the_differences_still_count():
    gold = [1e8 + step for step in (0.0, 1.0, 2.0, 4.0)]
    predicted = [0.1, 0.2, 0.5, 0.3]
    expected = stats.pearsonr([0.0, 1.0, 2.0, 4.0], predicted).statistic
    assert float(sts.value(sts.statistics(pairs(*gold), predicted, "en").sum(axis=0))) == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ([1.0, 2.0, 3.0], [0.5, 0.5, 0.5]),
        ([2.0, 2.0, 2.0], [0.1, 0.2, 0.3]),
        ([1.0, 2.0, 3.0], [math.nan, 0.2, 0.3]),
        ([1.0, 2.0, 3.0], [math.inf, 0.2, 0.3]),
        ([1.0], [0.5]),
        ([], []),
    ],
)
def test_what_does_not_vary_correlates_with_nothing(gold, predicted):
    assert sts.scores(pairs(*gold), predicted, "en") == {"pearson": 0.0, "spearman": 0.0, "support": len(gold)}
    assert float(sts.value(sts.statistics(pairs(*gold), predicted, "en").sum(axis=0))) == 0.0


def test_a_perfect_correlation_and_the_metrics():
    found = sts.scores(pairs(1, 2, 3, 4), [10.0, 20.0, 30.0, 40.0], "en")
    assert found == pytest.approx({"pearson": 1.0, "spearman": 1.0, "support": 4})
    assert sts.scores(pairs(1, 2, 3, 4), [1.0, 0.9, 0.5, -9.0], "en")["spearman"] == pytest.approx(-1)
    assert set(sts.METRICS) <= set(found)
