"""Whether an ONNX file says the same as the PyTorch model that it was made from, on real text of every language.

PyTorch reads each text by itself, without padding; onnxruntime reads them in batches, with padding. So a difference
also tells of a mask that is not heeded and of sizes that were taken for constants.

Shape suffixes: B texts, L word pieces, D hidden, C classes (for a masked language model the vocabulary).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unibert.benchmark.columns import aligned
from unibert.deploy.onnx_graph import EMBEDDING, HIDDEN, input_names
from unibert.deploy.session import by_length, run_session
from unibert.deploy.source import Deployable
from unibert.errors import DataError
from unibert.models.positions import position_limit
from unibert.progress import progress_bar
from unibert.tasks.bi_encoder import mean_of_pieces

if TYPE_CHECKING:
    import onnxruntime

TEXTS = 8
"""So many of each language are enough to see a wrong graph."""
LONGEST = 128
PIECES = "pieces"
"""In place of a language: texts that were put together from pieces of the vocabulary."""
_NUMBERS = 2**24
"""A batch puts out about so many numbers at most: 64 MiB in float32."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """How near two models' outputs are on the texts of one language."""

    texts: int
    difference: float
    """The largest, of any number put out at a piece that is not padding."""
    largest: float
    """The largest number put out, without its sign: what the difference is to be judged by."""
    agreement: float | None
    """Share of predictions that are the same; None where nothing is predicted."""

    @property
    def relative(self) -> float:
        """The difference as a share of the largest number, but of 1 at least."""
        return self.difference / max(1.0, self.largest)


class ParityFailed(DataError):
    """A graph that does not say what its model says.

    Args:
        message: the worst language, and how far off it is.
        fix: what the user can do about it.
        found: by language.
    """

    def __init__(self, message: str, fix: str, found: dict[str, Parity]) -> None:
        super().__init__(message, fix)
        self.found = found


