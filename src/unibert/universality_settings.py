"""Settings of measuring universality; part of the recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from unibert.settings import LanguageCode, PositiveInt, Seed, Settings


class UniversalitySettings(Settings):
    """How alike the languages are to an encoder: which encoders, on which text, how much of it."""

    models: list[str] = []
    """As in `benchmark.models`; those of the benchmark when empty."""
    parallel: list[str] = []
    """Line-aligned translations: folders or files, such as Tatoeba's `tatoeba.deu-eng.deu` or `flores.de` beside
    `flores.en`; `.gz` is decompressed. Nothing is measured where this and `text` are both empty."""
    text: list[str] = []
    """Text by language for the probe and the geometry: `XX.txt[.gz]`, a sentence a line, or a corpus folder; files or
    folders. The sentences of `parallel` when empty: the projection is then fitted on the very sentences that retrieval
    is measured on."""
    languages: Annotated[list[LanguageCode], Field(min_length=2)] | None = None
    """Only these; all that are found when unset."""
    sentences: Annotated[int, Field(ge=20)] = 300
    """Of each language for the probe and the geometry, drawn by the seed; languages with fewer than 50 are left out."""
    least_pairs: Annotated[int, Field(ge=2)] = 100
    """Files with fewer translations are left out."""
    layers: Literal["all", "last"] = "all"
    """`last` saves most of the time and memory of large encoders."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [1, 2, 3]
    """Each decides the probe's split and weights; the first also which sentences are drawn."""
    max_length: Annotated[int, Field(ge=8)] = 128
    """Longest sentence in tokens; what is longer is cut."""
    neighbours: PositiveInt = 10
    """k of cross-domain similarity local scaling (CSLS; Conneau et al., arXiv 1710.04087)."""
    rank: PositiveInt | None = None
    """Language directions that the projection removes; one fewer than the languages, and at most a quarter of the
    width, when unset."""
    maps: list[Literal["pca", "umap"]] = ["pca", "umap"]
    """Two-dimensional maps of sentences. `umap` needs umap-learn and half a minute for its first map."""
    sizes: str | None = None
    """CSV file with the columns `language` and `bytes`: how much text of each language the encoders have seen. The
    run's own corpus when unset."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is there twice; the same result twice would look like certainty")
        return seeds
