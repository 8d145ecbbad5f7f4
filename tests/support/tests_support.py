"""A token store of three little languages, its tokenizer, and settings that train on it in a second."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unibert.recipe import Pretrain
from unibert.tokens.store import write_index, write_split
from unibert.tokens.vocabulary import SpecialIds, save_tokenizer, tokenizer_fingerprint, train_tokenizer

WORDS = {
    "de": "der Fluss fließt durch die Stadt und mündet in das Meer".split(),
    "en": "the river flows through the town and ends in the sea".split(),
    "ru": "река течёт через город и впадает в море".split(),
}


@dataclass
class World:
    """Folders of a token store and its tokenizer."""

    tokens: Path
    tokenizer: Path

    def arguments(self, output: Path) -> dict[str, Any]:
        return {"name": "student", "seed": 3, "tokens": self.tokens, "tokenizer": self.tokenizer, "output": output}


def write_world(folder: Path, words: dict[str, list[str]] = WORDS, held_out: bool = True) -> World:
    generator = np.random.default_rng(0)
    sentences = {
        language: [" ".join(generator.permutation(list_)[: generator.integers(4, len(list_))]) for _ in range(60)]
        for language, list_ in words.items()
    }
    tokenizer = train_tokenizer([text for texts in sentences.values() for text in texts], 200)
    save_tokenizer(tokenizer, folder / "tokenizer")
    entries = {}
    for language, texts in sentences.items():
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        entry: dict[str, Any] = {"unknown": 0}
        for split, part in (("train", ids[:50]), ("heldout", ids[50:] if held_out else [])):
            with write_split(folder / "tokens", language, split) as writer:
                writer.add(part)
            entry[split] = writer.entry()
        entries[language] = entry
    size = SpecialIds.of(tokenizer).vocabulary_size
    write_index(folder / "tokens", tokenizer_fingerprint(tokenizer), size, entries)
    return World(folder / "tokens", folder / "tokenizer")


def make_settings(**changes: Any) -> Pretrain:
    tree: dict[str, Any] = {
        "student": {"layers": 1, "hidden": 16, "heads": 2, "feed_forward": 24, "max_positions": 32},
        "steps": 12,
        "batch_size": 8,
        "context": 24,
        "warmup_steps": 3,
        "learning_rate": 5e-3,
        "label_smoothing": 0.1,
        "distillation": {"weight": 0.0},
        "micro_batch_tokens": 64,
        "precision": "float32",
        "evaluate_every": 6,
        "save_every": 4,
        "log_every": 2,
        "tensorboard": False,
    }
    # Whole from the first step: what is tested of it shows in few steps.
    adversary = {"weight": 0.1, "start": 0, "full": 0, **changes.pop("adversary", {})}
    return Pretrain.model_validate({**tree, **changes, "adversary": adversary})


def heed_interrupts() -> None:
    """For `preexec_fn`: background jobs are started with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
