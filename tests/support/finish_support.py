"""A finished run without the training: a tiny student with random weights, a made-up log, and what `finish` makes."""

import json
from pathlib import Path
from typing import Any

from tests_support import World, make_settings
from unibert.models.sizes import architecture
from unibert.models.student import build_student
from unibert.pretrain.checkpoint import Progress
from unibert.pretrain.finish import finish
from unibert.recipe import Pretrain, Recipe
from unibert.tokens.store import TokenStore

TEACHER = {"name": "someone/large-model", "fingerprint": "0123456789abcdef"}
FULL = {
    "distillation": {"weight": 0.4, "hidden": {"weight": 0.1}, "relations": {"weight": 0.2, "heads": 4}},
    "adversary": {"mode": "confusion", "weight": 0.1, "hidden": 32, "depth": 2, "steps": 3, "learning_rate": 1e-3},
}


def tiny_student(settings: Pretrain, store: TokenStore, seed: int = 3) -> Any:
    return build_student(architecture(settings.student), store.vocabulary_size, 0, seed, settings.dropout)


def write_log(folder: Path, store: TokenStore, steps: int = 300, every: int = 10) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    losses = {code: 5.0 + place for place, code in enumerate(store.languages)}
    with (folder / "log.jsonl").open("w") as stream:
        for step in range(0, steps + 1, every):
            mlm = 9 - step / 100
            if step:
                part = {"loss": mlm / 2, "mlm": mlm, "adversary": 1.25, "distillation": 2.5, "hidden": None}
                record = {"kind": "train", "step": step, "tokens": step * 100, "learning_rate": 1e-3, **part}
                stream.write(json.dumps(record) + "\n")
            held_out = {"kind": "heldout", "step": step, "mlm": mlm + 0.5, "languages": losses}
            stream.write(json.dumps(held_out) + "\n")


def make_recipe(settings: Pretrain, **changes: Any) -> dict[str, Any]:
    tree = {"name": "demo", "teacher": {"model": TEACHER["name"]}, "pretrain": settings.model_dump(), **changes}
    return Recipe.model_validate(tree).resolved()


def finished_run(
    folder: Path, world: World, settings: Pretrain | None = None, name: str = "student", seed: int = 3, **facts: Any
) -> Path:
    """The folder of a finished run."""
    settings = settings or make_settings(**FULL)
    store = TokenStore(world.tokens)
    write_log(folder, store)
    progress = Progress(300, 12_345, 617.25, [20, 50, 30])
    student = tiny_student(settings, store, seed)
    known: Any = {"teacher": TEACHER, **facts}
    finish(folder, name, settings, seed, student, world.tokenizer, store, progress, make_recipe(settings), known)
    return folder
