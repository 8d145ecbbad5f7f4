"""A little world for the grid: files of two languages, a student, a teacher, and a fine-tuning that takes no time."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ner_support import write_conll, write_tiny_bert
from unibert.recipe import Benchmark

PARTS = ("train", "dev", "test")


@dataclass
class QuickOutcome:
    """What a fine-tuning would hand back, without one."""

    f1: float
    languages: list[str]

    @property
    def predictions(self):
        return {language: [["O"]] for language in self.languages}

    @property
    def statistics(self):
        return {language: np.array([[1.0, 2.0, 1.0]]) for language in self.languages}

    def described(self):
        score = {"f1": self.f1, "precision": self.f1, "recall": self.f1, "support": 9, "types": {}}
        scores = {language: {**score, "low": self.f1, "high": self.f1} for language in self.languages}
        numbers = {"parameters": 7, "trained_parameters": 5, "best_epoch": 1, "learning_rate": 0.01, "seconds": 1.0}
        return {"scores": scores, "dev_scores": [], "tried": [], **numbers}


def quick(task, encoder, data, settings, seed, advance):
    """Stands in for `fine_tune`."""
    advance(sum(len(splits.train.samples) for splits in data.values() if splits.train) * settings.epochs)
    return QuickOutcome(40.0 + seed, [language for language, splits in data.items() if splits.test])


def write_grid_world(folder: Path) -> Path:
    """Files of the languages xx and yy, and two models."""
    for number, language in enumerate(("xx", "yy")):
        for split, sentences, seed in (("train", 40, 1), ("dev", 15, 2), ("test", 15, 3)):
            write_conll(folder / language / split, sentences, seed + 10 * number)
    write_tiny_bert(folder / "student", seed=1)
    write_tiny_bert(folder / "teacher", seed=2)
    return folder


def files_of(folder: Path, languages=("yy", "xx"), parts=PARTS):
    """The table of a benchmark's own files."""
    return {language: {part: str(folder / language / part) for part in parts} for language in languages}


def settings_of(folder: Path, files=None, **changes) -> Benchmark:
    """Two models, two seeds, *each* and *all*, on one benchmark `ner` of two languages."""
    tree = {
        "models": ["student", "teacher"],
        "seeds": [1, 2],
        "data": {"ner": {"task": "ner", "files": files or files_of(folder)}},
        "finetune": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-2, "precision": "float32"},
    }
    return Benchmark.model_validate({**tree, **changes})


def models_of(folder: Path) -> dict[str, Path]:
    """Where the recipe's own models are."""
    return {"student": folder / "student", "teacher": folder / "teacher"}


def prepare_and_be_killed(number, folder, threads):
    """What a process of the crew does, which is killed in the middle of runs as often as `folder/kill` says."""
    from unibert.benchmark import executors

    real = executors._prepare(number, folder, threads)

    def killed(address, advance):
        advance(8)
        times = int((folder / "kill").read_text())
        if times and address == (folder / "victim").read_text():
            (folder / "kill").write_text(str(times - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return real(address, advance)

    return killed


def make_result(model="student", setting="each", languages=("es",), seed=1, f1=50.0, **changes):
    """What a finished run's file holds."""
    scores = {
        language: {
            "metrics": {"f1": value, "precision": value, "recall": value},
            "low": value,
            "high": value,
            "support": 9,
            "types": {},
        }
        for language, value in (f1 if isinstance(f1, dict) else dict.fromkeys(languages, f1)).items()
    }
    entry = {"file": "f", "sha256": "0" * 64, "samples": 1}
    tree = {
        "schema": 2,
        "address": f"{model}-{setting}-{'-'.join(languages)}-{seed}",
        "task": "ner",
        "benchmark": "ner",
        "title": "ner",
        "metric": "f1",
        "per_cent": True,
        "model": model,
        "model_fingerprint": model,
        "parameters": 1000 if model == "student" else 5000,
        "trained_parameters": 900,
        "setting": setting,
        "languages": list(languages),
        "seed": seed,
        "settings": {"epochs": 1},
        "teacher": None,
        "data": {language: {"train": entry, "dev": None, "test": entry} for language in languages},
        "scores": scores,
        "predictions": None,
        "dev_scores": [],
        "best_epoch": 1,
        "learning_rate": 0.1,
        "tried": [],
        "seconds": 1.0,
        "provenance": {"finished": "2025-01-01T00:00:00Z"},
    }
    return {**tree, **changes}
