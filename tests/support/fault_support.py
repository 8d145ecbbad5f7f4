"""Lives of `unibert pretrain` that are there to be ended: real processes, and what may happen to them.

Importing torch takes seconds, so one process (the forge: this file run as a script) does it once, and every life is
forked from it, before there are any threads. A life is a process like any other: the command line, signals, exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

TIMING = {"seconds", "tokens_per_second", "peak_fraction"}
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000  # CLONE_NEWUSER, CLONE_NEWNS


class Run:
    """A recipe whose tokens are there already, and the folder of its student or students."""

    def __init__(self, folder: Path, world: Any, **changes: Any) -> None:
        from tests_support import make_settings
        from unibert.recipe import Recipe
        from unibert.recipe_file import to_toml

        self.output = folder / "run"
        self.students = changes.get("students")
        self.student = self.output / ("students" if self.students else "student")
        self.recipe = folder / "recipe.toml"
        for source in (world.tokens, world.tokenizer):
            shutil.copytree(source, self.output / source.name)
        tree = {"name": "faults", "folder": str(self.output), "seed": 3}
        settings = make_settings(**changes).model_dump(exclude_defaults=True)
        self.recipe.write_text(to_toml(Recipe.model_validate({**tree, "pretrain": settings})), encoding="utf-8")

    def go_on_from(self, other: Run) -> Self:
        """Begin with what another run has left of its student."""
        shutil.copytree(other.student, self.student)
        return self

    def command(self, *overrides: str) -> list[str]:
        """The arguments of `unibert`."""
        return ["pretrain", str(self.recipe), *(word for override in overrides for word in ("--set", override))]

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self.student / "checkpoints").glob("*step-*"))

    def members(self) -> list[Path]:
        """The folders with a log and a model."""
        return [self.student / name for name in self.students] if self.students else [self.student]

    def log(self) -> list[dict[str, Any]]:
        """The records, one student after the other, without what depends on the clock."""
        lines = [line for folder in self.members() for line in (folder / "log.jsonl").read_text().splitlines()]
        records = [json.loads(line) for line in lines]
        return [{key: value for key, value in record.items() if key not in TIMING} for record in records]

    def steps_logged(self) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            return int(self.log()[-1]["step"])
        return 0


def assert_equal_runs(one: Run, two: Run) -> None:
    """Weights and logs are the same to the last bit."""
    assert one.log() == two.log()
    for first, second in zip(one.members(), two.members(), strict=True):
        weights = [folder / "model" / "model.safetensors" for folder in (first, second)]
        assert weights[0].read_bytes() == weights[1].read_bytes(), first


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Look again and again; returns what the condition gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.005)
    return value


@dataclass
class Life:
    """One process of the forge."""

    forge: Forge
    pid: int
    log: Path
    code: int | None = None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_over(self) -> bool:
        if self.code is None:
            self.code = self.forge.ask({"poll": self.pid})["code"]
        return self.code is not None

    def send(self, number: int) -> None:
        if not self.is_over:
            os.kill(self.pid, number)

    def wait(self, seconds: float = 120.0) -> int:
        """The exit code; -N when signal N ended it."""
        try:
            wait_until(lambda: self.is_over, f"the end of process {self.pid}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.output}") from None
        assert self.code is not None
        return self.code


class Forge:
    """Starts lives; ends those that are left when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lives: list[Life] = []
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the forge has not started; it said why on its own"
        return self

    def __exit__(self, *_: object) -> None:
        for life in self.lives:
            life.send(signal.SIGKILL)
        self._process.communicate(timeout=60)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def start(self, command: list[str], *faults: tuple[Any, ...], **environment: str) -> Life:
        """Run `unibert COMMAND` in a process of its own.

        Args:
            command: its arguments.
            faults: names of functions of this module and their arguments; called in the process before the command.
            environment: variables.
        """
        log = self.folder / f"life-{len(self.lives)}.log"
        log.touch()
        request = {"command": command, "faults": faults, "environment": environment, "log": str(log)}
        life = Life(self, self.ask(request)["pid"], log)
        self.lives.append(life)
        return life

    def run(self, command: list[str], *faults: tuple[Any, ...], **environment: str) -> Life:
        """The same, and wait for its end."""
        life = self.start(command, *faults, **environment)
        life.wait()
        return life

    def start_team(self, commands: list[list[str]], *faults: tuple[Any, ...]) -> list[Life]:
        """Processes that train together, as `torchrun` starts them."""
        common = {"WORLD_SIZE": str(len(commands)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        return [
            self.start(command, *faults, RANK=str(rank), LOCAL_RANK=str(rank), **common)
            for rank, command in enumerate(commands)
        ]


# What may happen to a life; named in `Forge.start`, called in it before the command.


def after_updates(act: Callable[[Any, int], None]) -> None:
    """Call `act(optimizer, number of updates)` after every update of the first student's weights."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    first: Any = None
    done = 0

    def count(optimizer: Any, *_: Any) -> None:
        nonlocal first, done
        first = first or optimizer
        if optimizer is first:
            done += 1
            act(optimizer, done)

    register_optimizer_step_post_hook(count)


def pace(seconds: float) -> None:
    """Every update of the weights takes longer."""
    after_updates(lambda *_: time.sleep(seconds))


def slow_saves(seconds: float) -> None:
    """There is time to be killed in while a checkpoint is half written."""
    import torch

    original = torch.save

    def save(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        time.sleep(seconds)

    torch.save = save


def send_self(number: int, step: int, times: int = 1) -> None:
    """A signal right after so many updates."""

    def send(_: Any, done: int) -> None:
        for _ in range(times if done == step else 0):
            os.kill(os.getpid(), number)

    after_updates(send)


def save_and_die(folder: str, number: int) -> None:
    """Save a checkpoint of step 1, and die while that of step 2 takes its place."""
    import torch

    from unibert.pretrain.checkpoint import Progress, save_checkpoint

    for step in (1, 2):
        module = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(module.weight, step)
        optimizer = torch.optim.AdamW(module.parameters(), lr=step)
        if step == 2:
            die_at_change(number, folder)
        save_checkpoint(Path(folder), Progress(step, 0, 0.0, []), {"student": module}, {"student": optimizer}, keep=1)


def die_at_change(number: int, folder: str) -> None:
    """SIGKILL right before the folder changes for the `number`-th time: a file opened for writing, renamed, removed."""
    left = number
    # The position of the descriptor of the folder that a path is relative to, among what is told of each change.
    changes = {"os.rename": 2, "os.mkdir": 2, "os.remove": 1, "os.rmdir": 1}

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "open":
            changed = arguments[0] if isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE else None
        elif event in changes:
            place = arguments[changes[event]]
            changed = os.path.join(os.readlink(f"/proc/self/fd/{place}") if place >= 0 else "", arguments[0])
        else:
            return
        left -= isinstance(changed, str | os.PathLike) and str(changed).startswith(folder)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def clock_backwards() -> None:
    """Every look at the clock is a minute before the last one."""
    import tqdm.std

    now = time.time()

    def earlier() -> float:
        nonlocal now
        now -= 60.0
        return now

    time.time = earlier
    tqdm.std.time = earlier


def bad_weight(step: int) -> None:
    """A weight is not a number any more after this many updates, as a fault of the memory might have it."""

    def spoil(optimizer: Any, done: int) -> None:
        if done == step:
            optimizer.param_groups[0]["params"][0].data.view(-1)[::7] = float("nan")

    after_updates(spoil)


def limit_files(size: int) -> None:
    """No file may grow beyond this many bytes: the full disk of those who may not make a small one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def launch(*arguments: str) -> None:
    """Be `torchrun` with these arguments."""
    from torch.distributed.run import main

    main(list(arguments))


def ignore_hangup() -> None:
    """What `nohup` does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def on_terminal(path: str) -> None:
    """Talk to this terminal, which is the process's own: when it is closed, the kernel sends SIGHUP."""
    terminal = os.open(path, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(terminal, descriptor)


def make_small_disk(folder: str, size: int) -> None:
    """Mount an empty disk of `size` bytes that only this process sees, and those that go `into` it."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()

    def must(result: int, what: str) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")

    must(libc.unshare(_NEW_USER | _NEW_MOUNTS), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    must(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={size}".encode()), "mount")
    (Path(folder) / "ready").touch()
    signal.pause()


def into(pid: int) -> None:
    """See the disk that the process `pid` has made."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, flag in (("user", _NEW_USER), ("mnt", _NEW_MOUNTS)):
        with open(f"/proc/{pid}/ns/{kind}") as namespace:
            if libc.setns(namespace.fileno(), flag) != 0:
                raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def _live(request: dict[str, Any]) -> NoReturn:
    """The life itself; ends as the command does."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    # Whoever runs the tests may have them ignored: a background job, nohup.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.update(request["environment"])
    for name, *arguments in request["faults"]:
        globals()[name](*arguments)
    from unibert.cli import main

    sys.argv = ["unibert", *request["command"]]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    # The end of a process, but for the taking apart of all that is imported, which would take longer than the run.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve() -> None:
    """Read requests, fork lives, tell how they ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from transformers.utils import logging

    import unibert.stages  # noqa: F401
    from unibert.models.student import build_student
    from unibert.pretrain import loop  # noqa: F401
    from unibert.recipe import Architecture

    # What a library prepares when it is first used.
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        shape = Architecture(layers=1, hidden=4, heads=1, feed_forward=4, max_positions=8)
        build_student(shape, 8, 0, seed=0).save_pretrained(folder)
    assert threading.active_count() == 1  # a fork takes no other threads along
    gc.freeze()  # lives share the memory until they write to it
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                _live(request)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
