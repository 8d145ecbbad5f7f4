"""The process in which one model is looked at, made, exported or measured; whatever it breaks, it breaks alone.

`python -m unibert.deploy.latency_worker` reads one line of JSON, the job, from standard input, and answers with lines
of JSON on standard output; what libraries print goes to standard error. It ends when standard input does, so it never
outlives its parent. Answers: `{"told": WHAT, ...}`, where WHAT is `model`, `loaded`, `cell`, `memory`, and in the end
`done`, `impossible` or `failed` (these with `reason` and `fix`).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unibert.deploy.energy import EnergyMeter, find_meter
from unibert.deploy.latency_models import ONNX_FILES, make_shape, shapes
from unibert.errors import DataError, UniBertError, first_line

if TYPE_CHECKING:
    from unibert.deploy.source import Kind

Tell = Callable[..., None]
Inputs = dict[str, np.ndarray]
"""int64[B, L] by name."""

WARM_UP_CALLS = 5
FEWEST_CALLS = 5
"""Counted, however long they take."""
_INPUTS = 8
"""Different batches that take turns: with one, its rows of the embedding table would always be at hand."""
_HEADS = {
    "fill-mask": "AutoModelForMaskedLM",
    "token-classification": "AutoModelForTokenClassification",
    "sequence-classification": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}
INSTALL = {"onnxruntime": "deploy", "onnx": "deploy", "onnxscript": "deploy", "torch": "train", "transformers": "train"}
"""What has to be installed with `unibert[EXTRA]`, by package."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be called."""

    prepare: Callable[[Inputs], Any]
    """From arrays to what `call` takes."""
    call: Callable[[Any], object]
    names: tuple[str, ...]
    """Of the inputs that it takes."""


def main() -> None:
    """Do the one job that stands on standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(told: str, **more: Any) -> None:
        answers.write(json.dumps({"told": told, **more}) + "\n")
        answers.flush()

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _JOBS[job.pop("do")](tell, **job)
    except UniBertError as error:
        tell("impossible", reason=str(error.message), fix=error.fix)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        extra = INSTALL.get(name)
        fix = f"pip install 'unibert[{extra}]'" if extra else ""
        tell("impossible", reason=f"{name} is not installed", fix=fix)
    except MemoryError:
        tell("failed", reason="out of memory", fix="Measure it on a machine with more memory.")
    except Exception as error:  # every backend has its own
        tell("failed", reason=first_line(error), fix="")
    else:
        tell("done")
    answers.close()
    # Some libraries' threads would hold up the end of the process.
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


# --- looking at a model, making it, exporting it ---


def look(tell: Tell, folder: str) -> None:
    """Tell what lies in a folder, and refuse what cannot be deployed.

    `model`: measures, kind, parameters, layers, hidden, vocabulary, limit (longest text in tokens; None: any), torch
    (whether there are weights).
    """
    place = Path(folder)
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    record = _record(place)
    found = {
        "measures": record.get("task") or record.get("kind") or "encoder",
        "kind": record.get("kind") or "encoder",
        "parameters": record.get("parameters"),
        "layers": config.get("num_hidden_layers", config.get("n_layers")),
        "hidden": config.get("hidden_size", config.get("dim")),
        "vocabulary": config.get("vocab_size"),
        "limit": record.get("limit") or _limit(config),
        "torch": bool(list(place.glob("*.safetensors"))),
    }
    if not found["torch"] and any((place / "onnx").glob("*.onnx")):
        tell("model", **found)
        return
    from unibert.deploy.source import load_deployable
    from unibert.models.positions import position_limit
    from unibert.models.student import count_parameters

    kind = found["kind"] if record else _natural_kind(config)
    opened = load_deployable(place, kind)
    found |= {"measures": opened.task or opened.kind, "kind": opened.kind, "limit": position_limit(opened.model)}
    tell("model", **found | {"parameters": count_parameters(opened.model), "torch": True})


def _record(folder: Path) -> dict[str, Any]:
    """What an exported folder tells of itself, its files looked at; empty where it tells nothing.

    Raises:
        DataError: an ONNX file and a tokenizer of different models.
    """
    from unibert.deploy import session

    if not (folder / session.RECORD_FILE).is_file():
        return {}
    record = session.read_record(folder)
    tokenizer = session.load_tokenizer(folder, record)
    for path in (folder / file for file in ONNX_FILES.values()):
        if path.is_file():
            session.check_belonging(path, session.table_rows(path), tokenizer)
    return record


def _natural_kind(config: dict[str, Any]) -> Kind:
    """The head of a task that the model was fine-tuned for belongs to it; the one it was pre-trained with does not."""
    named = str((config.get("architectures") or [""])[0])
    tasks = ("ForTokenClassification", "ForSequenceClassification", "ForQuestionAnswering")
    return "head" if named.endswith(tasks) else "encoder"


def _limit(config: dict[str, Any]) -> int | None:
    positions = config.get("max_position_embeddings")
    begins_after_padding = config.get("model_type") in ("roberta", "xlm-roberta", "camembert")
    return positions - (config.get("pad_token_id", 1) + 1) * begins_after_padding if positions else None


def make(tell: Tell, shape: str, folder: str) -> None:
    """Write a shape with random weights as a model's folder."""
    make_shape(shapes()[shape], Path(folder))


