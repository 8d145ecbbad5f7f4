"""Section boilerplate - references, external links, further reading - told by its markup, in any language.

A heading such as "External links" has another name on every wiki; what stands under it looks the same everywhere: lists
of links out of Wikipedia, of citation templates, of books with their ISBN, of titles of other pages. That is what is
left out; prose that contains a link stays, and so do lists of books without any such mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from unibert.corpus.clean import has_only_links
from unibert.corpus.counting import count_words
from unibert.corpus.templates import LINK, LINK_END, TITLE

_TAIL = 12
"""Words and punctuation marks around the links of a paragraph that is nothing but links; longer ones say something."""
_NOTE = 30
"""The same for an entry of a list of references."""
_ENTRY = 60
"""The same for an entry with a year: the description of a book is long, and without a year it is rather prose."""
_SHARE = 0.5
"""From this share of references among its list items on, a section's list is one of references."""

_SHOWN = re.compile(rf"{LINK}[^{LINK}{LINK_END}]*{LINK_END}|https?://[^\s<>\[\]]+")
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_MARKS = re.compile(f"[{LINK}{LINK_END}{TITLE}]")


class Block(NamedTuple):
    """A paragraph or list item before tidying, external links still marked."""

    text: str
    item: bool


def shown_blocks(blocks: Sequence[Block]) -> list[str]:
    """The texts of a section without its boilerplate and without marks.

    Args:
        blocks: everything between two headings.
    """
    if blocks and all(block.item and block.text.startswith(TITLE) for block in blocks):
        # Nothing but links to other pages: see also, overviews, navigation. Titles are not prose.
        return []
    if not any(_cites(block.text) for block in blocks):
        return [without_marks(block.text) for block in blocks]
    items = [block for block in blocks if block.item]
    references = sum(_cites(item.text) and _is_entry(item.text) for item in items)
    list_goes = references > 0 and references >= _SHARE * len(items)
    return [without_marks(block.text) for block in blocks if not _goes(block, list_goes)]


def _goes(block: Block, list_goes: bool) -> bool:
    if not (_is_only_links(block.text) or (block.item and list_goes and _is_entry(block.text))):
        return False
    # Bare addresses and book numbers are the paper's second rule's to drop and to count.
    return LINK in block.text or not has_only_links(block.text)


def without_marks(text: str) -> str:
    """The text without the marks around what links show."""
    return _MARKS.sub("", text) if LINK in text or LINK_END in text or TITLE in text else text


def _links_out(text: str) -> bool:
    return LINK in text or "://" in text


def _cites(text: str) -> bool:
    # Plain tests, because every paragraph of every page comes by.
    return LINK in text or "://" in text or "ISBN" in text or "ISSN" in text or "doi:" in text or "isbn" in text


def _is_only_links(text: str) -> bool:
    return _links_out(text) and _words_outside(text) <= _TAIL


def _is_entry(text: str) -> bool:
    words = _words_outside(text)
    return words <= (_ENTRY if _YEAR.search(text) else _NOTE if _cites(text) else _TAIL)


def _words_outside(text: str) -> int:
    """Words and punctuation marks beside what external links show."""
    return count_words(_SHOWN.sub("", text))
