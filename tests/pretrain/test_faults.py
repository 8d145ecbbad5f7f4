"""What a run of 30 days meets, with real processes: kills, signals, full disks, damage, clocks, other recipes.

Each time the run goes on afterwards, and what comes out equals what was never disturbed, to the last bit.
"""

import os
import random
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fault_support import Forge, Life, Run, assert_equal_runs, free_port, wait_until
from tests_support import World, make_settings
from unibert.pretrain.checkpoint import list_checkpoints, load_newest
from unibert.runs import LOCK_FILE
from unibert.tokens.batches import Batches
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks processes and kills them")

LENGTH = {"steps": 24, "save_every": 4}
STOPPED = 130  # the exit code of a run that was told to stop, whichever way


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture(scope="module")
def whole(forge: Forge, world: World, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing has happened to."""
    return finish(forge, Run(tmp_path_factory.mktemp("whole"), world, **LENGTH))


@pytest.fixture(scope="module")
def killed(forge: Forge, world: World, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run, killed after ten updates: it has checkpoints of steps 4 and 8."""
    run = Run(tmp_path_factory.mktemp("killed"), world, **LENGTH)
    assert forge.run(run.command(), ("send_self", signal.SIGKILL, 10)).code == -signal.SIGKILL
    assert run.checkpoints() == ["step-000000004", "step-000000008"]
    return run


@pytest.fixture
def going_on(killed: Run, world: World, tmp_path: Path) -> Run:
    """A copy of what was killed."""
    return Run(tmp_path, world, **LENGTH).go_on_from(killed)


def finish(forge: Forge, run: Run, *faults: Any) -> Run:
    life = forge.run(run.command(), *faults)
    assert life.code == 0, life.output
    return run


def refused(life: Life) -> str:
    """What a run says that ends with an error for its user."""
    assert life.code == 1, life.output
    assert "Traceback" not in life.output
    assert "error: " in life.output
    assert "Fix: " in life.output
    return life.output


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_FILE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


# Kills.


@pytest.mark.slow
def test_twenty_kills_change_nothing(forge: Forge, world: World, tmp_path: Path) -> None:
    """At random moments: some time after a step, in the middle of a save, right before a change of the folder."""
    settings = {"steps": 140, "save_every": 2, "log_every": 4, "evaluate_every": 20}
    run = Run(tmp_path / "killed", world, **settings)
    checkpoints = run.student / "checkpoints"
    numbers = random.Random(20)
    during_a_save = 0
    for kill in range(20):
        faults: list[Any] = [("pace", 0.02), ("slow_saves", 0.05)]  # so that 20 kills come before the last step
        if kill % 3 == 0:
            faults.append(("die_at_change", numbers.randint(1, 45), str(run.student)))
        logged, scratch = run.steps_logged(), set(checkpoints.glob(".step-*"))
        life = forge.start(run.command(), *faults)
        if kill % 3 == 1:
            wait_until(lambda logged=logged: run.steps_logged() != logged, "a step")
            time.sleep(numbers.uniform(0, 0.3))
            life.send(signal.SIGKILL)
        elif kill % 3 == 2:
            wait_until(lambda scratch=scratch: set(checkpoints.glob(".step-*")) - scratch, "a save")
            time.sleep(numbers.uniform(0, 0.06))
            life.send(signal.SIGKILL)
        assert life.wait() == -signal.SIGKILL, life.output
        during_a_save += any(checkpoints.glob(".step-*"))
    assert during_a_save >= 5
    assert_equal_runs(finish(forge, run), finish(forge, Run(tmp_path / "whole", world, **settings)))
    assert not list(run.student.rglob(".*.tmp"))


def test_a_save_is_killed_at_each_of_its_changes(forge: Forge, tmp_path: Path) -> None:
    """Before each file that is opened, renamed or removed: one of the two checkpoints is always there and whole."""
    steps: list[int] = []
    code: int | None = -signal.SIGKILL
    while code == -signal.SIGKILL:
        folder = tmp_path / str(len(steps))
        code = forge.run([], ("save_and_die", str(folder), len(steps) + 1)).code
        module = nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(module.parameters())
        progress = load_newest(folder, {"student": module}, {"student": optimizer})
        assert progress is not None
        assert bool((module.weight == progress.step).all())
        assert optimizer.param_groups[0]["lr"] == progress.step
        assert all(len(list(path.iterdir())) == 3 for path in list_checkpoints(folder))
        steps.append(progress.step)
    assert steps == sorted(steps)
    assert steps.count(1) >= 5
    assert steps.count(2) >= 2


def test_a_family_is_killed(forge: Forge, world: World, tmp_path: Path) -> None:
    shapes = {"wide": {"hidden": 16}, "narrow": {"hidden": 8}}
    common = {"layers": 1, "heads": 2, "feed_forward": 24, "max_positions": 32}
    settings = {**LENGTH, "students": {name: {**common, **shape} for name, shape in shapes.items()}}
    run = Run(tmp_path / "killed", world, **settings)
    for step in (7, 5):
        assert forge.run(run.command(), ("send_self", signal.SIGKILL, step)).code == -signal.SIGKILL
    assert run.checkpoints() == ["step-000000004", "step-000000008"]
    assert_equal_runs(finish(forge, run), finish(forge, Run(tmp_path / "whole", world, **settings)))


@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_processes_is_killed(
    forge: Forge, world: World, tmp_path: Path, whole_team: Run, victim: int
) -> None:
    run = Run(tmp_path, world, **LENGTH)
    team = forge.start_team([run.command()] * 2, ("pace", 0.02))
    wait_until(lambda: run.steps_logged() >= 6, "step 6")
    team[victim].send(signal.SIGKILL)
    team[1 - victim].wait()
    assert "another one has ended" in refused(team[1 - victim])
    finish_team(forge, run)
    assert_equal_runs(run, whole_team)


def test_processes_that_see_different_folders(forge: Forge, world: World, tmp_path: Path, going_on: Run) -> None:
    """As on two machines without a common disk: one goes on from step 8, the other would start."""
    elsewhere = Run(tmp_path / "elsewhere", world, **LENGTH)
    commands = [going_on.command(), elsewhere.command()]
    told = [refused(life) for life in forge.start_team(commands) if life.wait()]
    assert len(told) == 2
    assert "process 0 finds step 8 there, others find another" in told[0]
    assert "where all processes see the same files" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_torchrun(forge: Forge, world: World, tmp_path: Path, whole_team: Run, number: int) -> None:
    """Told to stop, it saves; when one of its processes is killed, it ends. Two others go on from there."""
    run = Run(tmp_path, world, **LENGTH)
    script = tmp_path / "train.py"
    script.write_text("from fault_support import pace\npace(0.1)\nfrom unibert.cli import main\nmain()\n")
    options = ["--nproc-per-node=2", f"--master-port={free_port()}"]
    launcher = forge.start([], ("launch", *options, str(script), *run.command()))
    wait_until(lambda: run.steps_logged() >= 6 or launcher.is_over, "step 6")
    if number == signal.SIGTERM:
        launcher.send(number)
    else:
        os.kill(int((run.student / LOCK_FILE).read_text().split()[1]), number)
    assert launcher.wait() != 0
    if number == signal.SIGTERM:
        stopped = re.search(r"stopped at step (\d+) of 24", launcher.output)
        assert stopped is not None, launcher.output
        assert run.checkpoints()[-1] == f"step-{int(stopped[1]):09d}"
    finish_team(forge, run)
    assert_equal_runs(run, whole_team)


@pytest.fixture(scope="module")
def whole_team(forge: Forge, world: World, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finish_team(forge, Run(tmp_path_factory.mktemp("team"), world, **LENGTH))


def finish_team(forge: Forge, run: Run) -> Run:
    for life in forge.start_team([run.command()] * 2):
        assert life.wait() == 0, life.output
    return run


def test_another_number_of_processes(forge: Forge, world: World, tmp_path: Path) -> None:
    """One, then two, then one: the same samples in every step, the same losses but for rounding."""
    settings = {**LENGTH, "dropout": 0.0, "log_every": 1}
    run = Run(tmp_path / "many", world, **settings)
    assert forge.run(run.command(), ("send_self", signal.SIGTERM, 7)).code == STOPPED
    for life in forge.start_team([run.command()] * 2, ("send_self", signal.SIGTERM, 9)):
        assert life.wait() == STOPPED, life.output
    assert run.checkpoints()[-1] == "step-000000016"
    finish(forge, run)
    alone = finish(forge, Run(tmp_path / "alone", world, **settings))
    for one, other in zip(alone.log(), run.log(), strict=True):
        for key in ("kind", "step", "tokens", "shares", "learning_rate"):
            assert one.get(key) == other.get(key), (one, other)
        for key in one.keys() & {"mlm", "loss", "adversary", "gradient_norm"}:
            assert one[key] == pytest.approx(other[key], rel=1e-4), (one, other)


# Being told to stop.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_saves_and_leaves(forge: Forge, world: World, tmp_path: Path, whole: Run, number: int) -> None:
    run = Run(tmp_path, world, **LENGTH)
    life = forge.run(run.command(), ("send_self", number, 6))
    assert life.code == STOPPED
    assert f"{signal.Signals(number).name}: stopping after this step" in life.output
    assert "stopped at step 6 of 24" in life.output
    assert run.checkpoints() == ["step-000000004", "step-000000006"]
    assert_equal_runs(finish(forge, run), whole)


def test_what_a_scheduler_and_torchrun_both_send_is_one_request(forge: Forge, going_on: Run) -> None:
    assert forge.run(going_on.command(), ("send_self", signal.SIGTERM, 2, 3)).code == STOPPED
    assert going_on.checkpoints() == ["step-000000008", "step-000000010"]


def test_ctrl_c_twice_leaves_at_once(forge: Forge, going_on: Run, whole: Run) -> None:
    life = forge.run(going_on.command(), ("send_self", signal.SIGINT, 2, 2))
    assert life.code == STOPPED
    assert "Traceback" not in life.output
    assert going_on.checkpoints() == ["step-000000004", "step-000000008"]
    assert_equal_runs(finish(forge, going_on), whole)


def test_a_closed_terminal_saves_and_leaves(forge: Forge, world: World, tmp_path: Path, whole: Run) -> None:
    """What is printed into a terminal that is gone fails, and must not end the run."""
    run = Run(tmp_path, world, **LENGTH)
    window, terminal = os.openpty()
    life = forge.start(run.command(), ("on_terminal", os.ttyname(terminal)), ("pace", 0.02))
    wait_until(lambda: run.steps_logged() >= 6, "step 6")
    os.close(terminal)
    os.close(window)
    assert life.wait() == STOPPED
    assert int(run.checkpoints()[-1].removeprefix("step-")) >= 6
    assert_equal_runs(finish(forge, run), whole)


def test_under_nohup_a_closed_terminal_is_nothing(forge: Forge, going_on: Run, whole: Run) -> None:
    finish(forge, going_on, ("ignore_hangup",), ("send_self", signal.SIGHUP, 2))
    assert_equal_runs(going_on, whole)


def test_a_second_process_is_refused_until_the_first_is_gone(
    forge: Forge, world: World, tmp_path: Path, whole: Run
) -> None:
    run = Run(tmp_path, world, **LENGTH)
    first = forge.start(run.command(), ("pace", 0.2))
    wait_until(lambda: run.steps_logged() >= 2, "step 2")
    told = refused(forge.run(run.command()))
    assert f"process {first.pid} on {socket.gethostname()} is at work here" in told
    assert not first.is_over
    first.send(signal.SIGKILL)
    first.wait()
    assert_equal_runs(finish(forge, run), whole)


# No room.


@pytest.mark.parametrize("share", [0.5, 1.5], ids=["weights", "optimizer"])
def test_a_save_that_finds_no_room(forge: Forge, going_on: Run, whole: Run, share: float) -> None:
    """The weights are as large as their file; the optimizer's state is twice as large."""
    before = contents(going_on.student / "checkpoints")
    size = (going_on.student / "checkpoints" / "step-000000008" / "student.safetensors").stat().st_size
    life = forge.run(going_on.command(), ("limit_files", int(share * size)))
    told = refused(life)
    assert "step-000000012: cannot be written" in told
    assert "too large" in told
    assert "Make room on the disk" in told
    assert contents(going_on.student / "checkpoints") == before
    assert_equal_runs(finish(forge, going_on), whole)


def test_the_last_file_finds_no_room(forge: Forge, world: World, whole: Run, tmp_path: Path) -> None:
    run = Run(tmp_path, world, **LENGTH).go_on_from(whole)
    size = (run.student / "model" / "model.safetensors").stat().st_size
    shutil.rmtree(run.student / "model")
    (run.student / "summary.json").unlink()
    told = refused(forge.run(run.command(), ("limit_files", size // 2)))
    assert "cannot be written" in told
    assert not (run.student / "model").exists()
    assert not (run.student / "summary.json").exists()
    assert_equal_runs(finish(forge, run), whole)


@pytest.fixture
def small_disk(forge: Forge, going_on: Run) -> Iterator[tuple[int, Path]]:
    """A disk of a megabyte below the student's folder, a process that can see it, and where this one can."""
    there = going_on.output / "student"
    aside = there.rename(going_on.output / "aside")
    there.mkdir()
    holder = forge.start([], ("make_small_disk", str(there), 1 << 20))
    seen = Path(f"/proc/{holder.pid}/root{there}")
    wait_until(lambda: holder.is_over or (seen / "ready").exists(), "the small disk")
    if holder.is_over:
        pytest.skip(f"no file system may be mounted here: {holder.output.strip().splitlines()[-1]}")
    shutil.copytree(aside, seen, dirs_exist_ok=True)
    going_on.student = seen
    yield holder.pid, seen
    holder.send(signal.SIGKILL)
    holder.wait()


@pytest.mark.parametrize("free", [0, 100_000], ids=["nothing", "less than a checkpoint"])
def test_a_full_disk(forge: Forge, going_on: Run, whole: Run, small_disk: tuple[int, Path], free: int) -> None:
    holder, disk = small_disk
    before = contents(disk / "checkpoints")
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        room = os.fstatvfs(ballast.fileno())
        ballast.write(bytes(max(0, room.f_bavail * room.f_bsize - free)))
    told = refused(forge.run(going_on.command(), ("into", holder)))
    assert "No space left on device" in told
    assert contents(disk / "checkpoints") == before
    (disk / "ballast").unlink()
    finish(forge, going_on, ("into", holder))
    assert_equal_runs(going_on, whole)


# Damage.


def test_a_damaged_shard_is_named(forge: Forge, going_on: Run, whole: Run) -> None:
    shard = going_on.output / "tokens" / "ru.train.bin"
    sound = shard.read_bytes()
    flip(shard)
    assert str(shard) in refused(forge.run(going_on.command()))
    shard.write_bytes(sound)
    assert_equal_runs(finish(forge, going_on), whole)


@pytest.mark.parametrize("name", ["student.safetensors", "state.json", "*.optimizer.pt"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(forge: Forge, going_on: Run, whole: Run, name: str) -> None:
    flip(next((going_on.student / "checkpoints" / "step-000000008").glob(name)))
    life = forge.run(going_on.command())
    assert life.code == 0, life.output
    assert "step-000000008 is damaged" in life.output
    assert_equal_runs(going_on, whole)
    assert going_on.checkpoints() == ["step-000000020", "step-000000024"]


def test_nothing_but_damage_is_told(forge: Forge, going_on: Run) -> None:
    for folder in (going_on.student / "checkpoints").iterdir():
        flip(folder / "student.safetensors")
    for _ in range(2):
        assert "every checkpoint is damaged" in refused(forge.run(going_on.command()))


def test_a_clock_that_goes_backwards(forge: Forge, world: World, going_on: Run, whole: Run, tmp_path: Path) -> None:
    finish(forge, going_on, ("clock_backwards",))
    assert_equal_runs(going_on, whole)
    steps = [record["step"] for record in going_on.log()]
    assert steps == sorted(steps)
    for number, path in enumerate(going_on.student.rglob("*")):
        os.utime(path, (1e9 - 1000 * number,) * 2)
    assert forge.run(going_on.command()).code == 0


def test_a_weight_that_is_not_a_number(forge: Forge, world: World, going_on: Run, whole: Run) -> None:
    """Ten updates are done when it happens, so the batch that finds it is that of step 10."""
    told = refused(forge.run(going_on.command(), ("bad_weight", 2)))
    assert "not a number at step 10" in told
    assert "step-000000008" in told
    special = SpecialIds.of(load_tokenizer(world.tokenizer))
    batches = Batches(TokenStore(world.tokens), special, make_settings(**LENGTH), seed=3)
    for batch in batches.batch(10):
        for language, index in batch.samples:
            assert f"{language}:{index}" in told
    assert_equal_runs(finish(forge, going_on), whole)


def test_weights_that_are_not_numbers_are_not_saved(forge: Forge, going_on: Run, whole: Run) -> None:
    """They come from the update before the save: no gradient has shown them."""
    told = refused(forge.run(going_on.command(), ("bad_weight", 4)))
    assert "step-000000012: not saved" in told
    assert f"last good checkpoint: {going_on.student / 'checkpoints' / 'step-000000008'}" in told
    assert_equal_runs(finish(forge, going_on), whole)


# Another recipe.


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("pretrain.learning_rate=0.001", "settings.learning_rate: 0.005 -> 0.001"),
        ("pretrain.adversary.mode=none", "settings.adversary.mode: confusion -> none"),
        ("seed=4", "seed: 3 -> 4"),
        ("pretrain.steps=20", "settings.steps: 24 -> 20"),
    ],
)
def test_another_recipe_is_refused(forge: Forge, going_on: Run, override: str, difference: str) -> None:
    before = contents(going_on.student)
    assert difference in refused(forge.run(going_on.command(override)))
    assert contents(going_on.student) == before


def test_what_concerns_only_logging_may_change(forge: Forge, going_on: Run, whole: Run) -> None:
    changes = "log_every=5 save_every=3 evaluate_every=7 keep_checkpoints=1 tensorboard=true compile=off".split()
    life = forge.run(going_on.command(*(f"pretrain.{change}" for change in changes)))
    assert life.code == 0, life.output
    weights = [run.student / "model" / "model.safetensors" for run in (going_on, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert going_on.checkpoints() == ["step-000000024"]
