"""Embeddings: the same as one text at a time through the bare model, in any order and batch, at every layer."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ner_support import FILLERS, tiny_tokenizer, write_tiny_bert
from unibert.errors import DataError
from unibert.tasks.encoder import find_encoder
from unibert.universality.embedding import Embedder, _batches, spelling

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
KINDS = {
    "bert": lambda size: transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=size, **SIZES)),
    "xlm-r": lambda size: transformers.XLMRobertaForMaskedLM(
        transformers.XLMRobertaConfig(vocab_size=size, pad_token_id=0, max_position_embeddings=41, **SIZES)
    ),
    "modernbert": lambda size: transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(vocab_size=size, max_position_embeddings=64, **SIZES, **IDS)
    ),
}
TEXTS = ["in mister", "", "x", " ".join(FILLERS[:17]), "in in mister a b c", "é", "[MASK] in", "zz y", "mister " * 200]


def write_model(folder, kind):
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = KINDS[kind](len(tokenizer))
        for weight in model.parameters():
            weight.data += 0.2 * torch.randn_like(weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def embedder(folder):
    return Embedder(find_encoder(folder), max_length=32, batch_tokens=60, precision="float32")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("bert"), "bert")


def one_by_one(folder, texts, length):
    """Each text through the bare model, without padding: [L, N, D]."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        pieces = tokenizer(text, truncation=True, max_length=length, split_special_tokens=True, return_tensors="pt")
        with torch.no_grad():
            output = model(pieces["input_ids"], output_hidden_states=True)
        states = [*output.hidden_states[:-1], output.last_hidden_state]
        rows.append([state[0].mean(0).numpy() for state in states])
    return np.array(rows).swapaxes(0, 1)


def test_every_layer_equals_one_text_at_a_time(folder, embedder):
    found = embedder.embed(TEXTS)
    assert found.layers_LND.dtype == np.float32
    assert found.layers_LND.shape == (embedder.layers + 1, len(TEXTS), embedder.hidden) == (4, 9, 16)
    np.testing.assert_allclose(found.layers_LND, one_by_one(folder, TEXTS, 32), atol=2e-6)
    assert np.abs(np.diff(found.layers_LND, axis=0)).max() > 0.1, "the layers are all the same: the test says nothing"


def test_order_and_batches_do_not_matter(folder, embedder):
    whole = embedder.embed(TEXTS).layers_LND
    turned = embedder.embed(TEXTS[::-1]).layers_LND[:, ::-1]
    np.testing.assert_allclose(turned, whole, atol=2e-6)
    for tokens in (1, 10_000):
        other = Embedder(find_encoder(folder), max_length=32, batch_tokens=tokens, precision="float32")
        np.testing.assert_allclose(other.embed(TEXTS).layers_LND, whole, atol=2e-6)


@pytest.mark.parametrize("layers", [[3], [0], [2, 0], [3, 1]])
def test_some_layers_only(embedder, layers):
    np.testing.assert_allclose(
        embedder.embed(TEXTS, layers).layers_LND, embedder.embed(TEXTS).layers_LND[layers], atol=2e-6
    )


@pytest.mark.parametrize("layers", [[4], [-1], []])
def test_layers_that_are_not_there(embedder, layers):
    with pytest.raises(DataError, match=r"0 \(embeddings\) to 3"):
        embedder.embed(TEXTS, layers)


def test_pieces_are_counted_without_special_ones(embedder):
    found = embedder.embed(["in mister", "", "é in", "mister " * 200])
    assert (found.pieces, found.unknown) == (2 + 0 + 2 + 30, 1)
    assert embedder.embed(["[MASK]"]).pieces > 1, "it is six characters, not a special piece"


def test_the_model_s_positions_limit_the_texts(folder):
    long = Embedder(find_encoder(folder), max_length=10_000, precision="float32").embed(["mister " * 30_000])
    positions = {"bert": 512, "xlm-roberta": 40, "modernbert": 64}
    assert long.pieces + 2 == positions[transformers.AutoConfig.from_pretrained(folder).model_type]


def test_what_it_tells_of_the_model(folder, embedder):
    model = transformers.AutoModel.from_pretrained(folder)
    pooler = sum(weight.numel() for name, weight in model.named_parameters() if name.startswith("pooler"))
    assert embedder.parameters == model.num_parameters() - pooler
    assert (embedder.layers, embedder.hidden) == (3, 16)


