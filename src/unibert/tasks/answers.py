"""How good an answer is: MLQA's normalisation of each language, F1 on bags of tokens, exact match.

The definition is that of MLQA (Lewis et al., arXiv 1910.07475) as its authors' evaluation script fixes it. Text is
lowered; punctuation of all scripts (Unicode's category P, and ASCII's symbols) is deleted, so that what stood on both
sides of it grows together; articles become spaces; what white space sets apart is a token. Two things in the script
are not what its paper leads one to expect, and are kept, since every published figure has them:

- Arabic: the article's letters (alef, lam) are taken out wherever they stand, also in the middle of a word.
- An answer that consists of articles and punctuation has no token: its F1 is 0, even against itself, though its exact
  match is 1.

Chinese: every character of the block U+4E00 to U+9FA5 is a token, other text is set apart by white space.

Languages that MLQA has not are our own addition: no articles; every character of a script that is written without
spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) is a token, with the marks that belong to it. XQuAD's
published figures use SQuAD's English normalisation in all languages, and so differ from these.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from string import punctuation

MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
_ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "vi": "của là cái chiếc những",
}
_ARABIC_ARTICLE = "ال"
_MLQA_IDEOGRAPH = re.compile("[\u4e00-\u9fa5]")
# Scripts without spaces: Thai, Lao and Tibetan; Burmese with its extensions; Khmer; kana; Chinese.
_WITHOUT_SPACES = (
    ("\u0e00", "\u0fff"),
    ("\u1000", "\u109f"),
    ("\uaa60", "\uaa7f"),
    ("\ua9e0", "\ua9ff"),
    ("\u1780", "\u17ff"),
    ("\u3005", "\u3007"),
    ("\u3040", "\u30ff"),
    ("\u31f0", "\u31ff"),
    ("\uff66", "\uff9f"),
    ("\u3400", "\u4dbf"),
    ("\u4e00", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\U00020000", "\U0003ffff"),
)


def answer_tokens(text: str, language: str) -> list[str]:
    """What is compared of an answer.

    Args:
        text: the answer.
        language: its code; of a code with parts (`zh-classical`; `en-de` for a context in English with a question in
            German) the first decides.
    """
    base = language.split("-")[0].lower()
    plain = "".join(character for character in text.lower() if not _is_punctuation(character))
    if base in _ARTICLES:
        plain = _articles(base).sub(" ", plain)
    elif base == "ar":
        plain = plain.replace(_ARABIC_ARTICLE, " ")
    elif base == "zh":
        plain = _MLQA_IDEOGRAPH.sub(r" \g<0> ", plain)
    elif base not in MLQA_LANGUAGES:
        plain = _unsegmented().sub(r" \g<0> ", plain)
    return plain.split()


def answer_f1(answer: str, gold: str, language: str) -> float:
    """Harmonic mean of the shares of tokens that both have, from 0 to 1; 0 where either has none."""
    given, wanted = answer_tokens(answer, language), answer_tokens(gold, language)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted)) if shared else 0.0


def exact_match(answer: str, gold: str, language: str) -> bool:
    """Whether both have the same tokens in the same order."""
    return answer_tokens(answer, language) == answer_tokens(gold, language)


def best_scores(answer: str, golds: Iterable[str], language: str) -> tuple[float, float]:
    """F1 and exact match, from 0 to 1, each against the accepted answer that it is highest with."""
    pairs = [(answer_f1(answer, gold, language), float(exact_match(answer, gold, language))) for gold in golds]
    return max(f1 for f1, _ in pairs), max(match for _, match in pairs)


@cache
def _is_punctuation(character: str) -> bool:
    return character in punctuation or unicodedata.category(character)[0] == "P"


@cache
def _articles(language: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(_ARTICLES[language].split())})\b")


@cache
def _unsegmented() -> re.Pattern[str]:
    blocks = "".join(f"{first}-{last}" for first, last in _WITHOUT_SPACES)
    marks = [
        character
        for first, last in (("\u0300", "\u036f"), *_WITHOUT_SPACES[:5], ("\u3099", "\u309a"))
        for character in map(chr, range(ord(first), ord(last) + 1))
        if unicodedata.category(character)[0] == "M"
    ]
    return re.compile(f"[{blocks}][{''.join(marks)}]*")
