"""The folder of a sentence encoder: its files, the same embeddings piece by piece and by the library, and refusals."""

import json

import numpy as np
import pytest

from ner_support import tiny_tokenizer, write_tiny_bert
from unibert.errors import DataError
from unibert.models.neutral import fit_means, fit_projection, load_means
from unibert.tasks.encoder import find_encoder
from unibert.universality.sentence_encoder import MEANS_FILE, write_sentence_encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

TEXTS = ["mister Zamoli in bora", "in", "", "bona dora gosa Qelmi, 1234", "x. " * 90, "mister in bora"]
LABELS = ["de", "de", "en", "en", "ru", "ru"]


def write_tiny_modernbert(folder):
    tokenizer = tiny_tokenizer()
    config = transformers.ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), tokenizer.cls_token_id),
    )
    torch.manual_seed(0)
    transformers.ModernBertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[write_tiny_bert, write_tiny_modernbert])
def encoder(request, tmp_path_factory):
    return find_encoder(request.param(tmp_path_factory.mktemp("model")), "org/tiny")


def embed(folder, texts=TEXTS, length=64):
    """One by one, without padding: the mean of the last hidden states."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    with torch.no_grad():
        for text in texts:
            pieces = tokenizer(text, return_tensors="pt", truncation=True, max_length=length)
            rows.append(model(**pieces).last_hidden_state[0].mean(0).numpy())
    return np.stack(rows)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def fitted(encoder):
    rows = embed(encoder.source)
    return rows, fit_projection(rows, LABELS, 2), fit_means(rows, LABELS)


@pytest.fixture(scope="module")
def written(encoder, fitted, tmp_path_factory):
    _, projection, means = fitted
    folder = tmp_path_factory.mktemp("out") / "new" / "encoder"
    assert write_sentence_encoder(encoder, projection, means, folder) == folder
    return folder


def test_the_files_are_those_of_the_format(written, fitted):
    width = fitted[0].shape[1]
    assert read(written / "modules.json") == [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    pooling = read(written / "1_Pooling" / "config.json")
    assert pooling["word_embedding_dimension"] == width
    assert [mode for mode, on in pooling.items() if on is True] == ["pooling_mode_mean_tokens", "include_prompt"]
    assert read(written / "2_Dense" / "config.json") == {
        "in_features": width,
        "out_features": width,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    assert read(written / "sentence_bert_config.json") == {"max_seq_length": 64, "do_lower_case": False}
    assert read(written / "config_sentence_transformers.json")["similarity_fn_name"] == "cosine"
    assert (written / "tokenizer.json").is_file()
    assert not [path for path in written.parent.iterdir() if path != written], "something half-written is left"


def test_the_pieces_put_together_by_hand_are_the_projection(written, fitted):
    rows, projection, _ = fitted
    dense = read(written / "2_Dense" / "config.json")
    layer = torch.nn.Linear(dense["in_features"], dense["out_features"], dense["bias"])
    weights = safetensors.load_file(written / "2_Dense" / "model.safetensors")
    layer.load_state_dict({name.removeprefix("linear."): weight for name, weight in weights.items()})
    activation = getattr(torch.nn, dense["activation_function"].rsplit(".", 1)[1])()
    found = activation(layer(torch.from_numpy(embed(written)))).detach().numpy()
    assert np.allclose(found, projection.apply(rows), atol=1e-4)
    assert np.linalg.norm(found) > 0.01
    assert np.allclose(found @ projection.directions_RD.T, 0, atol=1e-4), "a language direction is left"


def test_the_means_are_those_of_what_the_folder_puts_out(written, fitted, encoder):
    rows, projection, _ = fitted
    found = load_means(written / MEANS_FILE, encoder.fingerprint, rows.shape[1])
    own = projection.apply(rows)
    for language in ("de", "en", "ru"):
        wanted = own[[place for place, label in enumerate(LABELS) if label == language]].mean(axis=0)
        assert np.allclose(found[language], wanted, atol=1e-4)


def test_sentence_transformers_loads_it_as_it_is(written, fitted):
    library = pytest.importorskip("sentence_transformers")
    rows, projection, _ = fitted
    model = library.SentenceTransformer(str(written), device="cpu")
    assert model.max_seq_length == 64
    assert np.allclose(model.encode(TEXTS), projection.apply(rows), atol=1e-4)
    assert model.similarity_fn_name == "cosine"


def test_it_is_an_encoder_for_everything_else_too(written, fitted):
    again = find_encoder(written)
    assert np.allclose(embed(again.source), fitted[0], atol=1e-5)


@pytest.mark.parametrize("with_means", [True, False])
def test_without_a_projection_it_is_the_plain_encoder(encoder, fitted, tmp_path, with_means):
    rows, _, means = fitted
    folder = write_sentence_encoder(encoder, None, means if with_means else None, tmp_path / "plain", max_length=16)
    assert [module["path"] for module in read(folder / "modules.json")] == ["", "1_Pooling"]
    assert not (folder / "2_Dense").exists()
    assert read(folder / "sentence_bert_config.json")["max_seq_length"] == 16
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert ("means[language]" in card) == with_means
    assert (folder / MEANS_FILE).exists() == with_means
    assert "2_Dense" not in card
    if with_means:
        found = load_means(folder / MEANS_FILE, encoder.fingerprint)
        assert all(np.array_equal(found[language], means[language]) for language in means)
    assert np.allclose(embed(folder), rows, atol=1e-5)


def test_the_card_says_what_was_done_and_names_no_place(written, encoder):
    card = (written / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: sentence-transformers\n")
    assert "removes the mean of 3 languages and 2 directions" in card
    assert "Fitted on: de, en, ru." in card
    assert encoder.fingerprint in card
    assert encoder.source not in card


def test_files_can_be_read_by_all(written):
    modes = {path.name: path.stat().st_mode & 0o077 for path in written.rglob("*") if path.is_file()}
    assert all(mode & 0o044 for mode in modes.values()), modes


def test_what_does_not_fit_is_refused_and_leaves_nothing(encoder, fitted, tmp_path):
    rows, projection, means = fitted
    narrow = fit_projection(rows[:, :7], LABELS)
    with pytest.raises(DataError, match="the projection 7"):
        write_sentence_encoder(encoder, narrow, None, tmp_path / "a")
    with pytest.raises(DataError, match="the mean of en is not"):
        write_sentence_encoder(encoder, projection, {"de": means["de"], "en": means["en"][:7]}, tmp_path / "a")
    with pytest.raises(DataError, match="the mean of de is not"):
        write_sentence_encoder(encoder, projection, {"de": means["de"] * np.nan}, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("years of work")
    for place in (tmp_path / "there", tmp_path / "there" / "thesis.txt"):
        with pytest.raises(DataError, match="there is something there already"):
            write_sentence_encoder(encoder, projection, means, place)
    assert (tmp_path / "there" / "thesis.txt").read_text() == "years of work"


def test_a_stop_while_it_is_written_leaves_nothing(encoder, fitted, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("unibert.universality.sentence_encoder._card", stop)
    with pytest.raises(KeyboardInterrupt):
        write_sentence_encoder(encoder, *fitted[1:], tmp_path / "a")
    assert not list(tmp_path.iterdir())
