"""The baselines compute what they say, and ours computes the same objective on the same samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unibert.models.student import build_student
from unibert.recipe import Adversary, Distillation, Pretrain
from unibert.tokens.batches import MicroBatch

SETTINGS = Pretrain(
    batch_size=8,
    context=64,
    dropout=0.0,
    adversary=Adversary(mode="none", weight=0),
    distillation=Distillation(weight=0.4, temperature=2),
    precision="float32",
    compile="off",
)


@pytest.fixture
def place(made_up_store: Path) -> Any:
    from pretrain_support import _TINY, _TINY_TEACHER, Scene

    folder = made_up_store / "lines"
    return Scene(made_up_store, folder, _TINY_TEACHER, _TINY, SETTINGS, True, torch.device("cpu"))


def plainly(student: Any, teacher: Any, samples: Any, everywhere: bool) -> float:
    """The objective sample by sample and row by row, nothing padded."""
    crossing, divergence, masked, compared = 0.0, 0.0, 0, 0
    for sample in samples:
        ids = torch.from_numpy(sample.ids).unsqueeze(0)
        with torch.no_grad():
            own, theirs = student(input_ids=ids).logits[0].double(), teacher(input_ids=ids).logits[0].double()
        labels = dict(zip(sample.chosen.tolist(), sample.labels.tolist(), strict=True))
        for place in range(len(sample.ids)):
            if place in labels:
                log_p = own[place].log_softmax(-1)
                crossing -= float(0.3 * log_p[labels[place]] + 0.7 * log_p.mean())
                masked += 1
            if everywhere or place in labels:
                p, log_q = (theirs[place] / 2).softmax(-1), (own[place] / 2).log_softmax(-1)
                divergence += float((p * (p.log() - log_q)).sum())
                compared += 1
    return 0.5 * crossing / masked + 0.4 * divergence / compared


def test_samples_come_back_in_the_order_in_which_they_were_drawn() -> None:
    from pretrain_support import samples_of

    long = MicroBatch.of(
        [np.array([2, 10, 11, 12, 3]), np.array([2, 13, 4, 3])],
        [np.array([1, 3]), np.array([2])],
        [np.array([20, 21]), np.array([22])],
        positions=[2, 0],
    )
    short = MicroBatch.of([np.array([2, 14, 3])], [np.array([1])], [np.array([14])], positions=[1])
    first, second, third = samples_of([long, short])
    assert [sample.ids.tolist() for sample in (first, second, third)] == [[2, 13, 4, 3], [2, 14, 3], [2, 10, 11, 12, 3]]
    assert [sample.chosen.tolist() for sample in (first, second, third)] == [[2], [1], [1, 3]]
    assert third.unmasked.tolist() == [2, 20, 11, 21, 3]
    assert first.unmasked.tolist() == [2, 13, 22, 3]


def test_the_scripts_loss_is_the_plain_one_and_ours_on_all_positions_is_the_same(place: Any) -> None:
    from pretrain_baselines import padded, script_loss, script_step
    from pretrain_support import our_step

    micro_batches, samples = place.micro_batches(0), place.samples(0)
    assert len({len(sample.ids) for sample in samples}) > 1  # or padding would not be tried
    student, teacher = place.student("small"), place.teacher()
    loss, _, _ = script_loss(student, teacher, *padded(samples, place.special.pad, place.device), SETTINGS)
    expected = plainly(student.eval(), teacher, samples, everywhere=True)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert script_step(place, "small", place.teacher(), samples, by_length=False)() == pytest.approx(expected, rel=1e-5)

    everywhere = SETTINGS.distillation.model_copy(update={"positions": "all"})
    ours = replace(place, settings=SETTINGS.model_copy(update={"distillation": everywhere}))
    assert our_step(ours, ["small"], micro_batches)() == pytest.approx(expected, rel=1e-5)


def test_the_scripts_update_accumulates_over_all_micro_batches(place: Any) -> None:
    from pretrain_baselines import script_step

    place = replace(place, micro_batch=3)
    samples = place.samples(0)
    for by_length in (False, True):
        order = sorted(samples, key=lambda sample: -len(sample.ids)) if by_length else samples
        parts = [order[at : at + 3] for at in range(0, len(order), 3)]
        student, teacher = place.student("small"), place.teacher()
        expected = sum(plainly(student.eval(), teacher, part, everywhere=True) for part in parts) / len(parts)
        update = script_step(place, "small", teacher, samples, by_length)
        first, second = update(), update()
        assert first == pytest.approx(expected, rel=1e-5)
        assert second < first  # it learns


def test_the_trainers_loss_is_the_plain_one_and_ours(place: Any, tmp_path: Path) -> None:
    from transformers import TrainingArguments

    from pretrain_baselines import DistillationTrainer, padded
    from pretrain_support import our_step

    samples = place.samples(0)
    student, teacher = place.student("small"), place.teacher()
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    trainer = DistillationTrainer(teacher=teacher, settings=SETTINGS, model=student, args=arguments)

    def inputs(part: Any) -> dict[str, Any]:
        ids_BL, mask_BL, labels_BL = padded(part, place.special.pad, place.device)
        return {"input_ids": ids_BL, "attention_mask": mask_BL, "labels": labels_BL}

    rows = sum(len(sample.chosen) for sample in samples)
    expected = plainly(student.eval(), teacher, samples, everywhere=False)
    assert trainer.compute_loss(student, inputs(samples)).item() == pytest.approx(expected, rel=1e-5)
    halves = (samples[:3], samples[3:])
    losses = [trainer.compute_loss(student, inputs(half), num_items_in_batch=rows).item() for half in halves]
    assert sum(losses) == pytest.approx(expected, rel=1e-5)
    assert our_step(place, ["small"], place.micro_batches(0))() == pytest.approx(expected, rel=1e-5)


def test_the_trainer_takes_each_update_on_all_samples(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import pretrain_baselines

    place = replace(place, micro_batch=2)
    seen: list[list[int]] = []
    original = pretrain_baselines.DistillationTrainer.compute_loss

    def watched(self: Any, model: Any, inputs: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        seen.append(inputs["attention_mask"].sum(dim=1).tolist())
        return original(self, model, inputs, *arguments, **named)

    monkeypatch.setattr(pretrain_baselines.DistillationTrainer, "compute_loss", watched)
    samples, events = place.samples(0), []
    pretrain_baselines.train_with_trainer(
        place, "xxsmall", samples, False, 3, lambda: events.append("before"), lambda seconds: events.append(seconds)
    )
    assert [event == "before" for event in events] == [True, False] * 3
    assert all(seconds > 0 for seconds in events[1::2])
    assert len(seen) == 3 * 4
    lengths = sorted((len(sample.ids) for sample in samples), reverse=True)
    for update in range(3):
        own = [length for micro_batch in seen[4 * update : 4 * update + 4] for length in micro_batch]
        assert own == lengths  # all of them, grouped by length


def test_a_family_is_timed_on_the_same_objective(place: Any) -> None:
    from pretrain_support import our_step

    together = our_step(place, ["small", "xxsmall"], place.micro_batches(0))()
    alone = [our_step(place, [size], place.micro_batches(0))() for size in ("small", "xxsmall")]
    assert together == pytest.approx(sum(alone), rel=1e-5)


def test_scenes_students_are_the_ones_ours_trains(place: Any) -> None:
    special = place.special
    again = build_student(place.students["small"], special.vocabulary_size, special.pad, 1, 0.0)
    for own, other in zip(place.student("small").parameters(), again.parameters(), strict=True):
        assert torch.equal(own, other)
