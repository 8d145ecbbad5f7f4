"""Fine-tuning: it learns, repeats itself, keeps the best epoch, leaves nothing behind, refuses bad input at once."""

import functools
import os
import tempfile

import pytest

from ner_support import read_json, write_conll, write_tiny_bert
from unibert.errors import DataError
from unibert.recipe import FineTune, TaskDistillation
from unibert.tasks import finetune as module
from unibert.tasks import ner
from unibert.tasks.data import Split, Splits
from unibert.tasks.encoder import find_encoder
from unibert.tasks.finetune import finetune

SETTINGS = FineTune(epochs=3, batch_size=16, learning_rate=1e-2, precision="float32")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_tiny_bert(folder / "model")
    for name, sentences, seed in [("train", 150, 1), ("dev", 40, 2), ("test", 40, 3), ("other", 50, 4)]:
        write_conll(folder / name, sentences, seed)
    return folder


def run(world, settings=SETTINGS, seed=1, train="train", dev="dev", test="test", **options):
    files = [world / name if name else None for name in (train, dev, test)]
    return finetune("ner", world / "model", *files, settings, seed, **options)


def split_of(path):
    return Split(str(path), "", ner.read(path, {}))


@pytest.fixture(scope="module")
def result(world):
    return run(world)


def test_a_tiny_model_learns_a_trivial_pattern(result):
    scores = result["scores"]["und"]
    assert scores["f1"] > 90
    assert set(scores["types"]) == {"LOC", "PER"}
    assert result["dev_scores"][0] < 90, "the pattern was there before training"
    assert result["parameters"] > 1000
    assert result["data"]["und"]["train"]["samples"] == 150
    assert scores["low"] <= scores["f1"] <= scores["high"]


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(world, result):
    again = run(world)
    for key in ("scores", "dev_scores", "best_epoch"):
        assert again[key] == result[key]
    assert run(world, seed=2)["dev_scores"] != result["dev_scores"]


def test_precision_may_change_within_a_process(world, result):
    half = run(world, SETTINGS.model_copy(update={"precision": "bfloat16"}))
    assert half["precision"] == "bfloat16"
    assert half["scores"]["und"]["f1"] > 85
    assert run(world)["scores"] == result["scores"]


def test_the_tested_weights_are_those_of_the_best_epoch(world):
    found = run(world, dev="test")
    assert found["scores"]["und"]["f1"] == max(found["dev_scores"])
    assert found["dev_scores"][found["best_epoch"] - 1] == max(found["dev_scores"])


def test_without_dev_the_last_epoch_is_kept_and_without_test_nothing_is_tested(world):
    found = run(world, SETTINGS.model_copy(update={"epochs": 1}), dev=None, test=None)
    assert (found["dev_scores"], found["best_epoch"], found["scores"]) == ([], 1, {})


def test_learning_rate_rises_and_falls_linearly(world, monkeypatch):
    import transformers

    rates = []

    class Recording(transformers.Trainer):
        def training_step(self, *arguments, **options):
            rates.append(self.optimizer.param_groups[0]["lr"])
            return super().training_step(*arguments, **options)

    monkeypatch.setattr(transformers, "Trainer", Recording)
    settings = SETTINGS.model_copy(update={"epochs": 2, "warmup_share": 0.2, "batch_size": 15})
    run(world, settings, dev=None, test=None)
    rising = [settings.learning_rate * step / 4 for step in range(4)]
    falling = [settings.learning_rate * (20 - step) / 16 for step in range(4, 20)]
    assert rates == pytest.approx(rising + falling)


def test_the_bar_counts_every_sample_once(world):
    steps = []
    data = {"xx": Splits(train=split_of(world / "other"))}
    module.fine_tune(ner, find_encoder(world / "model"), data, SETTINGS, 1, steps.append)
    assert steps == [*([16, 16, 16, 2] * 3), 0]
    assert sum(steps) == module.samples_of(data, SETTINGS)


def test_several_gpus_do_not_multiply_the_batch_size(world, monkeypatch):
    import transformers

    seen = []

    class TwoGpus(transformers.TrainingArguments):
        @functools.cached_property
        def _setup_devices(self):
            device = super()._setup_devices
            self._n_gpu = 2  # as the Trainer counts them on a machine with two
            return device

    class Recording(transformers.Trainer):
        def training_step(self, model, inputs, *arguments, **options):
            seen.append((type(model).__name__, len(inputs["input_ids"])))
            return super().training_step(model, inputs, *arguments, **options)

    monkeypatch.setattr(transformers, "TrainingArguments", TwoGpus)
    monkeypatch.setattr(transformers, "Trainer", Recording)
    data = {"xx": Splits(train=split_of(world / "other"))}
    module.fine_tune(ner, find_encoder(world / "model"), data, SETTINGS.model_copy(update={"epochs": 1}), 1)
    assert seen == [("BertForTokenClassification", rows) for rows in (16, 16, 16, 2)]


