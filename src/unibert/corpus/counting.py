"""Counting tokens: with a tokenizer, or words and punctuation marks where there is none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from unibert.tokenizer_files import load_tokenizer_file

WORDS = "words and punctuation marks"
"""How the statistics call the counter that needs no tokenizer."""


def token_counter(tokenizer: str | None) -> Callable[[str], int]:
    """A function text -> number of tokens, without special tokens.

    Args:
        tokenizer: a file, folder or hub name; None counts words and punctuation marks.

    Raises:
        DataError: there is no such tokenizer.
    """
    if tokenizer is None:
        return count_words
    loaded = load_tokenizer_file(tokenizer)
    loaded.no_truncation()
    loaded.no_padding()
    return lambda text: len(loaded.encode_batch_fast([text], add_special_tokens=False)[0])


def count_words(text: str) -> int:
    """How many `words` a text has."""
    return len(words(text))


def words(text: str) -> list[str]:
    """Words and punctuation marks, cut as BERT cuts a text before WordPiece.

    Two differences: BERT leaves scripts without spaces between words in one piece, which no WordPiece vocabulary does,
    so two kana or four letters of Thai, Lao, Burmese, Khmer or Tibetan count as one word here; and punctuation beyond
    U+FFFF, of ancient scripts, counts as letters.
    """
    return _words().findall(text)


# What BERT sets apart character by character. Few ranges beyond U+FFFF, because each one is tried on every character.
_IDEOGRAPHS = "\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\U00020000-\\U0002fa1f"
_KANA = "\\u3040-\\u30ff\\u31f0-\\u31ff\\uff66-\\uff9f"
_UNSPACED = "\\u0e00-\\u0eff\\u0f00-\\u0fff\\u1000-\\u109f\\u1780-\\u17ff"


@cache
def _words() -> re.Pattern[str]:
    points = [code for code in range(0x10000) if unicodedata.category(chr(code)).startswith("P")]
    points += [code for code in range(33, 127) if not chr(code).isalnum()]
    punctuation = "".join(re.escape(chr(code)) for code in sorted(set(points)))
    return re.compile(
        rf"[{_IDEOGRAPHS}]|[{punctuation}]|[{_KANA}]{{1,2}}|[{_UNSPACED}]{{1,4}}"
        rf"|[^\s{punctuation}{_IDEOGRAPHS}{_KANA}{_UNSPACED}]+"
    )
