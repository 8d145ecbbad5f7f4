"""Fewer pieces, the same spelling: of whatever is covered, by each kind of tokenizer."""

import json
import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from trim_support import LETTERS, TOKENIZERS, all_text, made_up
from unibert.deploy.trim_tokenizer import Vocabulary, open_trimmed
from unibert.errors import DataError

WORDS = sorted({word for line in all_text() for word in line.split()})
KINDS = pytest.mark.parametrize("kind", TOKENIZERS)


@cache
def vocabulary(kind: str) -> Vocabulary:
    return Vocabulary(TOKENIZERS[kind](), "some")


def trimmed(of: Vocabulary, numbers: set[int]) -> tuple[Tokenizer, list[int]]:
    kept = of.with_parts(numbers | of.special | of.needed)
    numbered = of.numbered(kept)
    return open_trimmed(of.trimmed(numbered), numbered, of, "some"), numbered


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.encode(text).tokens


letters = st.text("".join(LETTERS.values()) + "xyz 1.,", max_size=12)
texts = st.lists(st.one_of(st.sampled_from(WORDS), letters), max_size=6).map(" ".join)


@KINDS
@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), st.integers(0, 99), st.sampled_from([0, 0.1, 0.4]))
def test_covered_text_is_spelled_as_before(kind: str, own: list[str], seed: int, share: float) -> None:
    """Whatever else is kept or not: the pieces of a text suffice to spell it as before."""
    of = vocabulary(kind)
    used = {number for text in own for number in of.backend.encode(text).ids}
    chance = random.Random(seed)
    others = {number for number in sorted(of.piece_of) if chance.random() < share}
    known = [text for text in own if kind != "wordpiece" or of.unknown not in of.backend.encode(text).ids]
    tokenizer, numbered = trimmed(of, used | others)
    for text in known:
        old, new = of.backend.encode(text), tokenizer.encode(text)
        assert new.tokens == old.tokens
        assert [numbered[number] for number in new.ids] == old.ids
        assert new.offsets == old.offsets


@KINDS
@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=10))
def test_any_text_of_covered_words_is_covered(kind: str, words: list[str]) -> None:
    of = vocabulary(kind)
    spellings = [" " + word for word in words]  # after a space, as in a text
    tokenizer, _ = trimmed(of, {number for word in spellings for number in of.backend.encode(word).ids})
    text = "".join(" " + word for word in random.Random(1).choices(words, k=20))
    assert pieces(tokenizer, text) == pieces(of.backend, text)


@KINDS
def test_with_every_piece_nothing_changes(kind: str) -> None:
    of = vocabulary(kind)
    tokenizer, numbered = trimmed(of, set(of.piece_of))
    assert sorted(numbered) == numbered == sorted(of.piece_of)
    assert json.loads(tokenizer.to_str()) == json.loads(of.backend.to_str())


@KINDS
def test_ids_follow_the_map_and_special_pieces_stay_in_place(kind: str) -> None:
    of = vocabulary(kind)
    tokenizer, numbered = trimmed(of, set(list(of.piece_of)[::3]))
    assert tokenizer.get_vocab() == {of.piece_of[old]: new for new, old in enumerate(numbered)}
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(numbered)))
    both = [encoder.encode("ab", "cd").tokens for encoder in (of.backend, tokenizer)]
    assert both[0][0] == both[1][0] and both[0][-1] == both[1][-1]
    ends = tokenizer.encode("ab", "cd").ids
    assert tokenizer.id_to_token(ends[0]) == both[0][0]
    assert tokenizer.decode(tokenizer.encode("").ids, skip_special_tokens=True) == ""
    before, after = (json.loads(one.to_str()) for one in (of.backend, tokenizer))
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        assert before[part] == after[part]
    kept = [[{**token, "id": None} for token in tree["added_tokens"]] for tree in (before, after)]
    assert kept[0] == kept[1]


def test_masks_swallow_the_space_before_them_as_they_did() -> None:
    of = vocabulary("unigram")
    tokenizer, _ = trimmed(of, {number for word in WORDS[:40] for number in of.backend.encode(word).ids})
    text = f"{WORDS[0]} <mask> {WORDS[1]}<mask>"
    assert pieces(tokenizer, text) == pieces(of.backend, text)


