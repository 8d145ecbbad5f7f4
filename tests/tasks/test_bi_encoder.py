"""The bi-encoder: texts apart, the mean of their real pieces, cosines that learn, and a folder that anyone can load."""

import pytest

from ner_support import write_tiny_bert
from pair_support import scored_pairs, train_briefly
from unibert.models.positions import position_limit
from unibert.recipe import FineTune
from unibert.tasks import sts
from unibert.tasks.encoder import find_encoder
from unibert.tasks.sts import ScoredPair

torch = pytest.importorskip("torch")

SETTINGS = FineTune(epochs=6, batch_size=16, max_length=40, precision="float32", sts="bi-encoder")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded(base):
    model, tokenizer = sts.load(find_encoder(base), [], SETTINGS)
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def trained(base):
    torch.manual_seed(1)
    model, tokenizer = sts.load(find_encoder(base), [], SETTINGS)
    return model, tokenizer, train_briefly(sts, model, tokenizer, scored_pairs(250, 1), [], SETTINGS)


def test_features_are_two_texts_the_longer_first(loaded):
    _, tokenizer = loaded
    samples = [ScoredPair("in", "in in mister", 1.0), ScoredPair("mister " * 60, "in", 3.0)]
    features = sts.features(samples, tokenizer, [], SETTINGS)
    assert tokenizer.convert_ids_to_tokens(features[0]["input_ids"])[1:-1] == ["in", "in", "mister"]
    assert tokenizer.convert_ids_to_tokens(features[0]["second_ids"])[1:-1] == ["in"]
    assert len(features[1]["input_ids"]) == 40
    assert [feature["labels"] for feature in features] == [0.0, 1.0]
    batch = sts.collate(features, tokenizer)
    assert batch["input_ids"].shape == (4, 40)
    assert batch["attention_mask"].sum(1).tolist() == [5, 3, 40, 3]
    assert batch["labels"].tolist() == [0.0, 1.0]


def test_the_output_is_the_cosine_of_means_over_real_pieces(loaded):
    """Against a plain computation, one text at a time, without padding."""
    model, tokenizer = loaded
    samples = [ScoredPair("in mister", "a b c d e f g", 0.0), ScoredPair("bona", "mister " * 9, 1.0)]
    with torch.no_grad():
        expected = []
        for pair in samples:
            means = [
                model.encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
                for text in (pair.first, pair.second)
            ]
            expected.append((means[0] @ means[1] / means[0].norm() / means[1].norm()).item())
        batch = sts.collate(sts.features(samples, tokenizer, [], SETTINGS), tokenizer)
        output = model(**batch, output_hidden_states=True)
        vectors = model.embed(batch["input_ids"], batch["attention_mask"])
    assert output.logits.shape == (2, 1)
    assert output.logits[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
    assert output.loss.item() == pytest.approx((expected[0] ** 2 + (expected[1] - 1) ** 2) / 2, abs=1e-5)
    assert output.hidden_states[-1].shape[:2] == batch["input_ids"].shape
    assert torch.cosine_similarity(vectors[0], vectors[1], dim=0).item() == pytest.approx(expected[0], abs=1e-5)
    assert sts.predict(model, tokenizer, samples, SETTINGS) == pytest.approx(expected, abs=1e-5)


def test_the_order_of_the_texts_does_not_matter(loaded):
    model, tokenizer = loaded
    there = scored_pairs(10, 6)
    back = [ScoredPair(pair.second, pair.first, pair.score) for pair in there]
    found = [sts.predict(model, tokenizer, samples, SETTINGS) for samples in (there, back)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_equal_texts_are_equally_alike_whatever_their_length(loaded):
    samples = [ScoredPair(text, text) for text in (" ".join(["in mister bona"] * times) for times in range(1, 9))]
    assert set(sts.predict(*loaded, samples, SETTINGS)) == {1.0}


def test_a_tiny_model_learns_a_trivial_pattern(loaded, trained):
    samples = scored_pairs(60, 2)

    def score(model, tokenizer):
        return sts.scores(samples, sts.predict(model, tokenizer, samples, SETTINGS), "en")["pearson"]

    assert score(*trained[:2]) > 0.9
    assert score(*trained[:2]) > score(*loaded) + 0.02, "the pattern was there before training"
    assert trained[2][-1] < 0.5 * trained[2][0]


def test_a_saved_model_is_an_encoder_that_predicts_the_same(trained, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer, _ = trained
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    samples = scored_pairs(12, 4)
    expected = sts.predict(model, tokenizer, samples, SETTINGS)
    again, own = sts.load(find_encoder(tmp_path), [], SETTINGS)
    assert sts.predict(again, own, samples, SETTINGS) == expected
    plain = AutoModel.from_pretrained(tmp_path)
    pieces = AutoTokenizer.from_pretrained(tmp_path)(samples[0].first, return_tensors="pt")
    with torch.no_grad():
        vectors = [found(**pieces).last_hidden_state for found in (plain.eval(), model.encoder.eval())]
    assert torch.allclose(*vectors, atol=1e-6)


def test_it_behaves_as_a_model_of_transformers_does_where_that_is_asked(loaded):
    model, tokenizer = loaded
    assert model.config.hidden_size == 32
    assert str(model.device) == "cpu"
    assert position_limit(model) == 64
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert getattr(model, model.base_model_prefix) is model.base_model
    assert not [name for name, _ in model.named_parameters() if "pooler" in name], "a weight that nothing trains"


def test_long_pairs_are_predicted_in_small_batches(loaded, monkeypatch):
    model, tokenizer = loaded
    samples = scored_pairs(10, 7)
    whole = sts.predict(model, tokenizer, samples, SETTINGS)
    monkeypatch.setattr("unibert.tasks.batches.BATCH_TOKENS", 1)
    done = []
    assert sts.predict(model, tokenizer, samples, SETTINGS, done.append) == pytest.approx(whole, abs=1e-6)
    assert done == [1] * 10
