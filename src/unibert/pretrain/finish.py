"""The end of a run: a stock Hugging Face folder with tokenizer and model card, and the summary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch

from unibert.errors import DataError
from unibert.files import atomic_folder, read_json, remove_leftovers, sha256_of_file, telling_of_full_disk, write_json
from unibert.models.precision import resolve_precision
from unibert.models.sizes import architecture
from unibert.models.student import count_parameters
from unibert.pretrain.card import CARD, model_card
from unibert.pretrain.checkpoint import Progress
from unibert.pretrain.log import read_log
from unibert.recipe import Pretrain
from unibert.runs import provenance
from unibert.tokens.store import SPLITS, TokenStore
from unibert.tokens.vocabulary import load_tokenizer, write_tokenizer_files

SUMMARY_FILE = "summary.json"
MODEL_FOLDER = "model"
WEIGHTS = "model.safetensors"
SCHEMA = 1
_NEEDED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
"""Files without which a model's folder is none."""


class TeacherFacts(TypedDict, total=False):
    """Which teacher it was."""

    name: str | None
    """Hugging Face name or folder, as the recipe says it; None for one that the recipe trains."""
    fingerprint: str
    """16 hexadecimal digits that depend on every weight."""
    top: int
    """Pieces per row that a cache kept of its answers; not there without a cache."""


class Facts(TypedDict, total=False):
    """What only the loop knows of a run; what is not given is found out where it can be, or left out."""

    precision: str
    """`float32` or `bfloat16`, as it was at work."""
    compiled: bool
    """Whether the vocabulary losses were compiled."""
    processes: int
    """Of the last session: a run may go on with another number."""
    device: str
    """What it ran on, such as the GPU's name; of the last session too."""
    teacher: TeacherFacts
    siblings: list[str]
    """The members of a family that was trained from one pass of the teacher, this one among them."""
    initialised: dict[str, Any]
    """What was taken from the teacher for the first weights, from `initialise_from_teacher`."""
    flops: float
    """Floating point operations of the whole run, on real tokens."""
    peak_fraction: float
    """Of the hardware's measured matrix peak."""
    energy_kwh: float
    """Only where it was measured."""
    license: str
    """Of the weights, as the hub names it; `apache-2.0` when not given."""
    run: str
    """The run's fingerprint, from `run_fingerprint`."""


def finish(
    output: Path,
    name: str,
    settings: Pretrain,
    seed: int,
    student: Any,
    tokenizer: Path,
    store: TokenStore,
    progress: Progress,
    recipe: Mapping[str, Any],
    facts: Facts | None = None,
) -> dict[str, Any]:
    """Write `output/model` and, last of all, `output/summary.json`, whose presence says that the run is finished.

    Both are whole or not there. Called again, after a crash between the two for example, it replaces them.

    Args:
        output: the run's folder, with its `log.jsonl`; of a family's member, that member's folder.
        name: for the summary and the model card.
        settings: of this one student; of a family's member, `settings.alone(member)`.
        seed: of the run.
        student: the trained model.
        tokenizer: folder of the tokenizer the store was built with.
        store: the tokens it was trained on.
        progress: where the run stands, which is at its end.
        recipe: the whole resolved recipe; {} where there is none.
        facts: what only the loop knows.

    Returns:
        The summary.

    Raises:
        DataError: the disk is full.
    """
    log_path = output / "log.jsonl"
    log = read_log(log_path) if log_path.exists() else []
    known = facts or {}
    if "teacher" not in known and settings.needs_teacher:
        known = {**known, "teacher": {"name": (recipe.get("teacher") or {}).get("model")}}
    summary = summarise(name, settings, seed, student, store, progress, log, known)
    remove_leftovers(output)  # of a process that was killed in here
    folder = output / MODEL_FOLDER
    with telling_of_full_disk(folder), atomic_folder(folder) as scratch:
        student.save_pretrained(scratch)
        write_tokenizer_files(load_tokenizer(tokenizer), scratch, architecture(settings.student).max_positions)
        summary["weights_sha256"] = sha256_of_file(scratch / WEIGHTS)
        (scratch / CARD).write_text(model_card(summary, recipe, log), encoding="utf-8")
    with telling_of_full_disk(output / SUMMARY_FILE):
        write_json(output / SUMMARY_FILE, summary)
    return summary


