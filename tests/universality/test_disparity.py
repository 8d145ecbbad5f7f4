"""Disparity: correlations, Gini coefficients and intervals against scipy and naive loops; groups; what is left out."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.universality.disparity import (
    _accelerated,
    _correlations,
    _ginis,
    disparity,
    gini,
    unspellable,
    why_no_correlation,
)
from unibert.universality.schema import Spelling

stats = pytest.importorskip("scipy.stats")


def codes(number):
    return [f"l{place:03}" for place in range(number)]


def named(values):
    return dict(zip(codes(len(values)), (float(value) for value in values), strict=True))


def naive_gini(values):
    differences = [abs(a - b) for a in values for b in values]
    return sum(differences) / (2 * len(values) * sum(values))


@pytest.fixture(scope="module")
def world():
    generator = np.random.default_rng(0)
    values = generator.gamma(2, size=40)
    return named(values), {
        "bytes": named(np.exp(values + generator.normal(size=40))),
        "fertility": named(np.round(-values + generator.normal(size=40))),
    }


def test_correlations_are_scipys(world):
    values, properties = world
    found = disparity("retrieval", values, properties, draws=500)
    for name, numbers in properties.items():
        wanted = stats.spearmanr(list(values.values()), [numbers[code] for code in values]).statistic
        assert found.correlations[name].value == pytest.approx(wanted, abs=1e-12)
        assert found.correlations[name].low < wanted < found.correlations[name].high
    assert found.correlations["bytes"].low > 0 > found.correlations["fertility"].high


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=6, max_size=12), st.integers(0, 99))
def test_statistics_of_a_draw_are_those_of_its_languages(pairs, seed):
    """From counts, against the drawn languages written out: ties, many of them, and draws without spread."""
    first, second = np.array(pairs, dtype=np.float64).T
    assume(len(set(first)) > 1 and len(set(second)) > 1)
    drawn = np.random.default_rng(seed).integers(0, len(pairs), size=(5, len(pairs)))
    counts = np.stack([np.bincount(rows, minlength=len(pairs)) for rows in drawn]).astype(float)
    for rows, correlation, unevenness in zip(
        drawn, _correlations(first, second)(counts), _ginis(first)(counts), strict=True
    ):
        if len(set(first[rows])) > 1 and len(set(second[rows])) > 1:
            assert correlation == pytest.approx(stats.spearmanr(first[rows], second[rows]).statistic, abs=1e-9)
        else:
            assert np.isnan(correlation)
        if first[rows].any():
            assert unevenness == pytest.approx(naive_gini(first[rows]), abs=1e-9)
        else:
            assert np.isnan(unevenness)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_the_gini_coefficient_is_that_of_a_naive_loop(values):
    assume(sum(values) > 1e-3)
    assert gini(values) == pytest.approx(naive_gini(values), abs=1e-9)


def test_known_gini_coefficients():
    assert gini([3, 3, 3]) == pytest.approx(0)
    assert gini([0, 0, 0, 5]) == pytest.approx(3 / 4)
    assert gini([1, 3]) == pytest.approx(1 / 4)
    for values in ([], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="Gini"):
            gini(values)


@pytest.mark.parametrize("which", ["correlation", "gini"])
def test_intervals_are_scipys_bca(world, which):
    values, properties = world
    first, second = np.array(list(values.values())), np.array([properties["bytes"][code] for code in values])
    found = disparity("retrieval", values, properties, seed=1, draws=20_000)
    if which == "gini":
        data, statistic, interval = (first,), naive_gini, found.gini
    else:
        data, interval = (first, second), found.correlations["bytes"]

        def statistic(one, other):
            return stats.spearmanr(one, other).statistic

    wanted = stats.bootstrap(
        data, statistic, paired=len(data) > 1, vectorized=False, n_resamples=2000, method="BCa", rng=2
    ).confidence_interval
    # 2,000 draws put the ends of the interval within a few hundredths.
    assert interval.low == pytest.approx(wanted.low, abs=0.04)
    assert interval.high == pytest.approx(wanted.high, abs=0.04)


def test_the_interval_is_bca_to_the_digit_on_the_same_draws():
    """Against the formula, spelled out with another library's normal distribution."""
    generator = np.random.default_rng(3)
    values = generator.exponential(size=15)
    statistic = _ginis(values)
    counts = generator.multinomial(15, np.full(15, 1 / 15), size=4000).astype(float)
    drawn, value = statistic(counts), naive_gini(values)
    without = np.array([naive_gini(np.delete(values, place)) for place in range(15)])
    bias = stats.norm.ppf(np.mean(drawn < value))
    away = without.mean() - without
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    ends = [
        np.quantile(drawn, stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))))
        for z in stats.norm.ppf([0.025, 0.975])
    ]
    assert _accelerated(value, drawn, statistic(1 - np.eye(15))) == pytest.approx(ends)
    assert ends[0] > np.quantile(drawn, 0.025) + 0.01, "nothing was corrected: the test says nothing"


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.5 / 2)  # of the normal distribution with a correlation of 0.5
    held = 0
    for trial in range(150):
        first = generator.normal(size=30)
        second = 0.5 * first + np.sqrt(0.75) * generator.normal(size=30)
        interval = disparity("m", named(first), {"p": named(second)}, seed=trial, draws=400).correlations["p"]
        held += interval.low <= truth <= interval.high
    assert 0.88 < held / 150 < 0.99


