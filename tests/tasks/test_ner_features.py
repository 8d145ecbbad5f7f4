"""Words to pieces and back, prediction, and the score against an independent count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_support import FILLERS, conlleval, tiny_tokenizer, write_tiny_bert
from unibert.models.positions import position_limit
from unibert.recipe import FineTune
from unibert.tasks import ner
from unibert.tasks.batches import IGNORED
from unibert.tasks.conll import Sentence, to_iob2
from unibert.tasks.encoder import find_encoder
from unibert.tasks.ner import encode, entity_scores, features

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
SETTINGS = FineTune(max_length=64, precision="float32")


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_first_piece_carries_the_tag(tokenizer):
    sample = features([Sentence(("mister", "Zaki", "dona"), ("O", "B-PER", "O"))], tokenizer, LABELS, SETTINGS)[0]
    pieces = tokenizer.convert_ids_to_tokens(sample["input_ids"])
    assert pieces == ["[CLS]", "mister", "Z", "##a", "##k", "##i", *pieces[6:-1], "[SEP]"]
    assert sample["labels"] == [IGNORED, 0, 3, IGNORED, IGNORED, IGNORED, 0, *[IGNORED] * (len(pieces) - 7)]


@pytest.mark.parametrize("nothing", ["\u200b", "\x00", "\ufeff\u200d", "\u00ad"])
def test_a_word_without_pieces_keeps_its_place(tokenizer, nothing):
    """BERT's normaliser removes such characters; the tags after them must not move."""
    assert tokenizer.tokenize(nothing) == []
    sentence = Sentence(("in", nothing, "mister"), ("B-LOC", "I-LOC", "B-PER"))
    sample = features([sentence], tokenizer, LABELS, SETTINGS)[0]
    assert sample["labels"] == [IGNORED, 1, 2, 3, IGNORED]
    assert tokenizer.convert_ids_to_tokens(sample["input_ids"])[2] == "[UNK]"


def test_long_sentences_are_cut(tokenizer):
    words = ("mister", "Zaki", "Zaki", "in")
    encoded = encode([words, words[:1]], tokenizer, 8)
    assert [len(pieces.ids) for pieces in encoded] == [8, 3]
    assert encoded[0].first == [1, 2, 6, -1]
    assert tokenizer.convert_ids_to_tokens(encoded[0].ids)[-1] == "[SEP]"


WORDS = st.text(st.sampled_from("abZQ.1\u200b\u00e9\u4e2d "), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=8), min_size=1, max_size=4), st.integers(8, 40))
def test_alignment_holds_for_any_words(tokenizer, sentences, max_length):
    for words, pieces in zip(sentences, encode(sentences, tokenizer, max_length), strict=True):
        assert len(pieces.ids) <= max_length
        assert pieces.ids[0] == tokenizer.cls_token_id
        assert pieces.ids[-1] == tokenizer.sep_token_id
        kept = [place for place in pieces.first if place >= 0]
        assert kept == sorted(set(kept))
        assert all(0 < place < len(pieces.ids) - 1 for place in kept)
        # Only the end is cut, and only when there is no room for it.
        assert pieces.first == kept + [-1] * (len(words) - len(kept))
        assert len(kept) == len(words) or len(pieces.ids) == max_length


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return ner.load(find_encoder(write_tiny_bert(tmp_path_factory.mktemp("model"))), LABELS, SETTINGS)


def tagged(loaded, sentences, max_length=64):
    samples = [Sentence(tuple(words), ()) for words in sentences]
    return ner.predict(*loaded, samples, SETTINGS.model_copy(update={"max_length": max_length}))


def test_prediction_does_not_depend_on_the_batch(loaded, monkeypatch):
    sentences = [FILLERS[start : start + length] for start, length in [(0, 1), (3, 9), (1, 4), (2, 4), (5, 2)]]
    alone = [tagged(loaded, [words])[0] for words in sentences]
    assert tagged(loaded, sentences) == alone
    monkeypatch.setattr("unibert.tasks.batches.BATCH_TOKENS", 1)
    assert tagged(loaded, sentences) == alone
    assert [len(tags) for tags in alone] == [len(words) for words in sentences]
    assert len({tag for tags in alone for tag in tags}) > 1  # a model that only ever says O would prove nothing


def test_words_that_are_cut_off_count_as_missed(loaded):
    model, _ = loaded
    model.train()
    tags = tagged(loaded, [["mister"] * 20], 12)[0]
    assert model.training, "prediction must leave the model in the mode it was in"
    assert len(tags) == 20
    assert tags[10:] == ["O"] * 10
    scores = entity_scores([["O"] * 19 + ["B-PER"]], [["O"] * 10 + tags[10:]])
    assert (scores["recall"], scores["support"]) == (0.0, 1)


def test_positions_limit_the_length(loaded):
    assert position_limit(loaded[0]) == 64


# The score -----------------------------------------------------------------------------------------------------------


TAG = st.sampled_from(["O", "O", "B-A", "I-A", "B-B", "I-B", "B-A-B", "I-A-B"])
PAIRS = st.lists(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=10), min_size=1, max_size=5)


@settings(deadline=None, max_examples=300)
@given(PAIRS)
def test_scores_equal_conlleval(pairs):
    """Also for sequences that are no valid IOB2, as models predict them."""
    gold = [[first for first, _ in sentence] for sentence in pairs]
    predicted = [[second for _, second in sentence] for sentence in pairs]
    scores = entity_scores(gold, predicted)
    assert {key: scores[key] for key in ("f1", "precision", "recall", "support")} == pytest.approx(
        conlleval(gold, predicted)
    )

    def only(kind, sentences):
        return [[tag if tag[2:] == kind else "O" for tag in tags] for tags in sentences]

    samples = [Sentence(tuple("w" * len(tags)), tuple(tags)) for tags in gold]
    statistics = ner.statistics(samples, predicted, "und")
    assert ner.value(statistics.sum(axis=0)) == pytest.approx(scores["f1"])
    for kind, entry in scores["types"].items():
        assert entry == pytest.approx(conlleval(only(kind, gold), only(kind, predicted)))
    assert sum(entry["support"] for entry in scores["types"].values()) == scores["support"]


def test_nothing_to_find_is_zero_not_an_error():
    assert entity_scores([["O"]], [["O"]]) == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "support": 0, "types": {}}


def test_reading_and_scoring_agree_on_iob1():
    tags = ["I-PER", "I-PER", "B-PER", "I-LOC", "O"]
    assert entity_scores([to_iob2(tags)], [tags])["f1"] == 100.0
