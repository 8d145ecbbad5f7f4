"""Reading tagged sentences: every accepted form, and an error with file and line for every other."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.tasks.conll import Sentence, read_conll, read_sentences, to_iob2
from unibert.tasks.ner import label_names

EXPECTED = [Sentence(("Ana", "Ruiz", "vive"), ("B-PER", "I-PER", "O")), Sentence(("Lima",), ("B-LOC",))]


@pytest.mark.parametrize(
    "text",
    [
        "Ana NC B-PER\nRuiz NC I-PER\nvive V O\n\nLima NC B-LOC\n",
        "Ana\tB-PER\nRuiz\tI-PER\nvive\tO\n\nLima\tB-LOC",
        "Ana B-PER\r\nRuiz I-PER\r\nvive O\r\n\r\nLima B-LOC\r\n",
        "\ufeffAna B-PER\nRuiz I-PER\nvive O\n\nLima B-LOC\n",
        "-DOCSTART- -X- -X- O\n\nAna NC c B-PER\nRuiz NC c I-PER\nvive V c O\n\n\n\nLima NC c B-LOC\n",
        "Ana NC B-PER\nRuiz NC I-PER\nvive V O\n-DOCSTART- -DOCSTART- O\nLima NC B-LOC\n",
        "Ana I-PER\nRuiz I-PER\nvive O\n \t\nLima I-LOC\n",
        "Ana  NC   B-PER \nRuiz NC I-PER\nvive V O\n\nLima NC B-LOC\n",
    ],
    ids=["spaces", "tabs", "crlf", "bom", "docstart", "docstart inside", "iob1", "aligned"],
)
def test_every_form_reads_the_same(tmp_path, text):
    path = tmp_path / "file.conll"
    path.write_bytes(text.encode())
    assert read_conll(path) == EXPECTED
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    assert read_conll(path) == EXPECTED


def test_a_token_may_hold_spaces_between_tabs_and_odd_line_ends(tmp_path):
    path = tmp_path / "file.tsv"
    path.write_bytes("New York\tB-LOC\na\u2028b\u0085c\tO\n".encode())
    assert read_conll(path) == [Sentence(("New York", "a\u2028b\u0085c"), ("B-LOC", "O"))]


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ["file", "empty"]),
        (b" \n\r\n", ["file", "empty"]),
        (b"-DOCSTART- O\n\n", ["no sentence"]),
        (b"Ana B-PER\nRuiz x I-PER\n", ["file:2", "3 columns found", "2 expected"]),
        (b"Ana NC B-PER\n\nRuiz I-PER\n", ["file:3", "2 columns found", "3 expected"]),
        (b"Ana B-PER\nRuiz\n", ["file:2", "1 columns found"]),
        (b"Ana\nRuiz B-PER\n", ["file:2", "2 columns found, 1 expected"]),
        (b"\tO\n", ["file:1", "token is empty"]),
        (b"a O\nAna S-PER\n", ["file:2", "'S-PER'", "IOB2"]),
        (b"a O\nAna B-\n", ["file:2", "'B-'"]),
        (b"a O\nAna B\n", ["file:2", "'B'"]),
        (b"a O\nAna\tPER \t\n", ["file:2", "3 columns"]),
        (b"a\tO\n\nAna\tPER\n", ["file:3", "'PER'"]),
        ("a O\n\nespañola O\n".encode("latin-1"), ["file:3", "UTF-8", "0xf1", "iconv -f ISO-8859-1"]),
        ("a O\n".encode("utf-16"), ["file:1", "UTF-16", "iconv -f UTF-16 "]),
        (b"1\tAna\tB-PER\n2\tva\tO\n\n1\tLeo\tB-PER\n", ["file", "first column numbers the tokens"]),
        (gzip.compress(b"Ana B-PER\n" * 50, mtime=0)[:-12], ["damaged gzip"]),
    ],
)
def test_bad_files_are_told_with_their_line(tmp_path, data, parts):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_conll(path)
    assert caught.value.fix
    for part in parts:
        assert part in str(caught.value)


def test_lines_that_end_in_carriage_returns_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"Ana B-PER\rva O\r\rQuito B-LOC\r")
    assert read_conll(path) == [Sentence(("Ana", "va"), ("B-PER", "O")), Sentence(("Quito",), ("B-LOC",))]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_conll(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_conll(tmp_path)


TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), max_size=12)


@given(TAGS)
def test_iob2_is_left_alone_and_every_entity_begins_with_b(tags):
    converted = to_iob2(tags)
    assert to_iob2(converted) == converted
    before = "O"
    for tag in converted:
        assert tag[0] != "I" or before[1:] == tag[1:]
        before = tag


@given(st.lists(st.tuples(st.sampled_from(["O", "A", "B"]), st.integers(1, 3)), max_size=8))
def test_iob1_and_iob2_of_the_same_entities_read_the_same(entities):
    """IOB1 writes B- only where an entity follows another of its type at once."""
    iob1, iob2, before = [], [], None
    for kind, length in entities:
        if kind == "O":
            iob1 += ["O"] * length
            iob2 += ["O"] * length
        else:
            iob1 += [("B-" if before == kind else "I-") + kind] + [f"I-{kind}"] * (length - 1)
            iob2 += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        before = kind
    assert to_iob2(iob1) == iob2


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_characters="\t\n\r\ufeff", exclude_categories=("Cs",)), min_size=1)
                .filter(str.strip)
                .filter(lambda token: token != "-DOCSTART-"),
                st.sampled_from(["O", "B-X", "B-Y"]),
            ),
            min_size=1,
        ),
        min_size=1,
    )
)
def test_what_is_written_with_tabs_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("conll") / "file"
    text = "\n\n".join("\n".join(f"{token}\t{tag}" for token, tag in sentence) for sentence in rows)
    path.write_bytes(text.encode())
    assert [list(zip(found.words, found.tags, strict=True)) for found in read_conll(path)] == rows


def test_label_names_are_complete_and_sorted():
    assert label_names(EXPECTED) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert label_names([Sentence(("a",), ("O",))]) == ["O"]


# JSON lines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (
            '{"tokens": ["Ana", "Ruiz", "vive"], "tags": ["B-PER", "I-PER", "O"]}\n'
            '{"tokens": ["Lima"], "tags": ["I-LOC"]}\n',
            {},
        ),
        ('{"tokens": "Ana Ruiz vive", "tags": "I-PER I-PER O"}\n\n{"tokens": ["Lima"], "tags": "B-LOC"}', {}),
        (
            '{"id": 1, "words": ["Ana", "Ruiz", "vive"], "fine": ["O", "O", "O"], "coarse": ["B-PER", "I-PER", "O"]}\n'
            '{"id": 2, "words": ["Lima"], "fine": ["B-CITY"], "coarse": ["B-LOC"]}',
            {"tokens": "words", "tags": "coarse"},
        ),
    ],
    ids=["lists", "texts", "other names"],
)
def test_json_lines_read_the_same(tmp_path, text, columns):
    path = tmp_path / "file.jsonl"
    path.write_text(text)
    assert read_sentences(path, columns) == EXPECTED


def test_without_tags_there_are_words_to_predict_on(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"tokens": ["Ana", " ", "\\u200b"]}')
    assert read_sentences(path, {}) == [Sentence(("Ana", " ", "\u200b"), ())]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('{"tokens": ["Ana"], "tags": ["B-PER", "O"]}', ["1 tokens and 2 tags"]),
        ('{"tokens": [], "tags": []}', ["the sentence is empty"]),
        ('{"tokens": " ", "tags": []}', ["the sentence is empty"]),
        ('{"tokens": ["Ana", ""], "tags": ["O", "O"]}', ["an empty text in tokens"]),
        ('{"tokens": ["Ana", 7], "tags": ["O", "O"]}', ["7 in tokens is not a text"]),
        ('{"tokens": ["Ana"], "tags": [1]}', ["1 in tags is not a text", "names of tags"]),
        ('{"tokens": ["Ana"], "tags": ["PER"]}', ["'PER' is not a tag", "IOB2"]),
        ('{"tokens": ["Ana"], "tags": null}', ["tags is no list"]),
        ('{"tokens": {"a": 1}, "tags": ["O"]}', ["tokens is no list"]),
        ('{"tokens": ["\\ud83d"], "tags": ["O"]}', ["half a character", "\\ud83d"]),
        ('{"text": "Ana"}', ["no field 'tokens'", "it has: text"]),
        ('{"tokens": ["Ana"]}', ["no field 'tags'"]),
    ],
)
def test_bad_json_lines(tmp_path, line, parts):
    path = tmp_path / "file.jsonl"
    path.write_text('{"tokens": ["Ana"], "tags": ["O"]}\n\n' + line)
    with pytest.raises(DataError) as caught:
        read_sentences(path, {})
    assert caught.value.fix
    for part in ["file.jsonl:3", *parts]:
        assert part in str(caught.value)


def test_a_conll_file_has_no_names_of_columns(tmp_path):
    path = tmp_path / "file.conll"
    path.write_text("Ana B-PER\n")
    assert read_sentences(path, {}) == [Sentence(("Ana",), ("B-PER",))]
    with pytest.raises(DataError, match="no names"):
        read_sentences(path, {"tags": "coarse"})


def test_a_file_that_is_only_predicted_on_has_the_tokens_alone(tmp_path):
    path = tmp_path / "plain"
    path.write_text("Ana\nRuiz\n\nhola\n")
    assert read_conll(path) == [Sentence(("Ana", "Ruiz"), ()), Sentence(("hola",), ())]
