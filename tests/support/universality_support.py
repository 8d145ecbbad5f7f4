"""Encoders' universality as it may be measured: families and scripts lie apart, some languages cannot be spelled."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy.stats import spearmanr

from unibert.languages import MBERT_CODES, language
from unibert.universality.schema import (
    Disparity,
    Geometry,
    Interval,
    Pair,
    Points,
    Probe,
    Retrieval,
    Score,
    Spelling,
    Universality,
)

UNKNOWN = ["xab", "xac", "xad", "xae", "xaf", "xag", "xah", "xai"]
"""Not in our table of languages."""
CODES = [
    *[code for code in MBERT_CODES if code != "en"][-96:],
    "am",
    "km",
    "si",
    "dv",
    "or",
    "ug",
    "xh",
    "yi",
    *UNKNOWN,
]
WITHOUT_PIECES = ("am", "dv", "or", "si")
RESULT = {"raw": 0.45, "centred": 1.0, "projected": 0.9}


def noise(*key: object) -> np.random.Generator:
    return np.random.default_rng(crc32(repr(key).encode()))


def place(code: str, model: str, width: int = 24) -> np.ndarray:
    """Where the mean of a language lies: by its script, its family, and itself."""
    entry = language(code)
    parts = [noise(kind, value, model).normal(size=width) for kind, value in
             (("script", entry.script), ("family", entry.family), ("code", code))]  # fmt: skip
    return 1.5 * parts[0] + 1.1 * parts[1] + 0.8 * parts[2]


def quality(code: str, bytes_: int, unknown: float) -> float:
    """How good an encoder is at a language, from 0 to 1."""
    return float(np.clip((np.log10(bytes_) - 5.5) / 5 + noise("luck", code).normal(0, 0.12), 0.02, 1) * (1 - unknown))


def spelling_of(code: str) -> Spelling:
    unknown = noise("unknown", code).uniform(0.55, 0.97) if code in WITHOUT_PIECES else noise(code).exponential(0.004)
    fertility = noise("fertility", code).uniform(1.3, 2.9)
    return Spelling(sentences=300, fertility=fertility, per_character=fertility / 5.2, unknown=min(float(unknown), 1))


def make_points(method: str, treatment: str, codes: list[str], model: str, number: int) -> Points:
    """Translations lie together where the languages' means were removed, languages where they were not."""
    generator = noise(method, treatment, model)
    meanings, vectors, of = [], [], []
    meaning = 0
    while len(of) < number:
        its = generator.choice(codes, size=min(len(codes), int(generator.integers(6, 30))), replace=False)
        idea = generator.normal(size=24)
        for code in its[: number - len(of)]:
            shift = place(str(code), model) if treatment == "raw" else 0.0
            vectors.append(shift + 0.9 * idea + 0.3 * generator.normal(size=24))
            of.append(str(code))
            meanings.append(meaning)
        meaning += 1
    matrix = np.array(vectors) - np.mean(vectors, axis=0)
    _, values, directions = np.linalg.svd(matrix, full_matrices=False)
    flat = matrix @ directions[:2].T
    if method == "umap":
        flat = 8 * np.tanh(flat / 3) + generator.normal(0, 0.2, size=flat.shape)
    explained = float((values[:2] ** 2).sum() / (values**2).sum()) if method == "pca" else None
    return Points(method=method, treatment=treatment, x=flat[:, 0].tolist(), y=flat[:, 1].tolist(), languages=of,
                  meanings=meanings, explained=explained)  # fmt: skip


