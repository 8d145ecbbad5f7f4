"""Natural language inference, or any labels of pairs of texts: pairs in, a label for each out, macro F1.

Shapes: B pairs in a batch, L word pieces, C labels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks.batches import padded
from unibert.tasks.data import Split
from unibert.tasks.encoder import Encoder, load_with_head
from unibert.tasks.pairs import encode_pairs, outputs_of, settle_token_types
from unibert.tasks.tables import check_characters, is_json_lines, read_rows, text_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "nli"
TITLE = "Natural language inference"
METRICS = {"macro_f1": "macro F1", "accuracy": "accuracy"}
PER_CENT = True
SUPPORT = "pairs"
COLUMNS = {
    "premise": "a text",
    "hypothesis": "another one, that follows from it or not",
    "label": "which of the two it is, in words of your own, such as entailment, neutral, contradiction",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and how the second relates to the first."""

    premise: str
    hypothesis: str
    label: str = ""
    """None in a file that is only predicted on."""
    line: int | None = field(default=None, compare=False, repr=False)
    """Where it stands in its file, for messages."""


def read(path: Path, columns: Mapping[str, str]) -> list[Pair]:
    """Read tables and JSON lines with `premise`, `hypothesis` and `label`; see `Task.read` and `tables.read_rows`.

    A label may be a whole number in JSON; `0` and `"0"` are the same. A file that is only predicted on needs none.
    """
    pairs = []
    for number, row in read_rows(path, COLUMNS, columns, optional=("label",)):
        place = f"{path}:{number}"
        premise, hypothesis = (text_of(row, name, place) for name in ("premise", "hypothesis"))
        label = _label(row["label"], place) if "label" in row else ""
        pairs.append(Pair(premise, hypothesis, label, number))
    if pairs and not is_json_lines(path):
        _refuse_a_foreign_header(pairs, path)
    return pairs


def _refuse_a_foreign_header(pairs: Sequence[Pair], path: Path) -> None:
    """Without the columns' own names the first line is a pair; one that looks like other names would teach a label."""
    first = pairs[0]
    words = (first.premise, first.hypothesis, first.label)
    alone = first.line == 1 and len(pairs) > 2 and all(pair.label != first.label for pair in pairs[1:])
    if alone and all(word and not any(sign.isspace() for sign in word) for word in words):
        raise DataError(
            f"{path}:1: it looks like a header line ({', '.join(words)}), whose names are not the task's own",
            f"Say --column premise={words[0]} --column hypothesis={words[1]} --column label={words[2]} (in a recipe: "
            "columns), or delete the line.",
        )


