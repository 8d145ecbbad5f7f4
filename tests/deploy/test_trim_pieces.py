"""What is counted and what is kept of a vocabulary, against naive versions."""

import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from trim_support import LETTERS, TOKENIZERS, made_up
from unibert.deploy.trim_pieces import (
    Choice,
    Counts,
    Kept,
    choose_pieces,
    count_pieces,
    letters_by_script,
    script_of,
    spells_word_by_word,
    units_of,
)
from unibert.deploy.trim_tokenizer import Vocabulary
from unibert.errors import DataError, RecipeError

KINDS = pytest.mark.parametrize("kind", TOKENIZERS)


@cache
def vocabulary(kind: str) -> Vocabulary:
    return Vocabulary(TOKENIZERS[kind](), "some")


def counts_of(kind: str, texts: list[str]) -> Counts:
    of = vocabulary(kind)
    return count_pieces(of.backend, units_of(texts, spells_word_by_word(of.backend, texts)), of.rows)


def chinese(of: Vocabulary, numbers: frozenset[int]) -> set[str]:
    return {of.piece_of[number] for number in numbers if of.bare(number)[0] in LETTERS["zh"]}


def chosen(kind: str, codes: str, choice: Choice | None = None, **more: object) -> tuple[Kept, dict[str, Counts]]:
    texts = {code: made_up(code) for code in codes.split()}
    counts = {code: counts_of(kind, own) for code, own in texts.items()}
    letters = {code: letters_by_script(Counter(own)) for code, own in texts.items()}
    return choose_pieces(vocabulary(kind), counts, letters, choice or Choice(), **more), counts  # type: ignore[arg-type]


@KINDS
def test_counts_are_those_of_the_whole_texts(kind: str) -> None:
    of, texts = vocabulary(kind), [*made_up("de"), *made_up("de")[:7], "  two  spaces ", ""]
    wanted = Counter(number for text in texts for number in of.backend.encode(text, add_special_tokens=False).ids)
    found = counts_of(kind, texts)
    assert {number: count for number, count in enumerate(found.tolist()) if count} == wanted
    assert len(found) == of.rows == max(of.id_of.values()) + 1


def test_a_tokenizer_is_asked_whether_words_are_spelled_alone() -> None:
    by_words = {kind: spells_word_by_word(vocabulary(kind).backend, made_up("ru")[:9]) for kind in TOKENIZERS}
    assert by_words == {"wordpiece": True, "unigram": True, "byte_level": False, "added_last": False}
    assert units_of(["a b a", "b"], True) == {"a": 2, "b": 2}
    assert units_of(["a b a", "b", "b"], False) == {"a b a": 1, "b": 2}


@pytest.mark.parametrize(
    ("character", "script"),
    [
        *(("ß", "LATIN"), ("я", "CYRILLIC"), ("水", "CJK"), ("한", "HANGUL"), ("ａ", "LATIN"), ("ｶ", "KATAKANA")),
        *(("ी", "DEVANAGARI"), ("7", None), ("?", None), ("\u0301", None), ("ª", None), ("\ue000", None), ("ʰ", None)),
    ],
)
def test_scripts(character: str, script: str | None) -> None:
    assert script_of(character) == script


def test_letters_are_counted_as_often_as_they_occur() -> None:
    assert letters_by_script({"да, no": 2, "1": 9, "水": 1}) == {"CYRILLIC": 4, "LATIN": 4, "CJK": 1}


@KINDS
def test_all_that_the_texts_use_is_kept_and_what_others_use_is_not(kind: str) -> None:
    kept, counts = chosen(kind, "de ru")
    of = vocabulary(kind)
    assert kept.used == of.with_parts(set(np.flatnonzero(counts["de"] + counts["ru"]).tolist()))
    assert of.special <= kept.special and of.needed <= kept.all
    greek = set(np.flatnonzero(counts_of(kind, made_up("el"))).tolist())
    assert len(greek - kept.all) > 20


def test_alphabets_at_a_words_start_and_within() -> None:
    kept, _ = chosen("wordpiece", "de")
    of = vocabulary("wordpiece")
    pieces = {of.piece_of[number] for number in kept.all}
    alphabet = set(LETTERS["de"]) | set("0123456789.")
    wanted = {piece for letter in alphabet for piece in (letter, f"##{letter}") if piece in of}
    assert len(wanted) > 30
    assert wanted <= pieces
    assert not {letter for letter in LETTERS["ru"] + LETTERS["zh"] if letter in pieces or f"##{letter}" in pieces}


