"""Parts made out of other parts, by fixed hashes: the same samples for everyone, on every machine, in every order.

A made part is no published one: results on it are named "on a split of" or "on a part of" the benchmark.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from unibert.tasks.data import Split, Splits

_RULES: dict[frozenset[str], tuple[str, tuple[tuple[str, float], ...]]] = {
    **{frozenset((part,)): (part, (("train", 0.8), ("dev", 0.1), ("test", 0.1))) for part in ("train", "dev", "test")},
    frozenset(("train", "dev")): ("dev", (("dev", 0.5), ("test", 0.5))),
    frozenset(("dev", "test")): ("dev", (("train", 8 / 9), ("dev", 1 / 9))),
    frozenset(("train", "test")): ("train", (("train", 8 / 9), ("dev", 1 / 9))),
}
"""By the parts that are there: which one is divided, and into what. The others stay as they are."""


@dataclass(frozen=True)
class Divided:
    """What became of the parts of all languages."""

    languages: dict[str, Splits]
    notes: list[str]


def split_parts(task: str, languages: Mapping[str, Splits], parallel: bool | None) -> Divided:
    """Make train, dev and test out of the parts that are there.

    The only part is divided 8 : 1 : 1. Of train and dev, dev is halved into dev and test; of two parts with a test
    part, the other one is divided 8 : 1 into train and dev. Samples that share a text go to the same part in all
    languages: questions on one context or with one id, pairs with one premise, and of parallel data the same row.

    Args:
        task: its name; decides what samples share.
        languages: all languages of the data, else the parts could depend on which ones are asked for.
        parallel: row n is the same sample in every language; None: it is, if pairs of all languages are equally many.
    """
    notes = []
    divided = dict(languages)
    plans: dict[tuple[str, tuple[tuple[str, float], ...]], list[str]] = {}
    for language, splits in languages.items():
        there = frozenset(name for name in ("train", "dev", "test") if getattr(splits, name))
        if there in _RULES:
            plans.setdefault(_RULES[there], []).append(language)
        elif there:
            notes.append(f"{language}: train, dev and test are there; nothing is split")
    for (part, shares), chosen in plans.items():
        samples = {language: getattr(languages[language], part).samples for language in chosen}
        even = len({len(found) for found in samples.values()}) == 1
        likely = len(samples) > 1 and task in ("nli", "sts")
        keys = group_keys(task, samples, even and (likely if parallel is None else parallel))
        if parallel and not even:
            notes.append(
                f"{' '.join(chosen)}: not equally many rows of {part}, so translations of one sample may be in "
                "different parts; what is trained on all languages may have seen what it is tested on"
            )
        for language in chosen:
            divided[language] = _divide(languages[language], part, shares, keys[language])
        into = ", ".join(f"{name} {share:.0%}" for name, share in shares)
        notes.append(f"{' '.join(chosen)}: {part} is split into {into} by a fixed hash")
    return Divided(divided, notes)


def _divide(splits: Splits, part: str, shares: tuple[tuple[str, float], ...], keys: Sequence[str]) -> Splits:
    whole: Split = getattr(splits, part)
    made: dict[str, list[int]] = {name: [] for name, _ in shares}
    for row, key in enumerate(keys):
        made[_part_of(key, shares)].append(row)
    kept = {name: getattr(splits, name) for name in ("train", "dev", "test") if name != part}
    for name, rows in made.items():
        # Other languages may decide where a row goes, so the rule alone does not say which samples these are.
        digest = derived(whole.sha256, f"split of {part}: {name}, rows {' '.join(map(str, rows))}")
        kept[name] = Split(whole.source, digest, [whole.samples[row] for row in rows]) if rows else None
    return Splits(**kept)


def _part_of(key: str, shares: tuple[tuple[str, float], ...]) -> str:
    place = _fraction("split", key)
    for name, share in shares:
        place -= share
        if place < 0:
            return name
    return shares[-1][0]


def draw(task: str, split: Split, most: int, parallel: bool) -> Split:
    """At most so many samples of a part, in their order: those whose hash is least, so that more include fewer.

    Of parallel data the same rows are drawn in every language.
    """
    if len(split.samples) <= most:
        return split
    keys = [str(row) if parallel else _content(task, sample) for row, sample in enumerate(split.samples)]
    order = sorted((_fraction("draw", key), number) for number, key in enumerate(keys))
    chosen = sorted(number for _, number in order[:most])
    return Split(split.source, derived(split.sha256, f"{most} drawn"), [split.samples[number] for number in chosen])


def derived(sha256: str, rule: str) -> str:
    """The digest of samples that a rule makes out of those with this digest."""
    return hashlib.sha256(f"{sha256}\n{rule}".encode()).hexdigest()


def group_keys(task: str, languages: Mapping[str, Sequence[Any]], parallel: bool) -> dict[str, list[str]]:
    """A key for every sample, the same for samples that must not be in different parts.

    Samples that are linked over others have one key too: a question's context may have more questions, each of which
    has its parallel ones in other languages.
    """
    parents: dict[Hashable, Hashable] = {}
    first_tokens: dict[str, list[Hashable]] = {}
    for language, samples in languages.items():
        first_tokens[language] = []
        for row, sample in enumerate(samples):
            first, *others = _tokens(task, sample, language, row if parallel else None)
            first_tokens[language].append(first)
            for other in others:
                _join(parents, first, other)
    least: dict[Hashable, str] = {}
    for tokens in first_tokens.values():
        for token in tokens:
            root, text = _root(parents, token), json.dumps(token, ensure_ascii=False)
            least[root] = min(least.get(root, text), text)
    return {language: [least[_root(parents, token)] for token in tokens] for language, tokens in first_tokens.items()}


def _tokens(task: str, sample: Any, language: str, row: int | None) -> Iterable[Hashable]:
    """What a sample shares with others; the first names it, whatever other languages there are."""
    if task == "qa":
        name = ("id", language, sample.id) if sample.numbered else ("id", sample.id)
        return name, ("context", language, sample.context)
    if task == "nli":
        premise = ("premise", language, sample.premise)
        return (premise,) if row is None else (("row", f"{row:09}"), premise)
    return (("row", f"{row:09}"),) if row is not None else (("sample", _content(task, sample)),)


def _content(task: str, sample: Any) -> str:
    if task == "qa":
        return str(sample.id)
    # What does not count when samples are compared, such as a line's number, is no content.
    return json.dumps([getattr(sample, each.name) for each in fields(sample) if each.compare], ensure_ascii=False)


def _root(parents: dict[Hashable, Hashable], token: Hashable) -> Hashable:
    while token in parents:
        above = parents[token]
        if above in parents:
            parents[token] = parents[above]
        token = above
    return token


def _join(parents: dict[Hashable, Hashable], one: Hashable, other: Hashable) -> None:
    first, second = _root(parents, one), _root(parents, other)
    if first != second:
        parents[second] = first


def _fraction(purpose: str, key: str) -> float:
    """A number from 0 to 1 (less) that only depends on these texts."""
    digest = hashlib.sha256(f"unibert {purpose}\n{key}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
