"""The interval over test samples."""

import numpy as np
import pytest

from unibert.tasks.bootstrap import bootstrap_interval


def mean(sums):
    return sums[..., 0] / sums[..., 1]


@pytest.mark.parametrize("samples", [50, 800])
def test_the_interval_of_a_mean_is_the_textbook_one(samples):
    values = np.random.default_rng(1).normal(10, 3, samples)
    low, high = bootstrap_interval(np.stack([values, np.ones(samples)], axis=1), mean, draws=4000)
    error = values.std() / samples**0.5
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_equal_samples_leave_no_doubt_and_the_draws_repeat():
    alike = np.tile([3.0, 1.0], (20, 1))
    assert bootstrap_interval(alike, mean) == (3.0, 3.0)
    statistics = np.stack([np.arange(20.0), np.ones(20)], axis=1)
    assert bootstrap_interval(statistics, mean) == bootstrap_interval(statistics, mean)
    assert bootstrap_interval(statistics, mean) != bootstrap_interval(statistics, mean, seed=1)
