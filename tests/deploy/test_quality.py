"""What is measured of a quantised model: cosines, equal predictions, scores; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import BertModel

from deploy_support import LABELS, TEXTS, tiny_model
from ner_support import FILLERS, tiny_tokenizer, write_conll
from unibert.deploy import quality as module
from unibert.deploy.quality import (
    Labelled,
    Quality,
    QualityTooLow,
    SessionModel,
    check_quality,
    cosine,
    described,
    format_quality,
    measure_labelled,
    measure_texts,
    merged,
    read_labelled,
)
from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks import ner, nli, qa, sts
from unibert.tasks.bi_encoder import BiEncoder
from unibert.tasks.data import Split
from unibert.tasks.squad import Answer, Question
from unibert.tasks.task import first_metric

numbers = arrays(np.float32, (2, 3, 4), elements=st.integers(-9, 9).map(float))


@given(numbers)
def test_cosine_is_that_of_three_lines(rows: Any) -> None:
    for one, other, found in zip(*rows, cosine(*rows), strict=True):
        lengths = float(np.sqrt((one**2).sum()) * np.sqrt((other**2).sum()))
        expected = float(one @ other) / lengths if lengths else float(not one.any() and not other.any())
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_same_file_twice_loses_nothing(mlm: Path) -> None:
    record = json.loads((mlm / "export" / "unibert_export.json").read_text())
    file = mlm / "export" / "onnx" / "model.onnx"
    found = measure_texts(record, tiny_tokenizer(), (file, file.read_bytes()), TEXTS)
    assert list(found) == ["de", "fr"]
    for quality in found.values():
        assert quality.texts == 4
        assert quality.cosine == pytest.approx(1, abs=1e-6)
        assert quality.least_cosine == pytest.approx(1, abs=1e-6)
        assert quality.agreement == 1.0


class FakeSession:
    """A model of transformers that is called like a session."""

    def __init__(self, model: Any, inputs: list[str], outputs: list[str], pooled: bool = False) -> None:
        self.model, self.inputs, self.outputs, self.pooled = model, inputs, outputs, pooled

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.inputs]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.outputs]

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        assert all(value.dtype == np.int64 for value in feeds.values())
        with torch.inference_mode():
            batch = {name: torch.from_numpy(value) for name, value in feeds.items()}
            if self.pooled:
                return [BiEncoder(self.model).embed(**batch).numpy()]
            output = self.model(**batch)
        return [output[name].numpy() for name in names]


INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def words(draw: Any, count: int) -> str:
    return " ".join(draw.choice(FILLERS, count))


def samples_of(task: Any) -> list[Any]:
    draw = np.random.default_rng(3)
    if task is ner:
        return [ner.Sentence(words(draw, n).split(), ["O"] * n) for n in (3, 9, 1)]
    if task is nli:
        return [nli.Pair(words(draw, n), words(draw, 3), "O") for n in (2, 12, 5)]
    if task is sts:
        return [sts.ScoredPair(words(draw, n), words(draw, 3), float(n)) for n in (2, 12, 5)]
    return [Question(str(n), words(draw, 4), words(draw, n), [Answer("x", 0)]) for n in (5, 40, 90)]


@pytest.mark.parametrize(
    ("task", "head", "outputs"),
    [
        (ner, "TokenClassification", ["logits"]),
        (nli, "SequenceClassification", ["logits"]),
        (qa, "QuestionAnswering", ["start_logits", "end_logits"]),
    ],
)
def test_a_session_predicts_what_its_model_predicts(task: Any, head: str, outputs: list[str]) -> None:
    model, tokenizer = tiny_model("bert", head), tiny_tokenizer()
    settings = FineTune(precision="float32", max_length=48, stride=8)
    samples = samples_of(task)
    expected = task.predict(model, tokenizer, samples, settings)
    session: Any = FakeSession(model, INPUTS, outputs)
    assert task.predict(SessionModel(session, LABELS), tokenizer, samples, settings) == expected
    assert len({str(prediction) for prediction in expected}) > 1


def test_embeddings_are_compared_as_a_bi_encoder_does() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder: BertModel = tiny_model("bert", "")
    encoder.pooler = None
    settings = FineTune(precision="float32", sts="bi-encoder")
    samples = samples_of(sts)
    expected = sts.predict(BiEncoder(encoder).eval(), tiny_tokenizer(), samples, settings)
    session: Any = FakeSession(encoder, INPUTS[:2], ["sentence_embedding"], pooled=True)
    found = sts.predict(SessionModel(session, []), tiny_tokenizer(), samples, settings)
    assert found == pytest.approx(expected, abs=2e-6)


def test_scores_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points of a task that counts from 0 to 100, and hundredths of one that correlates."""
    made = {
        "before": tiny_model("bert", "SequenceClassification", num_labels=1, id2label={0: "x"}, label2id={"x": 0}),
        "after": tiny_model("bert", "SequenceClassification", 1, num_labels=1, id2label={0: "x"}, label2id={"x": 0}),
    }
    monkeypatch.setattr(module, "open_session", lambda name: FakeSession(made[name], INPUTS, ["logits"]))
    settings = FineTune(precision="float32")
    samples = samples_of(sts)
    labelled = Labelled(sts, settings, {"de": Split("f", "", samples)}, ["x"])  # type: ignore[arg-type]
    found = measure_labelled({}, tiny_tokenizer(), ("before", "after"), labelled)["de"]  # type: ignore[arg-type]
    for name in made:
        predictions = sts.predict(made[name], tiny_tokenizer(), samples, settings)
        assert getattr(found, name) == pytest.approx(100 * sts.scores(samples, predictions, "de")[first_metric(sts)])
    assert found.before is not None and found.after is not None
    assert found.drop == pytest.approx(found.before - found.after)
    assert found.samples == 3


