"""Semantic textual similarity: pairs of texts in, a number for each out, correlated with people's scores.

Shapes: B pairs in a batch, L word pieces, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks.batches import padded
from unibert.tasks.data import Split
from unibert.tasks.encoder import Encoder, load_with_head
from unibert.tasks.pairs import encode_pairs, encode_texts, outputs_of, settle_token_types
from unibert.tasks.tables import read_rows, text_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "sts"
TITLE = "Semantic textual similarity"
METRICS = {"pearson": "Pearson's r", "spearman": "Spearman's rho"}
PER_CENT = False
SUPPORT = "pairs"
COLUMNS = {
    "sentence1": "a text",
    "sentence2": "another one",
    "score": "a number, the larger the more alike they are",
}


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two texts and how alike they are; larger is more, on any scale."""

    first: str
    second: str
    score: float = math.nan
    """Not a number in a file that is only predicted on."""


def read(path: Path, columns: Mapping[str, str]) -> list[ScoredPair]:
    """Read tables and JSON lines with `sentence1`, `sentence2` and `score`; see `Task.read` and `tables.read_rows`.

    A file that is only predicted on needs no score.
    """
    pairs = []
    for number, row in read_rows(path, COLUMNS, columns, optional=("score",)):
        place = f"{path}:{number}"
        first, second = (text_of(row, name, place) for name in ("sentence1", "sentence2"))
        score = _score(row["score"], place) if "score" in row else math.nan
        pairs.append(ScoredPair(first, second, score))
    return pairs


def _score(value: Any, place: str) -> float:
    try:
        # Python would read 1_0 as 10.
        score = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise DataError(
            f"{place}: the score is {value!r}, not a finite number",
            "Write a number with a decimal point, such as 3.8, or delete this row.",
        )
    return score


def label_names(samples: Sequence[ScoredPair]) -> list[str]:
    """None: scores are numbers."""
    return []


def check(split: Split, labels: Sequence[str], trained_on: str) -> None:
    """Refuse missing scores, and only equal ones: nothing to learn from, or to correlate with; see `Task.check`."""
    if any(math.isnan(pair.score) for pair in split.samples):
        raise DataError(
            f"{split.source}: there are no scores in it",
            "Add a column or field score to it, or say what it is called there: --column score=YOURS (in a recipe: "
            "columns).",
        )
    if len({pair.score for pair in split.samples}) < 2:
        raise DataError(
            f"{split.source}: there are no two different scores in it",
            "Give samples of which some are more alike than others.",
        )


def load(encoder: Encoder, labels: Sequence[str], settings: FineTune) -> tuple[Any, Any]:
    """A cross-encoder with one output, or a bi-encoder, as `settings.sts` says; see `Task.load`."""
    if settings.sts == "bi-encoder":
        from unibert.tasks.bi_encoder import load_bi_encoder

        return load_bi_encoder(encoder)
    from transformers import AutoModelForSequenceClassification

    model, tokenizer = load_with_head(
        encoder, AutoModelForSequenceClassification, "regression", num_labels=1, problem_type="regression"
    )
    settle_token_types(model, tokenizer)
    return model, tokenizer


# Features -----------------------------------------------------------------------------------------------------------


def features(
    samples: Sequence[ScoredPair], tokenizer: Any, labels: Sequence[str], settings: FineTune
) -> list[dict[str, Any]]:
    """`input_ids` and the score as a share of the range of all these samples' scores; see `Task.features`.

    The lowest score among them is 0, the highest 1, and so are the model's predictions; correlations do not change
    with the scale. For a bi-encoder the texts are apart, the longer one as `input_ids`, the other as `second_ids`: the
    cosine does not mind their order, and batches of similar lengths are made by `input_ids`.
    """
    low = min(pair.score for pair in samples)
    span = max(pair.score for pair in samples) - low or 1.0
    encoded = _encode(samples, tokenizer, settings)
    return [{**pieces, "labels": (pair.score - low) / span} for pair, pieces in zip(samples, encoded, strict=True)]


def _encode(samples: Sequence[ScoredPair], tokenizer: Any, settings: FineTune) -> list[dict[str, Any]]:
    if settings.sts == "cross-encoder":
        return encode_pairs([(pair.first, pair.second) for pair in samples], tokenizer, settings.max_length)
    found = []
    texts = [encode_texts([getattr(pair, side) for pair in samples], tokenizer, settings.max_length) for side in _SIDES]
    for both in zip(*texts, strict=True):
        longer, shorter = sorted(both, key=len, reverse=True)
        found.append({"input_ids": longer, "second_ids": shorter})
    return found


