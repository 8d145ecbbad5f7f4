"""The probe against scikit-learn, on what can be read and what cannot, and that nothing leaks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unibert.errors import DataError
from unibert.universality import probe as module
from unibert.universality.probe import classify, probe, stratified_split

KINDS = ("linear", "mlp")
CODES = ("ar", "de", "en", "ur")


def clouds(per_class: int = 60, width: int = 6, apart: float = 1.0, classes: int = 4, seed: int = 0):
    """A cloud of vectors around a centre of its own for every class."""
    generator = np.random.default_rng(seed)
    centres = apart * generator.normal(size=(classes, width))
    targets = np.repeat(np.arange(classes), per_class)
    return (centres[targets] + generator.normal(size=(len(targets), width))).astype(np.float32), targets


def labels(targets: np.ndarray) -> list[str]:
    return [CODES[target] for target in targets]


# The linear probe ----------------------------------------------------------------------------------------------------


def stretched(vectors: np.ndarray) -> np.ndarray:
    """Correlated dimensions of unlike sizes, far from zero, one of them constant."""
    mixing = np.random.default_rng(5).normal(size=(vectors.shape[1],) * 2) * np.logspace(0, 3, vectors.shape[1])
    return np.hstack([vectors @ mixing + 300, np.full((len(vectors), 1), 7.0)]).astype(np.float32)


@pytest.mark.parametrize("change", [lambda x: x, stretched], ids=["round", "stretched"])
@pytest.mark.parametrize("apart", [0.0, 0.7, 4.0])
def test_the_linear_probe_is_scikit_learns(change, apart):
    vectors, targets = clouds(90, apart=apart)
    vectors = change(vectors)
    keep = np.flatnonzero((targets != 2) | (np.arange(len(targets)) % 3 == 0))  # one class with fewer sentences
    vectors, targets = vectors[keep], targets[keep]
    train, held = stratified_split(targets, 0.3, 0)
    scaler = StandardScaler().fit(vectors[train].astype(np.float64))
    reference = LogisticRegression(C=1, tol=1e-10, max_iter=10_000)
    reference.fit(scaler.transform(vectors[train]), targets[train])
    expected = reference.predict_proba(scaler.transform(vectors[held]))
    logits = classify("linear", vectors[train], targets[train], vectors[held], 4, 0)
    found = torch.softmax(torch.from_numpy(logits), 1).numpy()
    assert np.allclose(found, expected, atol=1e-3)
    two = np.sort(expected, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > 2e-3
    assert clear.sum() > 60
    assert (found.argmax(1) == expected.argmax(1))[clear].all()


# What can be read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_separate_languages_are_read(kind):
    vectors, targets = clouds(apart=15)
    found = probe(vectors, labels(targets), 2, kind, [0, 1, 2])
    assert found.accuracies == [1, 1, 1]
    assert found.languages == dict.fromkeys(CODES, 1)
    assert (found.layer, found.kind, found.chance) == (2, kind, 0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_labels_are_read_by_chance(kind):
    vectors, targets = clouds(150, width=12, apart=3)
    shuffled = np.random.default_rng(1).permutation(targets)
    found = probe(vectors, labels(shuffled), 0, kind, range(5))
    # 5 times 120 held-out sentences: the mean's standard deviation is below 0.02.
    assert np.mean(found.accuracies) == pytest.approx(0.25, abs=0.06)


def test_only_the_mlp_reads_what_is_not_linear():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(800, 5))
    names = np.where(vectors[:, 0] * vectors[:, 1] > 0, "de", "ur")
    linear, mlp = (np.mean(probe(vectors, names, 0, kind, [0, 1]).accuracies) for kind in KINDS)
    assert linear < 0.62
    assert mlp > 0.85


def test_an_mlp_of_few_sentences_learns_as_well():
    generator = np.random.default_rng(0)
    vectors = np.sign(generator.normal(size=(60, 2))) + 0.1 * generator.normal(size=(60, 2))
    names = np.where(vectors[:, 0] * vectors[:, 1] > 0, "de", "ur")
    assert probe(vectors, names, 0, "mlp", [0, 1]).accuracies == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_few_sentences_suffice_where_languages_are_far_apart(kind):
    vectors, targets = clouds(5, apart=15)
    assert probe(vectors, labels(targets), 0, kind, [0, 1]).accuracies == [1, 1]


def test_the_mlp_is_not_behind_where_large_directions_say_nothing():
    """The languages differ in small directions, which an MLP that stops early does not see before it overfits."""
    generator = np.random.default_rng(2)
    vectors, targets = clouds(100, apart=2)
    loud = 10 * generator.normal(size=(400, 1)) + 0.1 * generator.normal(size=(400, 40))
    loud[:, : vectors.shape[1]] += 0.1 * vectors
    linear, mlp = (np.mean(probe(loud, labels(targets), 0, kind, [0]).accuracies) for kind in KINDS)
    assert linear > 0.7
    assert mlp > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_all_in_one_point_is_chance(kind):
    _, targets = clouds()
    found = probe(np.full((len(targets), 6), 0.1, dtype=np.float32), labels(targets), 0, kind, [0, 1])
    assert found.accuracies == [0.25, 0.25]


# How it is counted ---------------------------------------------------------------------------------------------------


def test_the_mean_is_over_languages_and_seeds(monkeypatch):
    """A classifier that says the first language with one seed, and is right with the other."""

    def classified(kind, train, targets, held, classes, seed):
        return np.eye(3)[held[:, 0].astype(int)] if seed else np.eye(3)[np.zeros(len(held), dtype=int)]

    monkeypatch.setattr(module, "classify", classified)
    targets = np.repeat([0, 1, 2], [200, 10, 5])
    found = probe(targets[:, None].astype(float), [CODES[target] for target in targets], 0, "linear", [0, 7])
    assert found.accuracies == [pytest.approx(1 / 3), 1]
    assert found.languages == {"ar": 1, "de": 0.5, "en": 0.5}


def test_held_out_sentences_are_not_trained_on(monkeypatch):
    seen = []

    def classified(kind, train, targets, held, classes, seed):
        seen.append((set(train[:, 0].tolist()), set(held[:, 0].tolist())))
        assert (targets == np.arange(len(names))[train[:, 0].astype(int)] % 4).all()
        return np.zeros((len(held), classes))

    monkeypatch.setattr(module, "classify", classified)
    names = [CODES[number % 4] for number in range(80)]
    for kind in KINDS:
        probe(np.arange(80.0)[:, None], names, 0, kind, [0, 1])
    for train, held in seen:
        assert not train & held
        assert len(train) == 64
        assert len(train | held) == 80
    assert seen[:2] == seen[2:]
    assert seen[0] != seen[1]


@given(st.lists(st.integers(5, 30), min_size=2, max_size=5), st.floats(0.01, 0.99), st.integers(0, 9))
def test_splits_are_stratified(counts, share, seed):
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, held = stratified_split(targets, share, seed)
    assert sorted([*train, *held]) == list(range(len(targets)))
    for number, count in enumerate(counts):
        out = int((targets[held] == number).sum())
        assert 1 <= out <= count - 2
        assert abs(out - share * count) <= 0.5 or out in (1, count - 2)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_decide_all_and_touch_nothing(kind):
    vectors, targets = clouds(20, apart=0.5)
    before = torch.get_rng_state()
    calls = []
    first, again, other = (
        probe(vectors, labels(targets), 0, kind, seeds, advance=lambda: calls.append(1))
        for seeds in ([0, 1], [0, 1], [3, 4])
    )
    assert first == again
    assert first.accuracies != other.accuracies
    assert torch.equal(before, torch.get_rng_state())
    assert len(calls) == 6


def test_the_seed_decides_the_mlps_weights_but_not_the_linear_probes(monkeypatch):
    vectors, targets = clouds(20, apart=0.5)
    drawn = []

    def discriminator(*arguments, build=module.LanguageDiscriminator):
        drawn.append(build(*arguments).state_dict()["layers.0.weight"].clone())
        return build(*arguments)

    monkeypatch.setattr(module, "LanguageDiscriminator", discriminator)
    linear, mlp = ([classify(kind, vectors, targets, vectors, 4, seed) for seed in (0, 1)] for kind in KINDS)
    assert np.array_equal(*linear)
    assert not np.array_equal(*mlp)
    assert drawn[0].shape == (256, 6)
    assert not torch.equal(*drawn)


def test_the_mlp_is_the_one_before_it_overfits(monkeypatch):
    """However long it goes on after its best pass."""
    vectors, targets = clouds(40, apart=0)
    expected = classify("mlp", vectors, targets, vectors, 4, 0)
    monkeypatch.setattr(module, "_PATIENCE", 20)
    assert np.array_equal(classify("mlp", vectors, targets, vectors, 4, 0), expected)
    monkeypatch.setattr(module, "_LEAST_GAIN", -np.inf)
    assert not np.allclose(classify("mlp", vectors, targets, vectors, 4, 0), expected, atol=0.1)


def test_the_order_of_languages_does_not_matter():
    vectors, targets = clouds(60, apart=0.8)
    order = np.argsort([CODES[::-1].index(name) for name in labels(targets)], kind="stable")
    found = probe(vectors, labels(targets), 0, "linear", [0])
    other = probe(vectors[order], np.array(labels(targets))[order], 0, "linear", [0])
    assert list(found.languages) == list(other.languages) == sorted(CODES)
    assert found.accuracies == pytest.approx(other.accuracies, abs=0.1)


# Bad input -----------------------------------------------------------------------------------------------------------


def spoiled(vectors: np.ndarray, value: float) -> np.ndarray:
    bad = vectors.copy()
    bad[3, 1] = value
    return bad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y[1:], [0], 0.2), "39 labels for embeddings of shape"),
        (lambda x, y: (x[:10], y[:10], [0], 0.2), "fewer than two languages"),
        (lambda x, y: (x[:14], y[:14], [0], 0.2), "de has 4 sentences, fewer than 5"),
        (lambda x, y: (spoiled(x, np.nan), y, [0], 0.2), r"sentence 4 \(ar\) is not finite"),
        (lambda x, y: (spoiled(x, np.inf), y, [0], 0.2), r"sentence 4 \(ar\) is not finite"),
        (lambda x, y: (x, y, [], 0.2), "no seed"),
        *((lambda x, y, share=share: (x, y, [0], share), "cannot be held out") for share in (0, 1, -0.1, np.nan)),
    ],
)
def test_bad_input_is_told(change, message):
    vectors, targets = clouds(10)
    embeddings, names, seeds, share = change(vectors, labels(targets))
    for kind in KINDS:
        with pytest.raises(DataError, match=message):
            probe(embeddings, names, 0, kind, seeds, share)
