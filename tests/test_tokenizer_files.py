import pytest
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from unibert.errors import DataError
from unibert.tokenizer_files import SPECIAL_TOKENS, load_tokenizer_file

PIECES = [*SPECIAL_TOKENS, "Caf", "##é", "the", ".", "東", "京", "\u2028"]


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return path


def test_a_vocabulary_is_cased_bert(vocabulary):
    tokenizer = load_tokenizer_file(str(vocabulary))
    assert tokenizer.get_vocab() == {piece: number for number, piece in enumerate(PIECES)}
    encoding = tokenizer.encode("the Café\u0007 東京.")
    assert encoding.tokens == ["[CLS]", "the", "Caf", "##é", "東", "京", ".", "[SEP]"]
    assert isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
    assert tokenizer.encode("The cafe").tokens == ["[CLS]", "[UNK]", "[UNK]", "[SEP]"]  # neither case nor accents fold
    assert tokenizer.encode("the", "the").type_ids == [0, 0, 0, 1, 1]
    assert tokenizer.decode(tokenizer.encode("the Café").ids) == "the Café"


def test_a_file_and_a_folder_are_the_same_tokenizer(vocabulary, tmp_path):
    first = load_tokenizer_file(str(vocabulary))
    assert load_tokenizer_file(str(tmp_path)).to_str() == first.to_str()
    folder = tmp_path / "saved"
    folder.mkdir()
    first.save(str(folder / "tokenizer.json"))
    for name in (folder, folder / "tokenizer.json"):
        assert load_tokenizer_file(str(name)).to_str() == first.to_str()


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_line_ends_of_a_vocabulary_do_not_matter(tmp_path, ending):
    path = tmp_path / "vocab.txt"
    path.write_bytes(((ending or "\n").join(PIECES[:-1]) + ending).encode())
    assert load_tokenizer_file(str(path)).get_vocab_size() == len(PIECES) - 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nfoo\n", r"\[MASK\] not among"),
        ("vocab.txt", b"", r"\[PAD\], \[UNK\]"),
        ("vocab.txt", "\n".join([*SPECIAL_TOKENS, "a", "b", "a"]).encode(), r":8: the piece 'a' .* line 6"),
        ("vocab.txt", b"\xff\xfe", "UTF-8|cannot be read"),
        ("tokenizer.json", b"{}", "not a tokenizer file"),
        ("tokenizer.json", b"\x00\xff", "not a tokenizer file"),
        ("other.bin", b"[1]", "not a tokenizer file"),
    ],
)
def test_what_is_no_tokenizer_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_tokenizer_file(str(path))
    assert str(path) in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize("name", ["", "./nowhere", "/nowhere/vocab.txt", "nowhere.json", "a/b/c"])
def test_a_missing_file_is_not_looked_for_on_the_hub(name, monkeypatch):
    monkeypatch.setattr(Tokenizer, "from_pretrained", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match="no such tokenizer"):
        load_tokenizer_file(name)


def test_an_empty_folder_holds_no_tokenizer(tmp_path):
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        load_tokenizer_file(str(tmp_path))
