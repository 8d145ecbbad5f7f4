"""What a quantised model lost, language by language: embeddings, predictions, and scores on labelled data.

The model in float32 and the quantised one, both in onnxruntime, read the same batches.

Shape suffixes: B texts, L word pieces, D hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from unibert.benchmark.columns import aligned
from unibert.deploy.onnx_graph import EMBEDDING, HIDDEN
from unibert.deploy.session import RECORD_FILE, by_length, load_model, open_session, run_session
from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.languages import LANGUAGES
from unibert.progress import progress_bar
from unibert.recipe import FineTune
from unibert.tasks.data import Split
from unibert.tasks.finetune import UNNAMED
from unibert.tasks.task import Task, find_task, first_metric

if TYPE_CHECKING:
    import onnxruntime

LONGEST = 128
_NUMBERS = 2**24
"""A batch puts out about so many numbers at most: 64 MiB in float32."""
_BATCH_PIECES = 1024
_TASKS = {"token-classification": "ner", "question-answering": "qa", "sequence-classification": "nli"}

Array = NDArray[np.float32]
Data = Mapping[str, Path | str]
Models = tuple[Path | bytes, Path | bytes]


@dataclass(frozen=True)
class Quality:
    """What is left in one language."""

    texts: int = 0
    cosine: float | None = None
    """Of the texts' embeddings before and after, the mean."""
    least_cosine: float | None = None
    """The lowest of any text."""
    agreement: float | None = None
    """Share of the head's predictions that are the same, on the texts."""
    samples: int = 0
    before: float | None = None
    """The score on labelled samples in float32."""
    after: float | None = None
    """And quantised."""

    @property
    def drop(self) -> float | None:
        """Points lost: of scores from 0 to 100, or hundredths of a correlation."""
        return None if self.before is None or self.after is None else self.before - self.after


class QualityTooLow(DataError):
    """A quantised model that lost more than was allowed.

    Args:
        message: what was lost in which language.
        fix: what the user can do about it.
        table: all of them, for the terminal.
    """

    def __init__(self, message: str, fix: str, table: str) -> None:
        super().__init__(message, fix)
        self.table = table


@dataclass(frozen=True)
class Labelled:
    """Samples to score a head on."""

    task: Task
    settings: FineTune
    files: dict[str, Split]
    """By language."""
    labels: list[str]


# --- embeddings and predictions ---


