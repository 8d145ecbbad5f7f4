"""Does a sentence find its translation among all sentences of the other language? Accuracy at 1, by cosine or CSLS.

Shape suffixes: N sentences of a side, M of the other one, R rows computed at once, B of a block, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from unibert.errors import DataError
from unibert.models.precision import best_device
from unibert.progress import progress_bar
from unibert.universality.schema import Pair, Retrieval, Score, Similarity, Treatment

NEIGHBOURS = 10
"""The k of CSLS, as in the paper that proposes it."""
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)
_TIE = 1e-12
"""Similarities that differ by less are equal: rounding in float64 is 100 times smaller."""
_AT_ONCE = 2**24
"""So many cosines are held at once, 128 MiB; twice as many on the way back."""
_BLOCK = 2**17
"""So many are looked at in one go, 1 MiB, which stays in the processor's cache: a third faster than all at once."""


def accuracy_at_1(
    first_ND: np.ndarray, second_ND: np.ndarray, similarity: Similarity, neighbours: int = NEIGHBOURS
) -> Score:
    """How often a sentence's nearest neighbour on the other side is the sentence of the same line, its translation.

    Where several neighbours are equally near and the translation is one of them, they share the point: a sentence
    that is in the file twice counts a half, and an encoder that maps all to one point gets chance, 1/N. Cosines are
    computed in float64, so that encoders whose embeddings all but coincide are told apart as the others are. A vector
    of zeros has the cosine 0 with every other.

    The cost is of N x N x D multiplications; memory is bounded, whatever N.

    Args:
        first_ND: embeddings of one side, line by line.
        second_ND: of the other one.
        similarity: `cosine`, or `csls` (see `csls`).
        neighbours: the k of CSLS.

    Raises:
        DataError: sides of different shapes, no sentence, or a number that is not finite.
    """
    return _scores("retrieval", first_ND, second_ND, [similarity], neighbours)[similarity]