def export(tell: Tell, folder: str, output: str, kind: Kind, quantised: bool) -> None:
    """Export a model's folder; with int8 weights too where that is asked for."""
    from unibert.deploy.export import export_model
    from unibert.deploy.quantise import quantise_model

    if not (Path(output) / "onnx" / "model.onnx").exists():
        export_model(Path(folder), Path(output), kind)
    if quantised:
        # What it costs in quality is not what is asked here.
        quantise_model(Path(output), minimum_cosine=None)


# --- measuring ---


def measure(
    tell: Tell,
    folder: str,
    file: str | None,
    backend: str,
    threads: int,
    measures: str,
    rows: int,
    cells: Sequence[tuple[int, int]],
    repeats: int,
    seconds: float,
) -> None:
    """Load a model and time it.

    Args:
        tell: gets `loaded` (seconds), a `cell` for each size of batch (see `measure_cell`), and `memory` (bytes above
            what was there before loading, and peak), where the system tells it.
        folder: of the model.
        file: the ONNX file; None for PyTorch.
        backend: a key of `report.latency_file.TITLES`.
        threads: of the backend.
        measures: `encoder`, `embeddings`, or the head's task.
        rows: of the embedding table.
        cells: batch and length of each size.
        repeats: counted calls of each.
        seconds: after which no more of them are begun.
    """
    if file:
        load = _prepare_onnx(Path(file), threads, measures)
    else:
        load = _prepare_torch(Path(folder), backend, threads, measures)
    _read_through([Path(file)] if file else sorted(Path(folder).glob("*.safetensors")))
    before = forget_peak()
    began = time.perf_counter()
    loaded = load()
    tell("loaded", seconds=time.perf_counter() - began)
    meter = find_meter()
    for batch, length in cells:
        found = measure_cell(loaded, batch, length, rows, repeats, seconds, None if isinstance(meter, str) else meter)
        tell("cell", batch=batch, length=length, **found)
    peak = memory("VmHWM")
    if before is not None and peak is not None:
        tell("memory", above=max(0, peak - before[0]), peak=max(peak, before[1]))


def measure_cell(
    loaded: Loaded, batch: int, length: int, rows: int, repeats: int, seconds: float, meter: EnergyMeter | None = None
) -> dict[str, Any]:
    """Time one size of batch; what `report.latency_file.Round` holds.

    Args:
        loaded: the model.
        batch: texts.
        length: of each in tokens; all of them are attended to.
        rows: of the embedding table.
        repeats: counted calls, at least `FEWEST_CALLS`.
        seconds: after which no more calls are begun.
        meter: of energy, if there is one.
    """
    given = [loaded.prepare(make_inputs(loaded.names, batch, length, rows, seed)) for seed in range(_INPUTS)]
    call, clock = loaded.call, time.perf_counter
    began = clock()
    call(given[0])
    first = clock() - began
    began = clock()
    for number in range(WARM_UP_CALLS):
        call(given[number % _INPUTS])
        if clock() - began > seconds / 5:
            break
    times: list[float] = []
    energy = meter.read() if meter else []
    started = clock()
    while len(times) < max(repeats, FEWEST_CALLS):
        if len(times) >= FEWEST_CALLS and clock() - started > seconds:
            break
        inputs = given[len(times) % _INPUTS]
        began = clock()
        call(inputs)
        times.append(clock() - began)
    joules = meter.joules(energy, meter.read()) / len(times) if meter else None
    return {**summary(times), "first": first, "joules": joules}


def summary(times: Sequence[float]) -> dict[str, float]:
    """Number, mean and percentiles (interpolated linearly) of some times."""
    p50, p95, p99 = np.percentile(np.asarray(times, dtype=np.float64), (50, 95, 99)).tolist()
    return {"calls": len(times), "mean": float(np.mean(times)), "p50": p50, "p95": p95, "p99": p99}


