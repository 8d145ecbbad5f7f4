"""Taking the language out of embeddings afterwards, without training: by language's means, or by a projection.

Subtracting each language's mean needs to know which language a text is in. The projection does not: it removes the
directions in which the languages' means differ. These are the leading singular vectors of the means, as in LSAR (Xie,
Zhao, Yu and Li, Discovering low-rank subspaces for language-agnostic multilingual representations, 2022, arXiv
2401.05792); LIR (Yang, Yang, Cer and Darve, 2021, arXiv 2109.04727) takes the leading components of each language's
own embeddings instead. LSAR looks for a common mean at right angles to the directions; here the mean of the means is
removed too, so that where it points does not matter.

Shape suffixes: N sentences, K languages, D hidden, R removed directions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unibert.errors import DataError
from unibert.files import atomic_file

Vectors = NDArray[np.float32]

_MEANS = "unibert language means"
_PROJECTION = "unibert language projection"
DIRECTIONS_ENDING = ".directions.safetensors"
"""Of the name of a model's file of language directions."""
_NOTHING = 1e-6
"""Singular values below this share of the means' size are float32's rounding, and no directions."""


@dataclass(frozen=True, eq=False)
class Projection:
    """What removes the languages' directions from embeddings, and the mean of all languages."""

    mean_D: Vectors
    directions_RD: Vectors
    """Orthonormal rows, those in which the languages differ most first."""
    languages: tuple[str, ...]
    """Those that it was fitted on."""

    @property
    def rank(self) -> int:
        """Number of removed directions."""
        return len(self.directions_RD)

    @property
    def width(self) -> int:
        """Of the embeddings."""
        return len(self.mean_D)

    @property
    def weight_DD(self) -> Vectors:
        """I - V'V with the directions V: a linear layer's weight that removes them; symmetric."""
        directions_RD = self.directions_RD.astype(np.float64)
        return np.asarray(np.eye(self.width) - directions_RD.T @ directions_RD, dtype=np.float32)

    @property
    def bias_D(self) -> Vectors:
        """That layer's bias, which removes the mean."""
        directions_RD, mean_D = self.directions_RD.astype(np.float64), self.mean_D.astype(np.float64)
        return np.asarray((mean_D @ directions_RD.T) @ directions_RD - mean_D, dtype=np.float32)

    def apply(self, embeddings_ND: NDArray[np.floating]) -> Vectors:
        """Remove the mean and the directions, [..., D] -> [..., D].

        Raises:
            DataError: embeddings of another width.
        """
        if embeddings_ND.shape[-1] != self.width:
            raise DataError(
                f"embeddings of width {embeddings_ND.shape[-1]}; the projection is for {self.width}",
                "Fit a projection on this model's embeddings.",
            )
        centred_ND = embeddings_ND - self.mean_D
        return np.asarray(centred_ND - (centred_ND @ self.directions_RD.T) @ self.directions_RD, dtype=np.float32)


def rows_by_language(
    embeddings_ND: NDArray[np.floating], labels: Sequence[str], what: str
) -> dict[str, NDArray[np.intp]]:
    """The places of each language's rows, the languages in the order of their codes.

    Args:
        embeddings_ND: one row a sentence.
        labels: the language of each row.
        what: the embeddings are called in messages.

    Raises:
        DataError: there are none, or some are not finite: the first one's language and row are named.
        ValueError: not as many labels as rows.
    """
    if embeddings_ND.ndim != 2 or len(labels) != len(embeddings_ND):
        raise ValueError(f"{len(labels)} labels for embeddings of shape {embeddings_ND.shape}")
    if not len(labels):
        raise DataError(f"{what}: there are no embeddings", "Give at least one language with sentences.")
    wrong = np.flatnonzero(~np.isfinite(embeddings_ND).all(axis=1))
    if len(wrong):
        raise DataError(
            f"{what}: embeddings that are not finite numbers, the first of language {labels[wrong[0]]} "
            f"(row {wrong[0] + 1}), {len(wrong):,} in all",
            "Look at the model's weights, or leave this model out.",
        )
    languages, of_rows = np.unique(np.asarray(labels), return_inverse=True)
    order = np.argsort(of_rows, kind="stable")
    ends = np.cumsum(np.bincount(of_rows))[:-1]
    return {str(language): places for language, places in zip(languages, np.split(order, ends), strict=True)}


