"""Trimming under mBERT's vocabulary of 119,547 pieces and real text of languages in several scripts."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM, BertTokenizer

from unibert.deploy.trim import Trimmed, trim_on_files
from unibert.deploy.trim_pieces import Choice
from unibert.errors import DataError
from unibert.universality.sentences import find_texts

LANGUAGES = ["de", "hi", "sw", "zh"]
LINES = 1500


@pytest.fixture(scope="module")
def model(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mBERT's tokenizer as transformers builds it from its vocabulary, and a tiny model with random weights."""
    folder = tmp_path_factory.mktemp("mbert")
    tokenizer = BertTokenizer(str(shared_data / "mbert" / "vocab.txt"), do_lower_case=False)
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    bert = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **shape))
    torch.nn.init.normal_(bert.cls.predictions.bias)
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> dict[str, list[str]]:
    return find_texts([shared_data / "text"], LANGUAGES, LINES, 1)[0]


@pytest.fixture(scope="module")
def trimmed(model: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trimmed]:
    folder = tmp_path_factory.mktemp("trimmed") / "four"
    return folder, trim_on_files(model, folder, [shared_data / "text"], LANGUAGES, least=0.8, most=LINES)


def test_texts_that_had_a_say_are_spelled_as_before(
    model: Path, texts: dict[str, list[str]], trimmed: tuple[Path, Trimmed]
) -> None:
    old, new = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (model, trimmed[0]))
    theirs = BertTokenizer.from_pretrained(model)
    for code, own in texts.items():
        own = own[: -(len(own) // 10)]
        before, after = (encoder.encode_batch(own) for encoder in (old, new))
        known = [pair for pair in zip(before, after, strict=True) if "[UNK]" not in pair[0].tokens]
        assert len(known) > len(own) / 2, code
        assert all(one.tokens == other.tokens and one.offsets == other.offsets for one, other in known), code
        assert theirs.convert_ids_to_tokens(theirs(own[0])["input_ids"]) == before[0].tokens


def test_logits_of_real_text(model: Path, texts: dict[str, list[str]], trimmed: tuple[Path, Trimmed]) -> None:
    (old, theirs), (new, ours) = (
        (AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder))
        for folder in (model, trimmed[0])
    )
    names = ours.convert_ids_to_tokens(range(len(ours)))
    columns = theirs.convert_tokens_to_ids(names)
    for own in texts.values():
        for text in own[:5]:
            one, other = (
                encoder(text, return_tensors="pt", truncation=True, max_length=64) for encoder in (theirs, ours)
            )
            if theirs.unk_token_id in one["input_ids"]:
                continue
            with torch.no_grad():
                torch.testing.assert_close(new(**other).logits, old(**one).logits[..., columns])


def test_what_is_left(model: Path, trimmed: tuple[Path, Trimmed]) -> None:
    folder, found = trimmed
    pieces = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    whole = Tokenizer.from_file(str(model / "tokenizer.json")).get_vocab()
    assert found.before.pieces == 119_547 and 10_000 < found.after.pieces < 30_000
    alphabets = [piece for piece in whole if len(piece.removeprefix("##")) == 1]
    for first, last in (("a", "z"), ("ß", "ö"), ("अ", "ह"), ("一", "鿿")):
        own = {piece for piece in alphabets if first <= piece[-1] <= last}
        # Chinese characters are set apart, so that none is within a word.
        assert {piece for piece in own if first != "一" or len(piece) == 1} <= {*pieces}
    assert not any("一" <= piece[-1] <= "鿿" for piece in pieces if piece.startswith("##"))
    assert not any("а" <= piece[-1] <= "я" for piece in pieces if len(piece.removeprefix("##")) > 1)
    for own in found.coverage.values():
        assert 0.85 < own.pieces <= 1 and own.unknown_after <= own.unknown_before + 0.005
    assert json.loads((folder / "trim.json").read_text())["check"]["largest_difference"] < 1e-5


def test_what_mbert_cannot_spell_is_refused(model: Path, shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dv: .* the model itself cannot spell it .* lost characters"):
        trim_on_files(model, tmp_path / "t", [shared_data / "text"], ["dv"], most=LINES)
    with pytest.raises(DataError, match="pieces are fewer than the"):
        trim_on_files(model, tmp_path / "t", [shared_data / "text"], ["de"], Choice(pieces=300), most=200)
    assert not list(tmp_path.iterdir())