def measure_parity(
    found: Deployable, session: onnxruntime.InferenceSession, texts: Mapping[str, Sequence[str]]
) -> dict[str, Parity]:
    """Compare a model with its ONNX file on texts.

    Args:
        found: the model.
        session: of its ONNX file.
        texts: by language; each is cut at 128 pieces, or what the model can read.

    Returns:
        By language; and under `one piece` a single text of a single piece, the smallest batch that there is.
    """
    import torch

    measured: dict[str, Parity] = {}
    torch_outputs = _torch_outputs(found)
    with_types = "token_type_ids" in input_names(found)
    limit = min(LONGEST, position_limit(found.model) or LONGEST)
    one = [[found.tokenizer.cls_token_id or found.tokenizer.get_vocab()[_plain_pieces(found.tokenizer)[0]]]]
    with torch.inference_mode(), progress_bar(sum(map(len, texts.values())), "parity", "text", delay=2.0) as bar:
        for language, ids in {"one piece": one, **{code: [] for code in texts}}.items():
            ids = ids or found.tokenizer(list(texts[language]), truncation=True, max_length=limit)["input_ids"]
            wide = _width(found)
            tally = _Tally(found)
            for places in by_length([len(text) for text in ids], max(limit, _NUMBERS // wide)):
                read = [_inputs(ids[place], with_types) for place in places]
                outputs = run_session(session, _padded(read, found.tokenizer.pad_token_id))
                for row, inputs in enumerate(read):
                    single = {name: torch.tensor([values]) for name, values in inputs.items()}
                    tally.add(torch_outputs(single), outputs, row, len(inputs["input_ids"]))
                bar.update(len(places) if language in texts else 0)
            measured[language] = tally.result(len(ids))
    return measured


def check_parity(name: str, found: Mapping[str, Parity], tolerance: float) -> None:
    """Refuse a graph that does not say what its model says.

    Args:
        name: of the model.
        found: from `measure_parity`.
        tolerance: for the difference as a share of the largest number put out (but of 1 at least).

    Raises:
        ParityFailed: it is larger, or not a number.
    """
    language, worst = max(found.items(), key=lambda item: np.nan_to_num(item[1].relative, nan=np.inf))
    if not worst.relative <= tolerance:  # what is not a number is no parity either
        raise ParityFailed(
            f"model {name}: onnxruntime and PyTorch differ by {worst.difference:.2g} at numbers up to "
            f"{worst.largest:.3g} ({language}), more than the tolerance of {tolerance:g} allows: nothing was written",
            "Export a model of another architecture, or, if this is good enough for you, give a larger --tolerance.",
            dict(found),
        )


def texts_of_pieces(tokenizer: Any, longest: int = 64, seed: int = 0) -> dict[str, list[str]]:
    """Texts for want of real ones: pieces of the vocabulary drawn at random, in numbers from 1 to about `longest`.

    Returns:
        Under `pieces`, in an order in which lengths change.
    """
    draw = random.Random(seed)
    pieces = _plain_pieces(tokenizer)
    numbers = [1, longest, 2, longest // 2, 3, longest // 4, 5, longest // 8]
    return {PIECES: [" ".join(draw.choices(pieces, k=max(1, number))) for number in numbers]}


def format_parity(found: Mapping[str, Parity]) -> str:
    """A table for the terminal: by language the texts, the largest difference and the share of equal predictions."""
    lines = [["", "texts", "largest difference", "same prediction"]]
    for language, parity in found.items():
        same = "" if parity.agreement is None else f"{100 * parity.agreement:.2f} %"
        lines.append([language, f"{parity.texts:,}", f"{parity.difference:.1e}", same])
    if all(parity.agreement is None for parity in found.values()):
        lines = [line[:-1] for line in lines]
    return "\n".join(aligned(lines, 1))


def described(found: Mapping[str, Parity]) -> dict[str, dict[str, Any]]:
    """As a record holds it."""
    return {language: asdict(parity) for language, parity in found.items()}


def _plain_pieces(tokenizer: Any) -> list[str]:
    """Pieces that begin a word, as they are written in a text."""
    special = set(tokenizer.all_special_tokens)
    marks = ("##", "\u2581", "\u0120", "<0x")
    pieces = [piece for piece in sorted(tokenizer.get_vocab()) if piece not in special and not piece.startswith("##")]
    plain = [piece.lstrip("\u2581\u0120") for piece in pieces if not piece.startswith("<0x")]
    return [piece for piece in plain if piece and not piece.startswith(marks)] or sorted(special)


def _width(found: Deployable) -> int:
    """How many numbers are put out for a piece."""
    if found.task == "fill-mask":
        return found.rows
    return int(getattr(found.model.config, "hidden_size", None) or found.model.config.dim)


def _inputs(ids: Sequence[int], with_types: bool) -> dict[str, list[int]]:
    """What is read of a text; its second half has the type of a second text."""
    inputs = {"input_ids": list(ids), "attention_mask": [1] * len(ids)}
    half = len(ids) // 2
    return inputs | ({"token_type_ids": [0] * (len(ids) - half) + [1] * half} if with_types else {})


def _padded(read: Sequence[Mapping[str, Sequence[int]]], padding: int) -> dict[str, NDArray[np.int64]]:
    """Inputs of texts as a batch, [B, L] each."""
    longest = max(len(inputs["input_ids"]) for inputs in read)
    return {
        name: np.array(
            [
                [*inputs[name], *[padding if name == "input_ids" else 0] * (longest - len(inputs[name]))]
                for inputs in read
            ]
        )
        for name in read[0]
    }


def _torch_outputs(found: Deployable) -> Callable[[Mapping[str, Any]], dict[str, Array]]:
    """What the model itself puts out for one text, by the names of its graph's outputs."""

    def run(inputs_1L: Mapping[str, Any]) -> dict[str, Array]:
        output = found.model(**inputs_1L)
        if found.kind == "head":
            names = [name for name in ("logits", "start_logits", "end_logits") if name in output]
            return {name: output[name].numpy() for name in names}
        hidden = output[0]
        named = {HIDDEN: hidden.numpy()}
        if found.kind == "embeddings":
            mean_1D = mean_of_pieces(hidden, inputs_1L["attention_mask"])
            named[EMBEDDING] = (found.projection(mean_1D) if found.projection is not None else mean_1D).numpy()
        return named

    return run


class _Tally:
    """The largest difference so far, and equal predictions."""

    def __init__(self, found: Deployable) -> None:
        self.predicts = found.kind == "head" and not (
            found.task == "sequence-classification" and found.model.config.num_labels == 1
        )
        self.per_text = {EMBEDDING} | ({"logits"} if found.task == "sequence-classification" else set())
        self.spans = found.task == "question-answering"
        self.difference = self.largest = 0.0
        self.same = self.predictions = 0

    def add(self, expected: Mapping[str, Array], outputs: Mapping[str, Array], row: int, length: int) -> None:
        """Compare one text's outputs with those of its row in a batch."""
        for name, values in expected.items():
            one = values[0]
            other = outputs[name][row] if name in self.per_text else outputs[name][row, :length]
            difference = float(np.abs(one - other).max())
            self.difference = float(np.maximum(self.difference, difference))  # keeps what is not a number
            self.largest = float(np.maximum(self.largest, np.abs(one).max()))
            if self.predicts:
                same = one.argmax(-1) == other.argmax(-1)
                self.same += int(same.sum())
                self.predictions += int(same.size)

    def result(self, texts: int) -> Parity:
        """What was found."""
        return Parity(texts, self.difference, self.largest, self.same / self.predictions if self.predictions else None)