def measure_texts(
    record: Mapping[str, Any], tokenizer: Any, models: Models, texts: Mapping[str, Sequence[str]]
) -> dict[str, Quality]:
    """Compare embeddings and, of a head, predictions in float32 and quantised.

    Args:
        record: of the exported folder.
        tokenizer: its own.
        models: the file in float32 and the quantised one, or their bytes.
        texts: by language; each is cut at 128 pieces, or what the model can read.

    Returns:
        By language `texts`, `cosine`, `least_cosine` and `agreement`.
    """
    sessions = [open_session(_with_hidden(model)) for model in models]
    longest = min(LONGEST, record.get("limit") or LONGEST)
    budget = min(_BATCH_PIECES, max(longest, _NUMBERS // len(tokenizer)) if record["task"] == "fill-mask" else 10**9)
    found = {}
    with progress_bar(sum(map(len, texts.values())), "comparing", "text", delay=2.0) as bar:
        for language, own in texts.items():
            ids = tokenizer(list(own), truncation=True, max_length=longest)["input_ids"]
            cosines: list[float] = []
            same: list[Any] = []
            for places in by_length([len(text) for text in ids], budget):
                batch = tokenizer.pad({"input_ids": [ids[place] for place in places]}, return_tensors="np")
                before, after = (run_session(session, batch) for session in sessions)
                mask_BL = np.asarray(batch["attention_mask"])
                cosines += cosine(_embeddings(before, mask_BL), _embeddings(after, mask_BL)).tolist()
                same += _same(record, before, after, mask_BL)
                bar.update(len(places))
            agreement = float(np.mean(same)) if same else None
            found[language] = Quality(len(own), float(np.mean(cosines)), float(min(cosines)), agreement)
    return found


def cosine(first_BD: Array, second_BD: Array) -> Array:
    """The cosines of rows, [B, D] x 2 -> [B]; of two zeros it is 1, of one 0."""
    lengths_B = np.linalg.norm(first_BD, axis=1) * np.linalg.norm(second_BD, axis=1)
    both_zero_B = ~first_BD.any(1) & ~second_BD.any(1)
    products_B = (first_BD * second_BD).sum(1)
    cosines_B: Array = np.where(both_zero_B, 1.0, products_B / np.where(lengths_B == 0, 1.0, lengths_B))
    return cosines_B


def _with_hidden(source: Path | bytes) -> bytes:
    """The model that puts out its last hidden states, too."""
    from onnx import helper

    model = load_model(source)
    there = {output.name for output in model.graph.output}
    if not there & {HIDDEN, EMBEDDING}:
        if not any(HIDDEN in node.output for node in model.graph.node):
            raise DataError(
                f"the ONNX model computes no {HIDDEN}, so there are no embeddings to compare",
                "Export the model again: unibert export.",
            )
        # Without a type: it is what onnxruntime infers, float32 or float16.
        model.graph.output.append(helper.make_empty_tensor_value_info(HIDDEN))
    return bytes(model.SerializeToString())


def _embeddings(outputs: Mapping[str, Array], mask_BL: NDArray[np.int64]) -> Array:
    if EMBEDDING in outputs:
        return outputs[EMBEDDING].astype(np.float32)
    mask_BL1 = mask_BL[..., None].astype(np.float32)
    means_BD: Array = (outputs[HIDDEN].astype(np.float32) * mask_BL1).sum(1) / mask_BL1.sum(1)
    return means_BD


def _same(
    record: Mapping[str, Any], before: Mapping[str, Array], after: Mapping[str, Array], mask_BL: NDArray[np.int64]
) -> list[Any]:
    """Of each prediction whether it is the same: of every piece, of a text, or of an answer's two ends."""
    found: list[Any] = []
    for name in ("logits", "start_logits", "end_logits"):
        if name not in before or (before[name].ndim == 2 and before[name].shape[1] == 1 and name == "logits"):
            continue  # a score predicts nothing that could be the same
        one, other = before[name], after[name]
        if record["task"] == "question-answering":
            # No answer begins in the padding.
            one, other = (np.where(mask_BL == 1, logits, -np.inf) for logits in (one, other))
        equal = one.argmax(-1) == other.argmax(-1)
        found += (equal[mask_BL == 1] if equal.shape == mask_BL.shape else equal).tolist()
    return found


# --- scores on labelled data ---


def read_labelled(record: Mapping[str, Any], folder: Path, data: Data | Path, columns: Mapping[str, str]) -> Labelled:
    """Read labelled samples for the task of an exported head, in the formats of `unibert finetune`.

    Args:
        record: of the exported folder.
        folder: its place, for messages.
        data: files by language, or one file.
        columns: the files' own names for the task's columns or fields, where they differ.

    Raises:
        DataError: the model has no head of a task, or the files are unusable or have other labels.
    """
    tuned = record.get("finetuned") or {}
    name = tuned.get("task") or _TASKS.get(str(record.get("task")))
    settings = _settings(folder, tuned.get("settings") or {})
    labels = list(record.get("labels") or ())
    if name == "nli" and len(labels) == 1:
        name = "sts"
    if name is None or (record["kind"] != "head" and settings.sts != "bi-encoder"):
        raise DataError(
            f"{folder}: is no model of a task ({record.get('task') or record['kind']}), so labelled data cannot score "
            "it",
            "Leave the data out, or export a fine-tuned model with its head.",
        )
    limit = record.get("limit") or settings.max_length
    settings = settings.model_copy(update={"max_length": min(settings.max_length, limit)})
    task = find_task(name)
    files = {}
    for language, given in (data if isinstance(data, Mapping) else {UNNAMED: data}).items():
        path = Path(given).expanduser()
        samples = task.read(path, columns)
        files[language] = Split(str(path), sha256_of_file(path), samples)
        task.check(files[language], labels, f"the model in {folder}")
    return Labelled(task, settings, files, labels)


def _settings(folder: Path, told: Mapping[str, Any]) -> FineTune:
    """How samples are cut; what else was set decides nothing here."""
    known = {"max_length", "stride", "max_answer_tokens", "sts"}
    try:
        return FineTune.model_validate(
            {key: told[key] for key in known & set(told) if told[key] is not None} | {"precision": "float32"}
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        raise DataError(
            f"{folder / RECORD_FILE}: finetuned.settings.{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}",
            "Export the model again: unibert export.",
        ) from None


def measure_labelled(
    record: Mapping[str, Any], tokenizer: Any, models: Models, labelled: Labelled
) -> dict[str, Quality]:
    """Score the head in float32 and quantised on labelled samples.

    Returns:
        By language `samples`, `before` and `after`, in points (hundredths of a correlation).
    """
    task = labelled.task
    both = [SessionModel(open_session(model), labelled.labels) for model in models]
    points = 1 if task.PER_CENT else 100
    metric = first_metric(task)
    found = {}
    total = 2 * sum(len(split.samples) for split in labelled.files.values())
    with progress_bar(total, "scoring", "sample", delay=2.0) as bar:
        for language, split in labelled.files.items():
            scores = []
            for model in both:
                predictions = task.predict(model, tokenizer, split.samples, labelled.settings, bar.update)
                scores.append(points * float(task.scores(split.samples, predictions, language)[metric]))
            found[language] = Quality(samples=len(split.samples), before=scores[0], after=scores[1])
    return found


class SessionModel:
    """A session in the place of the PyTorch model that a task predicts with.

    Args:
        session: of an exported head, or of embeddings, which are compared in pairs as a bi-encoder does.
        labels: what the classes are called.
    """

    training = False

    def __init__(self, session: onnxruntime.InferenceSession, labels: Sequence[str]) -> None:
        import torch

        self.session = session
        self.config = SimpleNamespace(id2label=dict(enumerate(labels)))
        self.device = torch.device("cpu")

    def eval(self) -> SessionModel:
        """It is never anything but evaluated."""
        return self

    def train(self, mode: bool = True) -> SessionModel:
        """Nothing changes."""
        return self

    def __call__(self, **batch: Any) -> Any:
        """The outputs for a batch, as tensors by name."""
        import torch

        outputs = run_session(self.session, batch)
        if EMBEDDING in outputs:
            means = outputs[EMBEDDING]
            outputs = {"logits": cosine(means[0::2], means[1::2])[:, None].astype(np.float32)}
        return SimpleNamespace(**{name: torch.from_numpy(values) for name, values in outputs.items()})


# --- what is told, and what is refused ---


def merged(texts: Mapping[str, Quality], samples: Mapping[str, Quality]) -> dict[str, Quality]:
    """What was measured on texts and on labelled samples, by language."""
    found = dict(texts)
    for language, quality in samples.items():
        own = {"samples": quality.samples, "before": quality.before, "after": quality.after}
        found[language] = replace(found.get(language, Quality()), **own)  # type: ignore[arg-type]
    return found


def check_quality(
    name: str, found: Mapping[str, Quality], minimum_cosine: float | None, max_drop: float | None, metric: str
) -> None:
    """Refuse a quantised model that lost more than is allowed in any language.

    Args:
        name: of the model.
        found: by language.
        minimum_cosine: of the mean cosine.
        max_drop: in points.
        metric: what the score is called.

    Raises:
        QualityTooLow: names the worst language.
    """
    table = format_quality(found, metric)
    cosines = {code: own.cosine for code, own in found.items() if own.cosine is not None}
    worst = min(cosines, key=lambda code: np.nan_to_num(cosines[code], nan=-np.inf), default=None)
    if minimum_cosine is not None and worst is not None and not cosines[worst] >= minimum_cosine:
        below = sum(not value >= minimum_cosine for value in cosines.values())
        raise QualityTooLow(
            f"model {name}: quantised, its embeddings have a mean cosine of only {cosines[worst]:.6f} with what they "
            f"were in {_named(worst)} ({below} of {len(cosines)} languages are below {minimum_cosine:g}): nothing was "
            "written",
            "Use the file in float32, --precision fp16, or allow more with a lower --min-cosine.",
            table,
        )
    drops = {code: own.drop for code, own in found.items() if own.drop is not None}
    worst = max(drops, key=lambda code: np.nan_to_num(drops[code], nan=np.inf), default=None)
    if max_drop is not None and worst is not None and not drops[worst] <= max_drop:
        raise QualityTooLow(
            f"model {name}: quantised, it loses {drops[worst]:.2f} points of {metric} in {_named(worst)}, more than "
            f"{max_drop:g}: nothing was written",
            "Use the file in float32, --precision fp16, or allow more with a higher --max-drop.",
            table,
        )


def format_quality(found: Mapping[str, Quality], metric: str = "score") -> str:
    """A table for the terminal; columns of what was not measured are left out."""
    return "\n".join(aligned(quality_rows(found, metric), 1))


def quality_rows(found: Mapping[str, Quality], metric: str = "score") -> list[list[str]]:
    """Rows of texts, headings first; columns of what was not measured are left out."""
    columns: list[tuple[str, Callable[[Quality], str]]] = [
        ("texts", lambda own: f"{own.texts:,}" if own.texts else ""),
        ("cosine", lambda own: _number(own.cosine, 4)),
        ("lowest", lambda own: _number(own.least_cosine, 4)),
        ("same prediction", lambda own: "" if own.agreement is None else f"{100 * own.agreement:.1f} %"),
        ("samples", lambda own: f"{own.samples:,}" if own.samples else ""),
        (f"{metric} before", lambda own: _number(own.before, 2)),
        ("after", lambda own: _number(own.after, 2)),
        ("lost", lambda own: _number(own.drop, 2)),
    ]
    shown = [(heading, cell) for heading, cell in columns if any(cell(own) for own in found.values())]
    rows = [["", *(heading for heading, _ in shown)]]
    return rows + [[_named(code), *(cell(own) for _, cell in shown)] for code, own in found.items()]


def described(found: Mapping[str, Quality]) -> dict[str, dict[str, Any]]:
    """As a record holds it."""
    return {language: {**asdict(own), "drop": own.drop} for language, own in found.items()}


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _named(code: str) -> str:
    if code == UNNAMED:
        return "the data"
    return f"{code} ({LANGUAGES[code].name})" if code in LANGUAGES else code
