"""What is known of one encoder's universality: `universality/NAME.json` in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from unibert.benchmark.schema import Count, Shape, Versioned, validated

Finite = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1)]
"""A share or an accuracy, from 0 to 1."""
Treatment = Literal["raw", "centred", "projected"]
"""What was done to the embeddings first: nothing; each language's mean removed; the language directions removed."""
Similarity = Literal["cosine", "csls"]


class Probe(Shape):
    """How well a fresh classifier reads the language from one layer's frozen embeddings."""

    layer: Count
    """0 is the embeddings, the last number the encoder's output."""
    kind: Literal["linear", "mlp"]
    accuracies: Annotated[list[Ratio], Field(min_length=1)]
    """On held-out sentences, one per seed; the mean over languages of each language's share of right answers."""
    chance: Ratio
    """1 / number of languages."""
    languages: dict[str, Ratio]
    """Share of each language's held-out sentences that were read right, mean over seeds."""


class Score(Shape):
    """Retrieval between the two sides of one file, accuracy at 1."""

    forth: Ratio
    """Sentences of the language whose nearest neighbour on the other side (English in Tatoeba) is their translation."""
    back: Ratio

    @property
    def mean(self) -> float:
        """Over both directions."""
        return (self.forth + self.back) / 2


class Retrieval(Shape):
    """Retrieval over all files at one layer, with one similarity, after one treatment."""

    layer: Count
    similarity: Similarity
    treatment: Treatment
    pairs: dict[str, Score]
    """By the name of the pair, as in `Pair`."""

    @property
    def mean(self) -> float:
        """Of both directions, over the pairs."""
        return sum(score.mean for score in self.pairs.values()) / len(self.pairs) if self.pairs else 0.0


class Pair(Shape):
    """One line-aligned file pair."""

    language: str
    """The language that is told apart in groups: the one that is not English."""
    other: str
    sentences: Count
    chance: Ratio
    """1 / sentences."""


class Geometry(Shape):
    """How the embeddings of one layer lie."""

    layer: Count
    anisotropy: Finite
    """Mean cosine of two sentences (Ethayarajh, arXiv 1909.00512); 0 where directions are spread evenly."""
    anisotropy_centred: Finite
    """The same when each language's mean was removed."""
    between: Ratio
    """Share of the variance that the languages' means explain: 0 where every language has the same mean."""
    distances: dict[str, dict[str, Finite]]
    """Cosine distance between the languages' mean embeddings (the mean of all removed), by language and language."""


class Points(Shape):
    """A map of sentences in two dimensions."""

    method: Literal["pca", "umap"]
    treatment: Treatment
    x: list[Finite]
    y: list[Finite]
    languages: list[str]
    """Of each point."""
    meanings: list[int]
    """Of each point: sentences that translate each other have the same number."""
    explained: Finite | None = None
    """Of pca: share of the variance that the two axes hold."""


class Interval(Shape):
    """A value with its 95 % interval."""

    value: Finite
    low: Finite
    high: Finite


class Disparity(Shape):
    """How unevenly one measure is spread over the languages."""

    measure: str
    """Such as `retrieval`, `fertility`, `unknown`, or `NER conll2002 all`."""
    values: dict[str, Finite]
    """By language."""
    higher_is_better: bool
    gini: Interval | None
    """Gini coefficient of the values; None where it has no meaning (negative values, all 0, fewer than 3 languages)."""
    worst: list[str]
    """The tenth of the languages (at least one) with the worst values, worst first."""
    worst_mean: Finite
    correlations: dict[str, Interval]
    """Spearman's rank correlation with each property of the languages: `bytes`, `fertility`, `unknown`."""
    resources: dict[str, dict[str, Finite]] = Field(default_factory=dict)
    """High against low: by group (`high`, `middle`, `low`: thirds by bytes) `mean`, `worst`, `languages`."""


class Spelling(Shape):
    """What the tokenizer makes of a language."""

    sentences: Count
    fertility: Finite
    """Pieces per word (runs without white space); per character in scripts that put no spaces, see `per_character`."""
    per_character: Finite
    unknown: Ratio
    """Share of the pieces that are the unknown piece."""


class Universality(Versioned):
    """All that was measured of one encoder."""

    version: Literal[1] = Field(alias="schema", default=1)
    model: str
    model_fingerprint: str
    parameters: Count
    layers: Count
    """Transformer layers; embeddings are layer 0."""
    hidden: Count
    languages: dict[str, Count]
    """Sentences that the probe and the geometry used, by language."""
    spelling: dict[str, Spelling]
    bytes: dict[str, Count]
    """Size of each language in the corpus that the model or the report belongs to; empty where it is unknown."""
    pairs: dict[str, Pair]
    probes: list[Probe]
    retrieval: list[Retrieval]
    geometry: list[Geometry]
    maps: list[Points]
    disparity: list[Disparity]
    left_out: dict[str, str]
    """What could not be measured, by name, and why."""
    settings: dict[str, Any]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Of the process that finished it: not what an interrupted one had done before."""
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _known_pairs(self) -> Self:
        for found in self.retrieval:
            unknown = set(found.pairs) - set(self.pairs)
            if unknown:
                raise ValueError(f"retrieval: {sorted(unknown)[0]} is not among the pairs")
        return self

    def as_json(self) -> dict[str, Any]:
        """The measures as their file holds them."""
        return self.model_dump(mode="json", by_alias=True)

    def retrieval_at(self, layer: int, similarity: Similarity, treatment: Treatment) -> Retrieval | None:
        """One of the tables of retrieval."""
        wanted = (layer, similarity, treatment)
        return next((r for r in self.retrieval if (r.layer, r.similarity, r.treatment) == wanted), None)


def load_universality(path: Path) -> Universality | str:
    """One encoder's measures; what is wrong with the file, as text, if it is damaged or of another version."""
    return validated(path, Universality)
