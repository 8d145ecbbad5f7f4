"""Every benchmark of pre-training runs in miniature and prints rows that the README's table can be made of."""

import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers.utils import logging as library_logging

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FEW = {
    "pretrain_step": ["--sizes", "xxsmall", "--script-pairs", "1", "--trainer-pairs", "2"],
    "pretrain_family": ["--pairs", "2"],
    "pretrain_cost": ["--repeats", "2"],
    "pretrain_processes": ["--pairs", "1", "--warm", "2", "--steps", "4"],
}
ROWS = {"pretrain_step": 5, "pretrain_family": 1, "pretrain_cost": 16, "pretrain_processes": 1}


@pytest.fixture
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a benchmark changes in its process is put back; one of its own for each would take longer than the rest."""
    for name in ("CUDA_VISIBLE_DEVICES", "UNIBERT_QUIET"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    threads, verbosity = torch.get_num_threads(), library_logging.get_verbosity()
    yield
    torch.set_num_threads(threads)
    library_logging.set_verbosity(verbosity)
    library_logging.enable_progress_bar()


@pytest.mark.slow
@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("name", FEW)
def test_it_runs_and_prints_rows(
    name: str, made_up_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--quick", "--threads", "1", "--store", str(made_up_store), *FEW[name]]
    monkeypatch.setattr("sys.argv", [f"{name}.py", *options])
    importlib.import_module(name).main()
    check_rows(name, capsys.readouterr().out)


@pytest.mark.slow
def test_it_is_a_script() -> None:
    """With nothing but `--quick`: it makes its own tokens, and says nothing else on standard output."""
    name = "pretrain_family"
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", "--threads", "1", "--pairs", "1"]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr[-3000:]
    check_rows(name, out.stdout)


def check_rows(name: str, printed: str) -> None:
    import run

    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == ROWS[name]
    assert len({row["claim"] for row in rows}) == len(rows)
    for row in rows:
        figures = [row[key] for key in ("ours", "baseline", "ratio", "lowest", "highest") if key in row]
        assert all(math.isfinite(figure) and figure > 0 for figure in figures), row
        assert row["unit"] and row["hardware"]["cores"] > 0
        assert {"baseline", "ratio", "lowest", "highest", "pairs"} <= set(row) or "baseline" not in row
        if "lowest" in row:
            assert row["lowest"] <= row.get("ratio", row["ours"]) <= row["highest"]
        assert run.line_of({"script": name, "date": "2026-01-01", **row}).count("|") == 8


def test_every_benchmark_of_pre_training_is_tried() -> None:
    import run

    # The teacher's cache has a test of its own.
    there = {path.stem for path in BENCHMARKS.glob("pretrain_*.py")} - run.NO_CLAIM
    assert there == set(FEW)
