"""An exported model in fewer bits, beside the one in float32, with what that costs in every language."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unibert.deploy.export_card import write_card
from unibert.deploy.parity import PIECES, texts_of_pieces
from unibert.deploy.quality import (
    Data,
    Quality,
    check_quality,
    described,
    format_quality,
    measure_labelled,
    measure_texts,
    merged,
    read_labelled,
)
from unibert.deploy.quantised_graph import convert_to_float16, has_float_matrices, quantise_to_int8
from unibert.deploy.session import (
    FLOAT_FILE,
    QUANTISED_FILES,
    RECORD_FILE,
    check_belonging,
    load_model,
    load_tokenizer,
    read_record,
    table_rows,
)
from unibert.deploy.session import open_session as open_session
from unibert.errors import DataError, RecipeError
from unibert.files import atomic_file, telling_of_full_disk, write_json
from unibert.tasks.task import first_metric

Precision = Literal["int8", "fp16"]
TEXTS = 32
"""So many texts of each language show what it loses to some ten thousandths of the cosine."""
MINIMUM_COSINE = 0.95


@dataclass(frozen=True)
class QuantisationResult:
    """A model in fewer bits."""

    file: Path
    quality: dict[str, Quality]
    """By language."""
    metric: str
    """What the score on labelled data is called."""
    bytes: int
    """Of the file."""
    bytes_before: int
    """Of the file in float32."""

    def __str__(self) -> str:
        told = [format_quality(self.quality, self.metric)]
        if PIECES in self.quality:
            told.append("no text was given: compared on pieces of the vocabulary put together at random")
        told.append(
            f"{self.bytes / 1e6:.1f} MB, {self.bytes_before / 1e6:.1f} MB in float32: "
            f"{self.bytes_before / self.bytes:.1f} times smaller"
        )
        return "\n".join(told)


def quantise_model(
    folder: Path,
    texts: Mapping[str, Sequence[str]] | None = None,
    data: Data | Path | None = None,
    max_drop: float | None = None,
    minimum_cosine: float | None = MINIMUM_COSINE,
    precision: Precision = "int8",
    reduce_range: bool = False,
    columns: Mapping[str, str] | None = None,
) -> QuantisationResult:
    """Write an exported model in fewer bits beside the one in float32, unless it loses more than is allowed.

    Args:
        folder: from `export_model`. An earlier quantised file in it is replaced.
        texts: by language, to compare embeddings and predictions on; of each the first 32. Pieces of the vocabulary
            when None.
        data: labelled samples to score a fine-tuned head on, in the formats of `unibert finetune`: files by language,
            or one file.
        max_drop: points that may be lost in any language of `data`.
        minimum_cosine: of the embeddings before and after, the mean in any language; None for any.
        precision: `int8` for processors and browsers, `fp16` for WebGPU and its like.
        reduce_range: 7 of the 8 bits, for x86 processors without VNNI (see `quantised_graph.quantise_to_int8`).
        columns: the data's own names for the task's columns or fields, where they differ.

    Raises:
        RecipeError: a precision that there is not, or `max_drop` without `data`.
        DataError: not an exported folder, an ONNX file and a tokenizer of different models, unusable data, no text.
        QualityTooLow: more is lost than is allowed; nothing is written then.
    """
    folder = Path(folder)
    if precision not in QUANTISED_FILES:
        raise RecipeError(f"--precision {precision}: there is no such precision", "It is int8 or fp16.")
    if max_drop is not None and data is None:
        raise RecipeError("--max-drop: there is no labelled data to lose points on", "Name it with --data.")
    for option, value in (("--max-drop", max_drop), ("--min-cosine", minimum_cosine)):
        if value is not None and not math.isfinite(value):
            raise RecipeError(f"{option} {value}: not a finite number", "Leave the option out, or name a number.")
    if texts is not None and not any(texts.values()):
        raise DataError("no text to compare on", "Name files with text, or none at all.")
    record = read_record(folder)
    tokenizer = load_tokenizer(folder, record)
    source = folder / FLOAT_FILE
    model = load_model(source)
    check_belonging(source, table_rows(source), tokenizer)
    labelled = read_labelled(record, folder, data, columns or {}) if data is not None else None
    chosen = {code: list(of)[:TEXTS] for code, of in texts.items() if of} if texts else texts_of_pieces(tokenizer)
    if not has_float_matrices(model):
        raise DataError(f"{source}: has no weights in float32 to quantise", "Export the model again: unibert export.")
    model = quantise_to_int8(model, reduce_range) if precision == "int8" else convert_to_float16(model)
    path = folder / QUANTISED_FILES[precision]
    metric = labelled.task.METRICS[first_metric(labelled.task)] if labelled else ""
    written = bytes(model.SerializeToString())
    found = measure_texts(record, tokenizer, (source, written), chosen)
    if labelled:
        found = merged(found, measure_labelled(record, tokenizer, (source, written), labelled))
    check_quality(record["source"], found, minimum_cosine, max_drop, metric)
    with telling_of_full_disk(path), atomic_file(path, "wb") as stream:
        stream.write(written)
    result = QuantisationResult(path, found, metric, len(written), source.stat().st_size)
    _tell_record(folder, record, result, precision, reduce_range, max_drop, minimum_cosine)
    return result


def _tell_record(
    folder: Path,
    record: dict[str, Any],
    result: QuantisationResult,
    precision: Precision,
    reduce_range: bool,
    max_drop: float | None,
    minimum_cosine: float | None,
) -> None:
    """Write into the folder's record and card what was measured."""
    name = QUANTISED_FILES[precision]
    record.setdefault("bytes", {})[name] = result.bytes
    record.setdefault("quantisation", {})[precision] = {
        "file": name,
        "reduce_range": reduce_range,
        "metric": result.metric or None,
        "max_drop": max_drop,
        "minimum_cosine": minimum_cosine,
        "languages": described(result.quality),
    }
    write_json(folder / RECORD_FILE, record)
    write_card(folder, record)
