"""A store of random ids in three languages of different size; no tokenizer needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unibert.tokens.store import SPLITS, write_index, write_split
from unibert.tokens.vocabulary import SpecialIds

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4, vocabulary_size=50)


def write_store(folder: Path, samples: Mapping[str, Mapping[str, list[Any]]], vocabulary_size: int = 50) -> Path:
    """Write {language: {split: [ids, ...]}} as a store."""
    entries: dict[str, Any] = {}
    for language, splits in samples.items():
        entries[language] = {"unknown": 0}
        for split in SPLITS:
            with write_split(folder, language, split) as writer:
                writer.add(splits.get(split, []))
            entries[language][split] = writer.entry()
    write_index(folder, "0" * 64, vocabulary_size, entries)
    return folder


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(5)

    def texts(number: int) -> list[Any]:
        # Ids from 1 on: [UNK] occurs, the other special ids do not.
        lengths = np.minimum(60, generator.geometric(0.12, number))
        return [np.where(ids == 1, 1, ids + 4) for ids in (generator.integers(1, 46, n) for n in lengths)]

    samples = {
        "de": {"train": texts(70), "heldout": texts(9)},
        "en": {"train": texts(31), "heldout": texts(5)},
        "sw": {"train": texts(4)},
    }
    return write_store(tmp_path_factory.mktemp("store"), samples)


@pytest.fixture(scope="session")
def special() -> SpecialIds:
    return SPECIAL


@pytest.fixture(scope="session")
def store_writer() -> Any:
    return write_store