def test_the_same_seed_gives_the_same_numbers(world):
    first, second, third = (disparity("m", *world, seed=seed, draws=300) for seed in (1, 1, 2))
    assert first == second != third
    assert first.gini.value == third.gini.value


def test_the_order_of_the_languages_does_not_matter(world):
    values, properties = world
    turned = dict(reversed(values.items()))
    first, second = (disparity("m", found, properties, draws=300) for found in (values, turned))
    assert first.correlations == second.correlations
    assert first.gini == second.gini
    assert first.worst == second.worst


def test_a_perfect_correlation_is_a_point():
    values = named(range(10))
    found = disparity("m", values, {"p": values, "q": {code: -value for code, value in values.items()}}, draws=200)
    assert found.correlations["p"].model_dump() == {"value": 1, "low": 1, "high": 1}
    assert found.correlations["q"].model_dump() == {"value": -1, "low": -1, "high": -1}


@pytest.mark.parametrize(("higher", "worst"), [(True, ["l000", "l001"]), (False, ["l024", "l023"])])
def test_the_worst_are_a_tenth(higher, worst):
    found = disparity("m", named(range(25)), {}, higher, draws=100)
    assert found.worst == worst
    assert found.worst_mean == (0.5 if higher else 23.5)
    assert found.higher_is_better is higher
    assert found.values == named(range(25))


def test_there_is_a_worst_of_few():
    found = disparity("m", {"de": 2.0, "en": 1.0, "nl": 1.0}, {}, draws=100)
    assert found.worst == ["en"]
    assert disparity("m", {"de": 2.0}, {}, draws=100).gini is None


def test_thirds_by_bytes():
    values = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.5, "x": 9.0}
    sizes = {"a": 10, "b": 10, "c": 1000, "d": 5, "e": 7, "zz": 3}
    found = disparity("m", values, {"bytes": sizes}, draws=100).resources
    assert list(found) == ["high", "middle", "low"]
    # By size, equal ones by code: c, a | b, e | d; x has no known size.
    assert found["high"] == {"mean": pytest.approx(0.2), "worst": 0.1, "languages": 2}
    assert found["middle"] == {"mean": pytest.approx(0.35), "worst": 0.2, "languages": 2}
    assert found["low"] == {"mean": 0.4, "worst": 0.4, "languages": 1}
    assert disparity("m", values, {"bytes": sizes}, False, draws=100).resources["high"]["worst"] == 0.3
    assert disparity("m", values, {"bytes": {"a": 1, "b": 2}}, draws=100).resources == {}
    assert disparity("m", values, {}, draws=100).resources == {}


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (named(range(5)), "5 languages have both; at least 6"),
        (named([7] * 12), "all 12 languages have the same value"),
        (named([0] * 11 + [1]), "nearly all languages have the same value"),
        (named(range(12)), ""),
    ],
)
def test_correlations_without_meaning_are_left_out_with_the_reason(numbers, reason):
    found = disparity("m", named(np.arange(12) ** 2), {"p": numbers}, draws=500)
    assert ("p" in found.correlations) == (not reason)
    assert why_no_correlation(found, "p", numbers).startswith(reason)


def test_a_measure_is_not_correlated_with_itself():
    numbers = named(range(12))
    found = disparity("fertility", numbers, {"fertility": numbers, "bytes": numbers}, draws=100)
    assert list(found.correlations) == ["bytes"]
    assert why_no_correlation(found, "fertility", numbers) == "it is the measure itself"


@pytest.mark.parametrize("values", [[-1, 2, 3], [0, 0, 0], [1, 2], [0] * 11 + [1]])
def test_no_gini_coefficient_where_it_has_no_meaning(values):
    assert disparity("m", named(values), {}, draws=500).gini is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_with_the_language(bad):
    with pytest.raises(DataError, match=r"retrieval, de: .* not a finite"):
        disparity("retrieval", {"de": bad, "en": 1.0}, {})
    with pytest.raises(DataError, match=r"bytes, fr: .* not a finite"):
        disparity("retrieval", {"de": 1.0}, {"bytes": {"fr": bad}})
    with pytest.raises(DataError, match="retrieval: there are no values"):
        disparity("retrieval", {}, {})


def test_languages_that_the_tokenizer_cannot_spell():
    spelled = {
        code: Spelling(sentences=1, fertility=1, per_character=1, unknown=share)
        for code, share in {"am": 0.97, "bo": 0.99, "de": 0.0, "my": 0.5, "si": 0.49, "dz": 0.97}.items()
    }
    assert unspellable(spelled) == ["bo", "am", "dz", "my"]
    assert unspellable(spelled, 0.98) == ["bo"]
