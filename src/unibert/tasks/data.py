"""Samples of a task, with where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Split:
    """Samples that are trained, tuned or tested on."""

    source: str
    """The file or hub address they were read from, for messages."""
    sha256: str
    """Decides which samples these are: of the file; where only some were taken, also of the rule."""
    samples: list[Any] = field(repr=False)

    def described(self) -> dict[str, Any]:
        """As a result records it."""
        return {"file": self.source, "sha256": self.sha256, "samples": len(self.samples)}


@dataclass(frozen=True)
class Splits:
    """The samples of one language; without `train`, a model trained on other languages is tested on it."""

    train: Split | None = None
    dev: Split | None = None
    test: Split | None = None

    def described(self) -> dict[str, Any]:
        """The three parts as a result records them."""
        named = (("train", self.train), ("dev", self.dev), ("test", self.test))
        return {name: split.described() if split else None for name, split in named}

    @property
    def parts(self) -> tuple[Split, ...]:
        """Those that are there."""
        return tuple(split for split in (self.train, self.dev, self.test) if split)
