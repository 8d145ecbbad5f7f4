"""What a finished run's file holds, and reading one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unibert.errors import DataError
from unibert.files import fingerprint, read_json
from unibert.task_settings import Setting

SCHEMA = 2
Count = Annotated[int, Field(ge=0)]


Content = TypeVar("Content", bound=BaseModel)


class Shape(BaseModel):
    """A part of a file."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, protected_namespaces=())


class Versioned(Shape):
    """What a file holds, of one schema: the only number that its field `version`, `schema` in the file, may have."""

    @model_validator(mode="before")
    @classmethod
    def _known_schema(cls, value: Any) -> Any:
        field = cls.model_fields["version"]
        (known,) = get_args(field.annotation)
        missing = None if field.is_required() else known
        found = value.get("schema", missing) if isinstance(value, dict) else None
        if found != known:
            older = isinstance(found, int) and 0 < found < known
            raise ValueError(f"schema {found!r}, not {known}: written by {'an older' if older else 'another'} version")
        return value


class TypeScore(Shape):
    """The scores of one type of what is looked for, and how many there are."""

    metrics: dict[str, float]
    support: Count


class LanguageScore(TypeScore):
    """The scores on one language's test part."""

    low: float
    """With `high`, the 95 % interval of the first metric over samples (bootstrap)."""
    high: float
    types: dict[str, TypeScore] = {}


class Predictions(Shape):
    """Where a run's predictions are."""

    file: str
    """Below the benchmark's folder."""
    sha256: str
    samples: Count


class Attempt(Shape):
    """A learning rate that was tried, and its best dev score."""

    learning_rate: float
    dev_score: float


class Result(Versioned):
    """One finished run: `results/ADDRESS.json`."""

    version: Literal[2] = Field(alias="schema")
    address: str
    task: str
    benchmark: str
    """As the recipe calls it."""
    title: str
    """As tables call it."""
    metric: str
    """The key of the metric that chose the epoch and fills tables."""
    per_cent: bool
    """Whether metrics go from 0 to 100; else from -1 to 1."""
    model: str
    model_fingerprint: str
    parameters: Count
    trained_parameters: Count
    setting: Setting
    languages: Annotated[list[str], Field(min_length=1)]
    """Those that were trained on."""
    seed: int
    settings: dict[str, Any]
    teacher: str | None = None
    """Address of the run whose model this one learned from."""
    data: dict[str, dict[str, Any]]
    """By language: train, dev and test, as far as they were used."""
    scores: Annotated[dict[str, LanguageScore], Field(min_length=1)]
    predictions: Predictions | None = None
    dev_scores: list[float]
    best_epoch: Count
    learning_rate: float
    tried: list[Attempt] = []
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _possible_scores(self) -> Self:
        low, high = (0.0, 100.0) if self.per_cent else (-1.0, 1.0)
        room = 1e-9  # rounding
        for place, value in self._values():
            if not math.isfinite(value) or not low - room <= value <= high + room:
                raise ValueError(f"{place}: {value} is not a number from {low:g} to {high:g}")
        for language, score in self.scores.items():
            if self.metric not in score.metrics:
                raise ValueError(f"scores.{language}.metrics.{self.metric}: missing")
        return self

    def _values(self) -> Iterator[tuple[str, float]]:
        for language, score in self.scores.items():
            place = f"scores.{language}"
            yield from ((f"{place}.metrics.{key}", value) for key, value in score.metrics.items())
            yield from ((f"{place}.{key}", getattr(score, key)) for key in ("low", "high"))
            for kind, found in score.types.items():
                yield from ((f"{place}.types.{kind}.{key}", value) for key, value in found.metrics.items())
        yield from ((f"dev_scores.{number}", value) for number, value in enumerate(self.dev_scores))

    def as_json(self) -> dict[str, Any]:
        """The result as its file holds it."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def place(self) -> tuple[Any, ...]:
        """What this result is one seed of: a model in a setting; in `each` and `zero-shot`, trained on a language."""
        languages = tuple(self.languages) if self.setting in ("each", "zero-shot") else ()
        return (self.task, self.benchmark, self.model, self.setting, languages)

    @property
    def origin(self) -> str:
        """A fingerprint of weights, data and settings: only results that agree in it may be averaged over seeds."""
        sums = {
            language: {name: (entry or {}).get("sha256") for name, entry in files.items()}
            for language, files in self.data.items()
        }
        return fingerprint({"model": self.model_fingerprint, "settings": self.settings, "data": sums})

    @property
    def samples(self) -> int:
        """How many samples training went through, at most."""
        trained = sum((files.get("train") or {}).get("samples") or 0 for files in self.data.values())
        rates = len(self.settings.get("learning_rates") or ())
        return int(trained * self.settings.get("epochs", 1) * max(1, rates))


def load_result(path: Path) -> Result | str | None:
    """A result file; what is wrong with it, as text, if it is damaged or of another version; None if it is missing."""
    return validated(path, Result) if path.exists() else None


def validated(path: Path, shape: type[Content]) -> Content | str:
    """A JSON file of a known shape; what is wrong with it, in a line that names the file."""
    try:
        return shape.model_validate(read_json(path))
    except (DataError, OSError) as error:
        return str(error).splitlines()[0]
    except ValidationError as error:
        item = error.errors()[0]
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        return f"{path}: {where}: {message}" if where else f"{path}: {message}"
