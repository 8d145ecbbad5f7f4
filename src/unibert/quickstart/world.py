"""The miniature world: its facts, and how each language names and tells them. Read from TOML, checked on reading."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.quickstart.facts import (
    KINDS,
    City,
    Continent,
    Country,
    Entity,
    Mountain,
    Organisation,
    Person,
    River,
    read_facts,
)
from unibert.quickstart.templates import BadTemplate, Filler, Segment, capitalised, fill, parse, roles

DESCRIBED_KINDS = tuple(kind for kind in KINDS if kind != "continent")
"""Kinds that have templates of their own; a continent is described by its countries."""

GENERAL_ROLES = ("person", "city", "country", "organisation", "river", "mountain")
"""Roles of the `general` sentences: any entity of that kind."""

_SETTINGS = ("code", "name", "script", "site", "redirect", "file", "category", "template", "user", "talk", "thumb")
_HEADINGS = ("geography", "history", "life", "work", "references", "external_links", "see_also", "sources")
_FIELDS = (
    *("country", "capital", "population", "area", "length", "height", "born", "died", "founded", "seat", "occupation"),
    *("river", "neighbours", "city", "year"),
)
_EXTRAS = ("lead_caption", "reference_text", "stub_note")
_DECIMAL_COMMA = frozenset(("de", "fr", "es", "ro", "pl", "ru", "el", "tr"))
_FORBIDDEN_IN_NAMES = frozenset("[]{}|<>\n#_:")

_SOMETIMES = frozenset(("neighbour", "river", "landmark_person", "country2", "died"))
"""Roles that not every entity of a kind can fill."""

_ROLES: dict[str, tuple[str, ...]] = {
    "country": ("capital", "continent", "neighbour", "population", "area"),
    "city": ("country", "river", "landmark_person", "population"),
    "river": ("country", "country2", "length"),
    "mountain": ("country", "continent", "height"),
    "person": ("birthplace", "country", "occupation", "born", "died"),
    "organisation": ("seat", "country", "purpose", "founded"),
}


@dataclass(frozen=True)
class Language:
    """One language of the world: names in their forms, words, templates, and the wiki's own words."""

    code: str
    name: str
    script: str
    site: str
    redirect: str
    file: str
    category: str
    template: str
    user: str
    talk: str
    thumb: str
    headings: Mapping[str, str]
    fields: Mapping[str, str]
    names: Mapping[str, Mapping[str, str]]
    """Entity id -> form -> text; every entity has the form "name"."""
    occupations: Mapping[str, Mapping[str, str]]
    """Occupation -> form -> text; the forms "f" and "m" are by gender, "name" is there where they do not differ."""
    purposes: Mapping[str, Mapping[str, str]]
    templates: Mapping[str, tuple[str, ...]]
    sentences: Mapping[str, tuple[str, ...]]
    extras: Mapping[str, str]

    @cached_property
    def titles(self) -> dict[str, str]:
        """Entity id -> title of its page: the name, and in brackets what it is where a name is taken already."""
        found: dict[str, str] = {}
        taken: set[str] = set()
        for entity, forms in self.names.items():
            title = capitalised(forms["name"], self.code)
            number = 2
            while title in taken:
                title = f"{capitalised(forms['name'], self.code)} ({number})"
                number += 1
            found[entity] = title
            taken.add(title)
        return found

    def number(self, value: float) -> str:
        """A number in digits, with the language's decimal mark."""
        digits = f"{value:.10g}"
        return digits.replace(".", ",") if self.code in _DECIMAL_COMMA else digits


