"""Every benchmark of pre-training runs in miniature and prints rows that the README's table can be made of."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FEW = {
    "pretrain_step": ["--sizes", "xxsmall", "--script-pairs", "1", "--trainer-pairs", "2"],
    "pretrain_family": ["--pairs", "2"],
    "pretrain_cost": ["--repeats", "2"],
    "pretrain_processes": ["--pairs", "1", "--warm", "2", "--steps", "4"],
}
ROWS = {"pretrain_step": 6, "pretrain_family": 1, "pretrain_cost": 16, "pretrain_processes": 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_it_runs_and_prints_rows(name: str, made_up_store: Path) -> None:
    import run

    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", "--threads", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = subprocess.run(
        [*command, "--store", str(made_up_store), *FEW[name]], capture_output=True, text=True, env=environment
    )
    assert out.returncode == 0, out.stderr[-3000:]
    rows = [json.loads(line) for line in out.stdout.splitlines()]  # nothing else on standard output
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
