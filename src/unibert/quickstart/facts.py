"""What is true in the miniature world, in no language: places, people, organisations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from unibert.errors import DataError


@dataclass(frozen=True, slots=True)
class Continent:
    """A continent."""

    kind: ClassVar[str] = "continent"
    label: ClassVar[str] = "LOC"
    id: str


@dataclass(frozen=True, slots=True)
class Country:
    """A country; population in millions, area in thousands of square kilometres."""

    kind: ClassVar[str] = "country"
    label: ClassVar[str] = "LOC"
    id: str
    capital: str = field(metadata={"refers": "city"})
    continent: str = field(metadata={"refers": "continent"})
    population: float
    area: int
    neighbours: tuple[str, ...] = field(default=(), metadata={"refers": "country"})


@dataclass(frozen=True, slots=True)
class City:
    """A city; population in millions."""

    kind: ClassVar[str] = "city"
    label: ClassVar[str] = "LOC"
    id: str
    country: str = field(metadata={"refers": "country"})
    population: float
    river: str | None = field(default=None, metadata={"refers": "river"})


@dataclass(frozen=True, slots=True)
class River:
    """A river; length in kilometres, countries from the most to the least important."""

    kind: ClassVar[str] = "river"
    label: ClassVar[str] = "LOC"
    id: str
    length: int
    countries: tuple[str, ...] = field(metadata={"refers": "country"})


@dataclass(frozen=True, slots=True)
class Mountain:
    """A mountain; height in metres."""

    kind: ClassVar[str] = "mountain"
    label: ClassVar[str] = "LOC"
    id: str
    height: int
    country: str = field(metadata={"refers": "country"})


@dataclass(frozen=True, slots=True)
class Person:
    """A person; `occupation` is a key of every language's occupations, `gender` is "f" or "m"."""

    kind: ClassVar[str] = "person"
    label: ClassVar[str] = "PER"
    id: str
    born: int
    birthplace: str = field(metadata={"refers": "city"})
    country: str = field(metadata={"refers": "country"})
    occupation: str
    gender: str
    died: int | None = None


@dataclass(frozen=True, slots=True)
class Organisation:
    """A firm, club or agency; `purpose` is a key of every language's purposes."""

    kind: ClassVar[str] = "organisation"
    label: ClassVar[str] = "ORG"
    id: str
    founded: int
    seat: str = field(metadata={"refers": "city"})
    purpose: str


Entity = Continent | Country | City | River | Mountain | Person | Organisation

ENTITY_CLASSES: tuple[type[Entity], ...] = (Continent, Country, City, River, Mountain, Person, Organisation)
KINDS: tuple[str, ...] = tuple(cls.kind for cls in ENTITY_CLASSES)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", lambda value: isinstance(value, str) and value != ""),
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("a number", _is_number),
    "tuple[str, ...]": (
        "a list of texts",
        lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value),
    ),
}


def read_facts(tree: dict[str, Any], where: Callable[[str], str]) -> dict[str, Entity]:
    """Check the tables of facts.toml and turn them into entities by id, in the file's order.

    Args:
        tree: the parsed file.
        where: from a text that stands in the file to "FILE:LINE", for messages.

    Raises:
        DataError: an unknown, missing or ill-typed key, an id given twice, or a reference to nothing.
    """
    entities: dict[str, Entity] = {}
    for name in tree:
        if name not in KINDS:
            raise DataError(f"{where(name)}: unknown kind {name!r}", f"Use one of {', '.join(KINDS)}.")
    for cls in ENTITY_CLASSES:
        rows = tree.get(cls.kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{where(cls.kind)}: {cls.kind} is not a list of tables", f"Write [[{cls.kind}]].")
        for row in rows:
            entity = _read_entity(cls, row, where)
            if entity.id in entities:
                raise DataError(f"{where(entity.id)}: id {entity.id!r} is used twice", "Make every id unique.")
            entities[entity.id] = entity
    for entity in entities.values():
        _check_references(entity, entities, where)
    return entities


def _read_entity(cls: type[Entity], row: dict[str, Any], where: Callable[[str], str]) -> Entity:
    place = where(f'"{row.get("id", cls.kind)}"')
    values: dict[str, Any] = {}
    known = {item.name: item for item in dataclasses.fields(cls)}
    for key in row:
        if key not in known:
            raise DataError(f"{place}: {cls.kind} has no key {key!r}", f"Use {', '.join(known)}.")
    for name, item in known.items():
        required = item.default is dataclasses.MISSING
        if name not in row:
            if required:
                raise DataError(f"{place}: {cls.kind} lacks {name!r}", f"Add {name} = ...")
            continue
        # Annotations are kept as written, so the text of the annotation chooses the check.
        expected, check = _CHECKS[str(item.type).removesuffix(" | None")]
        if not check(row[name]):
            raise DataError(f"{place}: {name} is not {expected}: {row[name]!r}", f"Give {expected}.")
        values[name] = tuple(row[name]) if isinstance(row[name], list) else row[name]
    if values.get("gender", "m") not in ("f", "m"):
        raise DataError(f"{place}: gender is {values['gender']!r}", 'Write "f" or "m".')
    if values.get("countries", ("any",)) == ():
        raise DataError(f"{place}: countries is empty", "Name at least one country.")
    return cls(**values)


def _check_references(entity: Entity, entities: dict[str, Entity], where: Callable[[str], str]) -> None:
    for item in dataclasses.fields(entity):
        kind = item.metadata.get("refers")
        value = getattr(entity, item.name)
        if kind is None or value is None:
            continue
        for target in value if isinstance(value, tuple) else (value,):
            found = entities.get(target)
            if found is None or found.kind != kind:
                raise DataError(
                    f"{where(chr(34) + entity.id + chr(34))}: {item.name} of {entity.id!r} names {target!r}, "
                    f"which is not the id of a {kind}",
                    f"Name the id of a {kind} of this file.",
                )
