import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from unibert.corpus.counting import count_words, token_counter
from unibert.errors import DataError
from unibert.tokenizer_files import SPECIAL_TOKENS

NORMALIZER = BertNormalizer(lowercase=False, strip_accents=False)


def bert_pieces(text):
    return len(BertPreTokenizer().pre_tokenize_str(NORMALIZER.normalize_str(text)))


LETTERS = "abcäßñçéđаяЖіїαωאבשابتहिन्दीবাংলাதமிழ்가나다中国人都 0123456789.,;:!?()«»„“”'\"-–—/%&*+<=>@[]_{}|~。、、؟"


@given(st.text(st.sampled_from(LETTERS)))
def test_words_are_cut_as_bert_cuts_them(text):
    assert count_words(text) == bert_pieces(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("   ", 0), ("Ein Fluss.", 3), ("中国", 2), ("ひらがな", 2), ("กขคงจฉ", 2), ("हिन्दी भाषा", 2)],
)
def test_scripts_without_spaces_do_not_count_as_one_word(text, count):
    assert count_words(text) == count


def test_a_tokenizer_counts_its_pieces_and_no_special_tokens(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, "Ein", "Flu", "##ss", "."]))
    assert token_counter(str(path))("Ein Fluss. Ein") == 5
    assert token_counter(None) is count_words


def test_a_tokenizer_that_is_not_there(tmp_path):
    with pytest.raises(DataError):
        token_counter(str(tmp_path / "vocab.txt"))
