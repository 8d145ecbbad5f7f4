"""Readers of benchmarks' own files and of their Parquet on the hub: samples of the tasks, by language.

A reader gives the language None to samples whose language is in the file's name only. Rows without a text are refused,
but left out of training parts, where `left_out` is told of them: the published translations have a few.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unibert.benchmark.layouts import LeftOut
from unibert.errors import DataError
from unibert.tasks.conll import OUTSIDE, Sentence, to_iob2
from unibert.tasks.nli import Pair
from unibert.tasks.squad import questions_from_rows
from unibert.tasks.sts import ScoredPair
from unibert.tasks.tables import read_rows
from unibert.tasks.task import find_task
from unibert.tasks.text_files import json_lines, read_text

Samples = dict[str | None, list[Any]]
NLI_LABELS = ("entailment", "neutral", "contradiction")
"""What the hub's 0, 1 and 2 stand for."""
_ASK = "Download the file again; if it stays so, tell whoever published it."
_TEXT = "a text"


def task_file(task: str) -> Callable[[Path, LeftOut | None], Samples]:
    """A reader of the files that users' own data of a task may be in, too; but all samples must have what is scored."""
    targets = {
        "ner": ("tags", "tags"),
        "nli": ("label", "labels"),
        "qa": ("answers", "answers"),
        "sts": ("score", "scores"),
    }
    field, named = targets[task]

    def read(path: Path, left_out: LeftOut | None) -> Samples:
        samples = find_task(task).read(path, {})
        # A missing score is not a number, the others are empty.
        if any(
            getattr(sample, field) in ((), "") or getattr(sample, field) != getattr(sample, field) for sample in samples
        ):
            raise DataError(f"{path}: there are no {named} in it", "This is another data set; name the right folder.")
        return {None: samples}

    return read


def only(language: str, read: Callable[[Path, LeftOut | None], Samples]) -> Callable[[Path, LeftOut | None], Samples]:
    """A reader of files of one language that their names do not say."""

    def read_it(path: Path, left_out: LeftOut | None) -> Samples:
        return {language: [sample for samples in read(path, left_out).values() for sample in samples]}

    return read_it


# Sentence pairs -----------------------------------------------------------------------------------------------------


def xnli_table(path: Path, left_out: LeftOut | None) -> Samples:
    """The dev or test part of XNLI 1.0: a table of all languages, the label in `gold_label`."""
    wanted = {"language": "its code", "gold_label": "the label", "sentence1": "the premise", "sentence2": _TEXT}
    found: Samples = {}
    for number, row in read_rows(path, wanted, {}):
        pair = _pair(row["sentence1"], row["sentence2"], row["gold_label"], f"{path}:{number}", left_out)
        if pair:
            found.setdefault(row["language"], []).append(pair)
    return found


def xnli_file(path: Path, left_out: LeftOut | None) -> Samples:
    """A part of XNLI in one language: a table of premise, hypothesis and label."""
    found = task_file("nli")(path, left_out)
    for pair in found[None]:
        if pair.label not in NLI_LABELS:
            raise _unknown_label(pair.label, f"{path}:{pair.line}")
    return found


def multinli_table(path: Path, left_out: LeftOut | None) -> Samples:
    """A training part of XNLI-MT 1.0: MultiNLI in one language, where a contradiction is called `contradictory`."""
    wanted = {"premise": _TEXT, "hypo": "the hypothesis", "label": "the label"}
    pairs = []
    for number, row in read_rows(path, wanted, {}):
        label = "contradiction" if row["label"] == "contradictory" else row["label"]
        pairs.append(_pair(row["premise"], row["hypo"], label, f"{path}:{number}", left_out))
    return {None: [pair for pair in pairs if pair]}


