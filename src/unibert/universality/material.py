"""What encoders are measured on: translations, text by language, how much of each language they have seen."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unibert.errors import DataError, RecipeError
from unibert.files import fingerprint
from unibert.universality.sentences import LEAST_TEXTS, Parallel, find_parallel, find_texts
from unibert.universality_settings import UniversalitySettings

_TOLD = 10
"""So many reasons are told at once."""


@dataclass(frozen=True)
class Material:
    """What is measured on, the same for every encoder."""

    parallel: list[Parallel]
    texts: dict[str, list[str]]
    """By language, for the probe, the geometry and the language directions; drawn from `parallel` where no other text
    was named."""
    sizes: dict[str, int]
    """Bytes of text by language; empty where it is unknown."""
    left_out: dict[str, str]
    """By name, why."""
    fingerprint: str
    """Of all of it."""

    @property
    def labelled(self) -> tuple[list[str], list[str]]:
        """All of `texts` in a row, and the language of each."""
        flat = [text for texts in self.texts.values() for text in texts]
        return flat, [language for language, texts in self.texts.items() for _ in texts]


def find_material(settings: UniversalitySettings, sizes: dict[str, int] | None = None) -> Material:
    """Read what the settings name.

    Args:
        settings: `parallel`, `text`, `sizes` and what limits them.
        sizes: bytes by language of the corpus at hand; a file in the settings is stronger.

    Raises:
        RecipeError: the settings name no text.
        DataError: a path is not there or holds nothing of use; fewer than two languages with enough sentences.
    """
    if not settings.parallel and not settings.text:
        raise RecipeError(
            "universality.parallel and universality.text are both empty: there is nothing to measure on",
            "Name a folder of line-aligned translations (--parallel) or of text by language (--text).",
        )
    least = min(LEAST_TEXTS, settings.sentences)  # `find_texts` gives no fewer
    left_out: dict[str, str] = {}
    parallel: list[Parallel] = []
    if settings.parallel:
        parallel, left_out = find_parallel(settings.parallel, settings.languages, settings.least_pairs)
    if settings.text:
        texts, without = find_texts(settings.text, settings.languages, settings.sentences, settings.seeds[0])
        left_out |= {f"text of {language}": reason for language, reason in without.items()}
    else:
        texts = _texts_of(parallel, settings.sentences, settings.seeds[0])
        for language in [language for language, found in texts.items() if len(found) < least]:
            left_out[f"text of {language}"] = f"{len(texts.pop(language))} sentences, fewer than {least}"
    if len(texts) < 2 and not parallel:
        raise DataError(
            f"universality: text in {len(texts)} language(s) with at least {least} sentences{_told(left_out)}",
            "Universality compares languages: name text in two or more.",
        )
    known = read_sizes(Path(settings.sizes)) if settings.sizes else sizes or {}
    mark = fingerprint(
        {"parallel": [[pair.name, pair.texts, pair.others] for pair in parallel], "texts": texts, "sizes": known}
    )
    return Material(parallel, texts, known, left_out, mark)


def _told(left_out: dict[str, str]) -> str:
    """What was left out, on lines of their own; the first ones of many."""
    lines = [f"{name}: {reason}" for name, reason in left_out.items()]
    more = [f"and {len(lines) - _TOLD} more"] if len(lines) > _TOLD else []
    return "".join(f"\n  left out: {line}" for line in [*lines[:_TOLD], *more])


def read_sizes(path: Path) -> dict[str, int]:
    """Bytes by language from a CSV file with the columns `language` and `bytes`.

    Raises:
        DataError: not such a file; names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"language", "bytes"} <= set(rows.fieldnames or ()):
                raise DataError(f"{path}:1: no columns `language` and `bytes`", "Name them in the first line.")
            found: dict[str, int] = {}
            for row in rows:
                try:
                    size = int(row["bytes"] or "")
                except ValueError:
                    size = -1
                if size < 0 or not row["language"]:
                    raise DataError(
                        f"{path}:{rows.line_num}: {row['language']!r}, {row['bytes']!r}: not a language and its bytes",
                        "Write a language code and a whole number of bytes.",
                    )
                if found.setdefault(row["language"], size) != size:
                    raise DataError(
                        f"{path}:{rows.line_num}: {row['language']!r} was there before with another size",
                        "Give each language one line.",
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})", "Check universality.sizes.") from None
    return found


def _texts_of(parallel: Sequence[Parallel], count: int, seed: int) -> dict[str, list[str]]:
    """Sentences of the languages that the translations are in.

    A language that stands beside many others, as English does in Tatoeba, is drawn from all of its sides.
    """
    pools: dict[str, dict[str, None]] = {}
    for pair in parallel:
        for language, sentences in ((pair.language, pair.texts), (pair.other, pair.others)):
            pools.setdefault(language, {}).update(dict.fromkeys(sentences))
    chosen = {}
    for language, pool in sorted(pools.items()):
        sentences = list(pool)
        # A generator for each language: that one is left out does not change what is drawn of the others.
        generator = np.random.default_rng([seed, *language.encode()])
        drawn = generator.permutation(len(sentences))[:count]
        chosen[language] = [sentences[place] for place in sorted(drawn)]
    return chosen


def corpus_sizes(folder: Path) -> dict[str, int]:
    """Bytes by language of a corpus; none where there is no corpus."""
    from unibert.corpus.statistics import STATISTICS, read_statistics

    if not (folder / STATISTICS).exists():
        return {}
    return {code: counts["bytes"] for code, counts in read_statistics(folder)["languages"].items()}
