import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from unibert.errors import DataError, UniBertError
from unibert.files import fingerprint
from unibert.models.student import build_student
from unibert.pretrain.checkpoint import Progress, list_checkpoints, load_newest, save_checkpoint
from unibert.recipe import Architecture

SHAPE = Architecture(layers=1, hidden=8, heads=2, feed_forward=12, max_positions=16)
DISCRIMINATOR = "student.discriminator"
Parts = tuple[dict[str, nn.Module], dict[str, Optimizer]]


def make(seed: int, shape: Architecture = SHAPE, languages: int = 3) -> Parts:
    modules = {"student": build_student(shape, 20, 0, seed), DISCRIMINATOR: nn.Linear(shape.hidden, languages)}
    return modules, {name: AdamW(module.parameters(), lr=0.1) for name, module in modules.items()}


def one_step(modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> None:
    ids = torch.arange(10).reshape(1, 10)
    loss = modules["student"].eval()(input_ids=ids).logits.square().mean()
    (loss + modules[DISCRIMINATOR](torch.ones(1, 8)).sum()).backward()
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad()


def save(folder: Path, step: int, keep: int = 2) -> Parts:
    modules, optimizers = make(seed=step)
    one_step(modules, optimizers)
    save_checkpoint(folder, Progress(step, 7 * step, 1.5, [step, 0]), modules, optimizers, keep)
    return modules, optimizers


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(one: dict[str, nn.Module], two: dict[str, nn.Module]) -> None:
    for name in one:
        for key, tensor in one[name].state_dict().items():
            assert torch.equal(tensor, two[name].state_dict()[key]), key


def test_what_is_loaded_trains_on_as_what_was_saved(tmp_path: Path) -> None:
    saved, saved_optimizers = save(tmp_path, 3)
    loaded, loaded_optimizers = make(seed=99)
    assert load_newest(tmp_path, loaded, loaded_optimizers) == Progress(3, 21, 1.5, [3, 0])
    assert_same(saved, loaded)
    one_step(saved, saved_optimizers)
    one_step(loaded, loaded_optimizers)
    assert_same(saved, loaded)
    student = loaded["student"]
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_progress_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    modules, optimizers = make(seed=1)
    measures = {"small": [0.1 + 0.2, 1e-300, 3.0], "xsmall": [1 / 3]}
    progress = Progress(5, 2**60 + 1, 0.1 + 0.7, [1, 2**50], 3, measures)
    save_checkpoint(tmp_path, progress, modules, optimizers, keep=1)
    assert load_newest(tmp_path, modules, optimizers) == progress


def test_nothing_in_a_checkpoint_is_a_program(tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "step-000000001"
    assert names(folder) == [
        "state.json",
        "student.discriminator.optimizer.pt",
        "student.discriminator.safetensors",
        "student.optimizer.pt",
        "student.safetensors",
    ]
    for path in folder.glob("*.pt"):
        assert torch.load(path, weights_only=True)["state"]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save(tmp_path, step)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000002", "step-000000010"]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "none", *make(1)) is None


@pytest.mark.parametrize("name", ["student.safetensors", "student.optimizer.pt", "state.json"])
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
    modules, optimizers = make(seed=99)
    progress = load_newest(tmp_path, modules, optimizers, tell=told.append)
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
    (tmp_path / "step-000000001" / "student.optimizer.pt").unlink()
    for _ in range(2):
        with pytest.raises(DataError, match="every checkpoint is damaged"):
            load_newest(tmp_path, *make(1), tell=lambda line: None)


def test_a_changed_digit_of_the_state_is_damage(tmp_path: Path) -> None:
    """It is still JSON, and the other files are whole."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    path = tmp_path / "step-000000002" / "state.json"
    path.write_text(path.read_text().replace('"tokens": 14', '"tokens": 15'))
    told: list[str] = []
    progress = load_newest(tmp_path, *make(1), tell=told.append)
    assert progress is not None
    assert progress.step == 1
    assert "state.json is not what was written" in told[0]


def test_a_checkpoint_under_the_name_of_another_step_is_damage(tmp_path: Path) -> None:
    save(tmp_path, 1)
    shutil.copytree(tmp_path / "step-000000001", tmp_path / "step-000000007")
    shutil.copytree(tmp_path / "step-000000001", tmp_path / "step-000000009-backup")
    told: list[str] = []
    assert load_newest(tmp_path, *make(1), tell=told.append) == Progress(1, 7, 1.5, [1, 0])
    assert len(told) == 1
    assert "step-000000007 is damaged (state.json is that of step 1)" in told[0]


def test_a_disk_that_cannot_read_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    from unibert.pretrain import checkpoint

    checksum = checkpoint.sha256_of_file

    def read(path: Path) -> str:
        if "step-000000002" in str(path):
            raise OSError(errno.EIO, "Input/output error")
        return checksum(path)

    monkeypatch.setattr(checkpoint, "sha256_of_file", read)
    progress = load_newest(tmp_path, *make(1), tell=lambda line: None)
    assert progress is not None
    assert progress.step == 1


def test_damaged_checkpoints_do_not_pile_up(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for step in (2, 3, 4):
        save(tmp_path, step, keep=10)
        assert not list(tmp_path.glob("damaged-*"))
        (tmp_path / f"step-{step:09d}" / "student.safetensors").write_bytes(b"half")
        load_newest(tmp_path, *make(1), tell=lambda line: None)
    assert names(tmp_path) == ["damaged-step-000000004", "step-000000001"]


def reseal(path: Path, **changes: Any) -> None:
    """Rewrite a state as another version would have written it."""
    state = {**json.loads(path.read_text()), **changes}
    del state["fingerprint"]
    path.write_text(json.dumps(state if state["schema"] == 1 else {**state, "fingerprint": fingerprint(state)}))


@pytest.mark.parametrize("schema", [1, 3])
def test_a_checkpoint_of_another_version_is_refused_and_stays(tmp_path: Path, schema: int) -> None:
    """It is not damaged: falling back would throw away what another version can go on from."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    reseal(tmp_path / "step-000000002" / "state.json", schema=schema)
    with pytest.raises(DataError, match=rf"step-000000002: schema {schema}, but this version reads schema 2") as raised:
        load_newest(tmp_path, *make(1))
    assert "run.json" in raised.value.fix
    assert names(tmp_path) == ["step-000000001", "step-000000002"]


def other_modules() -> Parts:
    modules, optimizers = make(seed=2)
    return {"small": modules["student"]}, {"small": optimizers["student"]}


def other_parameter_groups() -> Parts:
    modules, optimizers = make(seed=2)
    student = list(modules["student"].parameters())
    return modules, {**optimizers, "student": AdamW([{"params": student[:2]}, {"params": student[2:]}])}


def other_order_of_parameters() -> Parts:
    modules, optimizers = make(seed=2)
    return modules, {**optimizers, "student": AdamW(list(modules["student"].parameters())[::-1])}


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (lambda: make(2, languages=4), r"student\.discriminator\.safetensors: .* bias is 3, here it is 4"),
        (
            lambda: make(2, SHAPE.model_copy(update={"feed_forward": 16})),
            r"student\.safetensors: .*intermediate\.dense\.bias is 12, here it is 16",
        ),
        (lambda: make(2, SHAPE.model_copy(update={"layers": 2})), r"layer\.1\..* is missing, here it is 8"),
        (other_modules, r"it lacks small\.optimizer\.pt, lacks small\.safetensors, has student\."),
        (other_parameter_groups, r"student\.optimizer\.pt: .*its groups hold"),
        (other_order_of_parameters, r"student\.optimizer\.pt: .*exp_avg of tensor 0 is 20x8, here it is"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_stays(tmp_path: Path, parts: Any, says: str) -> None:
    """And nothing has been loaded by then."""
    save(tmp_path, 1)
    modules, optimizers = parts()
    before = {name: [tensor.clone() for tensor in module.parameters()] for name, module in modules.items()}
    with pytest.raises(DataError, match=says):
        load_newest(tmp_path, modules, optimizers)
    assert names(tmp_path) == ["step-000000001"]
    for name, module in modules.items():
        assert all(torch.equal(old, new) for old, new in zip(before[name], module.parameters(), strict=True))
    assert not any(optimizer.state for optimizer in optimizers.values())


def test_a_checkpoint_beyond_the_end_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 30)
    with pytest.raises(DataError, match="step-000000030: is beyond this run's 20 steps"):
        load_newest(tmp_path, *make(1), steps=20)
    assert load_newest(tmp_path, *make(1), steps=30) is not None


def test_a_failure_that_is_no_damage_leaves_the_checkpoint_alone(tmp_path: Path) -> None:
    save(tmp_path, 1)
    modules, optimizers = make(seed=2)

    def no_memory(_: object) -> None:
        raise RuntimeError("out of memory")

    optimizers["student"].load_state_dict = no_memory  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        load_newest(tmp_path, modules, optimizers)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000001"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path, value: float) -> None:
    save(tmp_path, 1)
    modules, optimizers = make(seed=2)
    next(modules[DISCRIMINATOR].parameters()).data[1, 2] = value
    with pytest.raises(UniBertError, match=rf"not saved, because weight of {DISCRIMINATOR} .*step-000000001"):
        save_checkpoint(tmp_path, Progress(2, 0, 0.0, []), modules, optimizers, keep=1)
    assert names(tmp_path) == ["step-000000001"]


@pytest.mark.parametrize(
    ("number", "fix"), [(errno.ENOSPC, "Make room"), (errno.EDQUOT, "Make room"), (errno.EIO, "See to the disk")]
)
@pytest.mark.parametrize("during", ["torch.save", "os.fsync", "os.replace", "tempfile.mkdtemp"])
def test_a_failed_save_leaves_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: str, number: int, fix: str
) -> None:
    save(tmp_path, 1)
    modules, optimizers = make(seed=2)

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "it does not work")

    monkeypatch.setattr(during, fail)
    with pytest.raises(UniBertError, match=r"step-000000002: cannot be written .*it does not work") as raised:
        save_checkpoint(tmp_path, Progress(2, 0, 0.0, []), modules, optimizers, keep=1)
    assert fix in raised.value.fix
    assert names(tmp_path) == ["step-000000001"]


def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".step-000000001.k3j_x9ab.tmp").mkdir(parents=True)
    save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000002"]