@dataclass(frozen=True)
class World:
    """Entities by id and languages by code."""

    entities: Mapping[str, Entity]
    languages: Mapping[str, Language]

    @cached_property
    def born_in(self) -> dict[str, list[str]]:
        """City id -> ids of the persons born there."""
        found: dict[str, list[str]] = {}
        for entity in self.entities.values():
            if isinstance(entity, Person):
                found.setdefault(entity.birthplace, []).append(entity.id)
        return found

    def of_kind(self, kind: str) -> list[Entity]:
        """The entities of a kind, in the order of the facts."""
        return [entity for entity in self.entities.values() if entity.kind == kind]

    def name(self, language: Language, entity: str) -> Filler:
        """An entity as the filler of a role."""
        return Filler(language.names[entity], entity, self.entities[entity].label, language.titles[entity])

    def fillers(self, language: Language, entity: Entity, chooser: random.Random) -> dict[str, Filler]:
        """Every role that the facts about an entity can fill, `subject` included.

        Args:
            language: whose names and words.
            entity: the subject.
            chooser: picks one of several neighbours or natives.
        """
        ids: dict[str, str] = {"subject": entity.id}
        words: dict[str, Mapping[str, str]] = {}
        numbers: dict[str, float] = {}
        match entity:
            case Continent():
                pass
            case Country():
                ids |= {"capital": entity.capital, "continent": entity.continent}
                if entity.neighbours:
                    ids["neighbour"] = chooser.choice(entity.neighbours)
                numbers = {"population": entity.population, "area": entity.area}
            case City():
                ids["country"] = entity.country
                if entity.river:
                    ids["river"] = entity.river
                if natives := self.born_in.get(entity.id):
                    ids["landmark_person"] = chooser.choice(natives)
                numbers = {"population": entity.population}
            case River():
                ids |= dict(zip(("country", "country2"), entity.countries, strict=False))
                numbers = {"length": entity.length}
            case Mountain():
                ids |= {"country": entity.country, "continent": self._continent(entity.country)}
                numbers = {"height": entity.height}
            case Person():
                ids |= {"birthplace": entity.birthplace, "country": entity.country}
                words["occupation"] = _by_gender(language.occupations[entity.occupation], entity.gender)
                numbers["born"] = entity.born
                if entity.died is not None:
                    numbers["died"] = entity.died
            case Organisation():
                ids |= {"seat": entity.seat, "country": self._country(entity.seat)}
                words["purpose"] = language.purposes[entity.purpose]
                numbers = {"founded": entity.founded}
        found = {role: self.name(language, target) for role, target in ids.items()}
        found |= {role: Filler(forms) for role, forms in words.items()}
        found |= {role: Filler({"name": language.number(value)}) for role, value in numbers.items()}
        return found

    def render(self, language: Language, template: str, entity: Entity, chooser: random.Random) -> list[Segment] | None:
        """A template told about an entity; None if the facts do not fill all of its roles."""
        return fill(template, self.fillers(language, entity, chooser), language.code)

    def _country(self, city: str) -> str:
        found = self.entities[city]
        assert isinstance(found, City)
        return found.country

    def _continent(self, country: str) -> str:
        found = self.entities[country]
        assert isinstance(found, Country)
        return found.continent


def _by_gender(forms: Mapping[str, str], gender: str) -> dict[str, str]:
    """The forms of an occupation for one gender: "f" before "name", "f_gen" before "gen"."""
    chosen = {form: text for form, text in forms.items() if form not in ("f", "m")}
    chosen |= {form[2:]: text for form, text in forms.items() if form.startswith(f"{gender}_")}
    return chosen | {"name": forms.get(gender) or forms.get("name") or forms.get("m") or next(iter(forms.values()))}


def load_world(folder: Path | None = None) -> World:
    """Read facts.toml and every LANG.toml of a folder, and check that they fit each other.

    Args:
        folder: where they are; the world inside the package when None.

    Raises:
        DataError: names the file, the line where it can be told, and what to mend.
    """
    root: Traversable = resources.files("unibert.quickstart") / "world" if folder is None else folder
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "Give a folder with facts.toml and one TOML file per language.")
    files = {item.name: item for item in root.iterdir() if item.name.endswith(".toml")}
    if "facts.toml" not in files:
        raise DataError(f"{root}: no facts.toml in this folder", "Add it, or leave the folder out.")
    tree, where = _read_toml(files.pop("facts.toml"))
    entities = read_facts(tree, where)
    languages: dict[str, Language] = {}
    for name in sorted(files):
        tree, where = _read_toml(files[name])
        language = _read_language(tree, entities, where)
        if f"{language.code}.toml" != name:
            raise DataError(f"{where('code')}: language.code is {language.code!r}", f"Write {name[:-5]!r}.")
        languages[language.code] = language
    if not languages:
        raise DataError(f"{root}: no language beside facts.toml", "Add LANG.toml, for example en.toml.")
    return World(entities, languages)


def _read_toml(file: Traversable) -> tuple[dict[str, Any], Callable[[str], str]]:
    """The parsed file, and a function from a text in it to "FILE:LINE"."""
    try:
        source = file.read_text(encoding="utf-8")
        tree = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file}: not valid TOML: {error}", "Correct that line.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error})", "Give a TOML file in UTF-8.") from None
    lines = source.splitlines()

    def where(text: str) -> str:
        keyed = (number for number, line in enumerate(lines, 1) if line.lstrip().startswith(text))
        inside = (number for number, line in enumerate(lines, 1) if text in line)
        number = next(keyed, None) or next(inside, None)
        return f"{file}:{number}" if number else str(file)

    return tree, where


