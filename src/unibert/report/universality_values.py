"""What the page says of an encoder's universality, taken out of its file: one layer, one table, one group."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Literal

from unibert.benchmark.scores import Mean, mean_over_seeds
from unibert.languages import language
from unibert.report.scripts import script_name
from unibert.universality.disparity import RESOURCES, resource_thirds
from unibert.universality.schema import Disparity, Geometry, Probe, Retrieval, Similarity, Treatment, Universality

TABLES: tuple[tuple[Similarity, Treatment], ...] = (
    ("cosine", "raw"),
    ("cosine", "centred"),
    ("cosine", "projected"),
    ("csls", "raw"),
    ("csls", "centred"),
    ("csls", "projected"),
)
"""Every way to retrieve, in the order of columns and panels."""
_SHOWN = {"unknown": "unknown pieces"}
"""What measures are called on the page, where their name alone says too little."""


def way(similarity: Similarity, treatment: Treatment) -> str:
    """How a table of retrieval was made, in words: `cosine, raw`."""
    return f"{'CSLS' if similarity == 'csls' else similarity}, {treatment}"


def ways(found: Iterable[Universality]) -> list[tuple[Similarity, Treatment]]:
    """Those of `TABLES` that any of the encoders has."""
    there = {(table.similarity, table.treatment) for encoder in found for table in encoder.retrieval}
    return [entry for entry in TABLES if entry in there]


def layers(encoder: Universality) -> list[int]:
    """The layers that anything was measured at, from the embeddings up."""
    parts: list[Probe | Retrieval | Geometry] = [*encoder.probes, *encoder.retrieval, *encoder.geometry]
    return sorted({part.layer for part in parts})


def last(encoder: Universality) -> int:
    """The highest layer that was measured; the encoder's last where nothing was."""
    return max(layers(encoder), default=encoder.layers)


def probe_at(encoder: Universality, kind: Literal["linear", "mlp"], layer: int) -> Probe | None:
    """The probe of one kind at one layer."""
    return next((probe for probe in encoder.probes if (probe.kind, probe.layer) == (kind, layer)), None)


def accuracy(probe: Probe) -> Mean:
    """Over the probe's seeds."""
    return mean_over_seeds(probe.accuracies)


def geometry_at(encoder: Universality, layer: int) -> Geometry | None:
    """How the embeddings of one layer lie."""
    return next((shape for shape in encoder.geometry if shape.layer == layer), None)


def best(encoder: Universality, similarity: Similarity, treatment: Treatment) -> Retrieval | None:
    """The table of the layer that retrieves best in this way; the higher layer of two alike."""
    there = [r for r in encoder.retrieval if (r.similarity, r.treatment) == (similarity, treatment) and r.pairs]
    return max(there, key=lambda table: (table.mean, table.layer), default=None)


def reference_layer(encoder: Universality) -> int:
    """The layer whose retrieval is told language by language: that with the best centred cosine, else raw cosine."""
    table = best(encoder, "cosine", "centred") or best(encoder, "cosine", "raw")
    return table.layer if table else last(encoder)


def chance(encoder: Universality, table: Retrieval) -> float:
    """What guessing would reach in a table of retrieval: the mean over its files of 1 / sentences."""
    return fmean(encoder.pairs[name].chance for name in table.pairs) if table.pairs else 0.0


def row_names(encoder: Universality, pairs: Iterable[str]) -> dict[str, str]:
    """What rows of files are called: the language's code, or the file's name where a language has several."""
    number = Counter(encoder.pairs[pair].language for pair in pairs)
    return {pair: code if number[code := encoder.pairs[pair].language] == 1 else pair for pair in pairs}


def by_language(encoder: Universality, table: Retrieval | None) -> dict[str, float]:
    """Accuracy, the mean of both directions, by the names that `row_names` gives."""
    if table is None:
        return {}
    called = row_names(encoder, table.pairs)
    return {called[pair]: score.mean for pair, score in table.pairs.items()}


def thirds(sizes: Mapping[str, int]) -> dict[str, str]:
    """The third by bytes that a language belongs to, as in `universality.disparity`; none with fewer than three."""
    return resource_thirds(sizes) if len(sizes) >= len(RESOURCES) else {}


def grouped(encoder: Universality, key: Callable[[str], str | None]) -> dict[str, list[str]]:
    """The files by a property of their language, groups of most languages first.

    Args:
        encoder: its files.
        key: from a language's code to its group; None leaves it out.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name, pair in encoder.pairs.items():
        group = key(pair.language)
        if group is not None:
            found[group].append(name)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def script(code: str) -> str:
    """The name of the script that a language is written in."""
    return script_name(language(code).script)


def family(code: str) -> str:
    """The family of a language."""
    return language(code).family


def commonest(names: Iterable[str]) -> list[str]:
    """Some names, each once, the commonest first; `unknown` is none."""
    number = Counter(name for name in names if name != "unknown")
    return sorted(number, key=lambda name: (-number[name], name))


def measures(found: Iterable[Universality]) -> dict[str, dict[str, Disparity]]:
    """The disparities of all encoders: by measure as the page calls it, by model."""
    by_measure: dict[str, dict[str, Disparity]] = defaultdict(dict)
    for encoder in found:
        for disparity in encoder.disparity:
            by_measure[_SHOWN.get(disparity.measure, disparity.measure)][encoder.model] = disparity
    return dict(by_measure)
