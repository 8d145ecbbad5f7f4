"""The log of a run: every step told once, nothing that follows it can stop it, and it survives a full disk."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from unibert.errors import DataError
from unibert.pretrain import log as log_module
from unibert.pretrain.log import FamilyLog, LossBar, RunLog, read_log
from unibert.progress import Pace, StepBar, brief_duration


def train(step: int, **changes: Any) -> dict[str, Any]:
    record = {
        "kind": "train", "step": step, "loss": 5.0 / step, "mlm": 4.0 / step, "adversary": None, "distillation": 0.5,
        "hidden": None, "relations": None, "discriminator_accuracy": None, "learning_rate": 1e-4, "gradient_norm": 1.5,
        "tokens": 100 * step, "tokens_per_second": 2010.4, "peak_fraction": 0.234, "seconds": 0.5 * step,
        "shares": {"de": 0.75, "en": 0.25},
    }  # fmt: skip
    return {**record, **changes}


def held_out(step: int) -> dict[str, Any]:
    return {"kind": "heldout", "step": step, "mlm": 3.0, "languages": {"de": 2.5, "en": 3.5}}


def open_log(folder: Path, step: int = 0, **options: Any) -> RunLog:
    return RunLog(folder, step, 10, "student", False, True, **options)


def told(folder: Path) -> list[tuple[str, int]]:
    return [(record["kind"], record["step"]) for record in read_log(folder / "log.jsonl")]


def test_records_are_kept_as_they_are_line_by_line(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.write(train(2))
        assert read_log(tmp_path / "log.jsonl") == [train(2)], "a line is on the disk as soon as it is written"
        log.write(held_out(2))
    assert read_log(tmp_path / "log.jsonl") == [train(2), held_out(2)]


def test_process_that_is_not_the_first_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunLog(folder, 0, 10, "student", True, False, tracker="not-installed") as log:
        log.write(train(2))
        log.advance()
    with FamilyLog({"small": folder / "small"}, 0, 10, "students", True, False, tracker="not-installed") as logs:
        logs["small"].write(train(2))
        logs.advance()
    assert not folder.exists()


def test_resumed_run_tells_every_step_once(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        for step in (2, 4, 6):
            log.write(train(step))
            log.write(held_out(step))
    with open_log(tmp_path, step=4) as log:
        log.write(train(6, loss=1.0))
    assert told(tmp_path) == [("train", 2), ("heldout", 2), ("train", 4), ("heldout", 4), ("train", 6)]
    assert read_log(tmp_path / "log.jsonl")[-1]["loss"] == 1.0
    with open_log(tmp_path, step=0):  # killed before its first checkpoint: it evaluates step 0 again
        pass
    assert told(tmp_path) == []


def test_line_that_was_cut_off_and_foreign_ones_are_left_out(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.write(train(2))
    path = tmp_path / "log.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"step": "two"}\n[1]\n\xff\xfe\n' + json.dumps(train(4)).encode()[:50])
    assert told(tmp_path) == [("train", 2)]
    with open_log(tmp_path, step=2) as log:
        log.write(train(4))
    assert path.read_text(encoding="utf-8").count("\n") == 2
    assert told(tmp_path) == [("train", 2), ("train", 4)]


def test_clock_that_goes_backwards_changes_nothing(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.write(train(2, seconds=900.0))
        log.write(train(4, seconds=3.0))
    with open_log(tmp_path, step=4):
        pass
    assert [record["seconds"] for record in read_log(tmp_path / "log.jsonl")] == [900.0, 3.0]


# A full disk


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """No file of this process can grow beyond the size of `path` and so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_delays_lines_and_tears_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    with open_log(tmp_path, bar=False) as log:
        log.write(train(2))
        whole = path.read_bytes()
        with room_for(path, 40):
            log.write(train(4))
            assert path.read_bytes() == whole, "a part of a line must not stay"
            log.write(train(6))
            warning = capsys.readouterr().err
            assert warning.count("warning:") == 1
            assert str(path) in warning
        log.write(train(8))
        assert told(tmp_path) == [("train", 2), ("train", 4), ("train", 6), ("train", 8)]
    assert capsys.readouterr().err == ""


def test_lines_that_never_find_room_are_told_as_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    log = open_log(tmp_path, bar=False)
    log.write(train(2))
    with room_for(path, 10), log:
        log.write(train(4))
    assert "1 lines could not be written and are lost" in capsys.readouterr().err
    assert told(tmp_path) == [("train", 2)]