def make_disparity(measure: str, values: dict[str, float], properties: dict[str, dict[str, float]], higher=True):
    """Of one measure, with true rank correlations and intervals of the width that a bootstrap might give."""
    ranked = sorted(values, key=lambda code: values[code], reverse=not higher)
    worst = ranked[: max(1, len(ranked) // 10)]
    correlations = {}
    for name, its in properties.items():
        common = [code for code in values if code in its]
        if len(common) > 4:
            rho = float(spearmanr([values[code] for code in common], [its[code] for code in common]).statistic)
            if np.isfinite(rho):
                correlations[name] = Interval(value=rho, low=max(rho - 0.17, -1), high=min(rho + 0.15, 1))
    data = np.sort(np.array(list(values.values())))
    gini = float((2 * np.arange(1, len(data) + 1) - len(data) - 1) @ data / (len(data) * data.sum()))
    sized = sorted((code for code in values if code in properties["bytes"]), key=lambda c: -properties["bytes"][c])
    edges = [round(part * len(sized) / 3) for part in range(4)]
    resources = {
        group: {"mean": float(np.mean([values[code] for code in its])),
                "worst": (min if higher else max)(values[code] for code in its), "languages": float(len(its))}
        for group, (a, b) in zip(("high", "middle", "low"), pairwise(edges), strict=True)
        if (its := sized[a:b])
    }  # fmt: skip
    return Disparity(
        measure=measure, values=values, higher_is_better=higher,
        gini=Interval(value=gini, low=max(gini - 0.04, 0), high=gini + 0.05), worst=worst,
        worst_mean=float(np.mean([values[code] for code in worst])), correlations=correlations, resources=resources,
    )  # fmt: skip


def make_universality(
    model: str = "small",
    codes: list[str] | None = None,
    layers: int = 4,
    skill: float = 0.5,
    points: int = 900,
    **changes,
) -> Universality:
    """One encoder's measures; `skill` from 0 to 1 is how well it retrieves, `changes` replace fields."""
    codes = codes or CODES
    every = ["en", *codes]
    spelled = {code: spelling_of(code) for code in every}
    sizes = {code: int(10 ** noise("bytes", code).uniform(5.4, 10.2)) for code in every if code not in UNKNOWN}
    able = {code: quality(code, sizes.get(code, 10**6), spelled[code].unknown) for code in every}
    pairs = {
        f"{code}-en": Pair(language=code, other="en", sentences=n, chance=1 / n)
        for code in codes
        for n in [1000 if noise("n", code).random() < 0.7 else int(noise("n", code).integers(120, 950))]
    }
    retrieval, probes, shapes = [], [], []
    means = {code: place(code, model) for code in every}
    centre = np.mean(list(means.values()), axis=0)
    directions = {code: (v - centre) / np.linalg.norm(v - centre) for code, v in means.items()}
    for layer in range(layers + 1):
        # Best one layer below the last, as encoders for masked language modelling often are.
        reach = skill * (0.35 + 0.65 * min(layer / max(layers - 1, 1), 1)) * (0.85 if layer == layers else 1)
        for similarity in ("cosine", "csls"):
            for treatment, share in RESULT.items():
                scores = {}
                for name, pair in pairs.items():
                    base = max(reach * share * able[pair.language] * (1.12 if similarity == "csls" else 1), pair.chance)
                    forth, back = np.clip(base + noise(name, layer, model).normal(0, 0.008, 2), pair.chance, 1)
                    scores[name] = Score(forth=float(forth), back=float(back))
                retrieval.append(Retrieval(layer=layer, similarity=similarity, treatment=treatment, pairs=scores))
        for kind, ease in (("linear", 0.0), ("mlp", 0.012)):
            right = {
                code: float(np.clip(0.985 - 0.05 * layer / max(layers, 1) + ease
                            - noise("probe", code, model).exponential(0.03), 0, 1))
                for code in every
            }  # fmt: skip
            mean = float(np.mean(list(right.values())))
            accuracies = np.clip(mean + noise(kind, layer, model).normal(0, 0.003, 3), 0, 1).tolist()
            probes.append(Probe(layer=layer, kind=kind, accuracies=accuracies, chance=1 / len(every), languages=right))
        distances = {
            one: {other: max(0.0, 1 - float(directions[one] @ directions[other])) for other in every} for one in every
        }
        shapes.append(
            Geometry(layer=layer, anisotropy=0.31 + 0.44 * layer / layers,
                     anisotropy_centred=0.12 + 0.2 * layer / layers, between=0.62 - 0.32 * layer / layers,
                     distances=distances)
        )  # fmt: skip
    properties = {
        "bytes": {code: float(value) for code, value in sizes.items()},
        "fertility": {code: each.fertility for code, each in spelled.items()},
        "unknown": {code: each.unknown for code, each in spelled.items()},
    }
    last = {r.treatment: r for r in retrieval if r.layer == layers and r.similarity == "cosine"}
    disparity = [
        make_disparity(
            f"retrieval, {kind}", {pairs[n].language: s.mean for n, s in last[kind].pairs.items()}, properties
        )
        for kind in ("raw", "centred")
    ]
    characters = {code: 1 / each.per_character for code, each in spelled.items()}
    unknown = {code: each.unknown for code, each in spelled.items()}
    disparity.append(make_disparity("characters per piece", characters, properties))
    disparity.append(make_disparity("unknown", unknown, properties, higher=False))
    fields = {
        "model": model, "model_fingerprint": f"fp-{model}", "parameters": 15_600_000 if "x" in model else 18_900_000,
        "layers": layers, "hidden": 128, "languages": dict.fromkeys(every, 300), "spelling": spelled, "bytes": sizes,
        "pairs": pairs, "probes": probes, "retrieval": retrieval, "geometry": shapes, "disparity": disparity,
        "maps": [make_points(method, treatment, every, model, points)
                 for treatment in ("raw", "centred") for method in ("pca", "umap") if points],
        "left_out": {"pair jv-en.2": "37 sentences, fewer than 100", "text of tlh": "12 sentences, fewer than 50"},
        "settings": {"seeds": [1, 2, 3]}, "seconds": 211.5, "provenance": {"commit": "deadbeef"},
    }  # fmt: skip
    return Universality(**(fields | changes))


def points_of(svg: str) -> list[tuple[float, float]]:
    """Where an SVG has points of a cloud: strokes too short to be seen, unlike the lines of the axes."""
    number = r"(-?[\d.]+)"
    found = re.findall(rf"M {number} {number} \n?L {number} {number} ", svg)
    ends = [tuple(map(float, stroke)) for stroke in found]
    return [(x, y) for x, y, a, b in ends if abs(a - x) + abs(b - y) < 0.5]


def write_universality(run: Path, *found: Universality) -> Path:
    """Put measures where a run has them; returns the run's folder."""
    folder = run / "universality"
    folder.mkdir(parents=True, exist_ok=True)
    for encoder in found:
        (folder / f"{encoder.model.replace('/', '--')}.json").write_text(
            json.dumps(encoder.as_json()), encoding="utf-8"
        )
    return run