def nli_parquet(path: Path, left_out: LeftOut | None) -> Samples:
    """Parquet with `premise`, `hypothesis` and a numbered `label`, in one language."""
    pairs = [
        _pair(row["premise"], row["hypothesis"], row["label"], f"{path}:{number}", left_out)
        for number, row in parquet_rows(path, ("premise", "hypothesis", "label"))
    ]
    return {None: [pair for pair in pairs if pair]}


def nli_parquet_of_all(path: Path, left_out: LeftOut | None) -> Samples:
    """Parquet of XNLI in all languages: `premise` by language, `hypothesis` as lists of languages and translations."""
    found: Samples = {}
    for number, row in parquet_rows(path, ("premise", "hypothesis", "label")):
        place = f"{path}:{number}"
        try:
            premises = dict(row["premise"])
            hypotheses = dict(zip(row["hypothesis"]["language"], row["hypothesis"]["translation"], strict=True))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{place}: not texts by language as XNLI has them", _ASK) from None
        for language, premise in premises.items():
            pair = _pair(premise, hypotheses.get(language), row["label"], place, left_out)
            if pair:
                found.setdefault(language, []).append(pair)
    return found


def _pair(premise: Any, hypothesis: Any, label: Any, place: str, left_out: LeftOut | None) -> Pair | None:
    if isinstance(label, int) and 0 <= label < len(NLI_LABELS):
        label = NLI_LABELS[label]
    if label not in NLI_LABELS:
        raise _unknown_label(label, place)
    if not (_filled(premise) and _filled(hypothesis)):
        _refuse(f"{place}: no {'hypothesis' if _filled(premise) else 'premise'}", left_out)
        return None
    return Pair(premise, hypothesis, label)


def _unknown_label(label: Any, place: str) -> DataError:
    return DataError(f"{place}: the label {label!r} is not one of {', '.join(NLI_LABELS)}", _ASK)


def scored_json_lines(path: Path, left_out: LeftOut | None) -> Samples:
    """JSON lines with `sentence1`, `sentence2`, `score`; by the field `lang` where there is one."""
    found: Samples = {}
    for number, row in json_rows(path, ("sentence1", "sentence2", "score")):
        pair = _scored(row, "score", f"{path}:{number}", left_out)
        if pair:
            found.setdefault(row.get("lang"), []).append(pair)
    return found


def sts_parquet(path: Path, left_out: LeftOut | None) -> Samples:
    """Parquet with `sentence1`, `sentence2` and `similarity_score`."""
    rows = parquet_rows(path, ("sentence1", "sentence2", "similarity_score"))
    pairs = [_scored(row, "similarity_score", f"{path}:{number}", left_out) for number, row in rows]
    return {None: [pair for pair in pairs if pair]}


def _scored(row: Mapping[str, Any], score: str, place: str, left_out: LeftOut | None) -> ScoredPair | None:
    value = row[score]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise DataError(f"{place}: the score {value!r} is no number", _ASK)
    if not (_filled(row["sentence1"]) and _filled(row["sentence2"])):
        _refuse(f"{place}: no {'sentence2' if _filled(row['sentence1']) else 'sentence1'}", left_out)
        return None
    return ScoredPair(row["sentence1"], row["sentence2"], float(value))


