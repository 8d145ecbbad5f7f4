"""Sentences of the miniature world that say the same in two languages, line by line."""

from __future__ import annotations

import random
from pathlib import Path

from unibert.files import atomic_file
from unibert.quickstart.templates import fill, roles, text_of
from unibert.quickstart.world import DESCRIBED_KINDS, Language, World

PIVOT = "en"


def write_translations(world: World, folder: Path, seed: int) -> list[Path]:
    """Write `world.XX-en.XX` and `world.XX-en.en` for every other language of the world.

    Templates at the same place in two languages' lists that mention the same facts say the same, some more freely than
    others; filled in with the same facts they are translations.

    Args:
        world: where templates and names come from.
        folder: made if it is not there.
        seed: picks between neighbours, natives, ... that the facts leave open.

    Returns:
        The files.
    """
    written = []
    for code, language in sorted(world.languages.items()):
        if code == PIVOT:
            continue
        pairs = translations(world, language, world.languages[PIVOT], seed)
        for number, side in enumerate((code, PIVOT)):
            written.append(folder / f"world.{code}-{PIVOT}.{side}")
            with atomic_file(written[-1]) as stream:
                stream.write("".join(f"{pair[number]}\n" for pair in pairs))
    return written


def translations(world: World, first: Language, second: Language, seed: int) -> list[tuple[str, str]]:
    """Pairs of sentences in two languages; no sentence twice on either side."""
    found: dict[str, str] = {}
    for kind in DESCRIBED_KINDS:
        for number, templates in enumerate(zip(first.sentences[kind], second.sentences[kind], strict=False)):
            if roles(templates[0]) != roles(templates[1]):
                continue
            for entity in world.of_kind(kind):
                texts = []
                for language, template in zip((first, second), templates, strict=True):
                    chooser = random.Random(f"{seed}/{number}/{entity.id}")  # the same companions in both
                    segments = fill(template, world.fillers(language, entity, chooser), language.code)
                    texts.append(text_of(segments) if segments else "")
                if all(texts) and texts[0] not in found and texts[1] not in found.values():
                    found[texts[0]] = texts[1]
    return list(found.items())
