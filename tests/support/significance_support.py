"""A benchmark's folder whose predictions are drawn, with the scores that follow from them."""

import json
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np

from grid_support import make_result
from unibert.benchmark.predictions import write_predictions
from unibert.tasks.task import find_task

LANGUAGES = ("de", "en", "es", "fr", "it", "nl")
SKILLS = {("student", "each"): 0.55, ("student", "all"): 0.7, ("teacher", "each"): 0.75, ("teacher", "all"): 0.75}


def draw_statistics(task: str, skill: float, language: str, setting: str, seed: int, samples: int) -> np.ndarray:
    """Statistics of one test set; the samples are the same for every system, and hard ones are hard for all."""
    tests = np.random.default_rng(crc32(language.encode()))
    gold, hardness = tests.integers(1, 4, size=samples), tests.normal(0, 0.1, size=samples)
    generator = np.random.default_rng([crc32(f"{language} {setting} {skill}".encode()), seed])
    if task == "sts":
        x = tests.normal(size=samples)
        y = skill * x + (1 - skill**2) ** 0.5 * generator.normal(size=samples)
        return np.stack([np.ones(samples), x, y, x**2, y**2, x * y], axis=1)
    right = generator.binomial(gold, np.clip(skill + hardness, 0.01, 0.99))
    return np.stack([right, gold, gold], axis=1).astype(float)


def write_scored_result(folder: Path, model, setting, trained, seed, skill, samples=300, task="ner", **changes) -> Path:
    """One result with its predictions; `samples` is a number, or one for each language."""
    sizes = samples if isinstance(samples, dict) else dict.fromkeys(trained, samples)
    statistics = {
        code: draw_statistics(task, skill(code) if callable(skill) else skill, code, setting, seed, sizes[code])
        for code in trained
    }
    value = find_task(task).value
    tree = make_result(
        model, setting, trained, seed, {code: float(value(rows.sum(axis=0))) for code, rows in statistics.items()}
    )
    tree |= {"address": f"{task}-{tree['address'].replace('/', '-')}", "task": task, "benchmark": task, "title": task}
    if task == "sts":
        tree |= {"metric": "pearson", "per_cent": False}
        for score in tree["scores"].values():
            score["metrics"] = {"pearson": score["metrics"]["f1"], "spearman": 0.0}
    tree["data"] = {
        code: {part: {"file": part, "sha256": f"{code} {part}", "samples": sizes[code]} for part in ("train", "test")}
        for code in trained
    }
    outcome = SimpleNamespace(predictions={code: [0] * sizes[code] for code in trained}, statistics=statistics)
    tree["predictions"] = write_predictions(folder, tree["address"], outcome)
    path = folder / "results" / f"{tree['address']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree | changes), encoding="utf-8")
    return path


def write_scored_run(run: Path, skills=None, languages=LANGUAGES, seeds=(1, 2), samples=300, task="ner") -> Path:
    """A run's folder with *each* and *all* of every model; returns it."""
    for (model, setting), skill in (skills or SKILLS).items():
        for seed in seeds:
            for trained in [languages] if setting == "all" else [(code,) for code in languages]:
                write_scored_result(run / "benchmark", model, setting, trained, seed, skill, samples, task)
    return run
