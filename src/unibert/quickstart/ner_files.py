"""Sentences with named entities, labelled by construction: a label comes from the fact that was filled in."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from unibert.errors import DataError
from unibert.files import atomic_file
from unibert.progress import progress_bar
from unibert.quickstart.facts import KINDS
from unibert.quickstart.templates import Filler, Segment, Slot, fill, parse
from unibert.quickstart.words import words
from unibert.quickstart.world import DESCRIBED_KINDS, GENERAL_ROLES, Language, World

SPLITS = ("train", "dev", "test")

_VARIANTS = 12
"""How often the same template about the same entity is tried with other companions."""


class Pair(NamedTuple):
    """A template, and the entity that stands in its first place: no pair is in two splits."""

    kind: str
    template: str
    role: str
    entity: str


class Sentence(NamedTuple):
    """A labelled sentence and what it was made from."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    pair: Pair


def write_ner(
    world: World, folder: Path, seed: int, sentences: tuple[int, int, int] = (400, 80, 150)
) -> dict[str, dict[str, Path]]:
    """Write `XX/train.txt`, `XX/dev.txt` and `XX/test.txt` into the folder for every language of the world.

    One word and its tag a line, sentences apart by an empty line, IOB2 tags of PER, ORG and LOC. The same world, seed
    and sizes give the same bytes.

    Args:
        world: where sentences and names come from.
        folder: made if it is not there.
        seed: decides which sentences are made and which split they are in.
        sentences: how many in train, dev and test.

    Returns:
        {language: {"train": path, "dev": path, "test": path}}

    Raises:
        DataError: the world is too small for so many different sentences.
    """
    written: dict[str, dict[str, Path]] = {}
    with progress_bar(len(world.languages), "Writing the demo's labelled sentences", "language") as bar:
        for code in sorted(world.languages):
            made = labelled_sentences(world, world.languages[code], seed, sentences)
            written[code] = {}
            for split, items in made.items():
                path = folder / code / f"{split}.txt"
                with atomic_file(path) as stream:
                    for item in items:
                        lines = (f"{token} {tag}\n" for token, tag in zip(item.tokens, item.tags, strict=True))
                        stream.write("".join(lines) + "\n")
                written[code][split] = path
            bar.update()
    return written


def labelled_sentences(
    world: World, language: Language, seed: int, sizes: tuple[int, int, int] = (400, 80, 150)
) -> dict[str, list[Sentence]]:
    """The sentences of each split. No sentence is made twice, and no pair of template and entity is in two splits.

    So a model meets every tested template with entities that it has not seen in it, while it may know them from others.

    Raises:
        DataError: the world is too small for so many different sentences.
    """
    chooser = random.Random(f"{seed}/{language.code}/sentences")
    pairs = _pairs(world, language)
    chooser.shuffle(pairs)
    made: dict[str, list[Sentence]] = {}
    taken: set[tuple[str, ...]] = set()
    start = 0
    for index, (split, size) in enumerate(zip(SPLITS, sizes, strict=True)):
        end = len(pairs) * sum(sizes[: index + 1]) // max(1, sum(sizes))
        made[split] = _make(world, language, pairs[start:end], size, taken, chooser)
        if len(made[split]) < size:
            raise DataError(
                f"{language.code}: only {len(made[split])} different {split} sentences can be made, not {size}",
                "Ask for fewer sentences, or add sentence templates or entities to the world.",
            )
        start = end
    return made


def _pairs(world: World, language: Language) -> list[Pair]:
    found = []
    for kind in DESCRIBED_KINDS:
        for template in language.sentences[kind]:
            found += [Pair(kind, template, "subject", entity.id) for entity in world.of_kind(kind)]
    for template in language.sentences["general"]:
        first = next((part.role for part in parse(template) if isinstance(part, Slot)), None)
        if first is not None:
            found += [Pair("general", template, first, entity.id) for entity in world.of_kind(first)]
    return found


def _make(
    world: World,
    language: Language,
    pairs: Sequence[Pair],
    size: int,
    taken: set[tuple[str, ...]],
    chooser: random.Random,
) -> list[Sentence]:
    """Sentences from the pairs, each pair once before any a second time."""
    made: list[Sentence] = []
    for _ in range(_VARIANTS):
        for pair in pairs:
            if len(made) == size:
                return made
            segments = fill(pair.template, _fillers(world, language, pair, chooser), language.code)
            if segments is None:
                continue
            tokens, tags = labelled(segments)
            # Compared without tags: the same words with another label would be a contradiction as well.
            if tokens and tokens not in taken:
                taken.add(tokens)
                made.append(Sentence(tokens, tags, pair))
    return made


def _fillers(world: World, language: Language, pair: Pair, chooser: random.Random) -> dict[str, Filler]:
    if pair.kind in KINDS:
        return world.fillers(language, world.entities[pair.entity], chooser)
    companions = {role: chooser.choice(world.of_kind(role)).id for role in GENERAL_ROLES if world.of_kind(role)}
    return {role: world.name(language, entity) for role, entity in (companions | {pair.role: pair.entity}).items()}


def labelled(segments: Iterable[Segment]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of segments and their IOB2 tags.

    Every segment is divided into words by itself, so a word never lies half inside a mention: not where a suffix
    follows the name without a space, and not in Chinese.
    """
    tokens: list[str] = []
    tags: list[str] = []
    for segment in segments:
        for index, word in enumerate(words(segment.text)):
            tokens.append(word)
            tags.append("O" if segment.label is None else f"{'I' if index else 'B'}-{segment.label}")
    return tuple(tokens), tuple(tags)
