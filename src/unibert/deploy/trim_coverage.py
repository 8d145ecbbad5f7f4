"""What trimming costs each language, measured on text that had no say in it; and what is refused because of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unibert.deploy.trim_pieces import SCRIPTS, batches_of, script_of
from unibert.deploy.trim_tokenizer import Vocabulary
from unibert.errors import DataError
from unibert.languages import language

_WRITTEN_IN_SEVERAL = frozenset(
    "az azb ber bs crh ha kk ks ku ky mn ms pa pnb sa sd sh sr tg tk tt ug uz zh-min-nan nan arq arz".split()
)
"""Languages whose text may well be in another script than that of our table."""
_SHOWN = 20


@dataclass(frozen=True)
class Coverage:
    """What is left of one language."""

    texts: int
    """That were counted."""
    held_out: int
    """Texts that had no say in what is kept; what follows is measured on these."""
    pieces: float
    """Share of their pieces, as they were spelled before, that are kept and not [UNK]."""
    words: float
    """Share of their words (as the tokenizer parts them) that are spelled as before; a word may be unknown in both."""
    unknown_before: float
    """Share of [UNK] among the pieces, with the whole vocabulary."""
    unknown_after: float
    """The same, with what is kept."""
    lost_pieces: tuple[str, ...]
    """The most frequent pieces that are not kept."""
    unknown_characters: tuple[str, ...]
    """Characters that become [UNK], the most frequent first; those that were [UNK] before are among them."""

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "texts": self.texts,
            "held_out": self.held_out,
            "pieces_kept": round(self.pieces, 6),
            "words_spelled_the_same": round(self.words, 6),
            "unknown_before": round(self.unknown_before, 6),
            "unknown_after": round(self.unknown_after, 6),
            "unknown_characters": list(self.unknown_characters),
        }


def measure_coverage(
    vocabulary: Vocabulary,
    trimmed: Any,
    kept: Collection[int],
    counted: int,
    held_out: int,
    units: Mapping[str, int],
) -> Coverage:
    """Spell held-out text with both tokenizers and compare, word by word.

    Args:
        vocabulary: the original.
        trimmed: the new tokenizer, of the `tokenizers` library.
        kept: old ids.
        counted: how many other texts had a say.
        held_out: how many texts had none.
        units: of these, from `trim_pieces.units_of`.
    """
    unknown = None if vocabulary.unknown is None else vocabulary.piece_of[vocabulary.unknown]
    kept_pieces = {vocabulary.piece_of[number] for number in kept} - {unknown}
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    words = same = 0
    for batch in batches_of(units):
        old = vocabulary.backend.encode_batch(batch, add_special_tokens=False)
        new = trimmed.encode_batch(batch, add_special_tokens=False)
        for unit, one, other in zip(batch, old, new, strict=True):
            times = units[unit]
            for found, encoding in ((before, one), (after, other)):
                for piece in encoding.tokens:
                    found[piece] += times
            its_words, its_same = _compared(one, other)
            words += its_words * times
            same += its_same * times
            if unknown in other.tokens:
                for piece, (start, end) in zip(other.tokens, other.offsets, strict=True):
                    for character in unit[start:end] if piece == unknown else "":
                        characters[character] += times
    lost = {piece: number for piece, number in before.most_common() if piece not in kept_pieces and piece != unknown}
    pieces = before.total() or 1
    return Coverage(
        texts=counted,
        held_out=held_out,
        pieces=1 - (sum(lost.values()) + (before[unknown] if unknown else 0)) / pieces,
        words=same / (words or 1),
        unknown_before=before[unknown] / pieces if unknown else 0.0,
        unknown_after=after[unknown] / (after.total() or 1) if unknown else 0.0,
        lost_pieces=tuple(lost)[:_SHOWN],
        unknown_characters=_unspelled(trimmed, unknown, characters),
    )


def _compared(one: Any, other: Any) -> tuple[int, int]:
    """The number of words, and of those that are spelled the same in two encodings of a text."""
    if one.tokens == other.tokens:
        words = len(set(one.word_ids))
        return words, words
    spelled: list[dict[int | None, list[str]]] = [{}, {}]
    for encoding, found in zip((one, other), spelled, strict=True):
        for word, piece in zip(encoding.word_ids, encoding.tokens, strict=True):
            found.setdefault(word, []).append(piece)
    both = spelled[0].keys() | spelled[1].keys()
    return len(both), sum(spelled[0].get(word) == spelled[1].get(word) for word in both)


def _unspelled(trimmed: Any, unknown: str | None, characters: Counter[str]) -> tuple[str, ...]:
    """Of the characters of unknown words those that are to blame, at a word's start or within one."""
    return tuple(
        character
        for character, _ in characters.most_common()
        if not character.isspace()
        and any(
            unknown in trimmed.encode(text, add_special_tokens=False).tokens for text in (character, f"0{character}")
        )
    )