def test_the_bar_is_told_of_every_text(embedder):
    done = []
    embedder.embed(TEXTS, bar=done.append)
    assert sum(done) == len(TEXTS)
    assert len(done) > 2


def test_no_texts(embedder):
    found = embedder.embed([])
    assert found.layers_LND.shape == (4, 0, 16)
    assert (found.pieces, found.unknown) == (0, 0)


def test_texts_that_come_again_are_embedded_once(embedder):
    texts = ["in", "mister in", "in", "x y z", "mister in"]
    done = []
    distinct, places = embedder.embed_distinct(texts, bar=done.append)
    assert distinct.layers_LND.shape[1] == sum(done) == 3
    np.testing.assert_allclose(distinct.layers_LND[:, places], embedder.embed(texts).layers_LND, atol=2e-6)


def test_bfloat16_is_near(bert):
    exact, rough = (
        Embedder(find_encoder(bert), precision=precision).embed(TEXTS).layers_LND
        for precision in ("float32", "bfloat16")
    )
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    assert np.linalg.norm(exact - rough) < 0.02 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("weight", "layer"),
    [("embeddings.LayerNorm.weight", 0), ("encoder.layer.1.output.dense.weight", 2)],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_are_refused(bert, tmp_path, weight, layer, value):
    model = transformers.AutoModel.from_pretrained(bert)
    model.get_parameter(weight).data[:] = value
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    embedder = Embedder(find_encoder(tmp_path, "students/a"), precision="float32")
    with pytest.raises(DataError, match=rf"students/a.*not finite.*from layer {layer} on, first at text 1 \('x'\)"):
        embedder.embed(["x", "in"])


def test_one_damaged_piece_names_the_text_that_has_it(bert, tmp_path):
    model = transformers.AutoModel.from_pretrained(bert)
    tokenizer = tiny_tokenizer()
    model.get_input_embeddings().weight.data[tokenizer.convert_tokens_to_ids("Q")] = float("nan")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    embedder = Embedder(find_encoder(tmp_path))
    assert np.isfinite(embedder.embed(TEXTS).layers_LND).all()
    with pytest.raises(DataError, match=r"from layer 0 on, first at text 3 \('in Q'\)"):
        embedder.embed(["in", "mister", "in Q", "x", "Q y"])


def test_too_short_to_hold_a_word(bert):
    with pytest.raises(DataError, match="no room for words"):
        Embedder(find_encoder(bert), max_length=2)


def test_a_text_without_any_piece(bert, tmp_path):
    """A tokenizer that adds nothing of its own: the mean of no piece is no number."""
    from tokenizers.processors import TemplateProcessing

    transformers.AutoModel.from_pretrained(bert).save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B")
    tokenizer.save_pretrained(tmp_path)
    embedder = Embedder(find_encoder(tmp_path, "bare"))
    assert embedder.embed(["in mister"]).pieces == 2
    with pytest.raises(DataError, match=r"bare: text 2 \(''\) has no pieces"):
        embedder.embed(["in", ""])


