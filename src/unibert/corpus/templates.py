"""The first pass over wikitext: comments, extension tags and templates."""

from __future__ import annotations

import re

from unibert.corpus.spelled import LONGEST, speller

GONE = "\x00"
"""Stands where something was taken out; XML cannot contain it, so no page does."""
LINK, LINK_END = "\x01", "\x02"
"""Stand around what an external link shows."""
TITLE = "\x03"
"""Begins a list item that is nothing but a link to another page."""
CITED = f"{LINK}{GONE}{LINK_END}"
"""Stands where a list item began with a template that cites a book or a page."""

# Tags that go with what they enclose.
_DROPPED = (
    "ref references math chem ce gallery imagemap timeline score hiero graph mapframe maplink categorytree inputbox "
    "templatestyles templatedata syntaxhighlight source code pre includeonly indicator style script section rt rp rss "
    "dynamicpagelist charinsert"
)
# Tags that go alone: what they enclose is prose.
_UNWRAPPED = (
    "a abbr b bdi bdo big blockquote br caption center cite col colgroup dd del dfn div dl dt em font h1 h2 h3 h4 h5 "
    "h6 hr i img ins kbd li link mark meta noinclude noindex nowiki ol onlyinclude p poem q rb rtc ruby s samp small "
    "span strike strong sub sup table tbody td tfoot th thead time tr translate tt tvar u ul var wbr"
)
TAG_NAMES = sorted({*_DROPPED.split(), *_UNWRAPPED.split()}, key=lambda name: (-len(name), name))
"""Every tag that a page may contain, the longest names first."""

_WITH_CONTENT = "|".join(sorted({*_DROPPED.split(), "nowiki"}, key=lambda name: (-len(name), name)))
# Every alternative begins with a character of its own: the search then leaps from one of them to the next.
_TOKEN = re.compile(
    rf"<!--|<(?P<tag>{_WITH_CONTENT})(?P<attributes>\s[^<>]*|/)?>|\{{(?P<open>\{{+)|\}}(?P<close>\}}+)",
    re.IGNORECASE,
)
_END_OF_TAG = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _WITH_CONTENT.split("|")}
_RESCUE = re.compile(r"\n[ \t]*\n|\n==|\Z")
_MARKUP = re.compile(r"[\[\]{}|<>]+|'{2,}")

Region = tuple[int, int, str]
"""Start, end and what to write instead."""


def remove_templates(text: str) -> str:
    """Take out comments, extension tags with their content, templates and parameters, nested ones with their parents.

    A template whose end is missing goes up to the end of its paragraph, a tag whose end is missing up to the end of its
    line. A few templates that only dress a word, give a measure or stand for a character are spelled out.
    """
    if "{{" not in text and "}}" not in text and "<" not in text:
        return text
    regions: list[Region] = []
    opened: list[list[int]] = []  # [braces still to be closed, start]
    endless: set[str] = set()  # tags that are not closed anywhere after the place reached
    position = 0
    while token := _TOKEN.search(text, position):
        start, position = token.span()
        if tag := token["tag"]:
            region = _tag_region(text, token, tag.lower(), endless)
            regions.append(region)
            position = region[1]
        elif token["open"]:
            opened.append([position - start, start])
        elif braces := token["close"]:
            left = len(braces) + 1
            while left >= 2 and opened:
                closed = min(left, opened[-1][0])
                opened[-1][0] -= closed
                left -= closed
                if opened[-1][0] < 2:
                    regions.append(_template_region(text, opened.pop()[1], position - left, regions))
            if left >= 2 and not opened:
                regions.append((position - left, position, ""))
        else:
            region = _comment_region(text, start, position)
            regions.append(region)
            position = region[1]
    reached = 0
    for _, start in opened:
        if start >= reached:
            rescue = _RESCUE.search(text, start)
            reached = rescue.start() if rescue else len(text)
            regions.append((start, reached, GONE))
    return _substitute(text, 0, len(text), sorted(regions) if opened else regions)