def test_what_unknown_costs_stays_the_same() -> None:
    """It is reckoned from the least likely piece: without that one, [UNK] becomes cheap enough to be preferred."""
    scores = [("<unk>", 0.0), ("w", -14.0), ("xb", -14.0), ("wx", -1.0), ("c", -9.0), ("zz", -30.0)]
    of = Vocabulary(Tokenizer(models.Unigram(scores, unk_id=0)), "some")
    assert pieces(of.backend, "wxb") == ["w", "xb"]
    assert pieces(Tokenizer(models.Unigram(scores[:4], unk_id=0)), "wxb") == ["wx", "b"]
    tokenizer, numbered = trimmed(of, {1, 2, 3})
    assert numbered == [0, 1, 2, 3, 5]
    assert pieces(tokenizer, "wxb") == ["w", "xb"]


def test_all_ways_to_merge_a_piece_stay() -> None:
    """ "abc" comes from "ab" + "c" or from "a" + "bc", as the letters around it have it."""
    vocab = {piece: number for number, piece in enumerate(["a", "b", "c", "d", "bc", "ab", "abc", "cd", "bcd"])}
    merges = [("b", "c"), ("a", "bc"), ("a", "b"), ("ab", "c"), ("c", "d")]
    of = Vocabulary(Tokenizer(models.BPE(vocab=vocab, merges=merges)), "some")
    assert of.with_parts({vocab["abc"]}) == {vocab[piece] for piece in ("a", "b", "c", "ab", "bc", "abc")}
    tokenizer, numbered = trimmed(of, {vocab["abc"], vocab["d"]})
    assert json.loads(tokenizer.to_str())["model"]["merges"] == [["b", "c"], ["a", "bc"], ["a", "b"], ["ab", "c"]]
    assert pieces(tokenizer, "abcd") == pieces(of.backend, "abcd") == ["abc", "d"]
    assert vocab["cd"] not in numbered


def test_merges_with_marks_within_words() -> None:
    vocab = {"a": 0, "b": 1, "##b": 2, "##c": 3, "ab": 4, "##bc": 5, "abc": 6}
    merges = [("a", "##b"), ("ab", "##c"), ("##b", "##c")]
    raw = Tokenizer(models.BPE(vocab=vocab, merges=merges, continuing_subword_prefix="##"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    of = Vocabulary(raw, "some")
    tokenizer, numbered = trimmed(of, {6})
    assert {of.piece_of[number] for number in numbered} == {"a", "##b", "##c", "ab", "abc"}
    assert pieces(tokenizer, "abc") == ["abc"]
    assert of.bare(5) == "bc" and of.bare(3) == "c"


def test_ids_with_gaps_are_closed() -> None:
    raw = Tokenizer(models.WordPiece({"[UNK]": 7, "a": 3, "##b": 90, "c": 12}, unk_token="[UNK]"))
    of = Vocabulary(raw, "some")
    tokenizer, numbered = trimmed(of, {3, 90})
    assert numbered == [3, 7, 90]
    assert tokenizer.get_vocab() == {"a": 0, "[UNK]": 1, "##b": 2}
    assert of.rows == 91


def test_padding_and_cutting_of_the_file_are_kept() -> None:
    raw = TOKENIZERS["wordpiece"]()
    raw.enable_padding(pad_id=0, pad_token="[PAD]", length=9)
    raw.enable_truncation(7)
    of = Vocabulary(raw, "some")
    numbered = of.numbered(of.special | of.needed)
    tree = of.trimmed(numbered)
    assert tree["padding"]["pad_id"] == numbered.index(0) and tree["truncation"]["max_length"] == 7
    assert len(of.backend.encode(made_up("de")[0]).ids) > 9  # what counts neither pads nor cuts


def test_other_kinds_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="WordLevel, which cannot be trimmed"):
        Vocabulary(Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), "some")


def test_ids_that_come_out_otherwise_are_refused() -> None:
    of = vocabulary("wordpiece")
    numbered = of.numbered(of.special)
    tree = of.trimmed(numbered)
    with pytest.raises(DataError, match="other ids"):
        open_trimmed(tree, numbered[::-1], of, "some")
    with pytest.raises(DataError, match="cannot be rewritten"):
        open_trimmed({**tree, "model": {"type": "WordPiece"}}, numbered, of, "some")