def summarise(
    name: str,
    settings: Pretrain,
    seed: int,
    student: Any,
    store: TokenStore,
    progress: Progress,
    log: list[dict[str, Any]],
    facts: Facts,
) -> dict[str, Any]:
    """All that is known of a finished run, but for the checksum of its weights; the arguments are those of `finish`."""
    held_out = [record for record in log if record.get("kind") == "heldout"]
    parameters = count_parameters(student)
    samples = dict(zip(store.languages, progress.language_samples, strict=True))
    total = max(1, sum(samples.values()))
    family = facts.get("siblings", [])
    made_with = provenance()
    plain = settings.model_dump(mode="json")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "schema": SCHEMA,
        "run": facts.get("run"),
        "name": name,
        "license": facts.get("license") or "apache-2.0",
        "architecture": architecture(settings.student).model_dump(),
        "vocabulary_size": student.config.vocab_size,
        "parameters": parameters,
        "megabytes": parameters * 4 / 1e6,
        "steps": progress.step,
        "tokens": progress.tokens,
        "seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds if progress.seconds > 0 else None,
        "seed": seed,
        "languages": list(store.languages),
        "language_samples": samples,
        "shares": {code: count / total for code, count in samples.items()},
        "unknown_shares": unknown_shares(store),
        "initialise": settings.initialise,
        "initialised": facts.get("initialised"),
        "teacher": facts.get("teacher"),
        "siblings": [other for other in family if other != name] if len(family) > 1 else [],
        "objective": {
            "mlm": settings.mlm_weight,
            "label_smoothing": settings.label_smoothing,
            "adversary": plain["adversary"]
            | dict(zip(("start", "full"), settings.adversary.ramp(settings.steps), strict=True)),
            "distillation": plain["distillation"],
        },
        "training": {
            key: plain[key]
            for key in (
                "batch_size",
                "context",
                "alpha",
                "masking",
                "learning_rate",
                "warmup_steps",
                "weight_decay",
                "clip_norm",
                "dropout",
                "micro_batch_tokens",
            )
        },
        "heldout": held_out[-1] if held_out else None,
        "precision": facts.get("precision") or str(resolve_precision(settings.precision)).removeprefix("torch."),
        "compile": facts.get("compiled", settings.compile),
        "processes": facts.get("processes") or int(os.environ.get("WORLD_SIZE", "1")),
        "device": facts.get("device") or device,
        "flops": facts.get("flops"),
        "peak_fraction": facts.get("peak_fraction"),
        "energy_kwh": facts.get("energy_kwh"),
        "tokens_fingerprint": store.fingerprint,
        **made_with,
    }


def unknown_shares(store: TokenStore) -> dict[str, float]:
    """Share of [UNK] among each language's tokens, for the languages whose index entry counts them."""
    shares = {}
    for code, entry in store.index["languages"].items():
        tokens = sum(entry[split]["tokens"] for split in SPLITS)
        if isinstance(entry.get("unknown"), int) and tokens:
            shares[code] = entry["unknown"] / tokens
    return shares


def summary_of(output: Path) -> set[str]:
    """The fingerprint of the run that wrote the summary, as far as it can be read."""
    with contextlib.suppress(DataError, OSError):
        summary = read_json(output / SUMMARY_FILE)
        if isinstance(summary, dict) and isinstance(summary.get("run"), str):
            return {summary["run"]}
    return set()


def is_finished(output: Path) -> bool:
    """Whether the run in this folder is finished and the model in it is the one that this run made.

    The weights are read once and compared with the checksum in the summary: an empty, cut or foreign model is none.
    """
    folder = output / MODEL_FOLDER
    try:
        summary = read_json(output / SUMMARY_FILE)
        if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
            return False
        if any(not (folder / name).is_file() or (folder / name).stat().st_size == 0 for name in _NEEDED):
            return False
        return sha256_of_file(folder / WEIGHTS) == summary.get("weights_sha256")
    except (DataError, OSError):
        return False