def _filled(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _refuse(problem: str, left_out: LeftOut | None) -> None:
    if left_out is None:
        raise DataError(problem, _ASK)
    left_out(problem)


# Questions ----------------------------------------------------------------------------------------------------------


def qa_parquet(path: Path, left_out: LeftOut | None) -> Samples:
    """Parquet with `id`, `context`, `question` and `answers` (`text`, `answer_start`)."""
    rows = parquet_rows(path, ("id", "context", "question", "answers"))
    return {None: questions_from_rows(rows, str(path), {})}


# Tagged sentences ---------------------------------------------------------------------------------------------------


def ner_parquet(names: Sequence[str]) -> Callable[[Path, LeftOut | None], Samples]:
    """A reader of Parquet with `tokens` and numbered `ner_tags`.

    Args:
        names: what the numbers stand for, where the file itself does not say so, as files written by the package
            datasets do.
    """

    def read(path: Path, left_out: LeftOut | None) -> Samples:
        known = _tag_names(path) or names
        sentences = []
        for number, row in parquet_rows(path, ("tokens", "ner_tags")):
            place = f"{path}:{number}"
            try:
                tags = [tag if isinstance(tag, str) else known[_natural(tag)] for tag in row["ner_tags"]]
            except (IndexError, TypeError, ValueError):
                raise DataError(
                    f"{place}: tags that are none of 0 to {len(known) - 1}: {row['ner_tags']}", _ASK
                ) from None
            sentences.append(_sentence(row["tokens"], tags, place))
        return {None: [sentence for sentence in sentences if sentence]}

    return read


def _natural(number: int) -> int:
    if number < 0:  # would count from the end
        raise ValueError(number)
    return number


def mapa_json_lines(field: str) -> Callable[[Path, LeftOut | None], Samples]:
    """A reader of MAPA's JSON lines: `tokens`, `language` and the tags in `field`.

    The names of fine types have spaces, such as `FAMILY NAME`; here they have `_` instead, as everywhere else.
    """

    def read(path: Path, left_out: LeftOut | None) -> Samples:
        found: Samples = {}
        for number, row in json_rows(path, ("tokens", field, "language")):
            place = f"{path}:{number}"
            if not isinstance(row["language"], str):
                raise DataError(f"{place}: no language", _ASK)
            sentence = _sentence(row["tokens"], row[field], place)
            if sentence:
                found.setdefault(row["language"], []).append(sentence)
        return found

    return read


def _sentence(words: Any, tags: Any, place: str) -> Sentence | None:
    """A checked sentence; none where it has no words, as the last one in some of the hub's conversions."""
    if not (isinstance(words, list) and isinstance(tags, list) and all(isinstance(word, str) for word in words)):
        raise DataError(f"{place}: tokens and tags are no lists of texts", _ASK)
    if len(words) != len(tags):
        raise DataError(f"{place}: {len(words)} tokens, but {len(tags)} tags", _ASK)
    for tag in tags:
        if not isinstance(tag, str) or (tag != OUTSIDE and not (tag[:2] in ("B-", "I-") and tag[2:].strip())):
            raise DataError(f"{place}: {tag!r} is not a tag (O, B-TYPE or I-TYPE)", _ASK)
    if not words:
        return None
    return Sentence(tuple(words), tuple(to_iob2([tag.strip().replace(" ", "_") for tag in tags])))


# Rows ---------------------------------------------------------------------------------------------------------------


def json_rows(path: Path, fields: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a JSON-lines file with their numbers, each an object that has the fields.

    Raises:
        DataError: names file and line.
    """
    for number, row in json_lines(read_text(path), path, _ASK):
        missing = [field for field in fields if field not in row]
        if missing:
            raise DataError(f"{path}:{number}: no {missing[0]!r}; there is {', '.join(map(repr, row))}", _ASK)
        yield number, row


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file with their numbers from 1; only these columns.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        with parquet.ParquetFile(path) as file:
            there = file.schema_arrow.names
            missing = [column for column in columns if column not in there]
            if missing:
                raise DataError(f"{path}: no column {missing[0]!r}; there is {', '.join(map(repr, there))}", _ASK)
            number = 0
            for batch in file.iter_batches(batch_size=4096, columns=list(columns)):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", _ASK) from None
    except (ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"{path}: cannot be read as Parquet ({reason})", "Download it again.") from None


def _tag_names(path: Path) -> Sequence[str] | None:
    """The names of the numbers in `ner_tags`, which the package datasets writes into the file."""
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        metadata = parquet.read_schema(path).metadata or {}
        features = json.loads(metadata[b"huggingface"])["info"]["features"]["ner_tags"]
        names = (features.get("feature") or features)["names"]
    except (ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # if the file is damaged, reading its rows will say so
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
