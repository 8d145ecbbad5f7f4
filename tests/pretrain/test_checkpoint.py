from pathlib import Path

import pytest
import torch
from torch import nn

from unibert.errors import DataError
from unibert.models.student import build_student
from unibert.pretrain.checkpoint import Progress, list_checkpoints, load_newest, save_checkpoint
from unibert.recipe import Architecture

SHAPE = Architecture(layers=1, hidden=8, heads=2, feed_forward=12, max_positions=16)


def make(seed: int) -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
    student = build_student(SHAPE, 20, 0, seed)
    modules = {"student": student, "discriminator": nn.Linear(8, 3)}
    parameters = [parameter for module in modules.values() for parameter in module.parameters()]
    return modules, torch.optim.AdamW(parameters, lr=0.1)


def one_step(modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    ids = torch.arange(10).reshape(1, 10)
    loss = (
        modules["student"].eval()(input_ids=ids).logits.square().mean()
        + modules["discriminator"](torch.ones(1, 8)).sum()
    )
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def save(folder: Path, step: int, keep: int = 2) -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
    modules, optimizer = make(seed=step)
    one_step(modules, optimizer)
    save_checkpoint(folder, Progress(step, 7 * step, 1.5, [step, 0]), modules, optimizer, keep)
    return modules, optimizer


def assert_same(one: dict[str, nn.Module], two: dict[str, nn.Module]) -> None:
    for name in one:
        for key, tensor in one[name].state_dict().items():
            assert torch.equal(tensor, two[name].state_dict()[key]), key


def test_what_is_loaded_trains_on_as_what_was_saved(tmp_path: Path) -> None:
    saved, saved_optimizer = save(tmp_path, 3)
    loaded, loaded_optimizer = make(seed=99)
    assert load_newest(tmp_path, loaded, loaded_optimizer) == Progress(3, 21, 1.5, [3, 0])
    assert_same(saved, loaded)
    one_step(saved, saved_optimizer)
    one_step(loaded, loaded_optimizer)
    assert_same(saved, loaded)
    student = loaded["student"]
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save(tmp_path, step)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000002", "step-000000010"]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "none", *make(1)) is None


@pytest.mark.parametrize("name", ["student.safetensors", "optimizer.pt", "state.json", "discriminator.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    good, _ = save(tmp_path, 1)
    save(tmp_path, 2)
    victim = tmp_path / "step-000000002" / name
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
        victim.write_bytes(content)
    elif damage == "cut":
        victim.write_bytes(content[: len(content) // 2])
    else:
        victim.unlink()
    told: list[str] = []
    modules, optimizer = make(seed=99)
    progress = load_newest(tmp_path, modules, optimizer, tell=told.append)
    assert progress is not None
    assert progress.step == 1
    assert_same(good, modules)
    assert len(told) == 1
    assert "step-000000002 is damaged" in told[0]
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000001"]


def test_nothing_but_damage_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "step-000000001" / "state.json").write_text("{")
    with pytest.raises(DataError, match="every checkpoint is damaged"):
        load_newest(tmp_path, *make(1), tell=lambda line: None)


def test_what_was_all_damaged_is_not_silently_started_again(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "step-000000001" / "optimizer.pt").unlink()
    for _ in range(2):
        with pytest.raises(DataError, match="every checkpoint is damaged"):
            load_newest(tmp_path, *make(1), tell=lambda line: None)


def test_a_failure_that_is_no_damage_leaves_the_checkpoint_alone(tmp_path: Path) -> None:
    save(tmp_path, 1)
    modules, optimizer = make(seed=2)

    def no_memory(_: object) -> None:
        raise RuntimeError("out of memory")

    optimizer.load_state_dict = no_memory  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        load_newest(tmp_path, modules, optimizer)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000001"]


def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".step-000000001.abc.tmp").mkdir(parents=True)
    save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000002"]
