"""Measuring encoders one after another: `universality/NAME.json` for each, and what neutralises it beside that."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from unibert.errors import DataError
from unibert.files import atomic_file, fingerprint, make_folder, telling_of_full_disk, write_json
from unibert.models.neutral import (
    DIRECTIONS_ENDING,
    Projection,
    fit_means,
    fit_projection,
    remove_means,
    save_means,
    save_projection,
)
from unibert.progress import progress_bar
from unibert.runs import provenance, run_lock
from unibert.tasks.encoder import Encoder
from unibert.universality.embedding import Embedder, spelling
from unibert.universality.geometry import geometry, pca_map, umap_map
from unibert.universality.journal import Journal
from unibert.universality.material import Material
from unibert.universality.meanings import pick_meanings
from unibert.universality.probe import Kind, probe
from unibert.universality.retrieval import measure_retrieval
from unibert.universality.schema import (
    Geometry,
    Pair,
    Points,
    Probe,
    Retrieval,
    Spelling,
    Universality,
    load_universality,
)
from unibert.universality.sentences import Parallel
from unibert.universality.spread import disparities
from unibert.universality_settings import UniversalitySettings

LONGEST_NAME = 160
"""Bytes of a model's name that its files keep; with their endings they stay below what file systems take."""

MEANS_ENDING = ".means.safetensors"
"""Of the name of a model's file of language means."""
KINDS: tuple[Kind, ...] = get_args(Kind)
_OWN = _NO_PROBE, _NO_MAPS, _NO_UMAP, _MODULES = "probe", "maps", "map by UMAP", "sentence-transformers"
"""What a measurement itself leaves out, beside what the material does."""


def measure_universality(
    settings: UniversalitySettings,
    encoders: Sequence[Encoder],
    material: Material,
    folder: Path,
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
) -> tuple[list[Universality], dict[str, str]]:
    """Measure every encoder; one that was measured in just this way before is not measured again.

    Args:
        settings: what to measure.
        encoders: from `tasks.encoder.find_encoder`.
        material: from `find_material`.
        folder: where the results go: `NAME.json`, `NAME.directions.safetensors` and `NAME.means.safetensors` (what
            `models.neutral` removes), `NAME.part` while it is under way.
        metrics: by encoder's name and measure, values by language that are looked at for disparity too, such as
            those of a benchmark.

    Returns:
        What was measured; and by the name of the encoder that could not be, why.

    Raises:
        DataError: no encoder could be measured; the disk is full.
    """
    make_folder(folder)
    found: list[Universality] = []
    failed: dict[str, str] = {}
    stems: set[Path] = set()
    with run_lock(folder):
        for encoder in encoders:
            stem = _stem(folder, encoder, stems)
            stems.add(stem)
            reason = _file(stem, ".failed")
            own = (metrics or {}).get(encoder.name, {})
            try:
                found.append(_Measurement(settings, encoder, material, stem, own).result())
            except DataError as error:  # the other encoders can still be measured
                print(f"error: {error}", file=sys.stderr)
                failed[encoder.name] = error.message
                with atomic_file(reason) as stream:  # the report tells it
                    stream.write(f"{error.message}\n")
            else:
                reason.unlink(missing_ok=True)
    if not found:
        raise DataError("universality: no encoder could be measured", "See the errors above.")
    return found, failed


def file_name(model: str) -> str:
    """What the files of a model are called: its name without what a file's name cannot hold, cut if it is too long."""
    name = re.sub(r"[^\w.-]+", "--", model).strip("-.") or "model"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    return _marked(name.encode()[-LONGEST_NAME:].decode(errors="ignore"), model)


def _marked(name: str, model: str) -> str:
    return f"{name}-{fingerprint({'model': model})[:8]}"


def _stem(folder: Path, encoder: Encoder, taken: Collection[Path]) -> Path:
    """The files of an encoder, without their endings: others than those of `taken` and of what was measured before."""
    stem = folder / file_name(encoder.name)
    before = load_universality(_file(stem, ".json"))
    another = isinstance(before, Universality) and (
        before.model != encoder.name and before.model_fingerprint != encoder.fingerprint
    )
    if another or stem in taken:
        return folder / _marked(stem.name, encoder.name)
    return stem