FOUND = {
    "de": Quality(32, 0.999, 0.99, 0.98, 100, 80.0, 79.9),
    "ru": Quality(32, 0.97, 0.9, 0.9, 100, 70.0, 68.0),
    "xx": Quality(8, 0.98, 0.97),
    "und": Quality(samples=7, before=50.0, after=51.0),
}


@pytest.mark.parametrize(
    ("cosine_", "drop", "message"),
    [
        (0.971, None, r"mean cosine of only 0.970000 .* in ru \(Russian\) \(1 of 3 languages are below 0.971\)"),
        (0.999999, None, "3 of 3 languages"),
        (None, 1.9, r"loses 2.00 points of F1 in ru \(Russian\), more than 1.9"),
        (0.5, 0.0, "loses 2.00 points"),
    ],
)
def test_more_than_is_allowed(cosine_: float | None, drop: float | None, message: str) -> None:
    with pytest.raises(QualityTooLow, match=message) as caught:
        check_quality("m", FOUND, cosine_, drop, "F1")
    assert "ru (Russian)" in caught.value.table


def test_what_is_allowed() -> None:
    check_quality("m", FOUND, 0.97, 2.0, "F1")
    check_quality("m", FOUND, None, None, "F1")
    check_quality("m", {}, 0.9, 1.0, "F1")


@pytest.mark.parametrize("bad", [Quality(3, float("nan")), Quality(samples=3, before=50.0, after=float("nan"))])
def test_what_is_not_a_number_is_refused(bad: Quality) -> None:
    with pytest.raises(QualityTooLow):
        check_quality("m", {**FOUND, "bad": bad}, 0.9, 50.0, "F1")


def test_the_table() -> None:
    lines = format_quality(FOUND, "F1").splitlines()
    assert " ".join(lines[0].split()) == "texts cosine lowest same prediction samples F1 before after lost"
    assert lines[2].split() == [
        "ru",
        "(Russian)",
        "32",
        "0.9700",
        "0.9000",
        "90.0",
        "%",
        "100",
        "70.00",
        "68.00",
        "2.00",
    ]
    assert lines[4].split() == ["the", "data", "7", "50.00", "51.00", "-1.00"]
    assert format_quality({"de": Quality(4, 1.0, 1.0)}).splitlines()[0].split() == ["texts", "cosine", "lowest"]


def test_texts_and_samples_of_a_language_stand_in_one_row() -> None:
    both = merged(
        {"de": Quality(4, 1.0, 1.0, 0.5)}, {"de": Quality(samples=9, before=3.0, after=2.0), "fr": FOUND["und"]}
    )
    assert both == {"de": Quality(4, 1.0, 1.0, 0.5, 9, 3.0, 2.0), "fr": FOUND["und"]}
    assert described(both)["de"]["drop"] == 1.0


NER = {"kind": "head", "task": "token-classification", "labels": LABELS, "limit": 64, "finetuned": None}


def test_labelled_samples_by_language(tmp_path: Path) -> None:
    file = write_conll(tmp_path / "test", 5, 1)
    found = read_labelled(NER, tmp_path, {"de": file}, {})
    assert (found.task.NAME, len(found.files["de"].samples), found.settings.max_length) == ("ner", 5, 64)
    assert list(read_labelled(NER, tmp_path, file, {}).files) == ["und"]
    told = {**NER, "finetuned": {"task": "ner", "settings": {"max_length": 20, "distillation": None}}}
    assert read_labelled(told, tmp_path, file, {}).settings.max_length == 20


REFUSED: dict[str, tuple[dict[str, Any], Callable[[Path], Path], str]] = {
    "no head": ({**NER, "kind": "encoder", "task": None}, lambda f: write_conll(f / "x", 3, 1), "no model of a task"),
    "masks": ({**NER, "task": "fill-mask"}, lambda f: write_conll(f / "x", 3, 1), "no model of a task"),
    "no file": (NER, lambda f: f / "nothing", "nothing"),
    "other labels": (
        {**NER, "labels": ["O", "B-ORG"]},
        lambda f: write_conll(f / "x", 9, 1),
        r"none of its entity types \(LOC, PER\)",
    ),
    "bad settings": (
        {**NER, "finetuned": {"task": "ner", "settings": {"max_length": -1}}},
        lambda f: write_conll(f / "x", 3, 1),
        r"finetuned\.settings\.max_length",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_is_refused(case: str, tmp_path: Path) -> None:
    record, make, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        read_labelled(record, tmp_path, make(tmp_path), {})
