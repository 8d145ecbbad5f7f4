"""Named entity recognition: CoNLL files in, word-piece features, tags per word out, entity F1.

Shapes: B sentences in a batch, L word pieces, T tags.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError

OUTSIDE = "O"
IGNORED = -100  # the label that torch's cross-entropy leaves out
_TAG = re.compile(r"O|[BI]-\S+")
_DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """Words and their IOB2 tags, one tag a word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Encoded:
    """A sentence in word pieces: `ids` with special tokens, and where each word's first piece stands.

    `first[w]` is -1 for a word that was cut off.
    """

    ids: list[int]
    first: list[int]


# Reading ------------------------------------------------------------------------------------------------------------


def read_conll(path: Path | str) -> list[Sentence]:
    """Read a CoNLL-format file: a token a line with its tag last, sentences apart by empty lines; `.gz` is unpacked.

    Columns are separated by tabs on a line that has one (a token may then contain spaces), else by spaces. A
    `-DOCSTART-` line ends a sentence and is left out. IOB1 and IOB2 tags are both accepted and come out as IOB2.

    Raises:
        DataError: names the file and the line: a missing or empty file, another encoding than UTF-8, a line with
            another number of columns than the first one, a tag that is not O, B-TYPE or I-TYPE.
    """
    path = Path(path)
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    expected = 0
    # Only the newline ends a line: tokens may hold other characters that Python counts as line ends.
    for number, raw in enumerate(_read_text(path).split("\n"), start=1):
        line = raw.rstrip("\r")
        columns = _columns(line)
        if not columns or columns[0] == _DOCUMENT_START:
            _close(words, tags, sentences)
            continue
        if not expected:
            expected = _first_row(columns, path, number)
        if len(columns) != expected:
            raise DataError(
                f"{path}:{number}: {len(columns)} columns found, {expected} expected as on the lines before",
                "Give every line the same columns, the token first and the tag last; or mend or delete this line.",
            )
        if not columns[0].strip():
            raise DataError(f"{path}:{number}: the token is empty", "Write the token in the first column.")
        words.append(columns[0])
        tags.append(_checked_tag(columns[-1], path, number))
    _close(words, tags, sentences)
    if not sentences:
        raise DataError(f"{path}: no sentence in it", "Give a file with a token and its tag on each line.")
    return sentences


def _columns(line: str) -> list[str]:
    if not line.strip():
        return []
    if "\t" in line:
        return line.rstrip(" ").split("\t")
    return [column for column in line.split(" ") if column]


def _first_row(columns: list[str], path: Path, number: int) -> int:
    if len(columns) < 2:
        raise DataError(
            f"{path}:{number}: 1 column found, at least 2 expected (token and tag)",
            "Separate the token from its tag by a space or a tab.",
        )
    return len(columns)


def _checked_tag(tag: str, path: Path, number: int) -> str:
    if _TAG.fullmatch(tag):
        return tag
    raise DataError(
        f"{path}:{number}: {tag!r} is not a tag (O, B-TYPE or I-TYPE) in the last column",
        "Put the tag in the last column and convert other schemes, such as IOBES, to IOB2.",
    )


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "Check the path; it is relative to the current folder.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error})", "Download or write it again.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "Name a readable file.") from None
    if not data.strip():
        raise DataError(f"{path}: the file is empty", "Download or write it again.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        plain = path.with_suffix("") if path.suffix == ".gz" else path
        raise DataError(
            f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); CoNLL files of 2002 were published in Latin-1",
            f"Convert it: iconv -f ISO-8859-1 -t UTF-8 {plain} > {plain.name}.utf8",
        ) from None


