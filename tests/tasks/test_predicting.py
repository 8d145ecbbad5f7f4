"""Predicting files with fine-tuned models, ours and others'."""

import json
import shutil

import pytest

from ner_support import write_conll, write_tiny_bert
from unibert.errors import DataError
from unibert.recipe import FineTune, TaskDistillation
from unibert.tasks import ner
from unibert.tasks.finetune import RESULT_FILE, finetune
from unibert.tasks.predicting import predict_file

SETTINGS = FineTune(epochs=3, batch_size=16, learning_rate=1e-2, precision="float32")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A tagger that has learned its pattern, and what it scores on a file."""
    folder = tmp_path_factory.mktemp("tuned")
    model = write_tiny_bert(folder / "encoder")
    train, test = (write_conll(folder / name, 150, seed) for name, seed in (("train", 1), ("test", 2)))
    scores = finetune("ner", model, train, None, test, SETTINGS, 1, folder / "model")["scores"]["und"]
    return folder / "model", test, scores


def test_a_file_is_predicted_on_the_best_device(tuned, tmp_path, monkeypatch):
    import torch

    def predict(model, tokenizer, samples, settings, advance):
        assert model.device.type == "meta"
        return [["O"] * len(sample.words) for sample in samples]

    monkeypatch.setattr("unibert.tasks.predicting.best_device", lambda: torch.device("meta"))
    monkeypatch.setattr(ner, "predict", predict)
    assert predict_file(tuned[0], tuned[1], tmp_path / "found.jsonl") == 150


@pytest.mark.parametrize("form", ["jsonl", "conll"])
def test_a_predicted_file_scores_as_the_test_did(tuned, tmp_path, form):
    model, test, scores = tuned
    output = tmp_path / f"found.{form}"
    gold = ner.read(test, {})
    plain = tmp_path / "plain"
    plain.write_text("".join("".join(f"{word}\n" for word in sentence.words) + "\n" for sentence in gold))
    assert predict_file(model, plain, output) == len(gold)
    found = ner.read(output, {})
    assert [sentence.words for sentence in found] == [sentence.words for sentence in gold]
    assert ner.scores(gold, [sentence.tags for sentence in found], "und").items() <= scores.items()


def test_a_place_that_cannot_be_written_is_told_before_the_work(tuned, tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("work that would be lost")

    model, test, _ = tuned
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(ner, "predict", never)
    monkeypatch.setattr("unibert.tasks.finetune.fine_tune", never)
    with pytest.raises(DataError, match=r"found.jsonl: cannot be written"):
        predict_file(model, test, tmp_path / "file" / "found.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        predict_file(model, test, tmp_path)
    with pytest.raises(DataError, match="model: cannot be written"):
        finetune("ner", model.parent / "encoder", test, None, None, SETTINGS, 1, tmp_path / "file" / "model")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_told_and_leaves_no_half_file(tuned, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ner, "described", full)
    with pytest.raises(DataError, match=r"found.jsonl: cannot be written \(No space left"):
        predict_file(tuned[0], tuned[1], tmp_path / "found.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_tool_says_its_task_by_its_head(tuned, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tuned[0], model)
    (model / RESULT_FILE).unlink()
    outputs = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    for folder, output in zip((tuned[0], model), outputs, strict=True):
        predict_file(folder, tuned[1], output)
    assert outputs[0].read_text() == outputs[1].read_text()
    assert set(json.loads(outputs[0].read_text().splitlines()[0])) == {"tokens", "tags"}


def test_an_encoder_that_was_not_fine_tuned_is_refused(tuned, tmp_path):
    with pytest.raises(DataError, match="does not say what it was fine-tuned on"):
        predict_file(tuned[0].parent / "encoder", tuned[1], tmp_path / "found.jsonl")
    with pytest.raises(DataError, match="no config"):
        predict_file(tmp_path, tuned[1], tmp_path / "found.jsonl")
    assert not (tmp_path / "found.jsonl").exists()


@pytest.mark.parametrize("task", ["qa", "sts", "nli"])
@pytest.mark.parametrize("model", ["encoder", "model"])
def test_a_model_that_would_get_a_new_head_neither_predicts_nor_teaches(tuned, tmp_path, task, model):
    rows = {
        "qa": '{"context": "gona dora", "question": "dora", "answers": {"text": ["dora"], "answer_start": [5]}}',
        "sts": '{"sentence1": "gona", "sentence2": "dora", "score": %d}',
        "nli": '{"premise": "gona", "hypothesis": "dora", "label": %d}',
    }
    lines = [rows[task] % number if "%" in rows[task] else rows[task] for number in range(4)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    folder = tuned[0].parent / model
    with pytest.raises(DataError, match=f"not fine-tuned for {task}"):
        predict_file(folder, tmp_path / "a.jsonl", tmp_path / "found.jsonl", task=task)
    settings = SETTINGS.model_copy(update={"distillation": TaskDistillation(teacher=str(folder)), "max_length": 32})
    encoder = tuned[0].parent / "encoder"
    with pytest.raises(DataError, match=f"not fine-tuned for {task}|it knows the labels"):
        finetune(task, encoder, tmp_path / "a.jsonl", None, None, settings, 1)


def test_what_is_read_is_not_written_over(tuned, tmp_path):
    mine = tmp_path / "mine.conll"
    mine.write_bytes(tuned[1].read_bytes())
    (tmp_path / "link.conll").symlink_to(mine)
    for output in (mine, tmp_path / "link.conll"):
        with pytest.raises(DataError, match="is the file to predict"):
            predict_file(tuned[0], mine, output)
    with pytest.raises(DataError, match="is a file of the model"):
        predict_file(tuned[0], mine, tuned[0] / "config.json")
    assert mine.read_bytes() == tuned[1].read_bytes()
    assert predict_file(tuned[0], mine, tmp_path / "found.conll") == 150


def test_the_form_of_predictions_is_that_of_their_name(tuned, tmp_path):
    predict_file(tuned[0], tuned[1], tmp_path / "FOUND.CONLL")
    assert (tmp_path / "FOUND.CONLL").read_text().splitlines()[0].count("\t") == 1
    with pytest.raises(DataError, match="not packed"):
        predict_file(tuned[0], tuned[1], tmp_path / "found.conll.gz")


@pytest.mark.parametrize("word", ["a\tb", "a\nb", " "])
def test_words_that_conll_cannot_hold_are_told(tuned, tmp_path, word):
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"tokens": ["in"]}) + "\n" + json.dumps({"tokens": ["in", word]}) + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl: sentence 2: .* cannot be a token"):
        predict_file(tuned[0], source, tmp_path / "found.conll")
    assert not (tmp_path / "found.conll").exists()
    assert predict_file(tuned[0], source, tmp_path / "found.jsonl") == 2


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (RESULT_FILE, {"settings": {"max_length": 4}}, r"finetune\.json: settings\.max_length"),
        ("config.json", {"id2label": {"a": "B-PER"}}, r"config\.json: its id2label"),
    ],
)
def test_a_damaged_model_folder_is_told(tuned, tmp_path, file, change, told):
    model = tmp_path / "model"
    shutil.copytree(tuned[0], model)
    (model / file).write_text(json.dumps({**json.loads((model / file).read_text()), **change}))
    with pytest.raises(DataError, match=told):
        predict_file(model, tuned[1], tmp_path / "found.jsonl")


def test_a_configuration_beside_other_weights_is_told(tuned, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tuned[0], model)
    shutil.copy(tuned[0].parent / "encoder" / "model.safetensors", model)
    with pytest.raises(DataError, match=r"its weights have no classifier\.weight"):
        predict_file(model, tuned[1], tmp_path / "found.jsonl")
    shutil.copy(tuned[0] / "model.safetensors", model)
    config = json.loads((model / "config.json").read_text())
    labels = {"id2label": {"0": "O", "1": "B-PER"}, "label2id": {"O": 0, "B-PER": 1}}
    (model / "config.json").write_text(json.dumps({**config, **labels}))
    with pytest.raises(DataError, match=r"its weights have another classifier\.weight"):
        predict_file(model, tuned[1], tmp_path / "found.jsonl")
