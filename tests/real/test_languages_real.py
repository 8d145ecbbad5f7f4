"""What `PAPER_CODES` claims of spelling: which Wikipedias mBERT's vocabulary can write."""

import gzip
import re

import pytest
from tokenizers import BertWordPieceTokenizer

from unibert.languages import PAPER_CODES


@pytest.fixture(scope="module")
def unknown_words(shared_data):
    """The share of a language's words, in its text, that mBERT's vocabulary turns into [UNK]."""
    tokenizer = BertWordPieceTokenizer(str(shared_data / "mbert" / "vocab.txt"), lowercase=False, strip_accents=False)
    unknown = tokenizer.token_to_id("[UNK]")

    def share(code):
        path = shared_data / "text" / f"{code}.txt.gz"
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            words = re.findall(r"\w+", stream.read(300_000))
        encodings = tokenizer.encode_batch(words, add_special_tokens=False)
        return sum(unknown in encoding.ids for encoding in encodings) / len(words)

    return share


@pytest.mark.parametrize("code", ["ia", "ku"])
def test_the_languages_added_to_mbert_s_can_be_spelt(unknown_words, code):
    assert code in PAPER_CODES
    assert unknown_words(code) < 0.001


@pytest.mark.parametrize("code", ["eo", "ha"])
def test_larger_ones_were_left_out_because_they_cannot(unknown_words, code):
    assert code not in PAPER_CODES
    assert unknown_words(code) > 0.03
