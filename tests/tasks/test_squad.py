"""Questions from SQuAD JSON and JSON lines; every way in which such a file is wrong is told with its place."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.tasks.squad import Answer, Question, questions_from_rows, read_questions

CONTEXT = "Zoë lives in Paris. She was born in Rome."
SAMPLE = Question("q1", "Where does she live?", CONTEXT, (Answer("Paris", 13),))


def entry(**changes):
    """A question of SQuAD; None takes a key out."""
    given = {"id": "q1", "question": SAMPLE.question, "answers": [{"text": "Paris", "answer_start": 13}], **changes}
    return {key: value for key, value in given.items() if value is not None}


def said(text, start):
    """A question of SQuAD with one answer."""
    return squad(entry(answers=[{"text": text, "answer_start": start}]))


def squad(*entries, context=CONTEXT):
    return {"version": "1.1", "data": [{"title": "Z", "paragraphs": [{"context": context, "qas": list(entries)}]}]}


def row(**changes):
    """A line of JSON lines; None takes a field out."""
    answers = {"text": ["Paris"], "answer_start": [13]}
    given = {"id": "q1", "question": SAMPLE.question, "context": CONTEXT, "answers": answers, **changes}
    return {key: value for key, value in given.items() if value is not None}


def write(folder, value, name="qa.json"):
    """A file of text, of one JSON value, or of lines from a tuple."""
    if isinstance(value, tuple):
        value = "".join(json.dumps(line) + "\n" for line in value)
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (squad(entry()), "qa.json"),
        (json.dumps(squad(entry()), indent=1), "qa.json"),
        (squad(entry(is_impossible=False)), "qa.json"),
        ((row(),), "qa.jsonl"),
        ((row(),), "qa.json"),
        ("\n" + json.dumps(row()) + "\n\n", "qa.jsonl"),
        ("\ufeff" + json.dumps(row()).replace(", ", ",\t"), "qa.jsonl"),
        ((row(answers=[{"text": "Paris", "answer_start": 13}], title="ignored"),), "qa.jsonl"),
    ],
    ids=["squad", "indented", "squad2-possible", "lines", "lines.json", "empty-lines", "mark", "list-of-answers"],
)
def test_layouts(tmp_path, value, name):
    assert read_questions(write(tmp_path, value, name), {}) == [SAMPLE]


def test_lines_may_have_a_field_called_data(tmp_path):
    assert read_questions(write(tmp_path, (row(data=1), row(data=1, id="q2"))), {})[0] == SAMPLE


def test_gzip(tmp_path):
    path = tmp_path / "qa.json.gz"
    path.write_bytes(gzip.compress(json.dumps(squad(entry())).encode()))
    assert read_questions(path, {}) == [SAMPLE]


def test_several_answers_keep_their_order(tmp_path):
    answers = [{"text": "Paris", "answer_start": 13}, {"text": "in Paris", "answer_start": 10}]
    found = read_questions(write(tmp_path, squad(entry(answers=answers))), {})
    assert found[0].answers == (Answer("Paris", 13), Answer("in Paris", 10))


def test_own_names_of_fields_and_no_id(tmp_path):
    lines = tuple({"passage": CONTEXT, "q": question, "answers": row()["answers"]} for question in ("Where?", "Here?"))
    found = read_questions(write(tmp_path, lines, "qa.jsonl"), {"context": "passage", "question": "q"})
    assert [(one.id, one.question) for one in found] == [("1", "Where?"), ("2", "Here?")]


@pytest.mark.parametrize("nothing", [None, [], {"text": [], "answer_start": []}], ids=["missing", "list", "object"])
def test_answers_may_be_missing_where_they_are_predicted(tmp_path, nothing):
    lines = write(tmp_path, (row(answers=nothing), row(id="q2")), "qa.jsonl")
    file = write(tmp_path, squad(entry(answers=nothing), entry(id="q2")))
    for path in (lines, file):
        assert [(one.id, one.answers) for one in read_questions(path, {})] == [("q1", ()), ("q2", SAMPLE.answers)]


def test_rows_from_elsewhere():
    assert questions_from_rows([(7, row())], "hub:owner/name", {}) == [SAMPLE]
    with pytest.raises(DataError, match=r"hub:owner/name:7: the question is empty"):
        questions_from_rows([(7, row(question=" "))], "hub:owner/name", {})


TWO = [{"text": "Paris", "answer_start": 13}, {"text": "Rome", "answer_start": 37}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        # offsets
        (
            squad(entry(), entry(id="q2", answers=TWO)),
            r"qa.json: question q2: the answer 'Rome' should start at 37, .* 'ome.'; it is first at 36",
        ),
        (
            said("Berlin", 13),
            r"question q1: the answer 'Berlin' .* at 13, where stands 'Paris.'; it is nowhere in the context",
        ),
        (said("Paris", 400), r"should start at 400, where the context of 41 characters has nothing; it is first at 13"),
        (said("Paris", -28), r"should start at -28, where the context"),
        (said("Paris", "13"), r"answer_start is a string, not a whole number"),
        (said("Paris", True), r"answer_start is true or false"),
        (said("Paris", 13.0), r"answer_start is a number, not a whole"),
        (said("", 13), r"question q1: the answer is empty"),
        (squad(entry(answers=[{"text": "Paris"}])), r"question q1: answers: no 'answer_start'; there is 'text'"),
        (squad(entry(answers=["Paris"])), r"question q1: answers: a string where an object should be"),
        (squad(entry(answers="Paris")), r"question q1: 'answers' is a string"),
        # questions
        (squad(entry(), entry()), r"qa.json: question q1: the id 'q1' is there twice, first at .*qa.json: question q1"),
        (squad(entry(question="  ")), r"question q1: the question is empty"),
        (squad(entry(question=3)), r"question q1: the question is a number, not a string"),
        (squad(entry(question="\ud800?")), r"question q1: question has half a character"),
        (squad(entry(), context=""), r"question q1: the context is empty"),
        (squad(entry(id=None)), r"qa.json: article 1, paragraph 1, question 1: no 'id'; there is 'question'"),
        (squad(entry(id=" ")), r"the id is empty"),
        (squad(entry(question=None)), r"article 1, paragraph 1, question 1: no 'question'"),
        (squad(entry(), 5), r"article 1, paragraph 1, question 2: a number where an object should be"),
        (squad(entry(answers=[], is_impossible=True)), r"question q1: it has no answer in its context \(is_impossible"),
        # the whole
        (squad(), r"qa.json: no question in it"),
        ({"data": []}, r"qa.json: no question in it"),
        ({"data": {}}, r"qa.json: 'data' is an object, not a list"),
        ({"data": [{"title": "Z"}]}, r"article 1: no 'paragraphs'; there is 'title'"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r"article 1, paragraph 1: no 'context'; there is 'qas'"),
        ({"data": [{"paragraphs": [{"context": CONTEXT}]}]}, r"article 1, paragraph 1: no 'qas'"),
        ([1], r"qa.json: no 'data' at its top; there is a list"),
        ("null", r"qa.json:1: null where an object should be"),
        ("{}", r"qa.json:1: no 'context'; there is nothing"),
        ("token\tO\n", r"qa.json:1: not JSON"),
        ('{"data":\n [,]}', r"qa.json:2: not JSON"),
        ("[" * 100_000, r"qa.json:1: JSON that cannot be read"),
        ('{"data": ' + "9" * 5000 + "}", r"qa.json:1: JSON that cannot be read"),
        # lines
        ((row(), row()), r"qa.json:2: the id 'q1' is there twice, first at .*qa.json:1"),
        ((row(), row(id="q2", context=None)), r"qa.json:2: no 'context'; there is 'id', 'question', 'answers'"),
        ((row(), [1]), r"qa.json:2: a list where an object should be"),
        (json.dumps(row()) + "\n{", r"qa.json:2: not a JSON object"),
        ((row(answers={"text": ["Paris"], "answer_start": []}),), r"qa.json:1: 1 answers, but 0 answer_start"),
        ((row(answers={"text": "Paris", "answer_start": 13}),), r"qa.json:1: answers: 'text' is a string, not a list"),
        ((row(answers={"text": ["Paris"], "answer_start": [12]}),), r"qa.json:1: the answer 'Paris' .* ' Pari'"),
        ((row(id=1.5),), r"qa.json:1: the id is a number, not a string"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, value, message):
    with pytest.raises(DataError, match=message) as caught:
        read_questions(write(tmp_path, value), {})
    assert caught.value.fix


def test_a_field_that_was_named_must_be_there(tmp_path):
    path = write(tmp_path, (row(),))
    with pytest.raises(DataError, match=r"qa.json:1: no 'key'; there is 'id', 'question'"):
        read_questions(path, {"id": "key"})
    with pytest.raises(DataError, match=r"qa.json:1: no 'spans'; there is"):
        read_questions(path, {"answers": "spans"})
    with pytest.raises(DataError, match=r"columns: premise is nothing that a question has"):
        read_questions(path, {"premise": "context"})


@pytest.mark.parametrize("name", ["qa.jsonl", "qa.json"])
def test_missing_and_empty_files(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: no such file"):
        read_questions(tmp_path / name, {})
    with pytest.raises(DataError, match=f"{name}: the file is empty"):
        read_questions(write(tmp_path, "\n", name), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 50) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "paragraphs", "qas", "context", "answers", "text", "id", "question", "answer_start"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, min_size=1, max_size=3), st.sampled_from(["qa.json", "qa.jsonl"]))
def test_any_json_is_read_or_refused(tmp_path_factory, values, name):
    path = write(tmp_path_factory.mktemp("json"), "\n".join(map(json.dumps, values)), name)
    try:
        found = read_questions(path, {})
    except DataError as error:
        assert error.message.startswith(str(path))
    else:
        assert found


@given(st.text(min_size=1, max_size=30).filter(str.strip), st.data())
def test_any_answer_that_stands_in_its_context_is_read(tmp_path_factory, context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    path = write(
        tmp_path_factory.mktemp("any"), squad(entry(answers=[{"text": text, "answer_start": start}]), context=context)
    )
    if text.strip():
        assert read_questions(path, {})[0].answers == (Answer(text, start),)
    else:
        with pytest.raises(DataError, match="the answer is empty"):
            read_questions(path, {})
