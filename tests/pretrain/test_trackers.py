"""Trackers get the numbers of a run, know it again when it is resumed, and can neither stop nor delay its training.

The stand-ins have the parameters of wandb 0.31 and trackio 0.43, and the behaviour that matters here.
"""

from __future__ import annotations

import contextvars
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from unibert.errors import DataError
from unibert.pretrain.log import FamilyLog, RunLog, read_log
from unibert.pretrain.trackers import TRACKER_FILE, require_tracker

CONFIG = {"name": "zebra", "pretrain": {"steps": 10}}


def train(step: int, loss: float = 2.5) -> dict[str, Any]:
    return {
        "kind": "train",
        "step": step,
        "loss": loss,
        "adversary": None,
        "tokens_per_second": 2010.4,
        "shares": {"de": 0.75, "en": 0.25},
    }


def held_out(step: int) -> dict[str, Any]:
    return {"kind": "heldout", "step": step, "mlm": 3.0, "languages": {"de": 2.5, "en": 3.5}}


def open_log(folder: Path, step: int = 0, **options: Any) -> RunLog:
    return RunLog(folder, step, 10, "student", False, True, **options)


def told(folder: Path) -> list[tuple[str, int]]:
    return [(record["kind"], record["step"]) for record in read_log(folder / "log.jsonl")]


def _fail(*_: object, **__: object) -> Any:
    raise OSError("the server is away")


class FakeRun:
    def __init__(self, server: dict[str, Any], key: str, options: dict[str, Any]) -> None:
        self.rows = server.setdefault(key, [])
        self.options = options
        self.open = True

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        assert self.open, "the run has been ended"
        json.dumps(data)
        self.rows.append((step, data))

    def finish(self, exit_code: int | None = None) -> None:
        self.open = False


