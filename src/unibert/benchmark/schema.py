"""What a finished run's file holds, and reading one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unibert.errors import DataError
from unibert.files import fingerprint, read_json

SCHEMA = 1
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, protected_namespaces=())


class TypeScore(_Shape):
    """Entity F1, precision and recall in per cent, and how many entities there are."""

    f1: Percent
    precision: Percent
    recall: Percent
    support: Count


class LanguageScore(TypeScore):
    """The scores on one language's test file, also per entity type."""

    types: dict[str, TypeScore] = {}


class Result(_Shape):
    """One finished run: `results/ADDRESS.json`."""

    version: Literal[1] = Field(alias="schema")
    address: str
    task: str
    benchmark: str
    model: str
    model_fingerprint: str
    parameters: Count
    setting: Literal["each", "all"]
    languages: Annotated[list[str], Field(min_length=1)]
    seed: int
    settings: dict[str, Any]
    data: dict[str, dict[str, Any]]
    scores: Annotated[dict[str, LanguageScore], Field(min_length=1)]
    dev_scores: list[Percent]
    best_epoch: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    provenance: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _known_schema(cls, value: Any) -> Any:
        found = value.get("schema") if isinstance(value, dict) else None
        if found != SCHEMA:
            raise ValueError(f"schema {found!r}, not {SCHEMA}: written by another version")
        return value

    def as_json(self) -> dict[str, Any]:
        """The result as its file holds it."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def place(self) -> tuple[Any, ...]:
        """What this result is one seed of: a model in a setting; in `each`, on a language."""
        languages = tuple(self.languages) if self.setting == "each" else ()
        return (self.task, self.benchmark, self.model, self.setting, languages)

    @property
    def origin(self) -> str:
        """A fingerprint of weights, data and settings: only results that agree in it may be averaged over seeds."""
        sums = {
            language: {name: (entry or {}).get("sha256") for name, entry in files.items()}
            for language, files in self.data.items()
        }
        return fingerprint({"model": self.model_fingerprint, "settings": self.settings, "data": sums})


def load_result(path: Path) -> Result | str | None:
    """A result file; what is wrong with it, as text, if it is damaged or of another version; None if it is missing."""
    if not path.exists():
        return None
    try:
        return Result.model_validate(read_json(path))
    except (DataError, OSError) as error:
        return str(error).splitlines()[0]
    except ValidationError as error:
        item = error.errors()[0]
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        return f"{path}: {where}: {message}" if where else f"{path}: {message}"
