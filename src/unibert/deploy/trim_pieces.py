"""Which pieces of a vocabulary some languages need: those that their texts use, and alphabets to spell the rest."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unibert.deploy.trim_tokenizer import Vocabulary
from unibert.errors import DataError, RecipeError

Counts = NDArray[np.int64]
"""int64[rows]: how often each piece occurs, by id."""

_MAIN = 0.01
"""A script is one of a language's own from this share of its letters on; below it is that of names and quotations."""
_LARGE = frozenset(("CJK", "HANGUL", "YI", "TANGUT", "NUSHU", "EGYPTIAN", "CUNEIFORM", "ANATOLIAN"))
"""Scripts of so many characters that a quotation in them is no reason to keep more than what it uses."""
_BATCH = 1000

SCRIPTS: dict[str, frozenset[str]] = {
    **{
        code: frozenset((name,))
        for code, name in {
            "Arab": "ARABIC",
            "Armn": "ARMENIAN",
            "Beng": "BENGALI",
            "Cyrl": "CYRILLIC",
            "Deva": "DEVANAGARI",
            "Ethi": "ETHIOPIC",
            "Geor": "GEORGIAN",
            "Grek": "GREEK",
            "Gujr": "GUJARATI",
            "Guru": "GURMUKHI",
            "Hani": "CJK",
            "Hant": "CJK",
            "Hebr": "HEBREW",
            "Khmr": "KHMER",
            "Knda": "KANNADA",
            "Laoo": "LAO",
            "Latn": "LATIN",
            "Mlym": "MALAYALAM",
            "Mymr": "MYANMAR",
            "Orya": "ORIYA",
            "Sinh": "SINHALA",
            "Taml": "TAMIL",
            "Telu": "TELUGU",
            "Thaa": "THAANA",
            "Thai": "THAI",
            "Tibt": "TIBETAN",
        }.items()
    },
    "Jpan": frozenset(("CJK", "HIRAGANA", "KATAKANA")),
    "Kore": frozenset(("CJK", "HANGUL")),
}
"""Unicode's names of the scripts that a language is written in, by the ISO 15924 code."""


@dataclass(frozen=True)
class Choice:
    """How many of the pieces that the texts use are kept; at most one of the three."""

    coverage: float = 1.0
    """Of each language the most frequent pieces that make this share of its text."""
    minimum_count: int = 1
    """Pieces that occur at least so often, in all texts together."""
    pieces: int | None = None
    """At most so many, special ones and alphabets included: those that the languages use most."""

    def __post_init__(self) -> None:
        if not 0 < self.coverage <= 1:
            raise RecipeError(f"coverage {self.coverage}: no share above 0 and up to 1", "Write 0.999 or 1.")
        if self.minimum_count < 1:
            raise RecipeError(f"minimum count {self.minimum_count}: less than 1", "Write 1, 2, 3 ...")
        if (self.coverage != 1) + (self.minimum_count != 1) + (self.pieces is not None) > 1:
            raise RecipeError(
                "coverage, minimum count and pieces are three ways to say how much is kept", "Give one of them."
            )


@dataclass(frozen=True)
class Kept:
    """The ids that are kept, by the reason."""

    special: frozenset[int]
    """What is no piece of text, and what the model's configuration names."""
    alphabet: frozenset[int]
    """Single characters, and what spells others."""
    used: frozenset[int]
    """What the texts use, and of BPE what that is merged from."""

    @property
    def all(self) -> frozenset[int]:
        """All of them."""
        return self.special | self.alphabet | self.used


# --- counting ---


def spells_word_by_word(backend: Any, texts: Iterable[str]) -> bool:
    """Whether a tokenizer spells each word of texts by itself, whatever stands before it.

    BERT's and XLM-R's do; RoBERTa's spells a word otherwise after a space.
    """
    for text in texts:
        words = backend.encode_batch_fast(text.split(), add_special_tokens=False)
        if backend.encode(text, add_special_tokens=False).ids != [number for word in words for number in word.ids]:
            return False
    return True


def units_of(texts: Iterable[str], by_words: bool) -> Counter[str]:
    """What has to be spelled, and how often: the different words of texts, or texts as they are.

    Args:
        texts: of one language.
        by_words: of a tokenizer for which `spells_word_by_word`; it saves nine tenths of the time.
    """
    return Counter(word for text in texts for word in text.split()) if by_words else Counter(texts)


def count_pieces(backend: Any, units: Mapping[str, int], rows: int) -> Counts:
    """How often each piece occurs.

    Args:
        backend: of the `tokenizers` library.
        units: of one language, from `units_of`.
        rows: more than any id.
    """
    counts = np.zeros(rows, dtype=np.int64)
    for batch in batches_of(units):
        encodings = backend.encode_batch_fast(batch, add_special_tokens=False)
        numbers = [encoding.ids for encoding in encodings]
        times = np.repeat([units[unit] for unit in batch], list(map(len, numbers)))
        np.add.at(counts, np.asarray(list(chain.from_iterable(numbers)), dtype=np.int64), times)
    return counts


def batches_of(units: Iterable[str]) -> Iterator[list[str]]:
    """Units in batches for a fast tokenizer."""
    rest = iter(units)
    while batch := list(islice(rest, _BATCH)):
        yield batch


# --- scripts ---


