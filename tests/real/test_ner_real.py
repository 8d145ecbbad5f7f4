"""The NER data beside the project: known counts, every file readable, mBERT's pieces stay aligned."""

import random

import pytest

from ner_support import conlleval
from unibert.tasks.conll import read_conll
from unibert.tasks.ner import encode, entity_scores, label_names

COUNTS = {
    "esp.train": (8323, 264715),
    "esp.testa": (1915, 52923),
    "esp.testb": (1517, 51533),
    "ned.train": (15806, 202644),
    "ned.testa": (2895, 37687),
    "ned.testb": (5195, 68875),
}


@pytest.mark.parametrize("name", COUNTS)
def test_conll2002(shared_data, name):
    sentences = read_conll(shared_data / "ner" / "conll2002" / name)
    assert (len(sentences), sum(len(sentence.words) for sentence in sentences)) == COUNTS[name]
    assert [label[2:] for label in label_names(sentences) if label[0] == "B"] == ["LOC", "MISC", "ORG", "PER"]


def test_an_entity_that_begins_with_i_is_counted(shared_data):
    """The Spanish files have one such slip each; conlleval, and so every published score, counts it as an entity."""
    path = shared_data / "ner" / "conll2002" / "esp.testb"
    begun = sum(line.split(" ")[-1].startswith("B-") for line in path.read_text(encoding="utf-8").split("\n"))
    sentences = read_conll(path)
    assert sum(tag[0] == "B" for sentence in sentences for tag in sentence.tags) == begun + 1 == 3559


@pytest.mark.parametrize("folder", ["panx", "legal"])
def test_every_file_can_be_read(shared_data, folder):
    files = sorted((shared_data / "ner" / folder).rglob("*.gz"))
    assert files
    for path in files:
        assert len(read_conll(path)) > 100


def test_the_original_encoding_is_refused_with_the_way_out(shared_data, tmp_path):
    from unibert.errors import DataError

    text = (shared_data / "ner" / "conll2002" / "esp.testa").read_text(encoding="utf-8")
    path = tmp_path / "esp.testa"
    path.write_bytes(text.encode("latin-1", errors="replace"))
    with pytest.raises(DataError, match=r"esp.testa:\d+: not UTF-8[\s\S]*iconv -f ISO-8859-1"):
        read_conll(path)


def test_mbert_pieces_stay_aligned(shared_data):
    from transformers import PreTrainedTokenizerFast

    from unibert.tokenizer_files import load_tokenizer_file

    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    backend = load_tokenizer_file(str(shared_data / "mbert" / "vocab.txt"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    words = [sentence.words for sentence in read_conll(shared_data / "ner" / "panx" / "dev-ar.tsv.gz")]
    words += [sentence.words for sentence in read_conll(shared_data / "ner" / "panx" / "dev-zh.tsv.gz")]
    for sentence, pieces in zip(words, encode(words, tokenizer, 512), strict=True):
        assert len(pieces.first) == len(sentence)
        assert all(place > 0 for place in pieces.first) or len(pieces.ids) == 512


@pytest.mark.parametrize("name", ["esp.testb", "ned.testb"])
def test_scores_equal_conlleval_on_real_tags(shared_data, name):
    """Predictions that are wrong in one tag of ten, in any way a model may be: no valid IOB2 either."""
    chooser = random.Random(1)
    gold = [sentence.tags for sentence in read_conll(shared_data / "ner" / "conll2002" / name)]
    labels = sorted({tag for tags in gold for tag in tags})
    predicted = [[chooser.choice(labels) if chooser.random() < 0.1 else tag for tag in tags] for tags in gold]
    scores = entity_scores(gold, predicted)
    assert 40 < scores["f1"] < 90
    assert {key: scores[key] for key in ("f1", "precision", "recall", "support")} == pytest.approx(
        conlleval(gold, predicted)
    )