def _label(value: Any, place: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{place}: the label is {value!r}, not a name", "Write the label's name, in quotes.")
    if not value.strip():
        raise DataError(f"{place}: the label is empty", "Write a label there, or delete this row.")
    check_characters(value, "label", place)
    return value.strip()


def label_names(samples: Iterable[Pair]) -> list[str]:
    """The labels of the pairs in alphabetical order."""
    return sorted({pair.label for pair in samples} - {""})


def check(split: Split, labels: Sequence[str], trained_on: str) -> None:
    """Refuse missing and unknown labels, and training on one label alone; see `Task.check`."""
    if any(not pair.label for pair in split.samples):
        raise DataError(
            f"{split.source}: there are no labels in it",
            "Add a column or field label to it, or say what it is called there: --column label=YOURS (in a recipe: "
            "columns).",
        )
    if len(labels) < 2:
        raise DataError(
            f"{trained_on}: every label in it is {', '.join(labels)}; there is nothing to tell apart",
            "Train on samples with two or more labels.",
        )
    known = set(labels)
    for pair in split.samples:
        if pair.label not in known:
            place = split.source if pair.line is None else f"{split.source}:{pair.line}"
            raise DataError(
                f"{place}: the label {pair.label!r} is not in {trained_on} ({_listed(labels)})",
                "Use the same label names in both; case counts.",
            )


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")


def load(encoder: Encoder, labels: Sequence[str], settings: FineTune) -> tuple[Any, Any]:
    """An encoder that reads both texts at once and classifies the pair; see `Task.load`."""
    from transformers import AutoModelForSequenceClassification

    model, tokenizer = load_with_head(
        encoder,
        AutoModelForSequenceClassification,
        "sequence classification",
        labels,
        # Said, since an encoder that was fine-tuned before may say otherwise in its configuration.
        problem_type="single_label_classification",
    )
    settle_token_types(model, tokenizer)
    return model, tokenizer


def features(
    samples: Sequence[Pair], tokenizer: Any, labels: Sequence[str], settings: FineTune
) -> list[dict[str, Any]]:
    """`input_ids` of both texts, the longer cut first, and the label's number in `labels`; see `Task.features`."""
    number_of = {label: number for number, label in enumerate(labels)}
    encoded = encode_pairs(_texts(samples), tokenizer, settings.max_length)
    return [{**pieces, "labels": number_of[pair.label]} for pair, pieces in zip(samples, encoded, strict=True)]


def _texts(samples: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(pair.premise, pair.hypothesis) for pair in samples]


def collate(features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """A padded batch, [B, L], with labels [B]; see `Task.collate`."""
    return padded(features, tokenizer)


def predict(
    model: Any,
    tokenizer: Any,
    samples: Sequence[Pair],
    settings: FineTune,
    advance: Callable[[int], object] = lambda samples: None,
) -> list[str]:
    """The likeliest label of every pair; see `Task.predict`."""
    encoded = encode_pairs(_texts(samples), tokenizer, settings.max_length)
    logits_NC = outputs_of(model, encoded, lambda chosen: collate(chosen, tokenizer), settings, advance)
    return [model.config.id2label[max(range(len(row)), key=row.__getitem__)] for row in logits_NC]


# Score --------------------------------------------------------------------------------------------------------------


def described(sample: Pair, prediction: str) -> dict[str, Any]:
    """Both texts with the label that was found; see `Task.described`."""
    return {"premise": sample.premise, "hypothesis": sample.hypothesis, "label": prediction}


def scores(samples: Sequence[Pair], predictions: Sequence[str], language: str) -> dict[str, Any]:
    """Macro F1 and accuracy in per cent, with F1, precision and recall of each label; see `Task.scores`.

    The mean is over the labels that are in the samples or were predicted, as scikit-learn's is; a ratio without a
    denominator is 0.
    """
    import numpy as np

    labels = _labels_of(samples, predictions)
    sums = statistics(samples, predictions, language).sum(axis=0)
    f1, precision, recall = (100 * ratio for ratio in _ratios(sums.reshape(-1, 3)))
    right = sum(pair.label == label for pair, label in zip(samples, predictions, strict=True))
    return {
        "macro_f1": float(value(sums)),
        "accuracy": 100 * right / max(1, len(samples)),
        "support": len(samples),
        "types": {
            label: {
                "f1": float(f1[number]),
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "support": int(np.round(sums[3 * number + 2])),
            }
            for number, label in enumerate(labels)
        },
    }


def _labels_of(samples: Sequence[Pair], predictions: Sequence[str]) -> list[str]:
    return sorted({pair.label for pair in samples} | set(predictions))


def statistics(samples: Sequence[Pair], predictions: Sequence[str], language: str) -> NDArray[np.float64]:
    """For each label whether it was rightly predicted, predicted, and there, [N, 3C]; see `Task.statistics`.

    The labels are those of samples and predictions together, in alphabetical order. Three counts for each suffice for
    macro F1 and stay small with many labels, which a whole confusion matrix for every sample would not.
    """
    import numpy as np

    number_of = {label: number for number, label in enumerate(_labels_of(samples, predictions))}
    found = np.zeros((len(samples), 3 * len(number_of)))
    for row, pair, label in zip(found, samples, predictions, strict=True):
        row[3 * number_of[label]] = pair.label == label
        row[3 * number_of[label] + 1] = 1
        row[3 * number_of[pair.label] + 2] = 1
    return found


def value(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Macro F1 in per cent, the mean over labels that are in the samples or were predicted; see `Task.value`.

    A bootstrap sample without a rare label is thus scored on the others, as scikit-learn would score it.
    """
    import numpy as np

    counts = sums.reshape(*sums.shape[:-1], sums.shape[-1] // 3, 3)
    f1, _, _ = _ratios(counts)
    there = counts[..., 1] + counts[..., 2] > 0
    return 100 * np.asarray(f1.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def _ratios(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """F1, precision and recall from right, predicted and gold, [..., C, 3] -> three times [..., C]."""
    import numpy as np

    right, predicted, gold = counts[..., 0], counts[..., 1], counts[..., 2]
    return (
        2 * right / np.maximum(predicted + gold, 1),
        right / np.maximum(predicted, 1),
        right / np.maximum(gold, 1),
    )


def distillation_loss(student: Any, teacher: Any, batch: Mapping[str, Any], temperature: float) -> Any:
    """KL of the labels' probabilities, times T^2; see `Task.distillation_loss`."""
    from unibert.tasks.soft_targets import divergence

    return divergence(student.logits, teacher.logits, temperature)