def _file(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


class _Measurement:
    """Of one encoder, in the order of its methods; what was measured in just this way before is taken from its file."""

    def __init__(
        self,
        settings: UniversalitySettings,
        encoder: Encoder,
        material: Material,
        stem: Path,
        metrics: Mapping[str, Mapping[str, float]],
    ) -> None:
        self.settings, self.encoder, self.material, self.stem, self.metrics = settings, encoder, material, stem, metrics
        asked = settings.model_dump(mode="json", exclude={"models", "parallel", "text", "sizes"})
        self.identity = fingerprint({"model": encoder.fingerprint, "settings": asked, "material": material.fingerprint})
        self.told_settings = settings.model_dump(mode="json") | {"identity": self.identity}
        self.left_out = dict(material.left_out)

    @cached_property
    def embedder(self) -> Embedder:
        """The encoder, which is loaded when something is to be measured."""
        return Embedder(self.encoder, self.settings.max_length)

    @cached_property
    def layers(self) -> list[int]:
        """Those that are asked for; the last is the encoder's."""
        last = self.embedder.layers
        return list(range(last + 1)) if self.settings.layers == "all" else [last]

    @cached_property
    def journal(self) -> Journal:
        """What a process before this one measured."""
        return Journal(_file(self.stem, ".part"), self.identity)

    def result(self) -> Universality:
        """The measures, which are in their file then."""
        path = _file(self.stem, ".json")
        before = load_universality(path)
        neutral = [_file(self.stem, ending) for ending in (DIRECTIONS_ENDING, MEANS_ENDING)]
        # What neutralises a model may have been removed: without it the result is not whole.
        whole = len(self.material.texts) < 2 or all(place.is_file() for place in neutral)
        if whole and isinstance(before, Universality) and before.settings.get("identity") == self.identity:
            made = self.bring_up_to_date(before)
            if made != before:
                write_json(path, made.as_json())
            return made
        with telling_of_full_disk(path):
            made = self.run()
            write_json(path, made.as_json())
            _file(self.stem, ".part").unlink(missing_ok=True)
        return made

    def bring_up_to_date(self, before: Universality) -> Universality:
        """What was measured before, with what may be another one now: files of no use, metrics, a map's package."""
        own = {name: before.left_out[name] for name in _OWN if name in before.left_out}
        maps = before.maps
        if _NO_UMAP in own and find_spec("umap"):  # it was not installed then
            del own[_NO_UMAP]
            maps = self.draw_maps()
        changed = {"maps": maps, "left_out": self.left_out | own, "settings": self.told_settings}
        return self.with_disparity(before.model_copy(update=changed))

    def with_disparity(self, made: Universality) -> Universality:
        """The measures, and how they differ between languages."""
        return made.model_copy(update={"disparity": disparities(made, self.metrics, self.settings.seeds[0])})

    def run(self) -> Universality:
        """Measure everything."""
        began = time.monotonic()
        if self.embedder.note:
            self.left_out[_MODULES] = self.embedder.note
        spelled = self.embed_texts()
        directions = self.neutralise()
        probes = self.probe_layers()
        shapes = self.look_at_layers()
        pairs, retrieval = self.retrieve(directions, spelled)
        drawn = self.draw_maps()
        made = Universality(
            model=self.encoder.name,
            model_fingerprint=self.encoder.fingerprint,
            parameters=self.embedder.parameters,
            layers=self.embedder.layers,
            hidden=self.embedder.hidden,
            languages={language: len(texts) for language, texts in self.material.texts.items()},
            spelling=spelled,
            bytes=self.material.sizes,
            pairs=pairs,
            probes=probes,
            retrieval=retrieval,
            geometry=shapes,
            maps=drawn,
            disparity=[],
            left_out=self.left_out,
            settings=self.told_settings,
            seconds=time.monotonic() - began,
            provenance=provenance(),
        )
        return self.with_disparity(made)

    def embed_texts(self) -> dict[str, Spelling]:
        """The sentences of every language, for probe and geometry; and how the tokenizer spells them."""
        texts = self.material.texts
        flat, self.names = self.material.labelled
        self.several = len(texts) > 1
        with progress_bar(len(flat), f"{self.encoder.name}: sentences", " sentences") as bar:
            self.vectors = self.embedder.embed(flat, self.layers, bar.update).layers_LND
        return {language: spelling(self.embedder.tokenizer, found) for language, found in texts.items()}

    def neutralise(self) -> dict[int, Projection]:
        """The language directions of every layer; those of the last layer go to the disk, with the means."""
        if not self.several:
            return {}
        found = {
            layer: fit_projection(self.vectors[place], self.names, self.settings.rank)
            for place, layer in enumerate(self.layers)
        }
        mark = self.encoder.fingerprint
        save_projection(found[self.layers[-1]], _file(self.stem, DIRECTIONS_ENDING), mark)
        save_means(fit_means(self.vectors[-1], self.names), _file(self.stem, MEANS_ENDING), mark)
        return found

    def probe_layers(self) -> list[Probe]:
        """Probes of both kinds at every layer."""
        if not self.several:
            self.left_out[_NO_PROBE] = "text in fewer than two languages"
            return []
        found = []
        todo = [(place, layer, kind) for place, layer in enumerate(self.layers) for kind in KINDS]
        seeds = self.settings.seeds
        with progress_bar(len(todo) * len(seeds), f"{self.encoder.name}: probes", " probes") as bar:
            for place, layer, kind in todo:
                key = f"probe {layer} {kind}"
                value = self.journal.get(key)
                if value is None:
                    value = probe(self.vectors[place], self.names, layer, kind, seeds, advance=bar.update).model_dump()
                    self.journal.put(key, value)
                else:
                    bar.update(len(seeds))
                found.append(Probe.model_validate(value))
        return found

    def look_at_layers(self) -> list[Geometry]:
        """How the embeddings of every layer lie."""
        if not self.several:
            return []
        return [geometry(self.vectors[place], self.names, layer) for place, layer in enumerate(self.layers)]

    def retrieve(
        self, directions: Mapping[int, Projection], spelled: dict[str, Spelling]
    ) -> tuple[dict[str, Pair], list[Retrieval]]:
        """Translations in every file, in both directions, at every layer."""
        pairs: dict[str, Pair] = {}
        tables: dict[tuple[Any, ...], dict[str, Any]] = {}
        if not self.material.parallel:
            return {}, []
        total = sum(len(pair.texts) for pair in self.material.parallel)
        with progress_bar(total, f"{self.encoder.name}: translations", " pairs") as bar:
            for parallel in self.material.parallel:
                size = len(parallel.texts)
                pair = Pair(language=parallel.language, other=parallel.other, sentences=size, chance=1 / size)
                key = f"pair {parallel.name}"
                found = self.journal.get(key)
                if found is None:
                    found = [table.model_dump() for table in self._compare(parallel, pair, directions)]
                    self.journal.put(key, found)
                pairs[parallel.name] = pair
                if pair.language not in spelled:
                    spelled[pair.language] = spelling(self.embedder.tokenizer, parallel.texts)
                for table in found:
                    place = (table["layer"], table["similarity"], table["treatment"])
                    tables.setdefault(place, {}).update(table["pairs"])
                bar.update(size)
        return pairs, [
            Retrieval(layer=layer, similarity=similarity, treatment=treatment, pairs=scores)
            for (layer, similarity, treatment), scores in sorted(tables.items())
        ]

    def _compare(self, parallel: Parallel, pair: Pair, directions: Mapping[int, Projection]) -> list[Retrieval]:
        """One file's, every layer's. A file at a time: all embeddings of large encoders would fill the memory."""
        size = len(parallel.texts)
        both = self.embedder.embed([*parallel.texts, *parallel.others], self.layers).layers_LND
        found = []
        for place, layer in enumerate(self.layers):
            sides = {parallel.name: (both[place, :size], both[place, size:])}
            project = directions[layer].apply if layer in directions else None
            neighbours = self.settings.neighbours
            found += measure_retrieval(layer, sides, {parallel.name: pair}, project=project, neighbours=neighbours)
        return found

    def draw_maps(self) -> list[Points]:
        """Maps of sentences that translate each other, at the last layer."""
        if not self.settings.maps:
            return []
        texts, languages, meanings = pick_meanings(self.material.parallel, self.settings.seeds[0])
        if not texts:
            if self.material.parallel:
                self.left_out[_NO_MAPS] = "no sentence is there in two languages or more"
            return []
        raw = self.embedder.embed(texts, [self.embedder.layers]).layers_LND[0]
        found: list[Points] = []
        for treatment, vectors in (("raw", raw), ("centred", remove_means(raw, languages, fit_means(raw, languages)))):
            if "pca" in self.settings.maps:
                found.append(pca_map(vectors, languages, meanings, treatment))  # type: ignore[arg-type]
            if "umap" not in self.settings.maps:
                continue
            try:
                found.append(umap_map(vectors, languages, meanings, treatment, self.settings.seeds[0]))  # type: ignore[arg-type]
            except DataError as error:  # the package is an extra
                self.left_out[_NO_UMAP] = error.message
        return found
