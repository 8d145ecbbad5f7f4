"""Which sentences to draw on a map: those that are there in many languages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unibert.universality.sentences import Parallel


def pick_meanings(
    parallel: Sequence[Parallel], seed: int, most: int = 1500, least_languages: int = 2
) -> tuple[list[str], list[str], list[int]]:
    """Sentences with one meaning in as many languages as there are.

    Files with one side in common, such as English in Tatoeba, are joined at the sentences of that side.

    Args:
        parallel: the translations.
        seed: decides between meanings that are there in equally many languages.
        most: points on the map.
        least_languages: a meaning that is there in fewer is of no use.

    Returns:
        Sentences, their languages, and the number of each one's meaning: equal where they translate each other.
    """
    pivots = [pair.other for pair in parallel]
    if not pivots:
        return [], [], []
    pivot = max(sorted(set(pivots)), key=pivots.count)
    by_meaning: dict[str, dict[str, str]] = {}
    for pair in parallel:
        if pair.other == pivot:
            for text, other in zip(pair.texts, pair.others, strict=True):
                by_meaning.setdefault(other, {pivot: other}).setdefault(pair.language, text)
    known = [found for found in by_meaning.values() if len(found) >= least_languages]
    order = np.random.default_rng(seed).permutation(len(known))
    ranked = sorted(order.tolist(), key=lambda place: -len(known[place]))
    texts: list[str] = []
    languages: list[str] = []
    meanings: list[int] = []
    for number, place in enumerate(ranked):
        found = known[place]
        if len(texts) + len(found) > most:
            break
        for language, text in found.items():
            texts.append(text)
            languages.append(language)
            meanings.append(number)
    return texts, languages, meanings