def fit_means(embeddings_ND: NDArray[np.floating], labels: Sequence[str]) -> dict[str, Vectors]:
    """Each language's mean embedding, the languages in the order of their codes.

    Args:
        embeddings_ND: one row a sentence.
        labels: the language of each row.

    Raises:
        DataError: no embeddings, or some that are not finite.
    """
    return {
        language: embeddings_ND[places].mean(axis=0, dtype=np.float64).astype(np.float32)
        for language, places in rows_by_language(embeddings_ND, labels, "language means").items()
    }


def remove_means(embeddings_ND: NDArray[np.floating], labels: Sequence[str], means: Mapping[str, Vectors]) -> Vectors:
    """Subtract from each embedding the mean of its language.

    Args:
        embeddings_ND: one row a sentence.
        labels: the language of each row.
        means: from `fit_means`, best on other sentences.

    Raises:
        DataError: a language without a mean, or embeddings of another width.
    """
    if len(labels) != len(embeddings_ND):
        raise ValueError(f"{len(labels)} labels for {len(embeddings_ND)} embeddings")
    missing = sorted({str(label) for label in labels} - set(means))
    if missing:
        raise DataError(
            f"language means: there is none for {', '.join(missing)}; there is {', '.join(sorted(means))}",
            "Fit the means on sentences of these languages too.",
        )
    widths = {len(mean_D) for mean_D in means.values()} - {embeddings_ND.shape[-1]}
    if widths:
        raise DataError(
            f"language means of width {widths.pop()}, embeddings of {embeddings_ND.shape[-1]}",
            "Fit the means on this model's embeddings.",
        )
    if not len(labels):
        return np.asarray(embeddings_ND, dtype=np.float32)
    return np.asarray(embeddings_ND - np.stack([means[str(label)] for label in labels]), dtype=np.float32)


