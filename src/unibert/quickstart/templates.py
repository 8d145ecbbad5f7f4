"""Sentence templates: text with `{role}` and `{role.form}` in it, filled in to text and mentions of entities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a filled-in template; the texts of all its segments, joined, are the text.

    A mention of an entity has the entity's id, its type (PER, ORG, LOC) and the title of its page; `text` is its
    surface form. Literal text has none of the three.
    """

    text: str
    entity: str | None = None
    label: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder: `{role}` or `{role.form}`."""

    role: str
    form: str = "name"


@dataclass(frozen=True, slots=True)
class Filler:
    """What stands for a role: a name or word in its forms, and the entity behind it if there is one."""

    forms: Mapping[str, str] = field(hash=False)
    entity: str | None = None
    label: str | None = None
    target: str | None = None


class BadTemplate(ValueError):
    """A template with a brace that is not part of a placeholder."""


_SLOT = re.compile(r"\{([a-z_]+[0-9]?)(?:\.([a-z_0-9]+))?\}")
_SENTENCE_START = re.compile(r"(?:^|[.!?]\s+)[«„“\"¿¡(]?$")


@lru_cache(maxsize=4096)
def parse(template: str) -> tuple[str | Slot, ...]:
    """Split a template into literal texts and slots.

    Raises:
        BadTemplate: a brace that does not belong to a placeholder.
    """
    parts: list[str | Slot] = []
    position = 0
    for match in _SLOT.finditer(template):
        parts.append(template[position : match.start()])
        parts.append(Slot(match[1], match[2] or "name"))
        position = match.end()
    parts.append(template[position:])
    for part in parts:
        if isinstance(part, str) and ("{" in part or "}" in part):
            raise BadTemplate(f"a brace without its placeholder near {part.strip()[:40]!r}")
    return tuple(part for part in parts if part != "")


def roles(template: str) -> set[str]:
    """The roles that a template needs."""
    return {part.role for part in parse(template) if isinstance(part, Slot)}


def fill(template: str, fillers: Mapping[str, Filler], language: str) -> list[Segment] | None:
    """Fill in a template; None if a role has no filler. Literal texts never stand side by side.

    A form that an entity does not have falls back to its name. What begins a sentence begins with a capital.
    """
    text = ""
    segments: list[Segment] = []
    for part in parse(template):
        if isinstance(part, str):
            pieces = [Segment(part)]
        else:
            filler = fillers.get(part.role)
            if filler is None:
                return None
            pieces = _pieces(filler, part.form, _SENTENCE_START.search(text) is not None, language)
        segments.extend(pieces)
        text += "".join(piece.text for piece in pieces)
    return merge(segments)


def _pieces(filler: Filler, form: str, starts_sentence: bool, language: str) -> list[Segment]:
    shown = filler.forms.get(form, filler.forms["name"])
    if filler.entity is None:
        return [Segment(capitalised(shown, language) if starts_sentence else shown)]
    before, mention, after = split_form(shown, filler.forms["name"])
    if starts_sentence and before:
        before = capitalised(before, language)
    return [Segment(before), Segment(mention, filler.entity, filler.label, filler.target), Segment(after)]


def split_form(form: str, name: str) -> tuple[str, str, str]:
    """Divide a form into the words before the entity, the entity, and a suffix after an apostrophe.

    "во Франции" -> "во ", "Франции", ""; "l'Italie" -> "l'", "Italie", ""; "Ankara'da" -> "", "Ankara", "'da".
    """
    start = 0
    if not form.startswith(name) and form[:1].islower():
        capital = next((index for index, character in enumerate(form) if character.isupper()), 0)
        # After a hyphen the capital is inside the name ("al-Ahly").
        if capital and form[capital - 1] in " '’\u00a0":
            start = capital
    end = len(form)
    if form[start:].startswith((f"{name}'", f"{name}’")):
        end = start + len(name)
    return form[:start], form[start:end], form[end:]


def capitalised(text: str, language: str) -> str:
    """The text with its first letter in upper case, in the way of the language (Turkish: i -> İ)."""
    first = "İ" if language == "tr" and text[:1] == "i" else text[:1].upper()
    return first + text[1:]


def merge(segments: Iterable[Segment]) -> list[Segment]:
    """Join literal texts that stand side by side and leave out empty ones."""
    merged: list[Segment] = []
    for segment in segments:
        if not segment.text:
            continue
        if merged and merged[-1].entity is None and segment.entity is None:
            merged[-1] = Segment(merged[-1].text + segment.text)
        else:
            merged.append(segment)
    return merged


def text_of(segments: Iterable[Segment]) -> str:
    """The text that the segments make up."""
    return "".join(segment.text for segment in segments)
