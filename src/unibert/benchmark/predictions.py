"""The predictions of a run, kept beside its result: one JSON line per test sample, packed.

Beside each prediction stand the numbers that it adds to the score, so that two runs can be compared sample by sample
(a paired bootstrap) without the data.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError
from unibert.files import atomic_file, sha256_of_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unibert.tasks.finetune import Outcome

FOLDER = "predictions"
_FIX = "Delete the run's result and run `unibert benchmark` again."


def write_predictions(folder: Path, address: str, outcome: Outcome) -> dict[str, Any]:
    """Write `predictions/ADDRESS.jsonl.gz`; equal predictions make equal bytes.

    Args:
        folder: of the benchmark.
        address: of the run.
        outcome: with a prediction and statistics for each test sample, in their order, by language.

    Returns:
        What the result says of the file.
    """
    name = f"{FOLDER}/{address}.jsonl.gz"
    with atomic_file(folder / name, "wb") as stream, gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        for language, found in outcome.predictions.items():
            for number, (prediction, numbers_K) in enumerate(zip(found, outcome.statistics[language], strict=True)):
                line = {
                    "language": language,
                    "number": number,
                    "prediction": prediction,
                    "statistics": [int(value) if value == int(value) else value for value in numbers_K.tolist()],
                }
                packed.write(json.dumps(line, ensure_ascii=False, default=float).encode() + b"\n")
    samples = sum(len(found) for found in outcome.predictions.values())
    return {"file": name, "sha256": sha256_of_file(folder / name), "samples": samples}


def read_predictions(folder: Path, described: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The predictions of a result, by language.

    Args:
        folder: of the benchmark.
        described: what the result says of the file.

    Raises:
        DataError: it is not there, damaged, or not the one that was written with the result.
    """
    found: dict[str, list[Any]] = {}
    for row in _rows(folder, described):
        found.setdefault(row["language"], []).append(row["prediction"])
    return found


def read_statistics(folder: Path, described: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """What every test sample adds to the first metric (`Task.statistics`), by language, [N, K].

    Args:
        folder: of the benchmark.
        described: what the result says of the file.

    Raises:
        DataError: as `read_predictions`; or it was written by a version that kept predictions only.
    """
    import numpy as np

    found: dict[str, list[list[float]]] = {}
    for row in _rows(folder, described):
        if "statistics" not in row:
            raise DataError(f"{folder / described['file']}: there are no statistics in it, of an older version", _FIX)
        found.setdefault(row["language"], []).append(row["statistics"])
    return {language: np.array(rows, dtype=np.float64) for language, rows in found.items()}


def _rows(folder: Path, described: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    path = folder / described["file"]
    if not path.is_file():
        raise DataError(f"{path}: no such file, though there is a result", _FIX)
    if sha256_of_file(path) != described["sha256"]:
        raise DataError(f"{path}: not the predictions that were written with the result", _FIX)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            yield from map(json.loads, stream)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})", _FIX) from None