def test_torn_line_that_cannot_be_taken_back_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    with open_log(tmp_path, bar=False) as log:
        log.write(train(2))
        opened = Path.open

        class Stubborn:
            def __init__(self, stream: Any) -> None:
                self.stream = stream

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                self.stream.close()

            def seek(self, *arguments: int) -> int:
                return self.stream.seek(*arguments)

            def write(self, content: bytes) -> int:
                self.stream.write(bytes(content)[:30])
                raise OSError(28, "No space left on device")

            def truncate(self, _: int) -> None:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(Path, "open", lambda self, *a, **k: Stubborn(opened(self, *a, **k)))
        log.write(train(4))
        monkeypatch.undo()
        log.write(train(6))
    assert told(tmp_path) == [("train", 2), ("train", 4), ("train", 6)]
    assert len(path.read_bytes().splitlines()) == 4  # one of them is the torn part


def test_full_disk_at_the_start_is_told_with_the_file(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.write(train(2))
    with room_for(tmp_path / "log.jsonl", -100), pytest.raises(DataError, match=r"log\.jsonl.*cannot be written"):
        open_log(tmp_path, step=2)
    assert told(tmp_path) == [("train", 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


# TensorBoard


def test_tensorboard_gets_every_number_and_the_losses_by_language(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunLog(tmp_path, 0, 10, "student", True, True, bar=False) as log:
        log.write(train(2))
        log.write(held_out(2))
        log.write(train(4))
    with RunLog(tmp_path, 2, 10, "student", True, True, bar=False) as log:
        log.write(train(4))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/peak_fraction", "heldout/mlm", "heldout_by_language/de"} <= tags
    assert not {"train/step", "train/adversary"} & tags
    assert [event.step for event in events.Scalars("train/loss")] == [2, 4]


def test_tensorboard_that_fails_is_told_once_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    with RunLog(tmp_path, 0, 10, "student", True, True, bar=False) as log:
        monkeypatch.setattr(log_module._Events, "write", _fail)
        for step in (2, 4, 6):
            log.write(train(step))
    assert capsys.readouterr().err.count("TensorBoard fails (OSError: ") == 1
    assert len(told(tmp_path)) == 3


def _fail(*_: object, **__: object) -> Any:
    raise OSError("no room")


# The bar


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left_does_not_jump_at_an_evaluation_and_learns_a_new_speed() -> None:
    clock = Clock()
    pace = Pace(clock=clock)

    def walk(steps: int, seconds: float) -> None:
        for _ in range(steps):
            clock.now += seconds
            pace.step()

    assert pace.seconds_for(10) is None
    clock.now += 45  # compiling
    pace.step()
    assert pace.seconds_for(10) is None
    walk(3000, 1.0)
    assert pace.seconds_for(1000) == pytest.approx(1000)
    clock.now += 60  # an evaluation
    walk(1, 1.0)
    assert pace.seconds_for(1000) == pytest.approx(1000, rel=0.04)
    walk(8000, 2.0)  # the machine has got a neighbour
    assert pace.seconds_for(1000) == pytest.approx(2000, rel=0.02)
    clock.now -= 500  # should a clock do this after all
    walk(1, 2.0)
    assert pace.seconds_for(1000) > 0


def test_time_left_of_a_resumed_run_comes_from_steps_made_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIBERT_QUIET", raising=False)
    clock = Clock()
    bar = StepBar(1_000_000, "student", initial=999_000, pace=Pace(clock=clock))
    for _ in range(11):
        bar.advance()
        clock.now += 6.0
    assert bar.format_dict["left"] == "1h 38m"  # 989 steps of 6 seconds
    assert "999,011/1,000,000" in str(bar)
    bar.close()


def test_bar_tells_losses_speed_and_share_of_the_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UNIBERT_QUIET", raising=False)
    with open_log(tmp_path) as log:
        log.write(train(2))
        log.advance()
    shown = capsys.readouterr().err
    assert "student" in shown
    assert "loss 2.500  mlm 2.000  2,010 tokens/s  23.4 % of peak" in shown
    bar = LossBar(10, "students", 0)
    bar.tell("small", train(2, peak_fraction=None))
    bar.tell("xsmall", train(1, mlm=None, peak_fraction=float("nan")))
    bar.close()
    assert "mlm small 2.000  xsmall 5.000  2,010 tokens/s]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (59.4, "59s"), (60, "1m 0s"), (3600 * 2 + 60 * 13, "2h 13m"), (86400 * 29.5, "29d 12h"), (-3, "0s")],
)
def test_durations_are_brief(seconds: float, text: str) -> None:
    assert brief_duration(seconds) == text