def test_of_chinese_characters_all_or_those_that_are_quoted() -> None:
    of = vocabulary("wordpiece")
    texts = ["天地 人 大", "天", "word"]
    counts = {"zh": counts_of("wordpiece", texts)}
    kept = choose_pieces(of, counts, {"zh": letters_by_script(Counter(texts))}, Choice())
    # Each is set apart by the tokenizer: none is ever taken within a word.
    assert chinese(of, kept.alphabet) == {*LETTERS["zh"]}
    texts = [*made_up("de"), "天"]
    counts = {"de": counts_of("wordpiece", texts)}
    for choice, wanted in ((Choice(), {"天"}), (Choice(minimum_count=2), set())):
        kept = choose_pieces(of, counts, {"de": letters_by_script(Counter(texts))}, choice)
        assert chinese(of, kept.all) == wanted


def test_of_hangul_what_is_taken_within_words() -> None:
    pieces = ["[UNK]", "a", "##a", "한", "##한", "국", "##국", "글"]
    raw = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    of = Vocabulary(raw, "some")
    counts = {"ko": count_pieces(of.backend, {"한": 1}, of.rows)}
    kept = choose_pieces(of, counts, {"ko": {"HANGUL": 1}}, Choice())
    assert {of.piece_of[number] for number in kept.all} == set(pieces)


def test_what_the_model_names_stays() -> None:
    number = next(iter(set(range(vocabulary("unigram").rows)) - chosen("unigram", "de")[0].all))
    assert number in chosen("unigram", "de", required=[number, 10_000])[0].special


@KINDS
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_coverage_takes_the_fewest_pieces_of_each_language(kind: str, coverage: float) -> None:
    kept, counts = chosen(kind, "de el", Choice(coverage=coverage))
    wanted: set[int] = set()
    for own in counts.values():
        share = 0
        for number in sorted(range(len(own)), key=lambda number: (-own[number], number)):
            if share >= coverage * own.sum():
                break
            share += int(own[number])
            wanted.add(number)
    assert kept.used == vocabulary(kind).with_parts(wanted)


@KINDS
def test_minimum_count_is_of_all_texts_together(kind: str) -> None:
    kept, counts = chosen(kind, "de el", Choice(minimum_count=9))
    both = counts["de"] + counts["el"]
    assert kept.used == vocabulary(kind).with_parts({n for n in range(len(both)) if both[n] >= 9})


@KINDS
@pytest.mark.parametrize("above", [0, 1, 17, 10_000])
def test_a_number_of_pieces_is_not_exceeded_and_the_most_used_come_first(kind: str, above: int) -> None:
    everything, counts = chosen(kind, "de el")
    least = len(everything.special | everything.alphabet)
    kept, _ = chosen(kind, "de el", Choice(pieces=least + above))
    assert kept.special == everything.special and kept.alphabet == everything.alphabet
    assert len(kept.all) <= least + above
    if kind in ("wordpiece", "unigram"):
        assert len(kept.all) == min(least + above, len(everything.all))
        share = sum(own / own.sum() for own in counts.values())
        left = [share[number] for number in everything.all - kept.all]
        new = [share[number] for number in kept.all - everything.special - everything.alphabet]
        assert not left or not new or min(new) >= max(left)
    with pytest.raises(DataError, match=f"{least - 1:,} pieces are fewer than the {least:,} that are always kept"):
        chosen(kind, "de el", Choice(pieces=least - 1))


def test_a_language_counts_as_much_as_another_with_more_text() -> None:
    raw = Tokenizer(models.WordPiece({"[UNK]": 0, "one": 1, "two": 2, "three": 3}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    of = Vocabulary(raw, "some")
    texts = {"de": ["one"] * 90 + ["two"] * 10, "fr": ["three"]}
    counts = {code: count_pieces(of.backend, units_of(own, True), of.rows) for code, own in texts.items()}
    assert choose_pieces(of, counts, {}, Choice(pieces=2)).used == {3}
    assert choose_pieces(of, counts, {}, Choice(pieces=3)).used == {3, 1}


def test_text_without_pieces_is_refused() -> None:
    of = vocabulary("wordpiece")
    with pytest.raises(DataError, match="fr: its text has no pieces"):
        choose_pieces(of, {"fr": counts_of("wordpiece", ["  "])}, {}, Choice())


@pytest.mark.parametrize(
    "wrong", [{"coverage": 0}, {"coverage": 1.5}, {"minimum_count": 0}, {"coverage": 0.9, "pieces": 9}]
)
def test_choices_that_are_none(wrong: dict[str, float]) -> None:
    with pytest.raises(RecipeError):
        Choice(**wrong)  # type: ignore[arg-type]


def test_the_same_twice_whatever_the_order_of_the_texts() -> None:
    texts = made_up("de")
    shuffled = random.Random(3).sample(texts, len(texts))
    assert (counts_of("wordpiece", texts) == counts_of("wordpiece", shuffled)).all()
