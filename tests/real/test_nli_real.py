"""The inference data beside the project: known counts, whole texts, and pieces that fit."""

import gzip

import pytest

from unibert.tasks import nli
from unibert.tasks.data import Split
from unibert.tasks.pairs import encode_pairs

LANGUAGES = "ar bg de el en es fr hi ru sw th tr ur vi zh".split()


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "nli" / "xnli"


def test_the_languages(folder):
    assert sorted(path.name for path in folder.glob("*.gz")) == [f"dev-{language}.tsv.gz" for language in LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_xnli_dev(folder, language):
    path = folder / f"dev-{language}.tsv.gz"
    pairs = nli.read(path, {})
    assert len(pairs) == 2490
    assert nli.label_names(pairs) == ["contradiction", "entailment", "neutral"]
    assert [sum(pair.label == label for pair in pairs) for label in nli.label_names(pairs)] == [830, 830, 830]
    nli.check(Split(str(path), "", pairs), nli.label_names(pairs), "itself")
    # Nothing is taken for a quote, a header or an end of line, and nothing is trimmed.
    written = "".join(f"{pair.premise}\t{pair.hypothesis}\t{pair.label}\n" for pair in pairs)
    assert written == gzip.decompress(path.read_bytes()).decode()


def test_the_languages_are_parallel(folder):
    labels = {
        language: [pair.label for pair in nli.read(folder / f"dev-{language}.tsv.gz", {})]
        for language in "ar zh".split()
    }
    assert labels["ar"] == labels["zh"]


def test_mberts_pieces(folder, shared_data):
    """Short sentences: with mBERT's pieces nothing of them is cut at 256, and both texts are in every one."""
    from transformers import PreTrainedTokenizerFast

    from unibert.tokenizer_files import load_tokenizer_file

    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    backend = load_tokenizer_file(str(shared_data / "mbert" / "vocab.txt"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    for language in ("sw", "th"):
        pairs = nli.read(folder / f"dev-{language}.tsv.gz", {})
        encoded = encode_pairs([(pair.premise, pair.hypothesis) for pair in pairs], tokenizer, 256)
        assert all(pieces["input_ids"].count(tokenizer.sep_token_id) == 2 for pieces in encoded)
        assert max(len(pieces["input_ids"]) for pieces in encoded) <= 256
