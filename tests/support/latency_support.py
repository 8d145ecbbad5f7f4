"""Latencies as they may be measured: our smallest size, a peer's shape, five backends, one of them not to be had."""

from __future__ import annotations

import json
from pathlib import Path
from zlib import crc32

import numpy as np

from unibert.report.latency_file import Absent, Cell, Latency, Machine, Measurement, Model, Round

MODELS = {"xxsmall": (18_900_000, 4, 128, 1.0), "distil-mbert": (134_700_000, 6, 768, 9.0)}
FACTORS = {"torch": 8e-3, "torch-bf16": 5e-3, "torch-compile": 6e-3, "onnx": 4.5e-3, "onnx-int8": 2.4e-3}
BYTES = {"onnx-int8": 1, "torch-bf16": 4}


def make_round(p50: float, calls: int = 100, joules: float | None = None) -> Round:
    return Round(calls=calls, first=p50 * 3, mean=p50 * 1.05, p50=p50, p95=p50 * 1.2, p99=p50 * 1.5, joules=joules)


def make_measurement(model: str, backend: str, threads: int, rounds: int = 3, sizes=((1, 64), (8, 64)), calls=100):
    parameters, _, _, slow = MODELS.get(model, (20_000_000, 4, 128, 2.0))
    cells = []
    for batch, length in sizes:
        base = FACTORS[backend] * slow * batch**0.9 * (length / 64) / threads**0.7
        noise = np.random.default_rng(crc32(f"{model}{backend}{threads}{batch}{length}".encode()))
        drift = noise.uniform(0.97, 1.05, rounds)
        cells.append(Cell(batch=batch, length=length, rounds=[make_round(base * d, calls) for d in drift]))
    return Measurement(
        model=model,
        backend=backend,
        threads=threads,
        file_bytes=parameters * BYTES.get(backend, 4),
        load_seconds=[0.31, 0.29, 0.4][:rounds],
        memory_bytes=[parameters * 5, parameters * 5 + 10, parameters * 5 + 20][:rounds],
        peak_bytes=[parameters * 5 + 300_000_000] * rounds,
        cells=cells,
    )


def make_latency(models=tuple(MODELS), threads=(1, 2), backends=tuple(FACTORS), drawn=("distil-mbert",), **changes):
    fields = {
        "date": "2031-02-03",
        "commit": "0123456789ab",
        "machine": Machine(
            processor="Imaginary 9000", cores=2, system="Linux", versions={"python": "3.12", "torch": "9.9"},
            load_average=[0.1, 0.2, 0.1], energy="this machine does not expose RAPL counters",
        ),
        "settings": {"repeats": 100, "rounds": 3, "threads": [1, 2]},
        "models": [
            Model(
                name=name, measures="encoder", random_weights=name in drawn, parameters=MODELS.get(name, (1,))[0],
                layers=4, hidden=128, vocabulary=119_547,
            )
            for name in models
        ],
        "measurements": [
            make_measurement(name, backend, number)
            for name in models for backend in backends for number in threads
            if (name, backend) != (models[-1], "torch-bf16")
        ],
        "absent": [
            Absent(model=models[-1], backend="torch-bf16", kind="impossible",
                   reason="this processor does not multiply bfloat16 matrices")
        ],
    }  # fmt: skip
    return Latency(**(fields | changes))


def write_latency_file(run: Path, found: Latency | None = None, place: str = "latency") -> Path:
    """Put latencies where a run has them; returns the file."""
    path = run / place / "latency.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps((found or make_latency()).as_json()), encoding="utf-8")
    return path
