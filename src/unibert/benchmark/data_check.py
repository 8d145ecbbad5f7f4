"""What there is of a benchmark, in words: counts beside the published ones, three samples, everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unibert.benchmark.catalog import KNOWN, Known
from unibert.benchmark.columns import aligned
from unibert.benchmark.layouts import PARTS
from unibert.benchmark.loading import LoadedData, load_data
from unibert.errors import DataError
from unibert.task_settings import BenchmarkData
from unibert.tasks.conll import Sentence
from unibert.tasks.data import Split, Splits
from unibert.tasks.task import find_task

_SAMPLES = 3
_WIDTH = 110
_CONTEXT = 60  # characters of a context that are shown before and after an answer


@dataclass(frozen=True)
class DataCheck:
    """The outcome of a check."""

    text: str
    """For people to read."""
    problems: list[str]
    """What is wrong; nothing when the data is as it was published, as far as it is there."""


def check_data(name: str, settings: BenchmarkData) -> DataCheck:
    """Read everything that is there of a benchmark, and say what it is.

    Raises:
        DataError: there is nothing to read at all, or the settings are impossible.
    """
    errors: list[DataError] = []
    whole = settings.model_copy(update={"split": False, "max_train": None, "max_test": None})
    try:
        data = load_data(name, whole, errors.append)
    except DataError:
        if not errors:
            raise
        problems = [str(error) for error in errors]
        return DataCheck("\n".join(f"problem: {problem}" for problem in problems), problems)
    known = None if settings.files else KNOWN.get(name)
    problems = [str(error) for error in errors]
    counted = [note for note in data.notes if note.endswith("were published")]
    # Missing articles explain why STS22 is smaller, and are counted in a note of their own.
    if not (known and known.name == "sts22" and any("for want of" in note for note in data.notes)):
        problems += counted
    problems += _unusable(data)
    lines = [*_heading(data, known), "", *_table(data.languages, known)]
    lines += [f"note: {note}" for note in data.notes if note not in counted]
    if settings.split or settings.max_train or settings.max_test:
        lines += _as_used(name, settings)
    lines += ["", "samples:", *_samples(data), ""]
    lines += [f"problem: {problem}" for problem in problems] or ["nothing is wrong with it"]
    return DataCheck("\n".join(lines), problems)


def _unusable(data: LoadedData) -> list[str]:
    """Parts that a task refuses: another labelling than the training part's, nothing to score."""
    task = find_task(data.task)
    trained = [splits.train for splits in data.languages.values() if splits.train]
    known = trained or [split for splits in data.languages.values() for split in splits.parts]
    labels = task.label_names([sample for split in known for sample in split.samples])
    problems = []
    for splits in data.languages.values():
        for split in splits.parts:
            try:
                task.check(split, labels, "the training data" if trained else "the data")
            except DataError as error:
                problems.append(str(error))
    return problems


def _heading(data: LoadedData, known: Known | None) -> list[str]:
    task = find_task(data.task)
    first = next(iter(data.languages.values())).parts[0]
    lines = [
        f"{known.title if known else data.name}: {task.TITLE.lower()} in {_number(len(data.languages), 'language')}"
    ]
    lines.append(f"from {first.source}{' and others' if _number_of_parts(data) > 1 else ''}")
    if known:
        lines.append(f"licence: {known.licence}" + (f"; origin: {known.origin}" if known.origin else ""))
        absent = [language for language in known.languages if language not in data.languages]
        if absent and len(absent) < len(known.languages):
            lines.append(f"published, but not read here: {' '.join(absent)}")
    return lines


def _number_of_parts(data: LoadedData) -> int:
    return sum(len(splits.parts) for splits in data.languages.values())


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _table(languages: Mapping[str, Splits], known: Known | None) -> list[str]:
    rows: list[tuple[str, ...]] = [("language", *PARTS)]
    for language, splits in languages.items():
        published = known.counts.get(language, (None, None, None)) if known else (None, None, None)
        rows.append(
            (language, *(_cell(getattr(splits, part), count) for part, count in zip(PARTS, published, strict=True)))
        )
    return aligned(rows, left=1)


def _cell(split: Split | None, published: int | None) -> str:
    if split is None:
        return "-" if published is None else f"- of {published:,}"
    here = f"{len(split.samples):,}"
    return here if published in (None, len(split.samples)) else f"{here} of {published:,}"


def _as_used(name: str, settings: BenchmarkData) -> list[str]:
    try:
        used = load_data(name, settings, lambda error: None)
    except DataError as error:
        return ["", f"as the recipe asks for it: {error}"]
    notes = [f"note: {note}" for note in used.notes if not note.endswith("were published")]
    return ["", f"as the recipe asks for it, on {used.title}:", *_table(used.languages, None), *notes]


# Samples ------------------------------------------------------------------------------------------------------------


def _samples(data: LoadedData) -> list[str]:
    """Three samples, of as many languages where there are so many."""
    languages = list(data.languages)
    step = max(1, (len(languages) - 1) // (_SAMPLES - 1)) if len(languages) > 1 else 1
    chosen = (languages[::step] * _SAMPLES)[:_SAMPLES] if len(languages) < _SAMPLES else languages[::step][:_SAMPLES]
    lines: list[str] = []
    for number, language in enumerate(chosen):
        samples = data.languages[language].parts[0].samples
        telling = [sample for sample in samples[:1000] if _tells(sample)] or samples
        # Spread over the part: neighbours are often of one text, and row n the same in all languages.
        sample = telling[number * len(telling) // _SAMPLES]
        first, *others = describe(data.task, sample)
        lines += [f"  {language}: {first}", *(f"  {' ' * len(language)}  {other}" for other in others)]
    return lines


def _tells(sample: Any) -> bool:
    """Whether a sample shows what the task is about."""
    return not isinstance(sample, Sentence) or _cut(_bracketed(sample)).count("]") > 0


def describe(task: str, sample: Any) -> list[str]:
    """A sample in a few lines for people to read; entities stand in brackets after their type."""
    if task == "ner":
        return [_cut(_bracketed(sample))]
    if task == "nli":
        return [
            f"{sample.label or 'no label'}:",
            f"premise: {_cut(sample.premise)}",
            f"hypothesis: {_cut(sample.hypothesis)}",
        ]
    if task == "sts":
        return [f"score {sample.score:g}:", f"1: {_cut(sample.first)}", f"2: {_cut(sample.second)}"]
    answers = sample.answers
    if not answers:
        return [_cut(sample.question), f"in: {_cut(sample.context)}"]
    start, text = answers[0].start, answers[0].text
    before, after = sample.context[:start], sample.context[start + len(text) :]
    left = "..." + before[-_CONTEXT:] if len(before) > _CONTEXT else before
    right = after[:_CONTEXT] + "..." if len(after) > _CONTEXT else after
    around = f"{left}[{text}]{right}"
    return [_cut(sample.question), f"answer: {_cut(text)}", f"in: {' '.join(around.split())}"]


def _bracketed(sentence: Sentence) -> str:
    found: list[str] = []
    inside = ""
    for word, tag in _tagged(sentence):
        if inside and tag != f"I-{inside}":
            found[-1] += "]"
            inside = ""
        if tag[:2] == "B-":
            inside = tag[2:]
            found.append(f"[{inside} {word}")
        else:
            found.append(word)
    return " ".join(found) + "]" * bool(inside)


def _tagged(sentence: Sentence) -> Iterable[tuple[str, str]]:
    return zip(sentence.words, sentence.tags or ("O",) * len(sentence.words), strict=True)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