def _read_language(tree: dict[str, Any], entities: Mapping[str, Entity], where: Callable[[str], str]) -> Language:
    settings = _texts(tree, "language", _SETTINGS, where)
    names = _forms(tree, "names", entities, where)
    for forms in names.values():
        for form in forms.values():
            if bad := sorted(_FORBIDDEN_IN_NAMES.intersection(form)):
                raise DataError(f"{where(form)}: a name with {bad[0]!r}", "Leave the character out.")
    for key in tree["names"]:
        if key not in entities:
            raise DataError(f"{where(key)}: names.{key} is not an id of facts.toml", "Correct it or remove the line.")
    people = [entity for entity in entities.values() if isinstance(entity, Person)]
    firms = [entity for entity in entities.values() if isinstance(entity, Organisation)]
    extras = _texts(tree, "extras", _EXTRAS, where)
    for key in _EXTRAS:
        _check_template(extras[key], {"subject", "year"} if key == "reference_text" else {"subject"}, where)
    return Language(
        **{key: settings[key] for key in _SETTINGS},
        headings=_texts(tree, "headings", _HEADINGS, where),
        fields=_texts(tree, "fields", _FIELDS, where),
        names=names,
        occupations=_forms(
            tree, "occupations", dict.fromkeys(person.occupation for person in people), where, ("m", "f")
        ),
        purposes=_forms(tree, "purposes", dict.fromkeys(firm.purpose for firm in firms), where),
        templates=_template_lists(tree, "templates", DESCRIBED_KINDS, where),
        sentences=_template_lists(tree, "sentences", (*DESCRIBED_KINDS, "general"), where),
        extras=extras,
    )


def _section(tree: dict[str, Any], section: str, where: Callable[[str], str]) -> dict[str, Any]:
    found = tree.get(section)
    if not isinstance(found, dict):
        raise DataError(f"{where('[' + section)}: no section [{section}]", "Add it.")
    return found


def _texts(tree: dict[str, Any], section: str, keys: tuple[str, ...], where: Callable[[str], str]) -> dict[str, str]:
    found = _section(tree, section, where)
    for key in keys:
        if not isinstance(found.get(key), str) or not found[key].strip():
            raise DataError(f"{where('[' + section)}: {section}.{key} is missing or not a text", f'Add {key} = "...".')
    return {key: str(value) for key, value in found.items()}


def _forms(
    tree: dict[str, Any],
    section: str,
    keys: Mapping[str, Any],
    where: Callable[[str], str],
    instead_of_name: tuple[str, ...] = (),
) -> dict[str, dict[str, str]]:
    """Key -> form -> text; a plain text is the form "name"."""
    found = _section(tree, section, where)
    forms: dict[str, dict[str, str]] = {}
    for key in keys:
        value = found.get(key)
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict) or not all(isinstance(text, str) and text.strip() for text in value.values()):
            raise DataError(f"{where('[' + section)}: {section}.{key} is missing or empty", f'Add {key} = "...".')
        if "name" not in value and not all(form in value for form in instead_of_name or ("name",)):
            needed = " and ".join(instead_of_name) or "name"
            raise DataError(f"{where(key)}: {section}.{key} lacks the form {needed}", "Add it.")
        forms[key] = value
    return forms


def _template_lists(
    tree: dict[str, Any], section: str, kinds: tuple[str, ...], where: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    found = _section(tree, section, where)
    lists: dict[str, tuple[str, ...]] = {}
    for kind in kinds:
        texts = found.get(kind)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{where('[' + section)}: {section}.{kind} is not a list of texts", f"Add {kind} = [...].")
        known = {"subject", *_ROLES[kind]} if kind in _ROLES else set(GENERAL_ROLES)
        for text in texts:
            _check_template(text, known, where)
            if section == "templates" and "subject" not in roles(text):
                raise DataError(f"{where(text)}: a template without {{subject}}", "Name the subject in it.")
        if kind in _ROLES and all(_SOMETIMES & roles(text) for text in texts):
            fix = f"Add one without {', '.join(sorted(_SOMETIMES & known))}."
            raise DataError(f"{where(kind)}: {section}.{kind} has no template that every {kind} can fill", fix)
        lists[kind] = tuple(texts)
    return lists


def _check_template(text: str, known: set[str], where: Callable[[str], str]) -> None:
    try:
        parse(text)
    except BadTemplate as error:
        raise DataError(f"{where(text)}: {error}", "Write {role} or {role.form}.") from None
    if unknown := sorted(roles(text) - known):
        raise DataError(
            f"{where(text)}: unknown placeholder {{{unknown[0]}}}", f"Use one of {', '.join(sorted(known))}."
        )
