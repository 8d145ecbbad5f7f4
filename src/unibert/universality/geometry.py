"""How the sentences of many languages lie in one layer: in a cone or all around, in clumps by language or mixed.

Measures of it, the languages as a tree, and maps in two dimensions.

Shape suffixes: N sentences, K languages, D hidden.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unibert.errors import DataError
from unibert.models.neutral import rows_by_language
from unibert.universality.schema import Geometry, Points, Treatment

Floats = NDArray[np.float64]
_NOTHING = 1e-12
"""A length below this share of the embeddings' own is what rounding left of 0: it points nowhere."""
_NEIGHBOURS = 15
_FEWEST_FOR_UMAP = 5


def geometry(embeddings_ND: NDArray[np.floating], labels: Sequence[str], layer: int) -> Geometry:
    """Measure how one layer's embeddings lie.

    *Anisotropy* is the expected cosine of two different sentences drawn at random (Ethayarajh, arXiv 1909.00512,
    section 3.4.1). It is exact, not sampled: the cosines of all pairs add up to the squared length of the sum of the
    embeddings' directions. An embedding of length 0 counts as at right angles to every other one.

    *Between* is eta squared, the share of the total sum of squares that lies between the languages' means.

    *Distances* are 1 - cosine of the languages' means from which their common mean was removed, so that the cone
    that all embeddings lie in does not make every language look close to every other one. That common mean is the
    mean of the languages' means: a language does not count for more because more of its sentences were read. A
    language whose mean is the common one is at distance 1 from all others. Two languages alone are always at
    distance 2.

    Args:
        embeddings_ND: one row a sentence.
        labels: the language of each row.
        layer: their layer's number, as the result names it.

    Raises:
        DataError: no embeddings, or some that are not finite: the layer, the language and the row are named.
    """
    sums_D = np.zeros(embeddings_ND.shape[-1])
    centred_sums_D = np.zeros_like(sums_D)
    own = centred_own = within = 0.0
    means: dict[str, Floats] = {}
    sizes = []
    for language, places in rows_by_language(embeddings_ND, labels, f"layer {layer}").items():
        rows_ND = embeddings_ND[places].astype(np.float64)
        mean_D = rows_ND.mean(axis=0)
        centred_ND = rows_ND - mean_D
        size = float(np.abs(rows_ND).max(initial=0.0))
        directions_ND, centred_directions_ND = _directions(rows_ND, 0.0), _directions(centred_ND, size)
        sums_D += directions_ND.sum(axis=0)
        centred_sums_D += centred_directions_ND.sum(axis=0)
        own += float((directions_ND**2).sum())
        centred_own += float((centred_directions_ND**2).sum())
        within += float((centred_ND**2).sum())
        means[language] = mean_D
        sizes.append(len(rows_ND))
    means_KD = np.stack(list(means.values()))
    of_all_D = np.average(means_KD, axis=0, weights=sizes)
    between = float((np.asarray(sizes) * ((means_KD - of_all_D) ** 2).sum(axis=1)).sum())
    total = between + within
    pairs = sum(sizes) * (sum(sizes) - 1)
    return Geometry(
        layer=layer,
        anisotropy=(float(sums_D @ sums_D) - own) / pairs if pairs else 0.0,
        anisotropy_centred=(float(centred_sums_D @ centred_sums_D) - centred_own) / pairs if pairs else 0.0,
        between=between / total if total > 0 else 0.0,
        distances=_distances(list(means), means_KD),
    )


def _directions(rows_ND: Floats, size: float) -> Floats:
    """Each row at length 1; rows that are nothing beside numbers of this size become 0."""
    lengths_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    there_N1 = lengths_N1 > _NOTHING * size
    return np.asarray(np.divide(rows_ND, lengths_N1, out=np.zeros_like(rows_ND), where=there_N1 & (lengths_N1 > 0)))


def _distances(languages: Sequence[str], means_KD: Floats) -> dict[str, dict[str, float]]:
    directions_KD = _directions(means_KD - means_KD.mean(axis=0), float(np.abs(means_KD).max(initial=0.0)))
    distances_KK = np.clip(1 - directions_KD @ directions_KD.T, 0.0, 2.0)
    np.fill_diagonal(distances_KK, 0.0)
    return {
        first: {second: float(value) for second, value in zip(languages, row_K, strict=True)}
        for first, row_K in zip(languages, distances_KK, strict=True)
    }


@dataclass(frozen=True)
class Dendrogram:
    """Languages that are joined step by step, the closest first."""

    languages: list[str]
    """By the number that `linkage` calls them by."""
    linkage: Floats
    """As scipy's `linkage` and `dendrogram` have it, [K - 1, 4]: the two that are joined, their distance, the size."""
    order: list[str]
    """The languages from left to right, so that close ones stand side by side."""


