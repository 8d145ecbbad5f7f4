"""Extractive question answering: the stretch of a context that answers a question, read in overlapping windows.

Shapes: B windows in a batch, L word pieces, N samples, A lengths of answers in pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks.answers import best_scores
from unibert.tasks.batches import padded, run_batches
from unibert.tasks.data import Split
from unibert.tasks.encoder import Encoder, load_with_head
from unibert.tasks.pairs import settle_token_types
from unibert.tasks.squad import Question, read_questions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "qa"
TITLE = "Question answering"
METRICS = {"f1": "F1", "exact_match": "exact match"}
PER_CENT = True
SUPPORT = "questions"
COLUMNS = {
    "context": "the text that is read",
    "question": "what is asked about it",
    "answers": "the accepted answers, each with the character it starts at",
    "id": "a name for the question; its line number if there is none",
}
_QUESTIONS_AT_ONCE = 1000  # bounds the memory that windows take
_CONTEXT_SHARE = 4  # a fourth of a window is the context's, however long the question


@dataclass(frozen=True)
class Window:
    """A question with the part of its context that fits beside it.

    `places[l]` is the stretch of characters [from, to) of the context that piece l stands for; [0, 0) if it is none:
    a special token, a piece of the question, or a space. `covered` is the stretch that the window has of the context.
    """

    sample: int
    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    places: NDArray[np.int32]
    covered: tuple[int, int]


def read(path: Path, columns: Mapping[str, str]) -> list[Question]:
    """Read SQuAD JSON and JSON lines; see `squad.read_questions` and `Task.read`."""
    return read_questions(path, columns)


def label_names(questions: Sequence[Question]) -> list[str]:
    """No labels: answers are stretches of text; see `Task.label_names`."""
    return []


def check(split: Split, labels: Sequence[str], trained_on: str) -> None:
    """Refuse questions without an answer; see `Task.check`."""
    for question in split.samples:
        if not question.answers:
            raise DataError(
                f"{split.source}: question {question.id} has no answer to score against",
                "Give a file in which every question has an answer; one without can only be predicted on.",
            )


def load(encoder: Encoder, labels: Sequence[str], settings: FineTune) -> tuple[Any, Any]:
    """An encoder that scores every word piece as start and as end of the answer; see `Task.load`."""
    from transformers import AutoModelForQuestionAnswering

    model, tokenizer = load_with_head(encoder, AutoModelForQuestionAnswering, "question answering", num_labels=2)
    tokenizer.truncation_side = "right"
    settle_token_types(model, tokenizer)
    return model, tokenizer


def described(question: Question, prediction: str) -> dict[str, Any]:
    """A question with its answer, without the context, which is long and often repeated; see `Task.described`."""
    return {"id": question.id, "question": question.question, "answer": prediction}


# Features -----------------------------------------------------------------------------------------------------------


def windows(samples: Sequence[Question], tokenizer: Any, max_length: int, stride: int) -> Iterator[Window]:
    """Cut contexts into windows of at most `max_length` pieces with question and special tokens, in order.

    The question is whole in every window, unless it would leave less than a fourth of it to the context: then its end
    is cut off. Neighbours overlap by `stride` pieces of the context, or by half of the context's room if that is less.
    """
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    for begin in range(0, len(samples), _QUESTIONS_AT_ONCE):
        chunk = samples[begin : begin + _QUESTIONS_AT_ONCE]
        asked = _fitting_questions(chunk, tokenizer, room - max(1, room // _CONTEXT_SHARE))
        groups: dict[int, list[int]] = {}
        for number, (_, length) in enumerate(asked):
            groups.setdefault(min(stride, (room - length) // 2), []).append(number)
        found: list[Window] = []
        for overlap, members in groups.items():
            encoded = tokenizer(
                [asked[member][0] for member in members],
                [chunk[member].context for member in members],
                truncation="only_second",
                max_length=max_length,
                stride=overlap,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                return_attention_mask=False,
                verbose=False,
            )
            owners = [None, *encoded["overflow_to_sample_mapping"], None]
            for number, (before, owner, after) in enumerate(zip(owners, owners[1:], owners[2:], strict=False)):
                context = chunk[members[owner]].context
                window = _window(encoded, number, begin + members[owner], context, owner != before, owner != after)
                found.append(window)
        yield from sorted(found, key=lambda window: window.sample)


def _fitting_questions(samples: Sequence[Question], tokenizer: Any, longest: int) -> list[tuple[str, int]]:
    """The questions, cut to at most `longest` pieces, and how many pieces each has."""
    encoded = tokenizer(
        [sample.question for sample in samples],
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    found = []
    for sample, ids, offsets in zip(samples, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        text, length, kept = sample.question, len(ids), longest
        while length > longest:
            # A text that ends earlier may be cut into pieces otherwise: count again.
            text = sample.question[: offsets[kept - 1][1]] if kept else ""
            length = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            kept -= 1
        found.append((text, length))
    return found


def _window(encoded: Any, number: int, sample: int, context: str, is_first: bool, is_last: bool) -> Window:
    import numpy as np

    places = []
    for part, (begin, end) in zip(encoded.sequence_ids(number), encoded["offset_mapping"][number], strict=True):
        if part == 1:
            # Byte-level and sentence-piece tokenizers count the space before a word to its first piece.
            while begin < end and context[begin].isspace():
                begin += 1
            while begin < end and context[end - 1].isspace():
                end -= 1
        places.append((begin, end) if part == 1 and begin < end else (0, 0))
    # Characters that have no piece, such as BERT's normaliser removes, are nobody's; they may begin or end a context.
    covered = (
        0 if is_first else min((begin for begin, end in places if end), default=0),
        len(context) if is_last else max(end for _, end in places),
    )
    types = encoded["token_type_ids"][number] if "token_type_ids" in encoded else None
    return Window(
        sample,
        np.array(encoded["input_ids"][number], np.int32),
        None if types is None else np.array(types, np.int8),
        np.array(places, np.int32),
        covered,
    )


def features(
    samples: Sequence[Question], tokenizer: Any, labels: Sequence[str], settings: FineTune
) -> list[dict[str, Any]]:
    """`input_ids` as an array and the positions of the answer's first and last piece, a window each.

    The first of several accepted answers is the target. Where it is not wholly in a window, both positions are those
    of [CLS]. See `Task.features`.

    Raises:
        DataError: a question without an answer.
    """
    found = []
    for window in windows(samples, tokenizer, settings.max_length, settings.stride):
        sample = samples[window.sample]
        if not sample.answers:
            raise DataError(f"question {sample.id} has no answer to learn", "Train on a file with answers.")
        first, last = _target(window, sample, tokenizer.cls_token_id)
        found.append({**_inputs(window), "start_positions": first, "end_positions": last})
    return found


def _target(window: Window, sample: Question, cls_id: int | None) -> tuple[int, int]:
    import numpy as np

    answer = sample.answers[0]
    bare = answer.text.strip()
    begin = answer.start + answer.text.index(bare)
    end = begin + len(bare)
    starts, ends = window.places.T
    pieces = np.flatnonzero((starts < end) & (ends > begin))
    if len(pieces) and window.covered[0] <= begin and window.covered[1] >= end:
        return int(pieces[0]), int(pieces[-1])
    at_cls = int(np.argmax(window.ids == cls_id)) if cls_id is not None else 0
    return at_cls, at_cls


def _inputs(window: Window) -> dict[str, Any]:
    types = {} if window.types is None else {"token_type_ids": window.types}
    return {"input_ids": window.ids, **types}


def collate(features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """A padded batch: tensors [B, L], and [B] for the positions; see `Task.collate`."""
    return padded(features, tokenizer)


# Prediction and score -----------------------------------------------------------------------------------------------


def predict(
    model: Any,
    tokenizer: Any,
    samples: Sequence[Question],
    settings: FineTune,
    advance: Callable[[int], object] = lambda samples: None,
) -> list[str]:
    """The answer to every question as it stands in its context, never empty; see `Task.predict`.

    It is the stretch of at most `max_answer_tokens` pieces with the highest sum of start and end logit in all windows.
    """
    answers: list[str] = []
    for begin in range(0, len(samples), _QUESTIONS_AT_ONCE):
        answers += _answers(model, tokenizer, samples[begin : begin + _QUESTIONS_AT_ONCE], settings, advance)
    return answers


def _answers(
    model: Any, tokenizer: Any, samples: Sequence[Question], settings: FineTune, advance: Callable[[int], object]
) -> list[str]:
    import torch

    # A context that leaves no piece to choose (such as one of zero-width characters only) is its own answer.
    answers = [sample.context.strip() for sample in samples]
    best = [float("-inf")] * len(samples)
    read = list(windows(samples, tokenizer, settings.max_length, settings.stride))
    waiting = Counter(window.sample for window in read)

    def take(numbers: list[int], output: Any) -> None:
        allowed_BL = torch.zeros(output.start_logits.shape, dtype=torch.bool)
        for row_L, number in zip(allowed_BL, numbers, strict=True):
            row_L[: len(read[number].ids)] = torch.from_numpy(read[number].places[:, 1] > 0)
        found = best_stretches(
            output.start_logits, output.end_logits, allowed_BL.to(model.device), settings.max_answer_tokens
        )
        for number, (score, first, last) in zip(numbers, found, strict=True):
            window = read[number]
            if score > best[window.sample]:
                best[window.sample] = score
                context = samples[window.sample].context
                answers[window.sample] = context[window.places[first, 0] : window.places[last, 1]]
            waiting[window.sample] -= 1
        advance(sum(waiting[sample] == 0 for sample in {read[number].sample for number in numbers}))

    inputs = [_inputs(window) for window in read]
    run_batches(model, inputs, lambda chosen: collate(chosen, tokenizer), settings, take)
    return answers


def best_stretches(start_BL: Any, end_BL: Any, allowed_BL: Any, longest: int) -> list[tuple[float, int, int]]:
    """For each window, the highest sum of a start logit and an end logit, and the two places.

    Costs one pass over the windows for every length up to `longest`.

    Args:
        start_BL: logits of the answer's first piece.
        end_BL: logits of its last piece.
        allowed_BL: the pieces that an answer may begin or end with.
        longest: most pieces from the first to the last, both counted.

    Returns:
        Score, first and last place; the score is minus infinity where nothing is allowed.
    """
    import torch

    start_BL, end_BL = (logits_BL.float().masked_fill(~allowed_BL, float("-inf")) for logits_BL in (start_BL, end_BL))
    length = start_BL.shape[1]
    best_AB, at_AB = [], []
    for further in range(min(longest, length)):
        score_B, at_B = (start_BL[:, : length - further] + end_BL[:, further:]).max(dim=1)
        best_AB.append(score_B)
        at_AB.append(at_B)
    score_B, further_B = torch.stack(best_AB).max(dim=0)
    first_B = torch.stack(at_AB).gather(0, further_B[None])[0]
    return list(zip(score_B.tolist(), first_B.tolist(), (first_B + further_B).tolist(), strict=True))


def scores(samples: Sequence[Question], predictions: Sequence[str], language: str) -> dict[str, Any]:
    """MLQA's F1 and exact match in per cent, means over questions; see `Task.scores` and the module `answers`."""
    judged = _judged(samples, predictions, language)
    means = 100 * judged.sum(axis=0) / max(1, len(samples))
    return {"f1": float(means[0]), "exact_match": float(means[1]), "support": len(samples)}


