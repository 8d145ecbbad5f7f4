"""Finding and opening encoders: what is refused and how, and what a fingerprint depends on."""

import json
import os
import subprocess
import sys

import pytest

from ner_support import tiny_tokenizer, write_tiny_bert
from unibert.errors import DataError
from unibert.models.positions import position_limit
from unibert.recipe import FineTune
from unibert.tasks import ner
from unibert.tasks.encoder import find_encoder
from unibert.tasks.ner import encode

LABELS = ["O", "B-PER", "I-PER"]


@pytest.fixture
def model(tmp_path):
    return write_tiny_bert(tmp_path / "model")


def fails(source, *parts):
    with pytest.raises(DataError) as caught:
        ner.load(find_encoder(source), LABELS, FineTune())
    assert caught.value.fix
    for part in parts:
        assert part in str(caught.value)


def test_a_folder_without_a_tokenizer(model):
    (model / "tokenizer.json").unlink()
    fails(model, "no tokenizer", str(model))


def test_a_folder_that_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    fails(tmp_path, "not a model folder", "config.json")


def test_a_folder_without_weights(model):
    (model / "model.safetensors").unlink()
    fails(model, "no weights")


@pytest.mark.parametrize("name", ["runs/no/such/model", "./nothing", "/nothing"])
def test_a_path_that_is_not_there(name):
    fails(name, "no such folder")


def test_an_empty_name():
    fails("", "name is empty")


def test_a_damaged_configuration(model):
    (model / "config.json").write_text('{"model_type": "bert",')
    fails(model, "config.json", "not valid JSON")


def test_a_configuration_of_no_known_model(model):
    (model / "config.json").write_text('{"model_type": "abacus"}')
    fails(model, "cannot be loaded")


def test_truncated_weights(model):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    fails(model, "cannot be loaded")


def test_a_tokenizer_of_another_model(model):
    tiny_tokenizer(tuple(f"extra{number}" for number in range(50))).save_pretrained(model)
    fails(model, "tokenizer has", "embedding")


def test_a_hub_name_without_a_network(monkeypatch, tmp_path):
    """The library is told to be offline, and its cache is empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    fails("nobody/nothing-of-this-name", "hub", "network")


def test_the_fingerprint_is_of_the_content(model, tmp_path):
    before = find_encoder(model).fingerprint
    (model / "README.md").write_text("# A model")
    copy = model.rename(tmp_path / "renamed")
    assert find_encoder(copy, "student").fingerprint == before
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert find_encoder(copy).fingerprint != before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_the_fingerprint_depends_on_the_small_files(model, file):
    before = find_encoder(model).fingerprint
    tree = json.loads((model / file).read_text())
    tree["note"] = "changed"
    (model / file).write_text(json.dumps(tree))
    assert find_encoder(model).fingerprint != before


def test_a_model_fine_tuned_before_gets_a_new_head(model, tmp_path):
    import torch

    first, tokenizer = ner.load(find_encoder(model), ["O", "B-X", "I-X", "B-Y", "I-Y"], FineTune())
    first.save_pretrained(tmp_path / "tuned")
    tokenizer.save_pretrained(tmp_path / "tuned")
    second, _ = ner.load(find_encoder(tmp_path / "tuned"), LABELS, FineTune())
    assert list(second.config.id2label.values()) == LABELS
    assert second.classifier.weight.shape[0] == 3
    assert torch.equal(first.bert.embeddings.word_embeddings.weight, second.bert.embeddings.word_embeddings.weight)


def test_a_byte_level_encoder(tmp_path):
    """RoBERTa's kind: pieces begin with a space, positions count from the padding id."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {piece: number for number, piece in enumerate([*special, *alphabet, "Ġa"])}
    backend = Tokenizer(models.BPE(vocabulary, [("Ġ", "a")], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    tokenizer.save_pretrained(tmp_path)
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
        pad_token_id=1,
    )
    RobertaForMaskedLM(config).save_pretrained(tmp_path)
    model, loaded = ner.load(find_encoder(tmp_path), LABELS, FineTune())
    assert position_limit(model) == 32
    encoded = encode([["a", "a", "ba"]], loaded, 32)[0]
    assert loaded.convert_ids_to_tokens(encoded.ids) == ["<s>", "Ġa", "Ġa", "Ġ", "b", "a", "</s>"]
    assert encoded.first == [1, 2, 3]


MOVED = """
import sys
from pathlib import Path
from transformers import AutoModelForTokenClassification
from unibert.tasks.encoder import find_encoder, load_with_head

main, other = sys.argv[1:]
encoder = find_encoder("owner/name")
before = Path(main).read_text()
Path(main).write_text(other)
model, _ = load_with_head(encoder, AutoModelForTokenClassification, "tests", ["O"])
moved = find_encoder("owner/name")
assert (encoder.revision, moved.revision) == (before, other), (encoder, moved)
assert encoder.fingerprint != moved.fingerprint
assert find_encoder("owner/name", revision=before) == encoder
again, _ = load_with_head(moved, AutoModelForTokenClassification, "tests", ["O"])
print(model.config.max_position_embeddings, again.config.max_position_embeddings)
"""


def test_a_hub_model_is_loaded_as_it_was_found(tmp_path):
    """Whoever uploads another version while a grid runs must not change what the later runs are made of."""
    place = tmp_path / "hub" / "models--owner--name"
    commits = ["a" * 40, "b" * 40]
    for commit, positions in zip(commits, (32, 64), strict=True):
        write_tiny_bert(place / "snapshots" / commit, positions=positions)
    main = place / "refs" / "main"
    main.parent.mkdir()
    main.write_text(commits[0])
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", MOVED, str(main), commits[1]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["32", "64"], done.stderr