@cache
def script_of(character: str) -> str | None:
    """Unicode's name of a letter's or mark's script, such as LATIN; None for digits, punctuation and what has none."""
    if unicodedata.category(character)[0] not in "LM":
        return None
    words = unicodedata.name(character, "").split()
    if not words or words[0] in ("COMBINING", "MODIFIER", "VARIATION", "FEMININE", "MASCULINE"):
        return None
    return words[1] if words[0] in ("FULLWIDTH", "HALFWIDTH") and len(words) > 1 else words[0]


def letters_by_script(units: Mapping[str, int]) -> Counter[str]:
    """How many letters of each script there are.

    Args:
        units: of one language, from `units_of`.
    """
    found: Counter[str] = Counter()
    for unit, number in units.items():
        for character in unit:
            script = script_of(character)
            if script:
                found[script] += number
    return found


# --- choosing ---


def choose_pieces(
    vocabulary: Vocabulary,
    counts: Mapping[str, Counts],
    letters: Mapping[str, Mapping[str, int]],
    choice: Choice,
    required: Collection[int] = (),
) -> Kept:
    """Choose what is kept.

    Always kept are the special pieces and, so that unseen words can still be spelled, the alphabet: of every
    single-character piece (at a word's start and within) those of the scripts that make 1 % of a language's letters
    or more, those whose character the texts use, and ASCII. Of scripts of thousands of characters (Chinese
    characters, Hangul) none for a few quoted characters, and none that the tokenizer never takes, as within words
    where it sets each character apart.

    Args:
        vocabulary: of the model.
        counts: of each language, from `count_pieces`.
        letters: of each language, from `letters_by_script`.
        choice: how much of what the texts use.
        required: further ids that have to stay.

    Raises:
        DataError: texts without any piece, or fewer pieces are asked for than are always kept; the least number is
            named.
    """
    total = sum(counts.values(), np.zeros(vocabulary.rows, dtype=np.int64))
    for code, own in counts.items():
        if not own.any():
            raise DataError(f"{code}: its text has no pieces at all", "Give text in this language.")
    special = frozenset(vocabulary.with_parts(vocabulary.special | (set(required) & vocabulary.piece_of.keys())))
    alphabet = frozenset(vocabulary.with_parts(_alphabet(vocabulary, total, letters) | vocabulary.needed))
    base = set(special | alphabet)
    # A piece's share of each language counts alike, however much text there is of it.
    shares = sum((own / own.sum() for own in counts.values()), np.zeros(len(total))) / len(counts)
    order = [number for number in np.argsort(-shares, kind="stable").tolist() if total[number]]
    if choice.pieces is not None:
        if choice.pieces < len(base):
            raise DataError(
                f"{choice.pieces:,} pieces are fewer than the {len(base):,} that are always kept ({len(special):,} "
                f"special ones, {len(alphabet - special):,} of the alphabet)",
                f"Ask for {len(base):,} or more, or for fewer languages.",
            )
        used = _most_used(vocabulary, order, base, choice.pieces)
    elif choice.minimum_count > 1:
        used = {number for number in order if total[number] >= choice.minimum_count}
    else:
        used = set().union(*(_covering(own, choice.coverage) for own in counts.values()))
    return Kept(special, alphabet, frozenset(vocabulary.with_parts(used)))


def _alphabet(vocabulary: Vocabulary, total: Counts, letters: Mapping[str, Mapping[str, int]]) -> set[int]:
    if vocabulary.byte_level:
        return set()  # the 256 bytes are always there
    main = {script for found in letters.values() for script in _main_scripts(found)}
    seen = {character for number in np.flatnonzero(total).tolist() for character in vocabulary.bare(number)}
    found, large = set(), []
    for number in vocabulary.piece_of:
        character = vocabulary.bare(number)
        if len(character) != 1:
            continue
        script = script_of(character)
        if script in _LARGE and script in main:
            large.append(number)
        elif script in main or (script not in _LARGE and (character in seen or character.isascii())):
            found.add(number)
    return found | _taken(vocabulary, large)


def _taken(vocabulary: Vocabulary, numbers: Sequence[int]) -> set[int]:
    """Of pieces of one character those that a tokenizer takes for it, at a text's start or after a letter."""
    characters = [vocabulary.bare(number) for number in numbers]
    spelled = [
        vocabulary.backend.encode_batch_fast([before + character for character in characters], add_special_tokens=False)
        for before in ("", "a")
    ]
    return {
        number
        for number, *encodings in zip(numbers, *spelled, strict=True)
        if any(number in encoding.ids for encoding in encodings)
    }


def _main_scripts(letters: Mapping[str, int]) -> set[str]:
    whole = sum(letters.values())
    return {script for script, number in letters.items() if number >= _MAIN * whole}


def _most_used(vocabulary: Vocabulary, order: Sequence[int], base: Collection[int], pieces: int) -> set[int]:
    """The first pieces of an order, with their parts, until there are so many together with those of `base`."""
    kept = set(base)
    used = set()
    for number in order:
        new = vocabulary.with_parts([number])
        if len(kept | new) > pieces:
            break
        kept |= new
        used |= new
    return used


def _covering(counts: Counts, coverage: float) -> set[int]:
    """The fewest pieces that make this share of a text; of equally frequent ones the first."""
    order = np.argsort(-counts, kind="stable")
    sums = np.cumsum(counts[order])
    least = int(np.searchsorted(sums, coverage * sums[-1] - 1e-9)) + 1
    return set(order[:least][counts[order[:least]] > 0].tolist())