def csls(cosines_NM: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Cross-domain similarity local scaling, Conneau et al. 2018 (arXiv 1710.04087), equation 3: [N, M] -> [N, M].

    2 cos(x, y) - r(x) - r(y), where r is the mean cosine to the k nearest on the other side (to all of them where
    there are fewer). It takes away from hubs, which are near to everything.
    """
    cosines = torch.as_tensor(np.array(cosines_NM, order="C"))
    return _csls(cosines, _nearness(cosines, k), _nearness(cosines.T, k)).numpy()


def centred(vectors_ND: np.ndarray) -> np.ndarray:
    """The vectors without their mean, in float64."""
    exact_ND = np.asarray(vectors_ND, dtype=np.float64)
    return exact_ND - exact_ND.mean(axis=0)


def measure_retrieval(
    layer: int,
    embedded: Mapping[str, tuple[np.ndarray, np.ndarray]],
    pairs: Mapping[str, Pair],
    means: Mapping[str, np.ndarray] | None = None,
    project: Callable[[np.ndarray], np.ndarray] | None = None,
    similarities: Sequence[Similarity] = SIMILARITIES,
    neighbours: int = NEIGHBOURS,
    advance: Callable[[], object] | None = None,
) -> list[Retrieval]:
    """Retrieval over all pairs of files at one layer: raw, centred and, where a projection is given, projected.

    Centred means that every side loses its language's mean. Without `means` it is the mean of the very sentences that
    are looked up, one side of one file. That is transductive: it says what centring can do where all the sentences are
    at hand, and takes away what this file's sentences have in common besides their language. Means from other text
    (`means`) say what a fixed offset for each language does to sentences not seen before.

    Args:
        layer: of the embeddings, for the result.
        embedded: both sides of each pair, [N, D], by the pair's name.
        pairs: the languages of each.
        means: [D] by language, from other text.
        project: removes the language directions, [N, D] -> [N, D].
        similarities: what to compare by.
        neighbours: the k of CSLS.
        advance: called after every pair.

    Returns:
        One for every treatment and similarity.

    Raises:
        DataError: a pair whose sides differ in shape or hold numbers that are not finite, or a language without mean.
    """
    treatments: list[Treatment] = ["raw", "centred", *(["projected"] if project else [])]  # type: ignore[list-item]
    found: dict[tuple[Treatment, Similarity], dict[str, Score]] = {
        (treatment, similarity): {} for treatment in treatments for similarity in similarities
    }
    for name, sides in embedded.items():
        for treatment in treatments:
            if treatment == "centred":
                languages = (pairs[name].language, pairs[name].other)
                treated = [_without_mean(*each, means) for each in zip(sides, languages, strict=True)]
            else:
                treated = [project(side) if treatment == "projected" and project else side for side in sides]
            scores = _scores(name, treated[0], treated[1], similarities, neighbours)
            for similarity, score in scores.items():
                found[treatment, similarity][name] = score
        if advance:
            advance()
    return [
        Retrieval(layer=layer, similarity=similarity, treatment=treatment, pairs=scores)
        for (treatment, similarity), scores in found.items()
    ]


def _without_mean(vectors_ND: np.ndarray, code: str, means: Mapping[str, np.ndarray] | None) -> np.ndarray:
    if means is None:
        return centred(vectors_ND)
    if code not in means:
        raise DataError(f"retrieval: no mean of {code}", "Give text in this language too, or leave its file out.")
    without_ND: np.ndarray = np.asarray(vectors_ND, dtype=np.float64) - means[code]
    return without_ND


def _scores(
    name: str, first_ND: np.ndarray, second_ND: np.ndarray, similarities: Sequence[Similarity], neighbours: int
) -> dict[Similarity, Score]:
    """Both directions by every similarity, from the same cosines."""
    sides = (_directions(name, first_ND), _directions(name, second_ND))
    if sides[0].shape != sides[1].shape:
        shapes = " and ".join(str(tuple(side.shape)) for side in sides)
        raise DataError(f"{name}: sides of {shapes} embeddings are not aligned", "Give as many lines on both sides.")
    cosines = _Cosines(*sides)
    nearness = {
        back: torch.cat([_nearness(block_BN, neighbours) for _, block_BN in cosines.rows(back)])
        for back in ((False, True) if "csls" in similarities else ())
    }
    ways: list[tuple[Similarity, bool]] = [(similarity, back) for similarity in similarities for back in (False, True)]
    hits = dict.fromkeys(ways, 0.0)
    for back in (False, True):
        for start, block_BN in cosines.rows(back):
            for similarity in similarities:
                compared_BN = block_BN
                if similarity == "csls":
                    own_B = nearness[back][start : start + len(block_BN)]
                    compared_BN = _csls(block_BN, own_B, nearness[not back])
                hits[similarity, back] += _hits(compared_BN, start)
    count = len(sides[0])
    return {each: Score(forth=hits[each, False] / count, back=hits[each, True] / count) for each in similarities}


class _Cosines:
    """The cosines between two sides: kept where they fit into memory, else computed anew in every pass.

    Args:
        first_ND: of length 1.
        second_ND: of length 1.
    """

    def __init__(self, first_ND: Tensor, second_ND: Tensor) -> None:
        self._sides = (first_ND, second_ND)
        self._whole_NN = first_ND @ second_ND.T if len(first_ND) ** 2 <= _AT_ONCE else None

    def rows(self, back: bool) -> Iterator[tuple[int, Tensor]]:
        """Number of the first row, and rows of cosines [B, N]; of the second side to the first one on the way back."""
        start = 0
        for cosines_RN in self._computed(back):
            for block_BN in cosines_RN.split(max(1, _BLOCK // cosines_RN.shape[1])):
                yield start, block_BN
                start += len(block_BN)

    def _computed(self, back: bool) -> Iterator[Tensor]:
        if self._whole_NN is not None:
            yield self._whole_NN.T.contiguous() if back else self._whole_NN
            return
        queries_ND, candidates_ND = reversed(self._sides) if back else self._sides
        with progress_bar(len(queries_ND), "neighbours", " sentences", leave=False) as bar:
            for queries_RD in queries_ND.split(max(1, _AT_ONCE // len(queries_ND))):
                yield queries_RD @ candidates_ND.T
                bar.update(len(queries_RD))


def _directions(name: str, vectors_ND: np.ndarray) -> Tensor:
    """Vectors of length 1 in float64; zeros stay."""
    if vectors_ND.ndim != 2 or not vectors_ND.size:
        raise DataError(f"{name}: no embeddings to compare", "Give at least one sentence.")
    exact_ND = torch.as_tensor(np.array(vectors_ND, dtype=np.float64, order="C"), device=best_device())
    if not bool(torch.isfinite(exact_ND).all()):
        row = int((~torch.isfinite(exact_ND)).any(dim=1).nonzero()[0])
        raise DataError(f"{name}: the embedding of sentence {row + 1} is not finite", "Leave this model or file out.")
    lengths_N1 = exact_ND.norm(dim=1, keepdim=True)
    return exact_ND / lengths_N1.where(lengths_N1 > 0, torch.ones_like(lengths_N1))


def _nearness(cosines_BN: Tensor, k: int) -> Tensor:
    """The mean cosine of each row to its k nearest, [B, N] -> [B]."""
    return cosines_BN.topk(min(k, cosines_BN.shape[1]), dim=1, sorted=False).values.mean(dim=1)


def _csls(cosines_BN: Tensor, rows_B: Tensor, columns_N: Tensor) -> Tensor:
    return 2 * cosines_BN - rows_B[:, None] - columns_N


def _hits(similarities_BN: Tensor, start: int) -> float:
    """How many of the rows are nearest to the column of their own number, the first of them number `start`."""
    rows_B = torch.arange(len(similarities_BN), device=similarities_BN.device)
    least_B = similarities_BN.amax(dim=1) - _TIE
    nearest_B = (similarities_BN >= least_B[:, None]).sum(dim=1)
    return float(((similarities_BN[rows_B, start + rows_B] >= least_B) / nearest_B.double()).sum())