def linkage_order(distances: Mapping[str, Mapping[str, float]]) -> Dendrogram:
    """Join languages by average linkage (UPGMA: Sokal and Michener, 1958), and put the leaves in the best order.

    Neighbouring leaves are as close as the tree allows (Bar-Joseph, Gifford and Jaakkola, 2001).

    Args:
        distances: between languages, as `Geometry.distances`; what stands there of a language and itself is not read.

    Raises:
        DataError: a distance is missing, below 0, not finite, or another one in the other direction.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # type: ignore[import-untyped, unused-ignore]

    languages = sorted(distances)
    condensed = []
    for place, first in enumerate(languages):
        for second in languages[place + 1 :]:
            there, back = distances[first].get(second), distances[second].get(first)
            if there is None or back is None or not (0 <= there < np.inf) or abs(there - back) > 1e-6:
                raise DataError(
                    f"distances: {first} to {second} is {_shown(there)}, {second} to {first} is {_shown(back)}",
                    "Measure the geometry again: both have to be there and the same.",
                )
            condensed.append(there)
    if len(languages) < 2:
        return Dendrogram(languages, np.zeros((0, 4)), list(languages))
    joined = np.asarray(linkage(np.asarray(condensed), method="average", optimal_ordering=True), dtype=np.float64)
    return Dendrogram(languages, joined, [languages[leaf] for leaf in leaves_list(joined)])


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


def pca_map(
    embeddings_ND: NDArray[np.floating], labels: Sequence[str], meanings: Sequence[int], treatment: Treatment = "raw"
) -> Points:
    """The two directions in which the sentences differ most (principal components), each towards its largest weight.

    Args:
        embeddings_ND: of the chosen sentences, after the treatment.
        labels: the language of each row.
        meanings: a number for each row.
        treatment: what was done to the embeddings; the result names it.

    Returns:
        Points in the embeddings' own unit, `explained` the share of the variance on the two axes; None where all
        sentences are at one place.

    Raises:
        DataError: no embeddings, or some that are not finite.
        ValueError: not as many labels or meanings as rows.
    """
    _check_rows(embeddings_ND, labels, meanings)
    rows_ND = embeddings_ND.astype(np.float64)
    rows_ND -= rows_ND.mean(axis=0)
    variances_D, axes_DD = np.linalg.eigh(rows_ND.T @ rows_ND)
    axes_D2 = axes_DD[:, ::-1][:, :2]
    # An axis has no sense of its own: without this, the same data might come out mirrored on another machine.
    strongest = np.abs(axes_D2).argmax(axis=0)
    axes_D2 = axes_D2 * np.where(np.take_along_axis(axes_D2, strongest[None], axis=0) < 0, -1.0, 1.0)
    places_N2 = np.zeros((len(rows_ND), 2))
    places_N2[:, : axes_D2.shape[1]] = rows_ND @ axes_D2
    total = float((rows_ND**2).sum())
    explained = float(np.clip(variances_D[::-1][:2].sum() / total, 0, 1)) if total > 0 else None
    return _points("pca", treatment, places_N2, labels, meanings, explained)


def umap_map(
    embeddings_ND: NDArray[np.floating],
    labels: Sequence[str],
    meanings: Sequence[int],
    treatment: Treatment = "raw",
    seed: int = 0,
) -> Points:
    """A map on which neighbours by cosine stay neighbours (UMAP: McInnes, Healy and Melville, arXiv 1802.03426).

    Distances between clumps, and the axes, mean nothing. With its seed the same machine draws the same map again.

    Args:
        embeddings_ND: of the chosen sentences, after the treatment.
        labels: the language of each row.
        meanings: a number for each row.
        treatment: what was done to the embeddings; the result names it.
        seed: of UMAP's random numbers.

    Raises:
        DataError: umap-learn is not installed, fewer than five sentences, or embeddings that are not finite.
        ValueError: not as many labels or meanings as rows.
    """
    _check_rows(embeddings_ND, labels, meanings)
    if len(embeddings_ND) < _FEWEST_FOR_UMAP:
        raise DataError(
            f"map: {len(embeddings_ND)} sentences; UMAP needs at least {_FEWEST_FOR_UMAP}", "Give more sentences."
        )
    try:
        library = importlib.import_module("umap")
    except ImportError:
        raise DataError(
            "the UMAP map needs umap-learn, which is not installed", "Install it: pip install 'unibert[maps]'."
        ) from None
    neighbours = min(_NEIGHBOURS, len(embeddings_ND) - 1)
    reducer = library.UMAP(
        n_neighbors=neighbours,
        metric="cosine",
        # The spectral start needs more points than neighbours to solve for.
        init="spectral" if len(embeddings_ND) > 2 * _NEIGHBOURS else "random",
        random_state=seed,
        n_jobs=1,  # with a seed it uses one thread anyway, and warns when it is not told so
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        places_N2 = np.asarray(reducer.fit_transform(embeddings_ND.astype(np.float32)), dtype=np.float64)
    if not np.isfinite(places_N2).all():
        raise DataError("map: UMAP found no place for some sentences", "Leave out sentences that are all the same.")
    return _points("umap", treatment, places_N2, labels, meanings, None)


def _check_rows(embeddings_ND: NDArray[np.floating], labels: Sequence[str], meanings: Sequence[int]) -> None:
    rows_by_language(embeddings_ND, labels, "map")
    if len(meanings) != len(labels):
        raise ValueError(f"{len(labels)} labels, {len(meanings)} meanings")


def _points(
    method: str,
    treatment: Treatment,
    places_N2: NDArray[np.float64],
    labels: Sequence[str],
    meanings: Sequence[int],
    explained: float | None,
) -> Points:
    return Points.model_validate(
        {
            "method": method,
            "treatment": treatment,
            "x": places_N2[:, 0].tolist(),
            "y": places_N2[:, 1].tolist(),
            "languages": list(labels),
            "meanings": [int(meaning) for meaning in meanings],
            "explained": explained,
        }
    )