# --- refusals ---


def check_scripts(vocabulary: Vocabulary, letters: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse text that is in another script than the language that it is said to be in.

    Languages that are written in several scripts, or that are not in the table, are not checked. Text in another
    language of the same script cannot be told.

    Raises:
        DataError: names the language, the script, and the letters that the trimmed model would lose.
    """
    for code, found in letters.items():
        own = SCRIPTS.get(language(code).script)
        whole = sum(found.values())
        if own is None or code in _WRITTEN_IN_SEVERAL or not whole:
            continue
        if 2 * sum(found.get(script, 0) for script in own) >= whole:
            continue
        most = max(found, key=lambda script: found[script])
        alphabet = {vocabulary.bare(number) for number in vocabulary.piece_of}
        lost = sorted(
            letter for letter in alphabet if len(letter) == 1 and script_of(letter) in own and not letter.isupper()
        )
        raise DataError(
            f"{code}: {found[most] / whole:.0%} of the letters of its text are {_title(most)}, and "
            f"{language(code).name} is written in {' and '.join(map(_title, sorted(own)))}"
            + (f"; the trimmed model would lose {shown(lost)}" if lost else ""),
            "Give text in this language, name the file after the language it is in, or allow it with --min-coverage 0.",
        )


def _title(script: str) -> str:
    return "Chinese characters" if script == "CJK" else script.title()


def check_coverage(coverages: Mapping[str, Coverage], least: float) -> None:
    """Refuse to keep too little of a language.

    Raises:
        DataError: names the languages, and the characters and pieces that they lose.
    """
    problems = []
    unspelled = False
    for code, coverage in coverages.items():
        if coverage.pieces >= least:
            continue
        problem = (
            f"{code}: {coverage.pieces:.1%} of the pieces of held-out text are kept and known, fewer than {least:.1%}"
        )
        if 1 - coverage.unknown_before < least:
            unspelled = True
            problem += f"; the model itself cannot spell it ({coverage.unknown_before:.1%} [UNK] before trimming)"
        if coverage.unknown_characters:
            problem += f"; lost characters: {shown(coverage.unknown_characters)}"
        if coverage.lost_pieces:
            problem += f"; lost pieces: {shown(coverage.lost_pieces)}"
        problems.append(problem)
    if problems:
        raise DataError(
            "\n".join(problems),
            ("Leave the language out, " if unspelled else "Give more text of the language, keep more pieces, ")
            + "or allow it with --min-coverage.",
        )


def shown(pieces: Sequence[str], most: int = _SHOWN) -> str:
    """Characters or pieces for a message; what would not be seen is written by its code point."""
    told = [piece if piece.isprintable() else " ".join(f"U+{ord(letter):04X}" for letter in piece) for piece in pieces]
    more = f" and {len(told) - most:,} more" if len(told) > most else ""
    return " ".join(told[:most]) + more
