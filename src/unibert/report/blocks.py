"""What a page consists of: sections of text, tables and figures, which the templates know how to write."""

from __future__ import annotations

from dataclasses import dataclass, field

from unibert.report.tables import Table
from unibert.report.theme import Picture


@dataclass(frozen=True)
class FigureBlock:
    """Pictures that belong together, with one caption."""

    title: str
    caption: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Details:
    """Tables that are folded away until asked for."""

    title: str
    tables: list[Table]


@dataclass(frozen=True)
class ProgressBar:
    """How much of something is done, from 0 to 1, and what it is."""

    label: str
    share: float


@dataclass(frozen=True)
class KeyNumber:
    """A number for the top of the page."""

    label: str
    value: str
    hint: str = ""


Block = str | Table | FigureBlock | Details | ProgressBar | list[str]


@dataclass
class Section:
    """A part of the page: text, tables and figures in order. A list of sentences is shown as a list of cautions."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    short: str = ""
    """What the list of sections calls it, where the title is too long for that."""

    @property
    def entry(self) -> str:
        """Its name in the list of sections."""
        return self.short or self.title
