"""Pairs in word pieces: what is cut, what is padded, and which models are told the two texts apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_support import tiny_tokenizer, write_tiny_bert
from unibert.recipe import FineTune
from unibert.tasks import nli
from unibert.tasks.encoder import find_encoder
from unibert.tasks.nli import Pair
from unibert.tasks.pairs import encode_pairs, encode_texts

SETTINGS = FineTune(max_length=32, precision="float32")


@pytest.fixture(scope="module")
def tokenizer():
    found = tiny_tokenizer()
    found.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return found


def test_both_texts_stand_in_one_sequence(tokenizer):
    (pieces,) = encode_pairs([("mister Za", "in")], tokenizer, 32)
    assert tokenizer.convert_ids_to_tokens(pieces["input_ids"]) == [
        *("[CLS]", "mister", "Z", "##a", "[SEP]", "in", "[SEP]")
    ]
    assert pieces["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1]
    assert set(pieces) == {"input_ids", "token_type_ids"}


def test_the_longer_text_is_cut_first(tokenizer):
    long, short = "mister " * 40, "in in in"
    for pair, expected in [((long, short), (9, 3)), ((short, long), (3, 9)), ((long, long), (6, 6))]:
        ids = encode_pairs([pair], tokenizer, 15)[0]["input_ids"]
        assert len(ids) == 15
        middle = ids.index(tokenizer.sep_token_id)
        assert (middle - 1, len(ids) - middle - 2) == expected


TEXT = st.text(st.sampled_from("aZ. 1\u200b中é\n"), min_size=1, max_size=30)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.integers(8, 24))
def test_any_texts_fit(tokenizer, pairs, length):
    encoded = encode_pairs(pairs, tokenizer, length)
    assert len(encoded) == len(pairs)
    for pieces in encoded:
        assert len(pieces["input_ids"]) <= length
        assert pieces["input_ids"].count(tokenizer.sep_token_id) == 2
        assert len(pieces["token_type_ids"]) == len(pieces["input_ids"])
    for ids in encode_texts([first for first, _ in pairs], tokenizer, length):
        assert 2 <= len(ids) <= length


def test_chunks_keep_the_order(tokenizer, monkeypatch):
    texts = ["a" * length for length in range(1, 8)]
    whole = encode_texts(texts, tokenizer, 32), encode_pairs([(t, t) for t in texts], tokenizer, 32)
    monkeypatch.setattr("unibert.tasks.pairs._CHUNK", 3)
    assert (encode_texts(texts, tokenizer, 32), encode_pairs([(t, t) for t in texts], tokenizer, 32)) == whole
    assert [len(ids) for ids in whole[0]] == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", ["bert", "one type", "distilbert"])
def test_token_types_are_for_models_that_know_two(tmp_path, tokenizer, kind):
    """A RoBERTa has one type, a DistilBERT takes none: both would fail on a second."""
    from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

    if kind == "bert":
        write_tiny_bert(tmp_path)
    elif kind == "one type":
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            type_vocab_size=1,
        )
        BertForMaskedLM(config).save_pretrained(tmp_path)
    else:
        config = DistilBertConfig(vocab_size=len(tokenizer), dim=16, n_layers=1, n_heads=2, hidden_dim=16)
        DistilBertForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, own = nli.load(find_encoder(tmp_path), ["no", "yes"], SETTINGS)
    pairs = [Pair("mister", "in", "yes"), Pair("in in", "a", "no")]
    features = nli.features(pairs, own, ["no", "yes"], SETTINGS)
    assert ("token_type_ids" in features[0]) == (kind == "bert")
    assert model(**nli.collate(features, own)).logits.shape == (2, 2)
    assert set(nli.predict(model, own, pairs, SETTINGS)) <= {"no", "yes"}
