"""Windows over long contexts with every kind of tokenizer, and where the answer is in them."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_support import ENDINGS, FILLERS
from qa_support import KINDS, asked, fine_tune, word_piece_with_types
from unibert.errors import DataError
from unibert.tasks import qa
from unibert.tasks.data import Split
from unibert.tasks.squad import Answer, Question


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def word_piece():
    return word_piece_with_types()


def test_pieces_of_a_window(word_piece):
    found = list(qa.windows([asked("bona Zaki. in", question="mister?")], word_piece, 64, 8))
    assert len(found) == 1
    pieces = word_piece.convert_ids_to_tokens(found[0].ids.tolist())
    assert pieces == "[CLS] mister [UNK] [SEP] bona Z ##a ##k ##i . in [SEP]".split()
    assert found[0].types.tolist() == [0] * 4 + [1] * 8
    assert found[0].places.tolist() == [[0, 0]] * 4 + [
        [0, 4],
        [5, 6],
        [6, 7],
        [7, 8],
        [8, 9],
        [9, 10],
        [11, 13],
        [0, 0],
    ]


def test_the_answer_is_where_it_stands(tokenizer):
    sample = asked("bona dora gona.\n  lona bosa", "dora gona")
    feature = qa.features([sample], tokenizer, [], fine_tune())[0]
    window = next(qa.windows([sample], tokenizer, 64, 8))
    first, last = feature["start_positions"], feature["end_positions"]
    assert sample.context[window.places[first, 0] : window.places[last, 1]] == "dora gona"
    assert (feature["input_ids"] == window.ids).all()


def test_windows_overlap_and_have_the_whole_question(tokenizer):
    samples = [asked(" ".join(FILLERS * 3), number=number) for number in range(2)]
    question = tokenizer(samples[0].question, add_special_tokens=False)["input_ids"]
    found = list(qa.windows(samples, tokenizer, 24, 5))
    assert [window.sample for window in found] == sorted(window.sample for window in found)
    mine = [window for window in found if window.sample == 1]
    assert len(mine) > 3
    whole = tokenizer(samples[0].question, samples[0].context, return_offsets_mapping=True)
    for window in mine:
        assert window.ids[1 : 1 + len(question)].tolist() == question
        assert len(window.ids) == 24 or window is mine[-1]
    for one, other in pairwise(mine):
        shared = {tuple(place) for place in one.places if place[1]} & {tuple(place) for place in other.places}
        assert 1 <= len(shared) <= 5
        assert one.covered[1] > other.covered[0]
    together = {tuple(place) for window in mine for place in window.places.tolist() if place[1]}
    assert len(together) == sum(
        part == 1 and end > begin
        for part, (begin, end) in zip(whole.sequence_ids(0), whole["offset_mapping"], strict=True)
    )


def test_windows_are_in_the_order_of_the_samples(word_piece):
    """Also where long questions leave room for a smaller overlap only."""
    questions = ["bona", " ".join(FILLERS[:12]), "dora", " ".join(FILLERS[:14])]
    samples = [asked(" ".join(FILLERS), question=question, number=number) for number, question in enumerate(questions)]
    order = [window.sample for window in qa.windows(samples, word_piece, 24, 8)]
    assert order == sorted(order)
    assert set(order) == {0, 1, 2, 3}


def test_an_answer_that_is_cut_off_is_at_cls(tokenizer):
    context = " ".join(FILLERS * 2)
    sample = asked(context, " ".join(FILLERS[20:24]))
    features = qa.features([sample], tokenizer, [], fine_tune(max_length=32, stride=16))
    found = list(qa.windows([sample], tokenizer, 32, 16))
    begin, end = sample.answers[0].start, sample.answers[0].start + len(sample.answers[0].text)
    hits = 0
    for feature, window in zip(features, found, strict=True):
        if window.covered[0] <= begin and end <= window.covered[1]:
            hits += 1
            assert window.places[feature["start_positions"], 0] == begin
            assert window.places[feature["end_positions"], 1] == end
        else:
            assert feature["start_positions"] == feature["end_positions"] == 0
            assert feature["input_ids"][0] == tokenizer.cls_token_id
    assert 0 < hits < len(features)


@pytest.mark.parametrize("question", [" ".join(FILLERS * 4), "\U0001f600" * 50])
@pytest.mark.parametrize("max_length", [8, 12, 40])
def test_a_question_that_is_too_long_leaves_room_for_the_context(tokenizer, question, max_length):
    found = list(qa.windows([asked("bona dora gona", question=question)], tokenizer, max_length, 64))
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    whole = len(tokenizer("bona dora gona", add_special_tokens=False)["input_ids"])
    for window in found:
        assert len(window.ids) <= max_length
        assert (window.places[:, 1] > 0).sum() >= min(room // 4, whole) or window is found[-1]
    assert found[0].covered[0] == 0
    assert found[-1].covered[1] == len("bona dora gona")


TEXT = st.text(st.sampled_from("aboZQ. \n\u00e9\u4e2d\u200b\U0001f600"), min_size=1, max_size=40).filter(str.strip)


@settings(max_examples=60)
@given(TEXT, TEXT, st.integers(8, 40), st.integers(0, 20), st.data())
def test_windows_hold_for_any_text(tokenizer, question, context, max_length, stride, data):
    begin = data.draw(st.integers(0, len(context) - 1))
    text = context[begin : data.draw(st.integers(begin + 1, len(context)))]
    sample = Question("1", question, context, (Answer(text, begin),) if text.strip() else ())
    found = list(qa.windows([sample], tokenizer, max_length, stride))
    whole = next(qa.windows([sample], tokenizer, 1000, 0))
    covered = {tuple(place) for window in found for place in window.places.tolist()}
    assert covered - {(0, 0)} == {tuple(place) for place in whole.places.tolist()} - {(0, 0)}
    assert found[0].covered[0] == 0
    assert found[-1].covered[1] == len(context)
    for window in found:
        assert len(window.ids) <= max_length
        for begin, end in window.places.tolist():
            assert end == 0 or context[begin:end] == context[begin:end].strip() != ""
    if not text.strip("\u200b \n"):
        return
    features = qa.features([sample], tokenizer, [], fine_tune(max_length=max_length, stride=stride))
    for window, feature in zip(found, features, strict=True):
        first, last = feature["start_positions"], feature["end_positions"]
        if window.places[last, 1]:
            stretch = context[window.places[first, 0] : window.places[last, 1]]
            # What has no piece of its own (a zero-width space) may be missing at the ends.
            assert text.strip("\u200b \n") in stretch
        else:
            assert first == last
            assert window.ids[first] == tokenizer.cls_token_id
    if len(found) == 1:
        assert window.places[last, 1] or not (whole.places[:, 1] > 0).any() or "\u200b" in text


def test_answers_shorter_than_the_overlap_are_whole_in_a_window(word_piece):
    context = " ".join(f"Z{ending}" for ending in ENDINGS)  # four pieces a word
    samples = [asked(context, f"Z{ending}", number=number) for number, ending in enumerate(ENDINGS)]
    features = qa.features(samples, word_piece, [], fine_tune(max_length=24, stride=3))
    found = list(qa.windows(samples, word_piece, 24, 3))
    learnt = {window.sample for window, feature in zip(found, features, strict=True) if feature["start_positions"] > 0}
    assert learnt == set(range(len(samples)))
    # Spaces around an answer, also where a window begins with it, change nothing.
    loose = [asked(f" {context} ", f" {sample.answers[0].text} ", number=int(sample.id)) for sample in samples]
    targets = [
        [(feature["start_positions"], feature["end_positions"]) for feature in some]
        for some in (features, qa.features(loose, word_piece, [], fine_tune(max_length=24, stride=3)))
    ]
    assert targets[0] == targets[1]


def test_questions_without_answer_are_not_trained_or_scored_on(word_piece):
    with pytest.raises(DataError, match="question 0 has no answer to learn"):
        qa.features([asked("bona")], word_piece, [], fine_tune())
    with pytest.raises(DataError, match=r"dev.json: question 0 has no answer to score"):
        qa.check(Split("dev.json", "", [asked("bona")]), [], "train.json")
    qa.check(Split("dev.json", "", [asked("bona", "bona")]), [], "train.json")


def test_padding(word_piece):
    samples = [asked("bona dora", "dora"), asked("bona", "bona")]
    batch = qa.collate(qa.features(samples, word_piece, [], fine_tune()), word_piece)
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "input_ids": (2, 7),
        "token_type_ids": (2, 7),
        "attention_mask": (2, 7),
        "start_positions": (2,),
        "end_positions": (2,),
    }
    assert {value.dtype for value in batch.values()} == {torch.int64}
    assert batch["input_ids"][1].tolist()[-2:] == [word_piece.sep_token_id, word_piece.pad_token_id]
    assert batch["attention_mask"].tolist() == [[1] * 7, [1] * 6 + [0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0]]
    assert (batch["start_positions"].tolist(), batch["end_positions"].tolist()) == ([5, 4], [5, 4])
