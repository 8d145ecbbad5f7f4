from pathlib import Path

import numpy as np
import pytest
import torch

from ner_support import write_conll
from prune_support import make_tagger
from unibert.deploy.importance import measure_importance
from unibert.deploy.pruning_task import TaskMaterial
from unibert.deploy.recovery import recover
from unibert.deploy.structure import Shape, cut, find_structure
from unibert.errors import DataError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    make_tagger(folder / "model")
    write_conll(folder / "de.conll", 50, 1)
    write_conll(folder / "nl.conll", 30, 2)
    return folder


def make_material(place: Path, **files: str) -> TaskMaterial:
    return TaskMaterial("ner", place / "model", {code: place / name for code, name in files.items()}, {}, 1)


def test_importance_is_that_of_the_tasks_own_loss(place: Path) -> None:
    """A batch of one feature at a time is the definition; the loss of a batch is a mean over all tags in it."""
    material = make_material(place, de="de.conll", nl="nl.conll")
    assert material.described()["nl"] == {"learned": 24, "held_out": 6}
    model = material.model.double()
    structure = find_structure(model)
    [batch] = material.batches(3)
    found = measure_importance(model, structure, [batch])
    labels = batch.arguments["labels"]
    modules = dict(model.named_modules())
    site = next(site for site in structure.sites if site.space == "feed-forward.1")
    expected = np.zeros(16)
    for row in range(3):
        logits = model(**{key: value for key, value in batch.arguments.items() if key != "labels"}).logits[row]
        loss = torch.nn.functional.cross_entropy(logits, labels[row], ignore_index=-100, reduction="sum")
        weight = modules[site.module].weight
        [gradient] = torch.autograd.grad(loss * 3 / (labels != -100).sum(), [weight])
        expected += (weight * gradient).sum(0).abs().detach().numpy() / 3
    np.testing.assert_allclose(found[site.space], expected, rtol=1e-6)


def test_held_out_loss_and_score_are_of_each_language(place: Path) -> None:
    material = make_material(place, de="de.conll", nl="nl.conll")
    losses, scores = material.measure(material.model.float())
    total, count = 0.0, 0
    for feature in material._features(material.held_out["de"]):
        batch = material._task.collate([feature], material._tokenizer)
        tags = int((batch["labels"] != -100).sum())
        total += float(material.model(**batch).loss.detach()) * tags
        count += tags
    assert losses["de"] == pytest.approx(total / count, rel=1e-5)
    assert set(scores) == set(losses) == {"de", "nl"}
    assert all(0 <= score <= 100 for score in scores.values())


def test_a_pruned_tagger_learns_from_the_whole_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unibert.deploy.recovery.resolve_precision", lambda *_: torch.float32)
    material = make_material(place, de="de.conll")
    structure = find_structure(material.model.float())
    keep = {space: np.arange(structure.units(space, Shape(3, 8))) for space in structure.spaces}
    student = cut(material.model, structure, keep)
    losses = recover(student, material.model, material, keep["hidden"], 60, learning_rate=3e-3)
    assert losses[-1] < 0.6 * losses[0]


def test_data_that_does_not_fit_the_model_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nl\.conll: 3 samples, too few"):
        write_conll(tmp_path / "nl.conll", 3, 1)
        TaskMaterial("ner", place / "model", tmp_path / "nl.conll", {}, 1)
    make_tagger(tmp_path / "persons", labels=["O", "B-PER", "I-PER"])
    with pytest.raises(DataError, match=r"de\.conll: B-LOC, I-LOC are not among the labels"):
        TaskMaterial("ner", tmp_path / "persons", place / "de.conll", {}, 1)
    with pytest.raises(DataError, match="not fine-tuned for nli"):
        (tmp_path / "pairs.jsonl").write_text(
            "\n".join(f'{{"premise": "a {n}", "hypothesis": "b", "label": "B-PER"}}' for n in range(12))
        )
        TaskMaterial("nli", place / "model", tmp_path / "pairs.jsonl", {}, 1)
    with pytest.raises(DataError, match="no such task"):
        TaskMaterial("pos", place / "model", place / "de.conll", {}, 1)
