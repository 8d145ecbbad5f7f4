"""An encoder of sentences without the directions that tell languages apart, and what that buys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from unibert.benchmark.columns import aligned
from unibert.errors import DataError
from unibert.files import see_that_it_is_free
from unibert.models.neutral import Projection, Vectors, fit_means, fit_projection
from unibert.progress import progress_bar
from unibert.tasks.encoder import find_encoder
from unibert.universality.embedding import Embedder
from unibert.universality.material import Material, find_material
from unibert.universality.retrieval import measure_retrieval
from unibert.universality.schema import Pair
from unibert.universality.sentence_encoder import write_sentence_encoder
from unibert.universality_settings import UniversalitySettings


def neutralise_encoder(settings: UniversalitySettings, folder: Path) -> str:
    """Fit the language directions of an encoder's last layer, write it without them, and measure what that buys.

    Args:
        settings: one model, and text by language or translations to fit on; `parallel` is also measured on. Without
            `text` both are done with the same sentences, so that what is measured is at its best.
        folder: of the sentence encoder (see `write_sentence_encoder`); must not be there yet.

    Returns:
        A text: what was removed, retrieval before and after where there are translations, and what was left out.

    Raises:
        DataError: no such model or text, a neutralised one, or there is something at the folder's place.
        RecipeError: the settings name no text.
    """
    see_that_it_is_free(folder)
    encoder = find_encoder(settings.models[0])
    material = find_material(settings)
    embedder = Embedder(encoder, settings.max_length)
    if embedder.projected:
        raise DataError(
            f"model {encoder.name}: it has a linear layer after the mean already, as neutralised encoders have",
            "Give the encoder that it was made from.",
        )
    last = [embedder.layers]
    flat, names = material.labelled
    with progress_bar(len(flat), "sentences", " sentences") as bar:
        vectors = embedder.embed(flat, last, bar.update).layers_LND[0]
    projection = fit_projection(vectors, names, settings.rank)
    means = fit_means(vectors, names)
    write_sentence_encoder(encoder, projection, means, folder, settings.max_length)
    told = [f"removed {projection.rank} of {projection.width} directions, fitted on {len(material.texts)} languages"]
    told += _bought(material, embedder, means, projection, settings)
    told += [f"note: {embedder.note}"] if embedder.note else []
    told += [f"left out: {name}: {reason}" for name, reason in material.left_out.items()]
    return "\n".join(told)


def _bought(
    material: Material,
    embedder: Embedder,
    means: Mapping[str, Vectors],
    projection: Projection,
    settings: UniversalitySettings,
) -> list[str]:
    """Retrieval as it is, with the languages' means removed, and with their directions removed."""
    told = []
    rows: dict[str, list[float]] = {"raw": [], "centred": [], "projected": []}
    total = sum(len(parallel.texts) for parallel in material.parallel)
    with progress_bar(total, "translations", " pairs", leave=False) as bar:
        for parallel in material.parallel:
            size = len(parallel.texts)
            if not {parallel.language, parallel.other} <= set(means):
                told.append(f"left out: {parallel.name}: no text to learn the language's mean from")
                continue
            both = embedder.embed([*parallel.texts, *parallel.others], [embedder.layers], bar.update).layers_LND[0]
            pair = Pair(language=parallel.language, other=parallel.other, sentences=size, chance=1 / size)
            for table in measure_retrieval(
                embedder.layers,
                {parallel.name: (both[:size], both[size:])},
                {parallel.name: pair},
                means,
                projection.apply,
                ["cosine"],
                settings.neighbours,
            ):
                rows[table.treatment].append(table.mean)
    if not rows["raw"]:
        return told
    names = {
        "raw": "as it is",
        "centred": "with each language's mean removed",
        "projected": "with the language directions removed",
    }
    lines = [["translations found", f"{len(rows['raw'])} files"]]
    if not settings.text:
        told.append("fitted on sentences of these translations: others may be found less often (name text with --text)")
    lines += [[names[treatment], f"{100 * fmean(found):.1f} %"] for treatment, found in rows.items()]
    return [*aligned(lines, 1), *told]
