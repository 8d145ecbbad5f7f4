"""Numbers as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.report import wording
from unibert.report.rendering import unbroken


@pytest.mark.parametrize(
    ("number_of_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (802_000, "802 kB"),
        (9_800_000_000, "9.80 GB"),
        (999_600, "1.00 MB"),
    ],
)
def test_size(number_of_bytes, text):
    assert wording.size(number_of_bytes) == text


def test_language_without_a_name_is_called_by_its_code_once():
    assert (wording.coded("de"), wording.coded("xqz")) == ("de German", "xqz")


@given(st.integers(1, 10**15))
def test_size_never_strays_from_the_value(number_of_bytes):
    value, unit = wording.size(number_of_bytes).split()
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert float(value) * scale == pytest.approx(number_of_bytes, rel=0.0051)
    assert float(value) < 1000 or unit == "TB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (45.23, "45.2 s"), (59.97, "1 min"), (61, "1 min 1 s"), (8000, "2 h 13 min"), (2_592_000, "30 d")],
)
def test_duration(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.00 %"), (0.00001, "< 0.01 %"), (0.5, "50.00 %"), (1, "100.00 %"), (-0.1, "−10.00 %")]
)
def test_percent(share, text):
    assert wording.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.234, "+1.23"), (-1.236, "−1.24"), (0, "0.00"), (-0.001, "0.00"), (0.001, "0.00")]
)
def test_signed(value, text):
    assert wording.signed(value) == text


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "not a number"), (float("inf"), "infinite")])
def test_what_is_not_finite_is_said_in_words(value, text):
    assert wording.decimal(value) == text


@pytest.mark.parametrize(
    ("items", "text"), [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listing(items, text):
    assert wording.listing(items) == text


def test_numbers_keep_their_units_on_their_line():
    text = unbroken("13.0 kB of text, 9.81 % more in 23 min 27 s, 3 models, 2.35 M parameters")
    assert re.findall("\N{NO-BREAK SPACE}\\S+", text) == [
        f"\N{NO-BREAK SPACE}{unit}" for unit in ("kB", "%", "min", "s,", "M")
    ]
