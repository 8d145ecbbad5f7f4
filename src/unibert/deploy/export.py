"""From a model's folder to one that onnxruntime and transformers.js load: ONNX file, tokenizer, configuration, card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unibert import __version__
from unibert.deploy.export_card import write_card
from unibert.deploy.onnx_graph import OPSET, build_graph, input_names, output_names
from unibert.deploy.parity import (
    PIECES,
    TEXTS,
    Parity,
    check_parity,
    described,
    format_parity,
    measure_parity,
    texts_of_pieces,
)
from unibert.deploy.session import FLOAT_FILE, RECORD_FILE, SCHEMA, open_session
from unibert.deploy.source import Deployable, Kind, load_deployable
from unibert.errors import DataError, RecipeError
from unibert.files import (
    atomic_folder,
    read_json,
    see_that_it_can_be_written,
    see_that_it_is_no_dead_link,
    sha256_of_file,
    telling_of_full_disk,
    write_json,
)
from unibert.models.positions import position_limit
from unibert.models.student import count_parameters
from unibert.tasks.finetune import RESULT_FILE

TOLERANCE = 1e-4
_OURS = frozenset(
    (
        "README.md",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        RECORD_FILE,
        "onnx",
    )
)
"""What an exported folder may hold; one with anything else in it is not replaced."""


@dataclass(frozen=True)
class ExportResult:
    """An exported model."""

    folder: Path
    parity: dict[str, Parity]
    """By language, as `measure_parity` gives it."""
    record: dict[str, Any]
    """What `unibert_export.json` holds."""

    def __str__(self) -> str:
        size = (self.folder / FLOAT_FILE).stat().st_size
        told = [format_parity(self.parity)]
        if PIECES in self.parity:
            told.append("no text was given: parity was checked on pieces of the vocabulary put together at random")
        what = self.record["task"] or self.record["kind"]
        told.append(f"{what}, {self.record['parameters']:,} parameters, {size / 1e6:.1f} MB in float32")
        return "\n".join(told)


def export_model(
    source: Path | str,
    output: Path,
    kind: Kind | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    tolerance: float = TOLERANCE,
) -> ExportResult:
    """Write a model as ONNX in float32, in the hub's layout, and see that it says what the model says.

    Args:
        source: a model's folder, that of a finished run, or a hub name; see `source.load_deployable`.
        output: the folder; appears when all of it is written and checked. An earlier export there is replaced.
        kind: `head` (of a task, that of masked language modelling included), `encoder` or `embeddings` (the mean of
            the pieces, in the graph); the head where there is one when None.
        texts: by language, for the check; of each the first 8. Pieces of the vocabulary when None.
        tolerance: for the largest difference, as a share of the largest number put out (but of 1 at least).

    Raises:
        RecipeError: a tolerance that is not finite.
        DataError: what `load_deployable` and `build_graph` refuse, a place that is taken, no text, a disk that is
            full.
        ParityFailed: the outputs differ by more than the tolerance; nothing is written then.
    """
    output = Path(output)
    if not math.isfinite(tolerance):
        raise RecipeError(f"--tolerance {tolerance}: not a number that anything can be within", "Write e.g. 1e-4.")
    see_that_it_may_be_replaced(output, RECORD_FILE)
    if texts is not None and not any(texts.values()):
        raise DataError("no text to check the export on", "Name files with text, or none at all.")
    # Plain products and sums: onnxruntime finds them again and fuses them, other than torch's own attention.
    found = load_deployable(source, kind, attention="eager")
    chosen = {code: list(of)[:TEXTS] for code, of in texts.items() if of} if texts else texts_of_pieces(found.tokenizer)
    with telling_of_full_disk(output), atomic_folder(output) as scratch:
        build_graph(found, scratch / FLOAT_FILE)
        parity = measure_parity(found, open_session(scratch / FLOAT_FILE), chosen)
        check_parity(found.name, parity, tolerance)
        _write_surroundings(found, scratch)
        record = _record(found, scratch, parity, tolerance)
        write_json(scratch / RECORD_FILE, record)
        write_card(scratch, record)
    return ExportResult(output, parity, record)


def see_that_it_may_be_replaced(output: Path, mark: str) -> None:
    """Refuse a place where there is something that is not an earlier export, before the work is done.

    Args:
        output: a folder.
        mark: the file that an earlier export has.

    Raises:
        DataError: there is something else there, or nothing can be written there.
    """
    see_that_it_is_no_dead_link(output)
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: is a file", "Name a folder.")
    names = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if names and mark not in names:
        raise DataError(f"{output}: there is something there already", "Name another folder, or remove this one.")
    strange = sorted(names - _OURS)
    if strange:
        raise DataError(
            f"{output}: an earlier export with other files in it ({', '.join(strange[:3])}), which would be lost",
            "Name another folder, or move these files away.",
        )
    see_that_it_can_be_written(output)


def _write_surroundings(found: Deployable, folder: Path) -> None:
    """The configuration and the tokenizer, as transformers writes them."""
    found.model.config.architectures = [type(found.model).__name__]
    found.model.config.save_pretrained(folder)
    found.tokenizer.save_pretrained(folder)


def _fine_tuned(found: Deployable) -> dict[str, Any] | None:
    """What `unibert finetune` told of the model, as far as it is needed to read labelled data for it."""
    path = found.folder / RESULT_FILE
    told = read_json(path) if found.kind != "encoder" and path.is_file() else None
    return {key: told.get(key) for key in ("task", "settings")} if isinstance(told, dict) else None


def _record(found: Deployable, folder: Path, parity: Mapping[str, Parity], tolerance: float) -> dict[str, Any]:
    config = found.model.config
    classified = found.task in ("token-classification", "sequence-classification")
    return {
        "schema": SCHEMA,
        "kind": found.kind,
        "task": found.task,
        "source": found.name,
        "architecture": found.architecture,
        "parameters": count_parameters(found.model),
        "limit": position_limit(found.model),
        "labels": [config.id2label[number] for number in sorted(config.id2label)] if classified else None,
        "finetuned": _fine_tuned(found),
        "opset": OPSET,
        "inputs": input_names(found),
        "outputs": output_names(found),
        "bytes": {FLOAT_FILE: (folder / FLOAT_FILE).stat().st_size},
        "parity": {"tolerance": tolerance, "languages": described(parity)},
        "quantisation": {},
        "tokenizer_sha256": sha256_of_file(folder / "tokenizer.json"),
        "versions": {
            "unibert": __version__,
            **{name: version(name) for name in ("torch", "transformers", "onnx", "onnxruntime", "onnxscript")},
        },
    }
