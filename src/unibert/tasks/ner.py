"""Named entity recognition: tagged sentences in, word-piece features, tags per word out, entity F1.

Shapes: B sentences in a batch, L word pieces, T tags, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks.batches import IGNORED, padded, run_batches
from unibert.tasks.conll import OUTSIDE, Sentence, read_sentences
from unibert.tasks.data import Split
from unibert.tasks.encoder import Encoder, load_with_head

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "ner"
TITLE = "Named entity recognition"
METRICS = {"f1": "entity F1", "precision": "precision", "recall": "recall"}
PER_CENT = True
SUPPORT = "entities"
COLUMNS = {"tokens": "the words of a sentence", "tags": "their tags: O, B-TYPE, I-TYPE"}


@dataclass(frozen=True)
class Encoded:
    """A sentence in word pieces: `ids` with special tokens, and where each word's first piece stands.

    `first[w]` is -1 for a word that was cut off.
    """

    ids: list[int]
    first: list[int]


def read(path: Path, columns: Mapping[str, str]) -> list[Sentence]:
    """Read CoNLL files, and JSON lines with `tokens` and `tags`; see `Task.read`."""
    return read_sentences(path, columns)


def label_names(sentences: Iterable[Sentence]) -> list[str]:
    """O, then B- and I- of every entity type in the sentences, types in alphabetical order."""
    types = sorted({tag[2:] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE})
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]


def check(split: Split, labels: Sequence[str], trained_on: str) -> None:
    """Refuse sentences without an entity, or with none of the types that are known; see `Task.check`."""
    if not any(sentence.tags for sentence in split.samples):
        raise DataError(
            f"{split.source}: there are no tags in it",
            "Give every token a tag: in CoNLL in the last column, in JSON lines in the field tags, or say what it is "
            "called there: --column tags=YOURS (in a recipe: columns).",
        )
    asked = label_names(split.samples)
    if len(asked) == 1:
        raise DataError(f"{split.source}: no entity in it, every tag is O", "Name a file with entities.")
    if not set(labels[1:]) & set(asked[1:]):
        raise DataError(
            f"{split.source}: none of its entity types ({_types(asked)}) is in {trained_on} ({_types(labels)})",
            "Use the same tag names in both; case counts.",
        )


def _types(labels: Sequence[str]) -> str:
    return ", ".join(label[2:] for label in labels if label.startswith("B-"))


def load(encoder: Encoder, labels: Sequence[str], settings: FineTune) -> tuple[Any, Any]:
    """An encoder that tags every word piece; see `Task.load`."""
    from transformers import AutoModelForTokenClassification

    return load_with_head(encoder, AutoModelForTokenClassification, "token classification", labels)


# Features -----------------------------------------------------------------------------------------------------------


def encode(sentences: Sequence[Sequence[str]], tokenizer: Any, max_length: int) -> list[Encoded]:
    """Cut words into pieces, at most `max_length` a sentence with the special tokens.

    A word without any piece (such as a lone zero-width character, which BERT's normaliser removes) is replaced by the
    tokenizer's unknown token, so that every word that is not cut off has a place to carry a tag.
    """
    found: list[Encoded] = []
    for start in range(0, len(sentences), 1000):
        chunk = [list(words) for words in sentences[start : start + 1000]]
        first, batch = _pieces(chunk, tokenizer, None)
        for words, places in zip(chunk, first, strict=True):
            for position, place in enumerate(places):
                if place < 0 and tokenizer.unk_token is not None:
                    words[position] = tokenizer.unk_token
        long = any(len(ids) > max_length for ids in batch)
        if long or any(-1 in places for places in first):
            first, batch = _pieces(chunk, tokenizer, max_length)
        found += [Encoded(ids, places) for ids, places in zip(batch, first, strict=True)]
    return found


def _pieces(chunk: list[list[str]], tokenizer: Any, max_length: int | None) -> tuple[list[list[int]], list[list[int]]]:
    # verbose=False: the tokenizer's warning about length concerns models, and is settled by max_length.
    batch = tokenizer(
        chunk,
        is_split_into_words=True,
        truncation=max_length is not None,
        max_length=max_length,
        return_attention_mask=False,
        verbose=False,
    )
    first = []
    for number, words in enumerate(chunk):
        places = [-1] * len(words)
        for place, word in enumerate(batch.word_ids(number)):
            if word is not None and places[word] < 0:
                places[word] = place
        first.append(places)
    return first, batch["input_ids"]


def features(
    samples: Sequence[Sentence], tokenizer: Any, labels: Sequence[str], settings: FineTune
) -> list[dict[str, Any]]:
    """`input_ids` and `labels`; a word's first piece carries its tag, the others are ignored; see `Task.features`."""
    number_of = {label: number for number, label in enumerate(labels)}
    found: list[dict[str, Any]] = []
    encoded = encode([sentence.words for sentence in samples], tokenizer, settings.max_length)
    for sentence, pieces in zip(samples, encoded, strict=True):
        targets = [IGNORED] * len(pieces.ids)
        for tag, place in zip(sentence.tags, pieces.first, strict=True):
            if place >= 0:
                targets[place] = number_of[tag]
        found.append({"input_ids": pieces.ids, "labels": targets})
    return found


def collate(features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """A padded batch, every tensor [B, L]; see `Task.collate`."""
    return padded(features, tokenizer)


# Prediction and score -----------------------------------------------------------------------------------------------


def predict(
    model: Any,
    tokenizer: Any,
    samples: Sequence[Sentence],
    settings: FineTune,
    advance: Callable[[int], object] = lambda samples: None,
) -> list[list[str]]:
    """A tag for every word; words beyond `max_length` pieces are tagged O; see `Task.predict`."""
    encoded = encode([sentence.words for sentence in samples], tokenizer, settings.max_length)
    tagged: list[list[str]] = [[] for _ in encoded]

    def take(numbers: list[int], output: Any) -> None:
        for number, best_L in zip(numbers, output.logits.argmax(-1).tolist(), strict=True):
            tagged[number] = [
                model.config.id2label[best_L[place]] if place >= 0 else OUTSIDE for place in encoded[number].first
            ]
        advance(len(numbers))

    inputs = [{"input_ids": pieces.ids} for pieces in encoded]
    run_batches(model, inputs, lambda chosen: padded(chosen, tokenizer), settings, take)
    return tagged


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Entity precision, recall and F1 in per cent, as conlleval counts: an entity is right if type and both ends are.

    Returns:
        `f1`, `precision`, `recall`, `support` (entities in `gold`), micro-averaged over all entities, and the same per
        type in `types`. A ratio without a denominator is 0.
    """
    from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

    gold_lists = [list(tags) for tags in gold]
    predicted_lists = [list(tags) for tags in predicted]
    kinds = sorted({entity[0] for tags in (*gold_lists, *predicted_lists) for entity in get_entities(tags)})
    if not kinds:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0, "support": 0, "types": {}}

    def scores(average: str | None) -> list[Any]:
        return list(precision_recall_fscore_support(gold_lists, predicted_lists, average=average, zero_division=0))

    def entry(precision: float, recall: float, f1: float, support: int) -> dict[str, Any]:
        return {
            "f1": 100 * float(f1),
            "precision": 100 * float(precision),
            "recall": 100 * float(recall),
            "support": int(support),
        }

    by_type = zip(kinds, *scores(None), strict=True)
    return {**entry(*scores("micro")), "types": {kind: entry(*values) for kind, *values in by_type}}


def described(sample: Sentence, prediction: Sequence[str]) -> dict[str, Any]:
    """Its words with the tags that were found; see `Task.described`."""
    return {"tokens": list(sample.words), "tags": list(prediction)}


def scores(samples: Sequence[Sentence], predictions: Sequence[Sequence[str]], language: str) -> dict[str, Any]:
    """Entity scores against the sentences' own tags; see `Task.scores`."""
    return entity_scores([sentence.tags for sentence in samples], predictions)


def statistics(samples: Sequence[Sentence], predictions: Sequence[Sequence[str]], language: str) -> NDArray[np.float64]:
    """Right, predicted and gold entities of every sentence, [N, 3]; see `Task.statistics`."""
    import numpy as np
    from seqeval.metrics.sequence_labeling import get_entities

    found = np.zeros((len(samples), 3))
    for row, sentence, tags in zip(found, samples, predictions, strict=True):
        gold, predicted = set(get_entities(list(sentence.tags))), set(get_entities(list(tags)))
        row[:] = len(gold & predicted), len(predicted), len(gold)
    return found


def value(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Micro-averaged F1 in per cent, 2 * right / (predicted + gold); 0 where there is no entity; see `Task.value`."""
    import numpy as np

    everything = sums[..., 1] + sums[..., 2]
    return 200 * sums[..., 0] / np.maximum(everything, 1)


def distillation_loss(student: Any, teacher: Any, batch: Mapping[str, Any], temperature: float) -> Any:
    """KL of the tags' probabilities on the pieces that carry a tag, times T^2; see `Task.distillation_loss`."""
    from unibert.tasks.soft_targets import divergence

    tagged_BL = batch["labels"] != IGNORED
    return divergence(student.logits[tagged_BL], teacher.logits[tagged_BL], temperature)