def test_nothing_is_left_behind_and_nothing_is_printed(world, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("UNIBERT_QUIET", "1")
    before = dict(os.environ)
    run(world, SETTINGS.model_copy(update={"epochs": 1}))
    assert not list((tmp_path / "scratch").iterdir())
    assert not list((tmp_path / "here").iterdir())
    assert capfd.readouterr() == ("", "")
    added = {name for name in os.environ if name not in before}
    assert not {name for name in added if "WANDB" in name}


def test_the_saved_model_tags_as_the_scores_say(world, tmp_path):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    output = tmp_path / "tuned"
    found = run(world, output=output)
    assert read_json(output / "finetune.json") == found
    model = AutoModelForTokenClassification.from_pretrained(output)
    tokenizer = AutoTokenizer.from_pretrained(output)
    sentences = ner.read(world / "test", {})
    tags = ner.predict(model, tokenizer, sentences, SETTINGS.model_copy(update={"max_length": 64}))
    assert ner.scores(sentences, tags, "und").items() <= found["scores"]["und"].items()
    assert run(world, SETTINGS.model_copy(update={"epochs": 1}), output=output)["best_epoch"] == 1  # replaces it


def test_a_full_disk_is_told_and_leaves_no_half_model(world, tmp_path, monkeypatch):
    def full(outcome, folder):
        (folder / "config.json").write_text("{}")
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save", full)
    with pytest.raises(DataError, match="tuned: cannot be written"):
        run(world, SETTINGS.model_copy(update={"epochs": 1}), output=tmp_path / "tuned")
    assert not list(tmp_path.iterdir())


def test_several_languages_and_zero_shot(world, tmp_path):
    train = {"xx": world / "train", "yy": world / "other"}
    test = {"xx": world / "test", "yy": world / "test", "zz": world / "dev"}
    found = finetune("ner", world / "model", train, {"yy": world / "dev"}, test, SETTINGS, 1)
    assert found["languages"] == ["xx", "yy"]
    assert set(found["scores"]) == {"xx", "yy", "zz"}
    assert found["scores"]["xx"] == found["scores"]["yy"]
    # zz is tested on the file that chose the epoch, with that epoch's weights.
    assert found["dev_scores"][found["best_epoch"] - 1] == found["scores"]["zz"]["f1"]


def test_sentences_longer_than_the_models_positions(world, tmp_path):
    path = tmp_path / "long"
    path.write_text("mister O\nZaki B-PER\n" * 100 + "\n" + "in O\nQali B-LOC\n\n" * 5)
    scores = run(world, test=path)["scores"]["und"]
    assert scores["types"]["PER"]["support"] == 100
    # 62 pieces between the special tokens, 5 for each `mister Zaki`: the rest counts as missed.
    assert scores["types"]["PER"]["recall"] <= 13


def test_a_type_that_only_the_test_has_is_missed(world, tmp_path):
    train = write_conll(tmp_path / "people", 60, 5, places=False)
    scores = run(world, train=train, dev=None)["scores"]["und"]
    assert scores["types"]["LOC"]["recall"] == 0
    assert scores["types"]["LOC"]["support"] > 0
    assert scores["types"]["PER"]["f1"] > 50


@pytest.mark.parametrize(
    ("text", "message"), [("a O\nb O\n", "no entity in it"), ("a O\nb B-Per\n", "none of its entity types .Per.")]
)
@pytest.mark.parametrize("split", ["dev", "test"])
def test_useless_files_are_refused_before_training(world, tmp_path, monkeypatch, split, text, message):
    path = tmp_path / "file"
    path.write_text(text)
    monkeypatch.setattr(module, "fine_tune", lambda *_: pytest.fail("training began"))
    with pytest.raises(DataError, match=message):
        run(world, **{split: path})


def test_tags_under_another_name_are_told_how_to_name(world, tmp_path):
    (tmp_path / "train.jsonl").write_text('{"tokens": ["Ana"], "ner_tags": ["B-PER"]}\n')
    with pytest.raises(DataError, match="no tags in it") as caught:
        run(world, train=tmp_path / "train.jsonl")
    assert "--column tags=YOURS" in caught.value.fix


def test_other_refusals(world, tmp_path):
    with pytest.raises(DataError, match="no such task"):
        finetune("chess", world / "model", world / "train", None, None, SETTINGS, 1)
    with pytest.raises(DataError, match="no training file"):
        finetune("ner", world / "model", {}, None, world / "test", SETTINGS, 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="exists and is no fine-tuned model"):
        run(world, output=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_the_learning_rate_that_does_best_on_dev_is_kept(world, result):
    rates = [1e-6, SETTINGS.learning_rate]
    found = run(world, SETTINGS.model_copy(update={"learning_rates": rates, "learning_rate": 1e-6}))
    assert found["learning_rate"] == SETTINGS.learning_rate
    assert [attempt["learning_rate"] for attempt in found["tried"]] == rates
    assert found["scores"] == result["scores"]
    with pytest.raises(DataError, match="no dev data to choose by"):
        run(world, SETTINGS.model_copy(update={"learning_rates": rates}), dev=None)


def test_a_training_that_diverges_is_neither_kept_nor_chosen(world, result, tmp_path):
    with pytest.raises(DataError, match=r"diverged at the learning rate 1e\+30"):
        run(world, SETTINGS.model_copy(update={"learning_rate": 1e30}), output=tmp_path / "model")
    assert not (tmp_path / "model").exists()
    # Scored alike (0), and tried last, it would be chosen.
    for rates in ([1e-9, 1e30], [1e30, 1e-9]):
        found = run(world, SETTINGS.model_copy(update={"learning_rates": rates, "epochs": 1}), test=None)
        assert found["learning_rate"] == 1e-9
        assert [attempt["learning_rate"] for attempt in found["tried"]] == [1e-9]


def test_patience_ends_training_early(world):
    steps = []
    data = {"xx": Splits(*(split_of(world / name) for name in ("other", "dev", "test")))}
    settings = SETTINGS.model_copy(update={"epochs": 9, "learning_rate": 1e-9, "patience": 1, "weight_decay": 0.0})
    outcome = module.fine_tune(ner, find_encoder(world / "model"), data, settings, 1, steps.append)
    assert len(outcome.dev_scores) < 9
    assert sum(steps) == 9 * 50


@pytest.mark.parametrize("method", ["lora", "bitfit", "frozen"])
def test_other_methods_train_less_and_leave_a_plain_model(world, tmp_path, method):
    from transformers import AutoModelForTokenClassification

    settings = SETTINGS.model_copy(update={"method": method, "learning_rate": 3e-2, "epochs": 4})
    found = run(world, settings, output=tmp_path / "tuned")
    assert found["trained_parameters"] < found["parameters"] / 4
    assert found["scores"]["und"]["f1"] > 20
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "tuned")
    assert sum(weight.numel() for weight in model.parameters()) == found["parameters"]
    sentences = ner.read(world / "test", {})
    tags = ner.predict(model, outcome_tokenizer(tmp_path / "tuned"), sentences, settings)
    assert ner.scores(sentences, tags, "und")["f1"] == pytest.approx(found["scores"]["und"]["f1"], abs=2)


def outcome_tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_a_student_learns_a_task_from_a_fine_tuned_teacher(world, tmp_path):
    run(world, output=tmp_path / "teacher")
    # No label tells it anything: what it knows it has from the teacher.
    lesson = TaskDistillation(teacher=str(tmp_path / "teacher"), weight=1.0, hidden_weight=0.1)
    found = run(world, SETTINGS.model_copy(update={"distillation": lesson}), seed=5)
    assert found["scores"]["und"]["f1"] > 85


def test_the_teacher_is_where_the_student_is_trained(world, monkeypatch):
    """The student is moved to the GPU when its training begins, after the teacher was loaded."""
    import torch

    from unibert.tasks import task_distillation

    monkeypatch.setattr(task_distillation, "best_device", lambda: torch.device("meta"))
    lesson = TaskDistillation(teacher="x", hidden_weight=0.1)
    settings = SETTINGS.model_copy(update={"distillation": lesson})
    teacher, student = (ner.load(find_encoder(world / "model"), ["O", "B-X"], settings)[0] for _ in range(2))
    made = task_distillation.Lesson(ner, teacher, student, settings, 1)
    assert {weight.device.type for part in (made.teacher, made.projections) for weight in part.parameters()} == {"meta"}


def test_a_teacher_with_another_tokenizer_is_refused(world, tmp_path):
    once = SETTINGS.model_copy(update={"epochs": 1})
    run(world, once, output=tmp_path / "teacher")
    path = tmp_path / "teacher" / "tokenizer.json"
    path.write_text(path.read_text().replace('"mister"', '"master"'))
    lesson = TaskDistillation(teacher=str(tmp_path / "teacher"))
    with pytest.raises(DataError, match="another tokenizer") as caught:
        run(world, once.model_copy(update={"distillation": lesson}))
    assert "fine-tuned" in caught.value.fix


def test_a_teacher_of_other_labels_is_refused(world, tmp_path):
    people = write_conll(tmp_path / "people", 60, 5, places=False)
    run(
        world, SETTINGS.model_copy(update={"epochs": 1}), train=people, dev=None, test=None, output=tmp_path / "teacher"
    )
    lesson = TaskDistillation(teacher=str(tmp_path / "teacher"))
    with pytest.raises(DataError, match="knows the labels O, B-PER, I-PER, not O, B-LOC"):
        run(world, SETTINGS.model_copy(update={"distillation": lesson}))