def _substitute(text: str, start: int, end: int, regions: list[Region]) -> str:
    """The stretch of text with its regions replaced; a region inside one before it is ignored."""
    kept: list[str] = []
    for first, last, instead in regions:
        if first >= start:
            kept += (text[start:first], instead)
        start = max(start, last)
    kept.append(text[start:end])
    return "".join(kept)


def _comment_region(text: str, start: int, after: int) -> Region:
    """A comment up to its end; one that fills its line goes with the line, as in MediaWiki."""
    end = text.find("-->", after)
    if end < 0:
        return start, len(text), ""
    end += 3
    if (start == 0 or text[start - 1] == "\n") and text[end : end + 1] == "\n":
        end += 1
    return start, end, ""


def _tag_region(text: str, token: re.Match[str], name: str, endless: set[str]) -> Region:
    """A tag with its content."""
    start, after = token.span()
    if (token["attributes"] or "").endswith("/"):
        return start, after, "" if name == "nowiki" else GONE
    end = None if name in endless else _END_OF_TAG[name].search(text, after)
    if end is None:
        endless.add(name)
        if name == "nowiki":
            return start, after, ""
        newline = text.find("\n", after)
        return start, newline if newline >= 0 else len(text), GONE
    if name == "nowiki":
        return start, end.end(), _MARKUP.sub("", text[after : end.start()])
    return start, end.end(), GONE


# --- what a closed template shows ---

_BAR = re.compile(r"\|(?![^\[\]]{0,200}\]\])")
_NAMED = re.compile(r"\s*([^\W_][\w -]{0,30}?)\s*=")
_CITES = re.compile(r"\|\s*(?:url|isbn|issn|doi|oclc|website|web)\s*=|https?://", re.IGNORECASE)
_LONGEST_NAME = 30
_BEFORE_ITEM = 12  # characters of list marks, apostrophes and spaces before a template that begins an item


def _template_region(text: str, start: int, end: int, regions: list[Region]) -> Region:
    """A closed template; takes the regions inside it off the list."""
    first_inside = len(regions)
    while first_inside and regions[first_inside - 1][0] >= start:
        first_inside -= 1
    inside = regions[first_inside:]
    del regions[first_inside:]
    if end - start > LONGEST:
        return start, end, GONE
    head = text[start + 2 : start + 2 + _LONGEST_NAME].partition("|")[0].partition("}")[0]
    name = " ".join(head.replace("_", " ").casefold().split())
    if name.startswith("formatnum:"):
        return start, end, _substitute(text, text.index(":", start) + 1, end - 2, inside).partition("|")[0].strip()
    spell = speller(name)
    shown = ""
    if spell:
        arguments, named = _arguments(_substitute(text, start + 2, end - 2, inside))
        shown = spell(arguments, named)
    if not shown or "\n" in shown:
        cites = _begins_item(text, start) and _CITES.search(text, start, end)
        return start, end, CITED if cites else GONE
    return start, end, shown


def _begins_item(text: str, start: int) -> bool:
    line = text[max(0, start - _BEFORE_ITEM) : start].rpartition("\n")
    return bool(line[1]) and line[2][:1] in ("*", "#", ":", ";") and not line[2].strip("*#:;' \t")


def _arguments(inner: str) -> tuple[list[str], dict[str, str]]:
    """The arguments between the braces: those that have a place, and those that have a name."""
    placed: list[str] = []
    named: dict[str, str] = {}
    for argument in (_BAR.split(inner) if "[[" in inner else inner.split("|"))[1:]:
        key = _NAMED.match(argument)
        if key is None:
            placed.append(argument.strip())
        elif key[1].isdecimal():
            placed.append(argument[key.end() :].strip())
        else:
            named[key[1].casefold()] = argument[key.end() :].strip()
    return placed, named
