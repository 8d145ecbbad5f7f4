"""README.md of an exported folder: what it is, how it is loaded, how near it is to its original, what int8 costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from unibert.deploy.parity import PIECES
from unibert.deploy.quality import Quality, quality_rows
from unibert.files import atomic_file
from unibert.report.wording import plural

_PIPELINES = {"embeddings": "feature-extraction", "encoder": "feature-extraction"}
_WHAT = {
    "fill-mask": "with its head for filling in masks",
    "token-classification": "with its head for tagging words",
    "sequence-classification": "with its head for classifying texts",
    "question-answering": "with its head for finding answers",
}
_NAMES = {"onnx/model.onnx": "float32", "onnx/model_quantized.onnx": "int8", "onnx/model_fp16.onnx": "float16"}


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write README.md of an exported folder.

    Args:
        folder: where it goes.
        record: what the folder's `unibert_export.json` holds.
    """
    with atomic_file(folder / "README.md") as stream:
        stream.write(export_card(record))


def export_card(record: Mapping[str, Any]) -> str:
    """The card's text, with the hub's metadata at the top.

    Args:
        record: what the folder's `unibert_export.json` holds.
    """
    kind, task = record["kind"], record["task"]
    pipeline = task if task and task != "sequence-classification" else _PIPELINES.get(kind, "text-classification")
    what = _WHAT.get(task or "") or (
        "for embeddings of sentences: the mean of their pieces" if kind == "embeddings" else "without a head"
    )
    lines = ["---", "library_name: transformers.js", f"pipeline_tag: {pipeline}", "tags:", "- unibert", "- onnx", "---"]
    lines += ["", f"# {record['source']}, exported", ""]
    lines += [f"`{record['source']}` ({record['architecture']}, {record['parameters']:,} parameters) as ONNX, {what}."]
    lines += ["", *_markdown([["file", "weights", "MB"], *_files(record)], 2), ""]
    lines += [f"Inputs: {_listed(record['inputs'])}, int64 [batch, length]. Outputs: {_listed(record['outputs'])}."]
    lines += ["", *_loading(record, pipeline), "", "## As PyTorch says it", "", _parity(record["parity"])]
    for precision, measured in record["quantisation"].items():
        lines += ["", f"## What {precision} costs", "", *_quality(measured)]
    return "\n".join(lines) + "\n"


def _files(record: Mapping[str, Any]) -> list[list[str]]:
    return [[f"`{name}`", _NAMES.get(name, ""), f"{size / 1e6:.1f}"] for name, size in record["bytes"].items()]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _loading(record: Mapping[str, Any], pipeline: str) -> list[str]:
    quantised = "int8" in record["quantisation"]
    file = "onnx/model_quantized.onnx" if quantised else "onnx/model.onnx"
    return [
        "```python",
        "import onnxruntime",
        "from transformers import AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        f'session = onnxruntime.InferenceSession("FOLDER/{file}")',
        'batch = tokenizer(["A text"], padding=True, return_tensors="np")',
        "outputs = session.run(None, {entry.name: batch[entry.name] for entry in session.get_inputs()})",
        "```",
        "",
        "```js",
        "import { pipeline } from '@huggingface/transformers';",
        "",
        f"const model = await pipeline('{pipeline}', 'FOLDER', {{ dtype: '{'q8' if quantised else 'fp32'}' }});",
        "```",
    ]


def _parity(parity: Mapping[str, Any]) -> str:
    languages = parity["languages"]
    code, worst = max(languages.items(), key=lambda item: item[1]["difference"])
    texts = sum(own["texts"] for own in languages.values())
    told = f"On {texts:,} texts"
    told += (
        " put together from pieces of the vocabulary at random"
        if PIECES in languages
        else f" of {plural(len(languages) - 1, 'language')}"
    )
    told += f", no output differs by more than {worst['difference']:.1e} ({code}; outputs go up to "
    told += f"{worst['largest']:.3g})"
    shares = [own["agreement"] for own in languages.values() if own["agreement"] is not None]
    if shares:
        told += f", and {100 * min(shares):.2f} % of the predictions at least are the same"
        told += " in every language" if len(languages) > 2 else ""
    return told + "."


def _quality(measured: Mapping[str, Any]) -> list[str]:
    found = {
        code: Quality(**{key: value for key, value in own.items() if key != "drop"})
        for code, own in measured["languages"].items()
    }
    told = []
    cosines = {code: own.cosine for code, own in found.items() if own.cosine is not None}
    if cosines:
        lowest = min(cosines, key=lambda code: cosines[code])
        where = "pieces of the vocabulary at random" if PIECES in found else f"{len(cosines)} languages"
        told.append(
            f"Cosine of the embeddings in float32 and in this precision: {fmean(cosines.values()):.4f} on average over "
            f"{where}, {cosines[lowest]:.4f} at the lowest ({lowest})."
        )
    drops = {code: own.drop for code, own in found.items() if own.drop is not None}
    if drops:
        most = max(drops, key=lambda code: drops[code])
        told.append(f"Of {measured['metric']} at most {drops[most]:.2f} points are lost ({most}).")
    rows = quality_rows(found, measured["metric"] or "score")
    rows[0][0] = "language"
    return [" ".join(told), "", *_markdown(rows, 1)]


def _markdown(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    ruler = ["---" if column < left else "---:" for column in range(len(rows[0]))]
    return [f"| {' | '.join(row)} |" for row in (rows[0], ruler, *rows[1:])]
