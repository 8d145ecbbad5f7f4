"""What `make demo` runs: write the world as real dumps and CoNLL files, then every stage, as for real dumps."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from unibert.errors import RecipeError
from unibert.quickstart.ner_files import write_ner
from unibert.quickstart.translations import PIVOT, write_translations
from unibert.quickstart.wikis import write_dumps
from unibert.quickstart.world import load_world
from unibert.recipe import Recipe
from unibert.recipe_file import load_recipe
from unibert.stages import run_recipe

WORLD_SEED = 1
NER_SENTENCES = (240, 60, 150)
"""Training, development and test sentences per language: what fits into the demo's minutes."""


def quickstart(folder: Path, overrides: Iterable[str] = ()) -> Path:
    """Run the whole pipeline on the miniature world; return the report's path.

    Args:
        folder: `world/` gets the dumps, NER files and translations; the rest is an ordinary run folder.
        overrides: `key=value`, as for any recipe.
    """
    began = time.perf_counter()
    recipe = quickstart_recipe(folder, overrides)
    print(f"The miniature world is in {folder / 'world'}", file=sys.stderr)
    report = run_recipe(recipe)
    print(
        f"Took {time.perf_counter() - began:.0f} s; the encoder is in {folder / 'student' / 'model'}", file=sys.stderr
    )
    return report


def quickstart_recipe(folder: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Write the world's files below `folder` and return the recipe that reads them.

    The files are the same bytes every time, so a second run goes on where the first one stopped.
    """
    overrides = list(overrides)
    for override in overrides:
        if override.startswith(("folder=", "corpus.dumps=", "benchmark.data", "universality.parallel=")):
            raise RecipeError(
                f"--set {override}: the demo fills this in itself", "Use --folder, or a recipe of your own."
            )
    with as_file(files("unibert.quickstart") / "quickstart.toml") as path:
        tree = load_recipe(path, overrides).resolved()
    world = load_world()
    write_dumps(world, folder / "world" / "dumps", WORLD_SEED)
    ner = write_ner(world, folder / "world" / "ner", WORLD_SEED, NER_SENTENCES)
    write_translations(world, folder / "world" / "parallel", WORLD_SEED)
    wanted = tree["corpus"]["languages"] or list(ner)
    tree["folder"] = str(folder)
    tree["corpus"]["dumps"] = [str(folder / "world" / "dumps")]
    files_by_language = {
        language: {split: str(path) for split, path in parts.items()}
        for language, parts in ner.items()
        if language in wanted
    }
    finetune = tree["benchmark"]["finetune"]
    tree["benchmark"]["data"] = {"ner": {"task": "ner", "files": files_by_language, "finetune": finetune}}
    if PIVOT in wanted and len(wanted) > 1:  # translations are of the pivot's sentences
        tree["universality"]["parallel"] = [str(folder / "world" / "parallel")]
        tree["universality"]["languages"] = tree["corpus"]["languages"]
    return Recipe.model_validate(tree)
