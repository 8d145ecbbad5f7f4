"""Short names for models that are called by the path of their folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath

from unibert.benchmark.models import OWN_MODELS
from unibert.report.collect import Run
from unibert.report.wording import listing

_EXPORTED = "model"
"""The folder into which every training writes its model; it tells nothing."""


def short_names(names: Iterable[str]) -> dict[str, str]:
    """For every name that is a path, its last part, or as many as tell it from all the others.

    Names of the hub (`NAME` or `OWNER/NAME`) are left as they are, and no path becomes `student` or `teacher`, which
    are this run's own.
    """
    known = list(dict.fromkeys(names))
    paths = {name: _parts(name) for name in known if name.count("/") > 1 or name.startswith(("/", "./", "../", "~"))}
    # A path that ends in another name would be taken for it.
    taken = {*OWN_MODELS, *(name for name in known if name not in paths)}
    found = {}
    for name, parts in paths.items():
        others = [_parts(other) for other in known if other != name]
        for length in range(1, len(parts) + 1):
            short = "/".join(parts[-length:])
            if parts[-length] == "/" or short == name:
                break
            if short not in taken and not any(other[-length:] == parts[-length:] for other in others):
                found[name] = short
                break
    return found


def _parts(name: str) -> tuple[str, ...]:
    parts = PurePath(name).parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == _EXPORTED else parts


def with_short_names(run: Run) -> tuple[Run, str]:
    """The run with short names for models that are paths, and a sentence that tells them; empty where there is none."""
    planned = [str(entry["model"]) for entry in (run.planned or {}).values() if "model" in entry]
    listed = run.recipe.benchmark.models if run.recipe else []
    measured = [encoder.model for encoder in run.universality]
    short = short_names([*(result.model for result in run.results), *planned, *listed, *run.trainings, *measured])
    shown = sorted({*(result.model for result in run.results), *measured} & short.keys())
    if not short:
        return run, ""
    recipe = run.recipe
    if recipe:
        models = [short.get(name, name) for name in recipe.benchmark.models]
        recipe = recipe.model_copy(update={"benchmark": recipe.benchmark.model_copy(update={"models": models})})
    renamed = replace(
        run,
        recipe=recipe,
        results=[
            result.model_copy(update={"model": short[result.model]}) if result.model in short else result
            for result in run.results
        ],
        planned=run.planned
        and {
            address: {**entry, "model": short.get(str(entry.get("model")), entry.get("model"))} if entry else entry
            for address, entry in run.planned.items()
        },
        universality=[
            encoder.model_copy(update={"model": short.get(encoder.model, encoder.model)})
            for encoder in run.universality
        ],
    )
    told = listing([f"{short[name]} for {name}" for name in shown])
    return renamed, f"Models that are folders are called by the end of their path: {told}." if shown else ""
