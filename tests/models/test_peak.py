"""The measured peak: a plausible number, measured once, and no trace of it in the run's random numbers."""

import math

import pytest
import torch

from unibert.models import peak
from unibert.models.peak import matrix_peak


@pytest.fixture(autouse=True)
def forget() -> None:
    peak._measured.cache_clear()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices small enough for a busy machine."""
    monkeypatch.setattr(peak, "_SMALLEST", 64)
    monkeypatch.setattr(peak, "_LARGEST", 128)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rate_is_measured_and_leaves_the_random_state_alone(small: None, dtype: torch.dtype) -> None:
    before = torch.get_rng_state()
    rate = matrix_peak(torch.device("cpu"), dtype)
    assert 1e6 < rate < 1e17  # between a pocket calculator and a hall full of accelerators
    assert torch.equal(torch.get_rng_state(), before)


def test_products_are_of_the_asked_format_also_under_autocast(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    formats = set()
    multiply = torch.mm

    def watched(left: torch.Tensor, right: torch.Tensor, **options: object) -> torch.Tensor:
        result = multiply(left, right, **options)
        formats.add((left.dtype, result.dtype))
        return result

    monkeypatch.setattr(torch, "mm", watched)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix_peak("cpu", torch.float32)
    assert formats == {(torch.float32, torch.float32)}


def test_is_measured_once_per_setting(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = matrix_peak(torch.device("cpu"), torch.float32)
    monkeypatch.setattr(torch, "mm", lambda *_, **__: pytest.fail("measured again"))
    assert matrix_peak("cpu", torch.float32) == first


def test_what_cannot_be_measured_is_not_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert math.isnan(matrix_peak("cuda:99", torch.bfloat16))
    monkeypatch.setattr(torch, "mm", _no_memory)
    assert math.isnan(matrix_peak("cpu", torch.float32))


def test_smaller_matrices_count_where_larger_ones_do_not_fit(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = torch.mm

    def tight(left: torch.Tensor, right: torch.Tensor, **options: object) -> torch.Tensor:
        return multiply(left, right, **options) if len(left) <= 64 else _no_memory()

    monkeypatch.setattr(torch, "mm", tight)
    assert matrix_peak("cpu", torch.float32) > 0


def _no_memory(*_: object, **__: object) -> torch.Tensor:
    raise torch.OutOfMemoryError("out of memory")