def make_inputs(names: Sequence[str], batch: int, length: int, rows: int, seed: int) -> Inputs:
    """A batch of random pieces without padding.

    Args:
        names: of the inputs that are wanted.
        batch: B, texts.
        length: L, tokens of each.
        rows: of the embedding table; its first ones, special and unused pieces, are not drawn.
        seed: decides the pieces.

    Returns:
        int64[B, L] by name.
    """
    generator = np.random.default_rng([seed, batch, length])
    made = {
        "input_ids": generator.integers(min(1000, rows // 2), rows, (batch, length), dtype=np.int64),
        "attention_mask": np.ones((batch, length), dtype=np.int64),
        "token_type_ids": np.zeros((batch, length), dtype=np.int64),
    }
    unknown = sorted(set(names) - set(made))
    if unknown:
        raise DataError(f"the model asks for an input {unknown[0]}", "Export it again with `unibert export`.")
    return {name: made[name] for name in names}


def _prepare_torch(folder: Path, backend: str, threads: int, measures: str) -> Callable[[], Loaded]:
    """Import what is needed; gives what loads the model."""
    import torch
    import transformers

    from unibert.models.precision import has_fast_bfloat16
    from unibert.tasks.encoder import quiet_transformers

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    if backend == "torch-bf16" and not has_fast_bfloat16(torch.device("cpu")):
        raise DataError("this processor does not multiply bfloat16 matrices (no AVX512-BF16, no AMX)")
    if backend == "torch-compile":
        _check_compiler()
        import_module("torch._inductor.compile_fx")
    dtype = torch.bfloat16 if backend == "torch-bf16" else torch.float32
    kind: Any = getattr(transformers, _HEADS.get(measures, "AutoModel"))
    with quiet_transformers(), torch.device("meta"):
        # Without weights: transformers imports a model's code when it is first asked for.
        kind.from_config(transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False))

    def load() -> Loaded:
        with quiet_transformers():
            model = kind.from_pretrained(
                str(folder), dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
            ).eval()
        if measures not in _HEADS and getattr(model, "pooler", None) is not None:
            model.pooler = None  # never trained, and never read
        compiled = torch.compile(model, dynamic=True) if backend == "torch-compile" else model

        def call(inputs: dict[str, torch.Tensor]) -> object:
            with torch.inference_mode():
                if measures != "embeddings":
                    return compiled(**inputs)
                states, mask = compiled(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
                return (states * mask).sum(1) / mask.sum(1)

        return Loaded(
            lambda inputs: {name: torch.from_numpy(array) for name, array in inputs.items()},
            call,
            ("input_ids", "attention_mask"),
        )

    return load


def _check_compiler() -> None:
    import shutil

    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise DataError(
            f"torch.compile needs a C++ compiler, and {Path(compiler).name} is not there",
            "Install one (Debian: apt install g++), or name it in CXX.",
        )


def _prepare_onnx(file: Path, threads: int, measures: str) -> Callable[[], Loaded]:
    """Import what is needed; gives what loads the model."""
    import_module("onnxruntime")
    from unibert.deploy.session import open_session

    def load() -> Loaded:
        session = open_session(file, threads)
        outputs = [output.name for output in session.get_outputs()]
        if measures == "encoder" and "last_hidden_state" not in outputs:
            raise DataError(
                f"its ONNX file puts out {', '.join(outputs)}, and what is measured of this model is the encoder",
                "Export the encoder: unibert export MODEL --for encoder.",
            )
        names = tuple(entry.name for entry in session.get_inputs())
        return Loaded(lambda inputs: inputs, lambda inputs: session.run(None, inputs), names)

    return load


# --- memory ---


def memory(key: str) -> int | None:
    """`VmRSS` (resident now) or `VmHWM` (the most that ever was) of this process in bytes; None where nobody tells."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        if key == "VmHWM" and platform.system() == "Darwin":
            import resource

            return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return None
    found = next((line for line in lines if line.startswith(f"{key}:")), None)
    return int(found.split()[1]) * 1024 if found else None


def forget_peak() -> tuple[int, int] | None:
    """Let the high-water mark begin anew, as far as the system does that; what is resident now, and the mark so far."""
    resident, peak = memory("VmRSS"), memory("VmHWM")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return None if resident is None or peak is None else (resident, peak)


def _read_through(paths: Sequence[Path]) -> None:
    """So that loading finds the files in the system's memory, the first time as the second."""
    for path in paths:
        with path.open("rb") as stream:
            while stream.read(1 << 20):
                pass


_JOBS: dict[str, Callable[..., None]] = {"look": look, "make": make, "export": export, "measure": measure}

if __name__ == "__main__":
    main()