_SIDES = ("first", "second")


def collate(features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """A padded batch, [B, L], or [2B, L] for a bi-encoder, with labels [B]; see `Task.collate`."""
    if "second_ids" not in features[0]:
        return padded(features, tokenizer)
    from unibert.tasks.bi_encoder import collate_texts

    return collate_texts(features, tokenizer)


# Prediction and score -----------------------------------------------------------------------------------------------


def predict(
    model: Any,
    tokenizer: Any,
    samples: Sequence[ScoredPair],
    settings: FineTune,
    advance: Callable[[int], object] = lambda samples: None,
) -> list[float]:
    """How alike the two texts of every pair are, about 0 to 1 (see `features`); see `Task.predict`.

    A cross-encoder's output has no bounds; a bi-encoder's is a cosine. Digits beyond the sixth are noise of float32:
    with them, pairs of equal texts would not be equally alike, and ranks would depend on the padding.
    """
    encoded = _encode(samples, tokenizer, settings)
    outputs_N1 = outputs_of(model, encoded, lambda chosen: collate(chosen, tokenizer), settings, advance)
    return [round(output, 6) for (output,) in outputs_N1]


def described(sample: ScoredPair, prediction: float) -> dict[str, Any]:
    """Both texts with their score, which is about 0 to 1, whatever the training data's range; see `Task.described`."""
    return {"sentence1": sample.first, "sentence2": sample.second, "score": prediction}


def scores(samples: Sequence[ScoredPair], predictions: Sequence[float], language: str) -> dict[str, Any]:
    """Both correlations with the samples' scores; see `Task.scores`.

    A correlation with numbers that are all the same is not defined; it is 0 here: they say nothing about the pairs.
    """
    from scipy.stats import pearsonr, spearmanr  # type: ignore[import-untyped, unused-ignore]

    gold = [pair.score for pair in samples]
    if not (_varies(gold) and _varies(predictions)):
        return {"pearson": 0.0, "spearman": 0.0, "support": len(gold)}
    return {
        "pearson": float(pearsonr(gold, predictions).statistic),
        "spearman": float(spearmanr(gold, predictions).statistic),
        "support": len(gold),
    }


def _varies(numbers: Sequence[float]) -> bool:
    """Whether there is something to correlate; numbers that are not finite, of a training gone wrong, have nothing."""
    return all(math.isfinite(number) for number in numbers) and len(set(numbers)) > 1


def statistics(samples: Sequence[ScoredPair], predictions: Sequence[float], language: str) -> NDArray[np.float64]:
    """1, x, y, xx, yy and xy of every pair, [N, 6], whose sums decide Pearson's r; see `Task.statistics`.

    x and y, the pair's score and the prediction, are standardised over all pairs: r is the same, and sums of squares
    do not drown the differences.
    """
    import numpy as np

    gold, predicted = _standardised([pair.score for pair in samples]), _standardised(predictions)
    return np.stack([np.ones(len(gold)), gold, predicted, gold**2, predicted**2, gold * predicted], axis=-1)


def _standardised(numbers: Sequence[float]) -> NDArray[np.float64]:
    import numpy as np

    if not _varies(numbers):
        return np.zeros(len(numbers))
    array = np.asarray(numbers, dtype=np.float64)
    array = array / np.abs(array).max()
    array -= array.mean()
    return array / np.sqrt(np.mean(array**2))


def value(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's r; 0 where scores or predictions are all the same; see `Task.value`."""
    import numpy as np

    count, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums), -1, 0)
    spread_x, spread_y = count * xx - x**2, count * yy - y**2
    # What is left of equal numbers after rounding is not a spread.
    defined = (spread_x > 1e-12 * count * xx) & (spread_y > 1e-12 * count * yy)
    below = np.where(defined, np.sqrt(np.abs(spread_x * spread_y)), 1.0)
    return np.where(defined, np.clip((count * xy - x * y) / below, -1, 1), 0.0)


def distillation_loss(student: Any, teacher: Any, batch: Mapping[str, Any], temperature: float) -> Any:
    """Mean squared difference of the two outputs; the temperature is not used; see `Task.distillation_loss`."""
    from torch.nn import functional

    return functional.mse_loss(student.logits.float(), teacher.logits.float())
