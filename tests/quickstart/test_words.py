"""Words as BERT's tokenizer sees them before its vocabulary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.quickstart.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("北京是首都。", ["北", "京", "是", "首", "都", "。"]),
        ("नई दिल्ली है।", ["नई", "दिल्ली", "है", "।"]),
        ("القاهرة، عاصمة", ["القاهرة", "،", "عاصمة"]),
        ("Côte d'Ivoire, 10,4", ["Côte", "d", "'", "Ivoire", ",", "10", ",", "4"]),
        ("  ", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text())
def test_no_word_is_empty_or_has_space_in_it(text):
    assert all(word and not any(character.isspace() for character in word) for word in words(text))
