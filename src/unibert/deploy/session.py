"""Running an exported model with onnxruntime: opening a file, and batches through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError, first_line
from unibert.files import read_json, sha256_of_file

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

RECORD_FILE = "unibert_export.json"
SCHEMA = 1
ONNX_FOLDER = "onnx"
FLOAT_FILE = f"{ONNX_FOLDER}/model.onnx"
QUANTISED_FILES = {"int8": f"{ONNX_FOLDER}/model_quantized.onnx", "fp16": f"{ONNX_FOLDER}/model_fp16.onnx"}
"""By precision; the names are those that transformers.js looks for."""

_RECORD: Mapping[str, tuple[type, ...]] = {
    "kind": (str,),
    "source": (str,),
    "task": (str, type(None)),
    "tokenizer_sha256": (str,),
    "bytes": (dict,),
    "parity": (dict,),
    "quantisation": (dict,),
}
"""What a record may have, and of which types; it has `kind` at least."""


@dataclass(frozen=True)
class Exported:
    """An exported folder that has been opened."""

    folder: Path
    session: onnxruntime.InferenceSession
    tokenizer: Any
    """A fast one of transformers, which belongs to the session."""
    record: dict[str, Any]
    """What the folder's `unibert_export.json` holds."""


def open_session(
    path: Path | str | bytes, threads: int | None = None, optimise: bool = True
) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU.

    Args:
        path: of the file, or its bytes.
        threads: for the products of matrices; as many as there are cores when None.
        optimise: whether onnxruntime rewrites the graph for speed first.

    Raises:
        DataError: no such file, or not one that onnxruntime can run.
    """
    import onnxruntime

    told = "the ONNX model" if isinstance(path, bytes) else str(path)
    if not isinstance(path, bytes) and not Path(path).is_file():
        raise DataError(f"{told}: no such file", "Export the model first: unibert export.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are for who develops it
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    # Threads that wait for each other by spinning bring a shared machine to a crawl.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        source = path if isinstance(path, bytes) else str(path)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # every kind of damage raises its own, without a common class
        raise DataError(
            f"{told}: onnxruntime cannot open it ({first_line(error)})", "Export the model again: unibert export."
        ) from None


def run_session(session: onnxruntime.InferenceSession, batch: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Put a batch through a session.

    Args:
        session: from `open_session`.
        batch: what a tokenizer makes, as arrays or tensors, [B, L] each; what the session does not read is left out,
            `attention_mask` is ones and `token_type_ids` zeros where they are missing.

    Returns:
        The session's outputs by name.
    """
    import numpy as np

    ids_BL = np.asarray(batch["input_ids"], np.int64)
    standing = {"attention_mask": np.ones_like(ids_BL), "token_type_ids": np.zeros_like(ids_BL)}
    given = {**standing, **batch}
    feeds = {entry.name: np.asarray(given[entry.name], np.int64) for entry in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def read_record(folder: Path) -> dict[str, Any]:
    """What an exported folder tells of itself.

    Raises:
        DataError: it is not an exported folder, or its record is of another schema.
    """
    if folder.is_file():
        raise DataError(f"{folder}: is a file", "Name the exported folder that it is in.")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "Export the model first: unibert export MODEL --output FOLDER.")
    if not (folder / RECORD_FILE).is_file():
        raise DataError(
            f"{folder}: not an exported model: it has no {RECORD_FILE}",
            "Export the model first: unibert export MODEL --output FOLDER.",
        )
    record = read_json(folder / RECORD_FILE)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise DataError(
            f"{folder / RECORD_FILE}: not a record of schema {SCHEMA}", "Export the model again: unibert export."
        )
    damaged = [key for key, kinds in _RECORD.items() if key in record and not isinstance(record[key], kinds)]
    damaged += [] if "kind" in record else ["kind"]
    if damaged:
        raise DataError(
            f"{folder / RECORD_FILE}: {damaged[0]} is missing or damaged", "Export the model again: unibert export."
        )
    return record


def open_exported(folder: Path, file: str = FLOAT_FILE, threads: int | None = None) -> Exported:
    """Open an exported folder, and see that its ONNX file and its tokenizer belong together.

    Args:
        folder: from `unibert export`.
        file: below it.
        threads: see `open_session`.

    Raises:
        DataError: not an exported folder, no such file in it, or an ONNX file and a tokenizer of different models.
    """
    record = read_record(folder)
    tokenizer = load_tokenizer(folder, record)
    session = open_session(folder / file, threads)
    check_belonging(folder / file, table_rows(folder / file), tokenizer)
    return Exported(folder, session, tokenizer, record)


def load_tokenizer(folder: Path, record: Mapping[str, Any]) -> Any:
    """An exported folder's tokenizer.

    Raises:
        DataError: it is missing, damaged or not the one that the model was exported with.
    """
    from transformers import AutoTokenizer

    from unibert.tasks.encoder import quiet_transformers

    fix = "Export the model again: unibert export."
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise DataError(f"{folder}: no tokenizer.json in it", fix)
    if record.get("tokenizer_sha256") != sha256_of_file(file):
        raise DataError(f"{file}: not the tokenizer that this model was exported with", fix)
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # every kind of damage raises its own
        raise DataError(f"{folder}: its tokenizer cannot be loaded ({first_line(error)})", fix) from None


def table_rows(path: Path) -> int | None:
    """Rows of the embedding table that an ONNX file looks `input_ids` up in; None where it cannot be told.

    Raises:
        DataError: it is not an ONNX file.
    """
    graph = load_model(path).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Gather" and node.input[1] == "input_ids" and len(shapes.get(node.input[0], ())) == 2:
            return int(shapes[node.input[0]][0])
    return None


def load_model(path: Path | bytes) -> Any:
    """An ONNX file, or the bytes of one, as onnx's `ModelProto`.

    Raises:
        DataError: no such file, or it is damaged.
    """
    import onnx

    if isinstance(path, bytes):
        return onnx.load_model_from_string(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file", "Export the model first: unibert export.")
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own
        raise DataError(
            f"{path}: not an ONNX file ({first_line(error)})", "Export the model again: unibert export."
        ) from None


def check_belonging(path: Path, rows: int | None, tokenizer: Any) -> None:
    """Refuse an ONNX file whose embedding table is not that of the tokenizer's model.

    Args:
        path: of the file, for the message.
        rows: from `table_rows`.
        tokenizer: of the folder.

    Raises:
        DataError: the table has fewer rows than the tokenizer pieces, or so many more that it is another model's.
    """
    from unibert.deploy.source import UNUSED_ROWS

    pieces = highest_piece(tokenizer) + 1
    if rows is not None and not pieces <= rows <= pieces + UNUSED_ROWS:
        raise DataError(
            f"{path}: its embedding table has {rows:,} rows, the tokenizer beside it {pieces:,} pieces: they do not "
            "belong together",
            "Export the model again: unibert export.",
        )


def highest_piece(tokenizer: Any) -> int:
    """The highest number that a tokenizer can put out."""
    return max([len(tokenizer) - 1, *tokenizer.get_vocab().values()])


def by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Places in batches of neighbours, each of at most `budget` pieces with padding, but one place at least.

    The order stays, so that short and long ones stand side by side: padding is a part of what is checked.
    """
    batches: list[list[int]] = []
    for place, length in enumerate(lengths):
        if batches:
            longest = max(length, *(lengths[other] for other in batches[-1]))
            if longest * (len(batches[-1]) + 1) <= budget:
                batches[-1].append(place)
                continue
        batches.append([place])
    return batches
