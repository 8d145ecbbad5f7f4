"""Calls per second of XXSmall in int8 ONNX, against Distil-mBERT's shape and against itself in PyTorch float32.

One text of 64 tokens, the encoder alone, random weights (speed does not depend on them); with one thread and with one
per core. Every figure is the median call of a fresh process, and the processes of all contenders take turns: ours, its
own baseline and the peer are one pair. See `unibert latency`, which does the measuring.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pairs import report
from unibert.deploy.export import export_model
from unibert.deploy.latency import LatencySettings, measure_latency
from unibert.deploy.latency_models import make_shape, shapes
from unibert.deploy.quantise import quantise_model
from unibert.progress import progress_bar
from unibert.runs import usable_cores

TINY = {"vocab_size": 300, "dim": 16, "hidden_size": 16, "n_layers": 1, "num_hidden_layers": 1, "n_heads": 2,
        "num_attention_heads": 2, "hidden_dim": 24, "intermediate_size": 24}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of our model; XXSmall's shape with random weights without")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=100, help="counted, of each contender in each pair")
    parser.add_argument("--seconds", type=float, default=20, help="after which there are fewer")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, usable_cores()}))
    parser.add_argument("--quick", action="store_true", help="tiny models: does it run?")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ours, peer = Path(name) / "ours", Path(name) / "distil-mbert"
        prepare("xxsmall", ours, options.model, options.quick)
        make_shape(shape_of("distil-mbert", options.quick), peer)
        contenders = ((ours, "onnx-int8"), (ours, "torch"), (peer, "torch"))
        rates: dict[tuple[str, str, int], list[float]] = {}
        total = options.pairs * len(options.threads) * len(contenders)
        with progress_bar(total, "latency", "process") as bar:
            for _ in range(options.pairs):
                for threads in options.threads:
                    for folder, backend in contenders:
                        settings = LatencySettings(
                            (backend,), (1,), (64,), (threads,), options.calls, options.seconds, 1
                        )
                        rates.setdefault((folder.name, backend, threads), []).append(rate(folder, settings))
                        bar.update()
    for threads in options.threads:
        mine = rates["ours", "onnx-int8", threads]
        with_threads = f"1 x 64 tokens, {threads} thread{'s' if threads > 1 else ''}"
        claim = f"XXSmall in int8 ONNX against Distil-mBERT's shape in PyTorch float32, {with_threads}"
        report(claim, "calls/s", mine, rates["distil-mbert", "torch", threads], asked="at least 12, goal 20")
        claim = f"XXSmall in int8 ONNX against itself in PyTorch float32, {with_threads}"
        report(claim, "calls/s", mine, rates["ours", "torch", threads], asked="at least 2")


def prepare(size: str, folder: Path, model: Path | None, quick: bool = False) -> None:
    """A model's folder with weights and with ONNX files, in float32 and int8.

    Args:
        size: of ours, for random weights.
        folder: is made.
        model: a model's folder that is taken instead.
        quick: a tiny one instead.
    """
    if model is not None:
        shutil.copytree(model, folder)
    else:
        make_shape(shape_of(size, quick), folder)
    exported = folder.with_name(f"{folder.name}-exported")
    export_model(folder, exported, "encoder")
    quantise_model(exported, minimum_cosine=None)  # random weights
    shutil.copytree(exported / "onnx", folder / "onnx", dirs_exist_ok=True)


def shape_of(name: str, quick: bool) -> dict[str, Any]:
    """A shape, or a tiny one of its kind."""
    return {key: TINY.get(key, value) if quick else value for key, value in shapes()[name].items()}


def rate(folder: Path, settings: LatencySettings) -> float:
    """Calls per second at the median."""
    found = measure_latency([str(folder)], settings)
    if not found.measurements:
        raise SystemExit(f"{folder.name}, {settings.backends[0]}: {found.absent[0].reason}")
    return 1 / found.measurements[0].cells[0].p50


if __name__ == "__main__":
    main()
