"""Readers of benchmarks' own files: every form, and an error with file and line for what is wrong."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unibert.benchmark import readers
from unibert.errors import DataError
from unibert.tasks.conll import Sentence
from unibert.tasks.nli import Pair
from unibert.tasks.sts import ScoredPair

NAMES = ("O", "B-PER", "I-PER")
PAIR = {"premise": "Ana sings.", "hypothesis": "Someone sings.", "label": 0}
SCORED = {"sentence1": "A cat.", "sentence2": "A dog.", "similarity_score": 2.5}
QUESTION = {"id": "7", "context": "Ana sings.", "question": "Who?", "answers": {"text": ["Ana"], "answer_start": [0]}}
WORDS = {"tokens": ["Ana", "Ruiz", "sings"], "ner_tags": [1, 2, 0]}
EXPECTED = Sentence(("Ana", "Ruiz", "sings"), ("B-PER", "I-PER", "O"))
MAPA = {"language": "de", "tokens": ["am", "1.", "Mai"], "coarse_grained": ["O", "B-DATE", "I-DATE"]}


def parquet(path, rows, **metadata):
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.replace_schema_metadata({key: json.dumps(value) for key, value in metadata.items()}), path)
    return path


def lines(path, *rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_xnli_1_0(tmp_path):
    path = tmp_path / "xnli.dev.tsv"
    text = "language\tgold_label\tparse\tsentence1\tsentence2\n"
    text += 'de\tneutral\t(\tAna "singt.\tJemand?\nen\tcontradiction\t(\tAna sings.\tNobody.\n'
    path.write_text(text, encoding="utf-8")
    found = readers.xnli_table(path, None)
    assert found == {
        "de": [Pair('Ana "singt.', "Jemand?", "neutral")],
        "en": [Pair("Ana sings.", "Nobody.", "contradiction")],
    }


def test_xnli_mt_calls_contradictions_otherwise(tmp_path):
    path = tmp_path / "multinli.train.de.tsv"
    path.write_text("premise\thypo\tlabel\nA\tB\tcontradictory\nA\tC\tentailment\n", encoding="utf-8")
    assert [pair.label for pair in readers.multinli_table(path, None)[None]] == ["contradiction", "entailment"]


def test_a_training_row_without_a_text_is_left_out_and_told(tmp_path):
    path = tmp_path / "multinli.train.de.tsv"
    path.write_text("premise\thypo\tlabel\nA\t \tneutral\nA\tC\tentailment\n", encoding="utf-8")
    told = []
    assert len(readers.multinli_table(path, told.append)[None]) == 1
    assert told == [f"{path}:2: no hypothesis"]
    with pytest.raises(DataError, match=r"train.de.tsv:2: no hypothesis"):
        readers.multinli_table(path, None)


def test_nli_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet", [PAIR, PAIR | {"label": 2}])
    assert [pair.label for pair in readers.nli_parquet(path, None)[None]] == ["entailment", "contradiction"]


def test_nli_parquet_of_all_languages(tmp_path):
    row = {
        "premise": {"de": "Ana singt.", "en": "Ana sings."},
        "hypothesis": {"language": ["en", "de"], "translation": ["Someone.", "Jemand."]},
        "label": 1,
    }
    found = readers.nli_parquet_of_all(parquet(tmp_path / "a.parquet", [row]), None)
    assert found["de"] == [Pair("Ana singt.", "Jemand.", "neutral")]
    assert found["en"] == [Pair("Ana sings.", "Someone.", "neutral")]


def test_scored_pairs(tmp_path):
    expected = [ScoredPair("A cat.", "A dog.", 2.5)]
    assert readers.sts_parquet(parquet(tmp_path / "a.parquet", [SCORED]), None) == {None: expected}
    row = {"sentence1": "A cat.", "sentence2": "A dog.", "score": 2.5}
    assert readers.scored_json_lines(lines(tmp_path / "a.jsonl", row), None) == {None: expected}
    assert readers.scored_json_lines(lines(tmp_path / "b.jsonl", row | {"lang": "de-en"}), None) == {"de-en": expected}


def test_questions(tmp_path):
    (question,) = readers.qa_parquet(parquet(tmp_path / "a.parquet", [QUESTION]), None)[None]
    assert (question.id, question.answers[0].text, question.answers[0].start) == ("7", "Ana", 0)


@pytest.mark.parametrize("rows", [[WORDS], [WORDS, {"tokens": [], "ner_tags": []}]], ids=["whole", "an empty one last"])
def test_numbered_tags(tmp_path, rows):
    path = parquet(tmp_path / "a.parquet", [*rows])
    assert readers.ner_parquet(NAMES)(path, None) == {None: [EXPECTED]}


def test_the_file_s_own_names_of_tags_are_used(tmp_path):
    feature = {"feature": {"names": ["O", "B-LOC", "I-LOC"], "_type": "ClassLabel"}, "_type": "Sequence"}
    path = parquet(tmp_path / "a.parquet", [WORDS], huggingface={"info": {"features": {"ner_tags": feature}}})
    assert readers.ner_parquet(NAMES)(path, None)[None][0].tags == ("B-LOC", "I-LOC", "O")


def test_mapa(tmp_path):
    fine = {"fine_grained": ["O", "B-DAY", "B-STANDARD ABBREVIATION"]}
    path = lines(tmp_path / "train.jsonl", MAPA | fine, MAPA | fine | {"language": "fr"})
    coarse = readers.mapa_json_lines("coarse_grained")(path, None)
    assert coarse["de"] == coarse["fr"] == [Sentence(("am", "1.", "Mai"), ("O", "B-DATE", "I-DATE"))]
    found = readers.mapa_json_lines("fine_grained")(path, None)
    assert found["de"][0].tags == ("O", "B-DAY", "B-STANDARD_ABBREVIATION")


BAD_PARQUET = [
    (readers.nli_parquet, PAIR | {"label": 3}, "1: the label 3 is not one of entailment"),
    (readers.nli_parquet, PAIR | {"label": -1}, "1: the label -1"),
    (readers.nli_parquet, PAIR | {"premise": " "}, "1: no premise"),
    (readers.nli_parquet, PAIR | {"hypothesis": None}, "1: no hypothesis"),
    (readers.nli_parquet, SCORED, "no column 'premise'; there is 'sentence1'"),
    (readers.nli_parquet_of_all, PAIR, "1: not texts by language"),
    (readers.sts_parquet, SCORED | {"similarity_score": float("nan")}, "1: the score nan is no number"),
    (readers.sts_parquet, SCORED | {"similarity_score": "5"}, "1: the score '5' is no number"),
    (readers.sts_parquet, SCORED | {"sentence2": ""}, "1: no sentence2"),
    (readers.qa_parquet, QUESTION | {"answers": {"text": ["Ana"], "answer_start": [3]}}, "1: the answer 'Ana' should"),
    (readers.ner_parquet(NAMES), WORDS | {"ner_tags": [1, 2, 3]}, "1: tags that are none of 0 to 2"),
    (readers.ner_parquet(NAMES), WORDS | {"ner_tags": [1, -2, 0]}, "1: tags that are none of 0 to 2"),
    (readers.ner_parquet(NAMES), WORDS | {"ner_tags": [1, 2]}, "1: 3 tokens, but 2 tags"),
    (readers.ner_parquet(NAMES), WORDS | {"ner_tags": ["B-PER", "S-PER", "O"]}, "1: 'S-PER' is not a tag"),
]


@pytest.mark.parametrize(("read", "row", "problem"), BAD_PARQUET, ids=[problem[:30] for _, _, problem in BAD_PARQUET])
def test_bad_parquet_is_told_with_its_row(tmp_path, read, row, problem):
    path = parquet(tmp_path / "bad.parquet", [row])
    with pytest.raises(DataError) as caught:
        read(path, None)
    assert f"bad.parquet:{problem}" in str(caught.value) or f"bad.parquet: {problem}" in str(caught.value)
    assert caught.value.fix


def test_damaged_parquet(tmp_path):
    path = parquet(tmp_path / "a.parquet", [WORDS] * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a.parquet: cannot be read as Parquet[\s\S]*Download it again"):
        readers.ner_parquet(NAMES)(path, None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{not json", ":2: not a JSON object"),
        ("[1]", ":2: a list where an object should be"),
        ({"language": "de", "tokens": ["a"]}, ":2: no 'coarse_grained'; there is 'language', 'tokens'"),
        (MAPA | {"language": None}, ":2: no language"),
        (MAPA | {"coarse_grained": ["O"]}, ":2: 3 tokens, but 1 tags"),
        (MAPA | {"coarse_grained": ["O", "DATE", "O"]}, ":2: 'DATE' is not a tag"),
        (MAPA | {"tokens": "am 1. Mai"}, ":2: tokens and tags are no lists"),
    ],
)
def test_bad_json_lines_are_told_with_their_line(tmp_path, row, problem):
    path = lines(tmp_path / "train.jsonl", MAPA, row)
    with pytest.raises(DataError) as caught:
        readers.mapa_json_lines("coarse_grained")(path, None)
    assert f"train.jsonl{problem}" in str(caught.value)
    assert caught.value.fix