def statistics(samples: Sequence[Question], predictions: Sequence[str], language: str) -> NDArray[np.float64]:
    """F1 from 0 to 1 of every question, and 1, [N, 2]; see `Task.statistics`."""
    found = _judged(samples, predictions, language)
    found[:, 1] = 1
    return found


def _judged(samples: Sequence[Question], predictions: Sequence[str], language: str) -> NDArray[np.float64]:
    import numpy as np

    found = np.zeros((len(samples), 2))
    for row, sample, answer in zip(found, samples, predictions, strict=True):
        row[:] = best_scores(answer, [gold.text for gold in sample.answers], language)
    return found


def value(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean F1 in per cent; 0 where there is no question; see `Task.value`."""
    import numpy as np

    return 100 * sums[..., 0] / np.maximum(sums[..., 1], 1)


def distillation_loss(student: Any, teacher: Any, batch: Mapping[str, Any], temperature: float) -> Any:
    """KL of the probabilities of starts and of ends over the pieces that are no padding, times T^2, their mean.

    See `Task.distillation_loss`.
    """
    from unibert.tasks.soft_targets import divergence

    padding_BL = batch["attention_mask"] == 0
    losses = [
        # Not minus infinity: the difference of two of them is not a number.
        divergence(
            ours_BL.float().masked_fill(padding_BL, -1e9), theirs_BL.float().masked_fill(padding_BL, -1e9), temperature
        )
        for ours_BL, theirs_BL in (
            (student.start_logits, teacher.start_logits),
            (student.end_logits, teacher.end_logits),
        )
    ]
    return (losses[0] + losses[1]) / 2
