"""The benchmarks of deployment run in miniature and print rows that the README's table can be made of."""

from __future__ import annotations

import importlib
import json
import math

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
ROWS = {"deploy_latency": 2, "deploy_files": 4}
OPTIONS = {"deploy_latency": ["--pairs", "1", "--calls", "5", "--threads", "1"], "deploy_files": []}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_it_runs_and_prints_rows(name, monkeypatch, capsys):
    import run

    monkeypatch.setenv("UNIBERT_QUIET", "1")
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--quick", *OPTIONS[name]])
    importlib.import_module(name).main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert len({row["claim"] for row in rows}) == len(rows) == ROWS[name]
    for row in rows:
        figures = [row[key] for key in ("ours", "baseline", "ratio", "lowest", "highest")]
        assert all(math.isfinite(figure) and figure > 0 for figure in figures) and row["asked"]
        assert row["lowest"] <= row["ratio"] <= row["highest"]
        assert run.line_of({"script": name, "date": "2026-01-01", **row}).count("|") == 8
