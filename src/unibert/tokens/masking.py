"""Which tokens are hidden and predicted (equation 1): BERT's recipe, reproducible for every single sample.

Devlin et al., "BERT", arXiv 1810.04805, section 3.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unibert.recipe import Masking
from unibert.tokens.vocabulary import SpecialIds

Int64s = npt.NDArray[np.int64]

_TRAINING, _HELD_OUT = 0, 1


def mask_tokens(
    ids: Int64s, special: SpecialIds, settings: Masking, generator: np.random.Generator
) -> tuple[Int64s, Int64s]:
    """Choose tokens and hide them.

    Of the n tokens that are not special ([UNK] counts as special: there is nothing to learn from it),
    max(1, floor(share * n + 0.5)) are chosen, each set of that size with the same probability. Each chosen one
    independently becomes [MASK] (`settings.mask`), a random piece that is not special (`settings.random`; it may be
    the same one), or stays.

    Args:
        ids: the sample, int64[L], with or without its special tokens.
        special: the tokenizer's special ids.
        settings: the three shares.
        generator: see `masking_generator`.

    Returns:
        The sample with some ids replaced, int64[L], and the chosen positions in ascending order, int64[M].
        M is 0 when every token is special.
    """
    candidates = np.flatnonzero(~special.is_special[ids])
    masked = ids.copy()
    if candidates.size == 0:
        return masked, candidates
    number = max(1, int(settings.share * candidates.size + 0.5))
    # One call for all random numbers: most of the time goes into the calls, and a step makes hundreds.
    order, fate, piece = np.split(generator.random(candidates.size + 2 * number), (candidates.size, -number))
    chosen = np.sort(candidates[np.argpartition(order, number - 1)[:number]])
    pieces = special.pieces[(piece * special.pieces.size).astype(np.int64)]
    masked[chosen[fate < settings.mask]] = special.mask
    swapped = (fate >= settings.mask) & (fate < settings.mask + settings.random)
    masked[chosen[swapped]] = pieces[swapped]
    return masked, chosen


def masking_generator(seed: int, step: int, position: int) -> np.random.Generator:
    """The random numbers for the sample at `position` of the whole batch of `step`, whichever process holds it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_TRAINING, step, position))))


def held_out_generator(seed: int, language: int, sample: int) -> np.random.Generator:
    """The random numbers for a held-out sample: the same at every evaluation.

    `language` is a number that stands for the language itself, not for its place among the others.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_HELD_OUT, language, sample))))