def test_a_model_that_reads_no_text_alone(tmp_path):
    config = transformers.T5Config(
        vocab_size=200, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    transformers.T5Model(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="two-towers: T5Model cannot be run as an encoder of texts"):
        Embedder(find_encoder(tmp_path, "two-towers"))


def test_the_encoder_of_a_pair_is_measured_where_it_was_saved_alone(tmp_path):
    tokenizer = tiny_tokenizer()
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    model = transformers.T5EncoderModel(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    embedder = Embedder(find_encoder(tmp_path), precision="float32")
    ids = torch.tensor(tokenizer(["in mister"])["input_ids"])
    with torch.no_grad():
        expected = model(input_ids=ids).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(embedder.embed(["in mister"], [2]).layers_LND[0, 0], expected, atol=1e-5)


def write_modules(folder, kinds, activation="torch.nn.modules.linear.Identity", out=16):
    """What sentence-transformers has beside an encoder of width 16."""
    modules = [
        {"path": f"{place}_{kind}", "type": f"sentence_transformers.models.{kind}"} for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    if "Dense" in kinds:
        dense = folder / "2_Dense"
        dense.mkdir()
        (dense / "config.json").write_text(json.dumps({"activation_function": activation}))
        save_file(
            {"linear.weight": torch.eye(16)[:out] * 2, "linear.bias": torch.ones(out)}, dense / "model.safetensors"
        )


def test_a_linear_layer_after_the_mean_belongs_to_the_last_layer(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "model")
    plain = Embedder(find_encoder(bert), precision="float32")
    write_modules(tmp_path / "model", ["Transformer", "Pooling", "Dense"])
    other = Embedder(find_encoder(tmp_path / "model"), precision="float32")
    assert other.projected and not other.note and not plain.projected
    before, after = (embedder.embed(["in mister", "x"]).layers_LND for embedder in (plain, other))
    np.testing.assert_allclose(after[-1], 2 * before[-1] + 1, atol=1e-5)
    np.testing.assert_array_equal(after[:-1], before[:-1])
    assert find_encoder(tmp_path / "model").fingerprint != find_encoder(bert).fingerprint


@pytest.mark.parametrize(
    ("kinds", "more", "told"),
    [
        (
            ["Transformer", "Pooling", "Dense", "Normalize"],
            {},
            "Normalize, which is not supported; what is measured is the mean",
        ),
        (["Transformer", "Pooling", "Dense"], {"activation": "torch.nn.Tanh"}, "a layer with Tanh"),
        (["Transformer", "Pooling", "Dense"], {"out": 8}, "a layer from 16 to 8 numbers"),
    ],
)
def test_what_is_not_applied_after_the_mean_is_told(kinds, more, told, bert, tmp_path):
    shutil.copytree(bert, tmp_path / "model")
    write_modules(tmp_path / "model", kinds, **more)
    embedder = Embedder(find_encoder(tmp_path / "model"), precision="float32")
    assert told in embedder.note and not embedder.projected
    plain = Embedder(find_encoder(bert), precision="float32").embed(["in mister"]).layers_LND
    np.testing.assert_array_equal(embedder.embed(["in mister"]).layers_LND, plain)


def test_a_model_without_its_tokenizer(bert, tmp_path):
    transformers.AutoModel.from_pretrained(bert).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="no tokenizer"):
        Embedder(find_encoder(tmp_path))


def test_it_reads_what_a_bi_encoder_reads(tmp_path):
    """The last layer is what a fine-tuned bi-encoder compares texts by."""
    from unibert.tasks.batches import padded
    from unibert.tasks.bi_encoder import load_bi_encoder

    encoder = find_encoder(write_tiny_bert(tmp_path))
    model, tokenizer = load_bi_encoder(encoder)
    features = [{"input_ids": ids} for ids in tokenizer(["in mister", "x y"])["input_ids"]]
    with torch.no_grad():
        expected = model.eval().embed(**padded(features, tokenizer)).numpy()
    found = Embedder(encoder, precision="float32").embed(["in mister", "x y"], [1]).layers_LND[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 100))
def test_batches_hold_every_text_once_and_no_more_than_they_may(lengths, tokens):
    batches = [rows.tolist() for rows in _batches(np.array(lengths, np.int64), tokens)]
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= tokens


# --- spelling ---


def test_spelling():
    found = spelling(tiny_tokenizer(), ["in mister", "  abc é "])
    # in, mister, a, ##b, ##c, [UNK] for 4 words of 12 characters
    assert found.model_dump() == {"sentences": 2, "fertility": 6 / 4, "per_character": 6 / 12, "unknown": 1 / 6}


def test_spelling_reads_long_texts_to_their_end(recwarn):
    assert spelling(tiny_tokenizer(), ["in " * 5000 + "é"]).unknown == 1 / 5001
    assert not recwarn.list


def test_spelling_of_nothing():
    for texts in ([], ["", " "]):
        with pytest.raises(DataError, match="no word"):
            spelling(tiny_tokenizer(), texts)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5))
def test_spelling_equals_a_plain_count(texts):
    if not "".join(texts).split():
        return
    tokenizer = tiny_tokenizer()
    pieces = [
        piece for text in texts for piece in tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).tokens
    ]
    found = spelling(tokenizer, texts)
    assert found.fertility * sum(len(text.split()) for text in texts) == pytest.approx(len(pieces))
    assert found.unknown * len(pieces) == pytest.approx(pieces.count("[UNK]"))