def _close(words: list[str], tags: list[str], sentences: list[Sentence]) -> None:
    if words:
        sentences.append(Sentence(tuple(words), tuple(to_iob2(tags))))
        words.clear()
        tags.clear()


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Turn IOB1 (or IOB2, which stays as it is) into IOB2: every entity's first word gets B-.

    An I- that does not go on from the same type begins an entity; so conlleval counts it too.
    """
    result = []
    before = OUTSIDE
    for tag in tags:
        result.append("B" + tag[1:] if tag[0] == "I" and before[1:] != tag[1:] else tag)
        before = tag
    return result


def label_names(sentences: Iterable[Sentence]) -> list[str]:
    """O, then B- and I- of every entity type in the sentences, types in alphabetical order."""
    types = sorted({tag[2:] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE})
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]


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
    sentences: Sequence[Sentence], tokenizer: Any, labels: Sequence[str], max_length: int
) -> list[dict[str, list[int]]]:
    """Training samples: `input_ids` and `labels`; a word's first piece carries its tag, the others are ignored.

    Args:
        sentences: tagged with tags among `labels` only.
        tokenizer: a fast Hugging Face tokenizer.
        labels: the model's labels in the order of their numbers.
        max_length: longest sample in pieces.
    """
    number_of = {label: number for number, label in enumerate(labels)}
    samples = []
    encoded = encode([sentence.words for sentence in sentences], tokenizer, max_length)
    for sentence, pieces in zip(sentences, encoded, strict=True):
        targets = [IGNORED] * len(pieces.ids)
        for tag, place in zip(sentence.tags, pieces.first, strict=True):
            if place >= 0:
                targets[place] = number_of[tag]
        samples.append({"input_ids": pieces.ids, "labels": targets})
    return samples


# Prediction and score -----------------------------------------------------------------------------------------------


def predict(
    model: Any,
    tokenizer: Any,
    sentences: Sequence[Sequence[str]],
    max_length: int,
    precision: str = "auto",
    batch_tokens: int = 4096,
) -> list[list[str]]:
    """Tag every word; words beyond `max_length` pieces are tagged O.

    Args:
        model: a token classification model; its `config.id2label` names the tags. Left in the mode it was in.
        tokenizer: its fast tokenizer.
        sentences: lists of words.
        max_length: longest sentence in pieces.
        precision: auto, float32 or bfloat16.
        batch_tokens: a batch holds at most this many pieces with padding (but one sentence at least).
    """
    import torch

    from unibert.models.precision import autocast, resolve_precision

    encoded = encode(sentences, tokenizer, max_length)
    order = sorted(range(len(encoded)), key=lambda number: -len(encoded[number].ids))
    tagged: list[list[str]] = [[] for _ in encoded]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(resolve_precision(precision, model.device), model.device):
            start = 0
            while start < len(order):
                longest = len(encoded[order[start]].ids)
                chosen = order[start : start + max(1, batch_tokens // longest)]
                start += len(chosen)
                padded = pad([{"input_ids": encoded[number].ids} for number in chosen], tokenizer.pad_token_id)
                logits_BLT = model(**{key: value.to(model.device) for key, value in padded.items()}).logits
                best_BL = logits_BLT.argmax(-1).tolist()
                for number, best in zip(chosen, best_BL, strict=True):
                    tagged[number] = [
                        model.config.id2label[best[place]] if place >= 0 else OUTSIDE for place in encoded[number].first
                    ]
    finally:
        model.train(was_training)
    return tagged


def pad(samples: Sequence[dict[str, list[int]]], pad_id: int) -> dict[str, Any]:
    """Samples as tensors, each [B, L], as long as the longest of them; with `attention_mask`."""
    import torch

    longest = max(len(sample["input_ids"]) for sample in samples)
    fill = {"input_ids": pad_id, "labels": IGNORED}
    batch = {
        key: torch.tensor([sample[key] + [fill[key]] * (longest - len(sample[key])) for sample in samples])
        for key in samples[0]
    }
    batch["attention_mask"] = torch.tensor(
        [[1] * len(sample["input_ids"]) + [0] * (longest - len(sample["input_ids"])) for sample in samples]
    )
    return batch


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