class Fake:
    """A tracker's server, which outlives the runs."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int, dict[str, float]]]] = {}
        self.runs: list[FakeRun] = []

    def start(self, key: str, options: dict[str, Any]) -> FakeRun:
        self.runs.append(FakeRun(self.rows, key, options))
        print("started", key)
        return self.runs[-1]


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()

    def init(
        entity=None, project=None, dir=None, id=None, name=None, notes=None, tags=None, config=None, group=None,
        job_type=None, mode=None, force=None, reinit=None, resume=None, settings=None,
    ):  # fmt: skip
        if reinit != "create_new":
            for run in fake.runs:
                run.finish()
        assert resume == "allow" and Path(dir).is_dir()
        return fake.start(id, {"project": project, "name": name, "group": group, "config": config})

    _install(monkeypatch, "wandb", init)
    return fake


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake, current = Fake(), contextvars.ContextVar("current_run", default=None)

    def init(
        project, name=None, group=None, space_id=None, server_url=None, dataset_id=None, bucket_id=None, config=None,
        resume="never", settings=None, private=None, embed=True, auto_log_gpu=None, gpu_log_interval=10.0,
    ):  # fmt: skip
        if current.get() is not None:
            current.get().finish()
        assert resume == "allow" and not embed
        assert not [key for key in config if key.startswith("_")]
        current.set(fake.start(name, {"project": project, "name": name, "group": group, "config": config}))
        return current.get()

    _install(monkeypatch, "trackio", init)
    return fake


def _install(monkeypatch: pytest.MonkeyPatch, name: str, init: Any) -> None:
    module = types.ModuleType(name)
    module.init = init
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request: pytest.FixtureRequest) -> tuple[str, Fake]:
    return request.param, request.getfixturevalue(request.param)


def test_tracker_gets_the_numbers_and_the_recipe(
    tmp_path: Path, tracker: tuple[str, Fake], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, server = tracker
    with open_log(tmp_path, tracker=kind, config=CONFIG, bar=False) as log:
        log.write(train(2))
        log.write(held_out(2))
    (run,) = server.runs
    assert not run.open
    assert (run.options["project"], run.options["group"]) == ("unibert", "zebra")
    assert run.options["name"].startswith("zebra-student")
    assert run.options["config"] == CONFIG
    (first, numbers), (second, losses) = run.rows
    assert (first, second) == (2, 2)
    assert numbers["train/loss"] == 2.5 and numbers["train/tokens_per_second"] == 2010.4
    assert not {"train/step", "train/kind", "train/adversary", "train/shares"} & set(numbers)
    assert losses == {"heldout/mlm": 3.0, "heldout_by_language/de": 2.5, "heldout_by_language/en": 3.5}
    assert capsys.readouterr().out == "", "what trackers print does not belong to a command's output"


def test_resumed_run_goes_on_in_the_same_tracker_run_and_tells_no_step_twice(
    tmp_path: Path, tracker: tuple[str, Fake]
) -> None:
    kind, server = tracker
    with open_log(tmp_path, tracker=kind, config=CONFIG) as log:
        for step in (2, 4, 6):
            log.write(train(step))
    with open_log(tmp_path, step=4, tracker=kind, config=CONFIG) as log:
        for step in (6, 8):
            log.write(train(step))
    assert len(server.runs) == 2
    ((_, rows),) = server.rows.items()
    assert [step for step, _ in rows] == [2, 4, 6, 8]
    assert told(tmp_path) == [("train", step) for step in (2, 4, 6, 8)]


def test_tracker_that_is_switched_on_later_gets_what_is_trained_again(
    tmp_path: Path, tracker: tuple[str, Fake]
) -> None:
    kind, server = tracker
    with open_log(tmp_path) as log:
        log.write(train(2))
        log.write(train(4))
    with open_log(tmp_path, step=2, tracker=kind) as log:
        log.write(train(4))
    assert [step for step, _ in server.runs[0].rows] == [4]


def test_both_trackers_keep_their_own_run(tmp_path: Path, wandb: Fake, trackio: Fake) -> None:
    for _ in range(2):
        for kind in ("wandb", "trackio"):
            with open_log(tmp_path, step=2, tracker=kind):
                pass
    assert len(wandb.rows) == len(trackio.rows) == 1
    assert set(json.loads((tmp_path / TRACKER_FILE).read_text())) == {"wandb", "trackio"}


def test_members_of_a_family_are_runs_side_by_side(tmp_path: Path, tracker: tuple[str, Fake]) -> None:
    kind, server = tracker
    folders = {member: tmp_path / member for member in ("small", "xsmall")}
    with FamilyLog(folders, 0, 10, "students", False, True, kind, CONFIG) as logs:
        for step in (2, 4):
            for number, member in enumerate(folders):
                logs[member].write(train(step, loss=float(number)))
    assert [run.options["group"] for run in server.runs] == ["zebra", "zebra"]
    assert ["xsmall" in run.options["name"] for run in server.runs] == [False, True]
    assert [[row["train/loss"] for _, row in run.rows] for run in server.runs] == [[0.0, 0.0], [1.0, 1.0]]
    assert not any(run.open for run in server.runs)
    for folder in folders.values():
        assert told(folder) == [("train", 2), ("train", 4)]


def test_tracker_that_fails_while_training_is_told_once_and_left(
    tmp_path: Path, tracker: tuple[str, Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, _ = tracker
    monkeypatch.setattr(FakeRun, "log", _fail)
    monkeypatch.setattr(FakeRun, "finish", _fail)
    with open_log(tmp_path, tracker=kind, bar=False) as log:
        for step in (2, 4):
            log.write(train(step))
    assert capsys.readouterr().err.count(f"{kind} fails (OSError: the server is away)") == 1
    assert len(told(tmp_path)) == 2


def test_tracker_that_comes_back_gets_what_follows(
    tmp_path: Path, tracker: tuple[str, Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, server = tracker
    with open_log(tmp_path, tracker=kind) as log:
        with monkeypatch.context() as away:
            away.setattr(FakeRun, "log", _fail)
            log.write(train(2))
        log.write(train(4))
    assert [step for step, _ in server.runs[0].rows] == [4]


def test_tracker_that_cannot_start_is_an_error_at_first_and_a_warning_on_resuming(
    tmp_path: Path, tracker: tuple[str, Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, _ = tracker
    with monkeypatch.context() as away:
        away.setattr(Fake, "start", _fail)
        with pytest.raises(DataError, match="the server is away"):
            open_log(tmp_path, tracker=kind)
    assert not (tmp_path / TRACKER_FILE).exists(), "the next start is the first one again"
    with open_log(tmp_path, tracker=kind, bar=False):
        pass
    monkeypatch.setattr(Fake, "start", _fail)
    with open_log(tmp_path, step=2, tracker=kind, bar=False) as log:
        log.write(train(4))
    assert "training goes on without it" in capsys.readouterr().err
    assert told(tmp_path) == [("train", 4)]


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_tracker_that_is_not_installed_is_told_before_anything_is_done(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    assert require_tracker(None) is None
    for ask in (lambda: require_tracker(kind), lambda: open_log(tmp_path, tracker=kind)):
        with pytest.raises(DataError, match="not installed") as caught:
            ask()
        assert f"pip install {kind}" in caught.value.fix
    # The folder that wandb itself leaves in the current one is an empty package to Python.
    monkeypatch.setitem(sys.modules, kind, types.ModuleType(kind))
    with pytest.raises(DataError, match="not installed"):
        require_tracker(kind)


def test_member_whose_log_cannot_be_opened_closes_those_before(
    tmp_path: Path, wandb: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xsmall").mkdir()
    (tmp_path / "xsmall" / TRACKER_FILE).write_text("[]")
    with pytest.raises(DataError, match=r"tracker\.json"):
        FamilyLog({name: tmp_path / name for name in ("small", "xsmall")}, 0, 10, "students", False, True, "wandb")
    assert [run.open for run in wandb.runs] == [False]