def fit_projection(embeddings_ND: NDArray[np.floating], labels: Sequence[str], rank: int | None = None) -> Projection:
    """Find the directions in which the languages' means differ most.

    Every language counts the same, however many sentences it has. With `rank` = K - 1 all of the projected means are
    the same; a smaller one leaves more of the embeddings as they are.

    Args:
        embeddings_ND: one row a sentence.
        labels: the language of each row.
        rank: number of directions to remove; K - 1, at most a quarter of the width, when unset. There are fewer where
            the means span fewer.

    Raises:
        DataError: fewer than two languages, a `rank` that is above what the means span or below 0, no embeddings, or
            some that are not finite.
    """
    means = fit_means(embeddings_ND, labels)
    if len(means) < 2:
        raise DataError(
            f"language projection: only one language ({next(iter(means))}): nothing tells it apart",
            "Give sentences of two languages or more.",
        )
    means_KD = np.stack(list(means.values())).astype(np.float64)
    mean_D = means_KD.mean(axis=0)
    _, sizes, directions = np.linalg.svd(means_KD - mean_D, full_matrices=False)
    spanned = min(len(means) - 1, int((sizes > _NOTHING * np.linalg.norm(means_KD)).sum()))
    if rank is not None and not 0 <= rank <= spanned:
        raise DataError(
            f"language projection: rank {rank}; the means of {len(means)} languages span {spanned} directions",
            f"Choose a rank from 1 to {spanned}.",
        )
    wanted = min(spanned, max(1, len(mean_D) // 4)) if rank is None else rank
    kept_RD = np.ascontiguousarray(directions[:wanted], dtype=np.float32)
    return Projection(mean_D.astype(np.float32), kept_RD, tuple(means))


def save_projection(projection: Projection, path: Path, model_fingerprint: str) -> None:
    """Write a projection as safetensors, with the model it is for in the metadata."""
    tensors = {"mean": projection.mean_D, "directions": projection.directions_RD}
    about = {"languages": json.dumps(projection.languages), "rank": str(projection.rank)}
    _write(path, _PROJECTION, tensors, model_fingerprint, about)


def load_projection(path: Path, model_fingerprint: str | None = None, width: int | None = None) -> Projection:
    """Read a projection that `save_projection` wrote.

    Args:
        path: of the file.
        model_fingerprint: of the model that it has to be for; any when unset.
        width: that it has to be for; any when unset.

    Raises:
        DataError: no such file, damaged, something else, or for another model or width.
    """
    tensors, about = _read(path, _PROJECTION, model_fingerprint)
    try:
        mean_D, directions_RD = tensors["mean"], tensors["directions"]
        languages = tuple(json.loads(about["languages"]))
        fits = directions_RD.ndim == 2 and mean_D.shape == directions_RD.shape[1:]
        fits = fits and np.allclose(directions_RD @ directions_RD.T, np.eye(len(directions_RD)), atol=1e-3)
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise DataError(f"{path}: damaged: not a mean and orthonormal directions", _FIT_AGAIN)
    _check_width(path, len(mean_D), width)
    return Projection(mean_D, directions_RD, languages)


def find_directions(place: Path, model_fingerprint: str) -> Path:
    """The file with a model's language directions, for `load_projection`.

    Args:
        place: the file itself, or a folder in which the models' files lie, or the run's folder above it.
        model_fingerprint: of the model.

    Raises:
        DataError: there is none for this model.
    """
    if place.is_file():
        load_projection(place, model_fingerprint)
        return place
    for path in sorted((*place.glob(f"*{DIRECTIONS_ENDING}"), *place.glob(f"universality/*{DIRECTIONS_ENDING}"))):
        try:
            load_projection(path, model_fingerprint)
        except DataError:  # another model's
            continue
        return path
    raise DataError(
        f"{place}: no language directions of this model",
        "Measure the model there first (unibert universality), or leave out neutralise.",
    )


def save_means(means: Mapping[str, Vectors], path: Path, model_fingerprint: str) -> None:
    """Write the languages' means as safetensors, a tensor by language, with the model they are for in the metadata."""
    _write(path, _MEANS, dict(means), model_fingerprint, {})


def load_means(path: Path, model_fingerprint: str | None = None, width: int | None = None) -> dict[str, Vectors]:
    """Read the means that `save_means` wrote, the languages in the order of their codes.

    Args:
        path: of the file.
        model_fingerprint: of the model that they have to be for; any when unset.
        width: that they have to have; any when unset.

    Raises:
        DataError: no such file, damaged, something else, or for another model or width.
    """
    tensors, _ = _read(path, _MEANS, model_fingerprint)
    shapes = {mean_D.shape for mean_D in tensors.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise DataError(f"{path}: damaged: not a mean of the same width for each language", _FIT_AGAIN)
    _check_width(path, next(iter(shapes))[0], width)
    return dict(sorted(tensors.items()))


_FIT_AGAIN = "Fit it again on this model's embeddings."


def _check_width(path: Path, there: int, wanted: int | None) -> None:
    if wanted is not None and there != wanted:
        raise DataError(f"{path}: for embeddings of width {there}; the model has {wanted}", _FIT_AGAIN)


def _write(path: Path, kind: str, tensors: dict[str, Vectors], model_fingerprint: str, about: dict[str, str]) -> None:
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
    metadata = {"kind": kind, "model_fingerprint": model_fingerprint, **about}
    with atomic_file(path, "wb") as stream:
        stream.write(save(whole, metadata))


def _read(path: Path, kind: str, model_fingerprint: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            about = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "Check the path, or fit it first.") from None
    except (OSError, SafetensorError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", _FIT_AGAIN) from None
    if about.get("kind") != kind:
        raise DataError(f"{path}: not a file of {kind.removeprefix('unibert ')}", "Name the file that was fitted.")
    if model_fingerprint is not None and about.get("model_fingerprint") != model_fingerprint:
        raise DataError(
            f"{path}: fitted on the model {about.get('model_fingerprint')}, not on {model_fingerprint}", _FIT_AGAIN
        )
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise DataError(f"{path}: holds numbers that are not finite", _FIT_AGAIN)
    return tensors, about
