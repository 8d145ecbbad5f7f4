"""Prose to wikitext as editors write it: links, bold, footnotes, comments, tags and entities around the same words."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from unibert.quickstart.templates import Segment

_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_SPACE_AFTER_NUMBER = re.compile(r"(?<=\d) (?=[^\W\d_])")
_SENTENCE_END = re.compile(r"[.!?।؟](?=\s|$)|。")
_SPACE_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?।؟]) (?=\S)")


def link(target: str, surface: str | None = None) -> str:
    """A link to a page of the same wiki: `[[target]]`, or `[[target|surface]]` where the text shown differs."""
    return f"[[{target}]]" if surface is None or surface == target else f"[[{target}|{surface}]]"


def linked(segments: Iterable[Segment]) -> str:
    """Segments as wikitext with a link for every mention and nothing else."""
    return "".join(link(item.target, item.text) if item.target else item.text for item in segments)


@dataclass
class Footnotes:
    """The footnotes of one page: now a new one, now one that was named before.

    Attributes:
        title: what is cited.
        address: where it is said to be; example.org belongs to nobody.
        chooser: decides the kind of each footnote.
    """

    title: str
    address: str
    chooser: random.Random
    count: int = field(default=0, init=False)
    named: list[str] = field(default_factory=list, init=False)

    def next(self) -> str:
        """The wikitext of one more footnote."""
        if self.named and self.chooser.random() < 0.3:
            return f'<ref name="{self.chooser.choice(self.named)}" />'
        self.count += 1
        page = self.chooser.randint(2, 480)
        citation = (
            f"{{{{cite web |url={self.address}/{self.count} |title={self.title} |page={page} "
            f"|date={{{{start date|{self.chooser.randint(1990, 2023)}|{self.chooser.randint(1, 12)}}}}} }}}}"
        )
        kind = self.chooser.random()
        if kind < 0.35:
            name = f"note{self.count}"
            self.named.append(name)
            return f'<ref name="{name}">{citation}</ref>'
        if kind < 0.7:
            return f"<ref>{citation}</ref>"
        if kind < 0.85:
            return f"<ref>''{self.title}'', [{self.address}/{self.count} {self.title}], {page}.</ref>"
        return f"{{{{sfn|{self.title}|p={page}}}}}"


def decorated(
    segments: Iterable[Segment], footnotes: Footnotes, chooser: random.Random, subject: str, bold: bool = False
) -> str:
    """A paragraph as wikitext. Whoever takes the markup away again gets the segments' text back.

    Args:
        segments: the paragraph.
        footnotes: those of the page.
        chooser: decides where markup goes.
        subject: id of the entity that the page is about; a page does not link to itself.
        bold: the subject's first mention is bold, as in the first paragraph of a page.
    """
    parts: list[str] = []
    items = list(segments)
    for index, item in enumerate(items):
        if item.entity is None or item.target is None:
            parts.append(_literal(item.text, footnotes, chooser))
        elif item.entity != subject:
            parts.append(link(item.target, item.text))
        elif not bold:
            parts.append(item.text)
        else:
            bold = False
            parts.append(f"'''{item.text}'''")
            after = items[index + 1].text if index + 1 < len(items) else ""
            if after.startswith(" ") and after[1:2].isalnum() and chooser.random() < 0.25:
                # How it is spoken, as leads have it: nothing but templates in brackets.
                parts.append(f" ({{{{Audio|{item.target}.ogg|{{{{small|{{{{PAGENAME}}}}}}}}}}}})")
    return "".join(parts)


def _literal(text: str, footnotes: Footnotes, chooser: random.Random) -> str:
    text = _NUMBER.sub(lambda match: _number(match[0], chooser), text)
    text = _SPACE_AFTER_NUMBER.sub(lambda match: "&nbsp;" if chooser.random() < 0.5 else match[0], text)
    text = _SPACE_BETWEEN_SENTENCES.sub(lambda match: "<br />" if chooser.random() < 0.06 else match[0], text)
    return _SENTENCE_END.sub(lambda match: match[0] + _after_sentence(footnotes, chooser), text)


def _number(digits: str, chooser: random.Random) -> str:
    kind = chooser.random()
    if kind < 0.12:
        return f'<span class="nowrap">{digits}</span>'
    return f"<small>{digits}</small>" if kind < 0.18 else digits


def _after_sentence(footnotes: Footnotes, chooser: random.Random) -> str:
    kind = chooser.random()
    if kind < 0.3:
        return footnotes.next()
    if kind < 0.36:
        return f"<!-- {footnotes.title}? -->"
    return ""


HIDDEN = ("\u200b", "\u00ad", "\u200e", "\ufeff", "\u2060", "\u200f")
"""Zero-width space, soft hyphen, left-to-right mark, byte order mark, word joiner, right-to-left mark."""


def with_hidden_characters(segments: Iterable[Segment], chooser: random.Random) -> list[Segment]:
    """Put hidden characters into the literal texts, one or two in each that is long enough.

    Never before a combining mark, so that taking them out leaves exactly what was there, composed as it was.
    """
    changed: list[Segment] = []
    for item in segments:
        text = item.text
        places = [at for at in range(2, len(text) - 1) if not unicodedata.category(text[at]).startswith("M")]
        if item.entity is None and len(places) >= 5:
            for at in sorted(chooser.sample(places, chooser.randint(1, 2)), reverse=True):
                text = text[:at] + chooser.choice(HIDDEN) + text[at:]
        changed.append(Segment(text, item.entity, item.label, item.target))
    return changed


def has_hidden_characters(text: str) -> bool:
    """Whether the text has a format (Cf) or control (Cc) character; joiners, which are spelling, do not count."""
    return any(
        unicodedata.category(character) in ("Cf", "Cc") and character not in "\u200c\u200d" for character in text
    )
