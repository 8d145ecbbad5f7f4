"""The predictions of a run, kept beside its result: one JSON line per test sample, packed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.files import atomic_file, sha256_of_file

FOLDER = "predictions"


def write_predictions(folder: Path, address: str, predictions: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Write `predictions/ADDRESS.jsonl.gz`; equal predictions make equal bytes.

    Args:
        folder: of the benchmark.
        address: of the run.
        predictions: by language, one for each test sample, in their order.

    Returns:
        What the result says of the file.
    """
    name = f"{FOLDER}/{address}.jsonl.gz"
    with atomic_file(folder / name, "wb") as stream, gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        for language, found in predictions.items():
            for number, prediction in enumerate(found):
                line = {"language": language, "number": number, "prediction": prediction}
                packed.write(json.dumps(line, ensure_ascii=False, default=float).encode() + b"\n")
    samples = sum(len(found) for found in predictions.values())
    return {"file": name, "sha256": sha256_of_file(folder / name), "samples": samples}


def read_predictions(folder: Path, described: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The predictions of a result, by language.

    Args:
        folder: of the benchmark.
        described: what the result says of the file.

    Raises:
        DataError: it is not there, damaged, or not the one that was written with the result.
    """
    path = folder / described["file"]
    fix = "Delete the run's result and run `unibert benchmark` again."
    if not path.is_file():
        raise DataError(f"{path}: no such file, though there is a result", fix)
    if sha256_of_file(path) != described["sha256"]:
        raise DataError(f"{path}: not the predictions that were written with the result", fix)
    found: dict[str, list[Any]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            found.setdefault(row["language"], []).append(row["prediction"])
    return found
