"""Wikitext to plain paragraphs, in linear time.

A handful of passes over the page, each one compiled expression or one scan, in the order in which MediaWiki itself
works: comments and extension tags and templates, tables, links, tags, then lines. What is taken out leaves a marker
character behind, so that the space and the empty brackets around it can be tidied without touching the author's own.

Nothing nests by recursion, no expression can backtrack over more than a bounded stretch, and nesting of links is
followed to a fixed depth, so the time is proportional to the length on any input; there is no page it refuses.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from unibert.corpus.namespaces import LANGUAGE_PREFIXES, dropped_prefixes, normal_name
from unibert.corpus.sections import Block, shown_blocks, without_marks
from unibert.corpus.templates import GONE, LINK, LINK_END, TAG_NAMES, TITLE, remove_templates

_LINK_DEPTH = 8
"""Links inside captions inside captions ...: deeper ones lose their brackets but keep their text."""


class Paragraph(NamedTuple):
    """One paragraph or list item, and the heading it stands under (empty before the first)."""

    section: str
    text: str


def paragraphs(
    wikitext: str, namespaces: Mapping[int, str] | None = None, *, boilerplate: bool = False
) -> list[Paragraph]:
    """The prose of a page, in reading order, one entry per paragraph or list item.

    Links and formatting become the text they show. Templates, tables, references, galleries, formulas, code, comments,
    tags, magic words, files, categories and links to the page in other languages go, and so do lists of references and
    of links out (`sections` says which).

    Args:
        wikitext: the source of one page.
        namespaces: number -> name, from the dump's header; adds to the names of files and categories known anyway.
        boilerplate: keep lists of references and of links.
    """
    text = wikitext.replace("\r\n", "\n").replace("\r", "\n")
    for mark in (GONE, LINK, LINK_END, TITLE):
        text = text.replace(mark, "")
    text = remove_templates(text)
    text = _remove_tables(text)
    if "-{" in text:
        text = _VARIANT.sub(_one_variant, text)
    text = _replace_tags(text)
    text = _replace_links(text, dropped_prefixes(namespaces or {}))
    if "__" in text:
        # Magic words are capitals; __init__ is not one.
        text = _MAGIC_WORD.sub(lambda match: GONE if match[0] == match[0].upper() else match[0], text)
    return _split(text, boilerplate)


def plain_text(wikitext: str, namespaces: Mapping[int, str] | None = None) -> str:
    """The paragraphs of a page as one text, blank lines between them."""
    return "\n\n".join(paragraph.text for paragraph in paragraphs(wikitext, namespaces))


# --- tables ---

# Every alternative begins with a character of its own, so that the search leaps; `_begins_line` does the rest.
_TABLE_TOKEN = re.compile(r"\{\|(?!\})|\|\}(?!\})|<table(?:\s[^<>]*)?>|</table\s*>", re.IGNORECASE)
_BEFORE_TABLE = 40  # characters of indentation
_TABLE_RESCUE = re.compile(r"\n(?==)")


def _remove_tables(text: str) -> str:
    """Take out `{| ... |}` and `<table>`, nested ones with their parents; an unclosed one ends at the next heading."""
    if "{|" not in text and "<table" not in text.lower():
        return text
    kept: list[str] = []
    opened: list[int] = []
    position = 0
    for token in _TABLE_TOKEN.finditer(text):
        if token[0][0] != "<" and not _begins_line(text, token.start()):
            continue
        closing = token[0].endswith("|}") or token[0].startswith("</")
        if not closing:
            if not opened:
                kept.append(text[position : token.start()])
                position = token.start()
            opened.append(token.start())
        elif opened:
            opened.pop()
            if not opened:
                kept.append(f"\n\n{GONE}\n\n")
                position = token.end()
    if opened:
        # The outermost table never ends: drop up to the heading after the last place where one was opened.
        heading = _TABLE_RESCUE.search(text, opened[-1])
        kept.append("\n\n")
        position = heading.start() if heading else len(text)
    kept.append(text[position:])
    return "".join(kept)


def _begins_line(text: str, position: int) -> bool:
    start = max(0, position - _BEFORE_TABLE)
    line_end = text.rfind("\n", start, position)
    if line_end < 0 and start > 0:
        return False
    return not text[max(line_end + 1, start) : position].strip(" \t:*#;")


# --- language variants: -{zh-hans:A;zh-hant:B}- ---

_VARIANT = re.compile(r"-\{([^{}\n]{0,500})\}-")


def _one_variant(match: re.Match[str]) -> str:
    """What the first of the variants shows; conversion rules show nothing."""
    flags, bar, rest = match[1].partition("|")
    if bar and (flags.strip() in ("H", "T", "-", "N", "D", "+") or not rest):
        return ""
    first = (rest if bar else flags).partition(";")[0]
    code, colon, shown = first.partition(":")
    return shown.strip() if colon and re.fullmatch(r"\s*[a-z]{2,3}(-[a-z]+)?\s*", code) else first


# --- tags ---

_BLOCK_TAGS = frozenset(
    "p div blockquote center ul ol li dl dt dd hr table tr td th caption tbody thead h1 h2 h3 h4 h5 h6 poem pre".split()
)
_TAG = re.compile(rf"<(/?)({'|'.join(TAG_NAMES)})(?:\s[^<>]*|/)?/?>", re.IGNORECASE)


def _replace_tags(text: str) -> str:
    if "<" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        name = match[2].lower()
        if name in _BLOCK_TAGS:
            return "\n\n"
        return " " if name == "br" else ""

    return _TAG.sub(replace, text)


# --- links ---

_EXTERNAL = re.compile(
    r"\[(?:[a-zA-Z]{3,8}:)?//[^\s\[\]<>]+(?:[ \t]+([^\[\]\n]*(?:\[[^\[\]\n]{0,200}\][^\[\]\n]*){0,4}))?\]"
)
_INNER_LINK = re.compile(r"\[\[((?:[^\[\]]|\[(?!\[)|\](?!\]))*)\]\]")
_OPEN_FILE = re.compile(r"\[\[[ ]?([^\[\]|:\n]{1,40}):[^\n]*")
_FILE_ENDING = re.compile(
    r"\.(?:jpe?g|png|svg|gif|tiff?|webp|xcf|pdf|djvu|og[gva]|webm|mp[34]|wav|flac|midi?|stl|opus)\s*$", re.IGNORECASE
)
# From the end of the line before, because a search for a character leaps; no page begins with such an item.
_TITLE_ITEM = re.compile(rf"(\n[*#]+[ \t]*)('{{0,5}}\[\[[^\[\]\n]{{1,300}}\]\][ \t{GONE}'.,;]*)$", re.MULTILINE)
_BRACKETS = re.compile(r"[\[\]]{2,}")


def _replace_links(text: str, dropped: frozenset[str]) -> str:
    if "[" not in text:
        return _without_brackets(text)

    def replace(match: re.Match[str]) -> str:
        target, bar, shown = match[1].partition("|")
        if ":" in target:
            prefix, _, rest = target.partition(":")
            if not prefix.strip():
                # [[:Category:X]] is a link that shows itself.
                other, colon, page = rest.partition(":")
                return shown or (page if colon and other in LANGUAGE_PREFIXES else rest)
            name = normal_name(prefix)
            if name in dropped or _FILE_ENDING.search(rest):
                return GONE
            if name in LANGUAGE_PREFIXES and prefix.strip().islower() and not bar:
                return GONE
        # [[target|]] is expanded when a page is saved; where one is left, the target is what is meant.
        return shown if shown.strip() else target.replace("_", " ").lstrip("#")

    text = _TITLE_ITEM.sub(rf"\1{TITLE}\2", text)
    # Inside out: a caption's links first, then the file that the caption belongs to.
    if "//" in text:
        text = _EXTERNAL.sub(_replace_external, text)
    for _ in range(_LINK_DEPTH):
        text, count = _INNER_LINK.subn(replace, text)
        if not count or "[[" not in text:
            break
    if "[http" in text or "[//" in text:
        # Those with a link inside what they show.
        text = _EXTERNAL.sub(_replace_external, text)
    if "[[" in text:
        text = _OPEN_FILE.sub(lambda match: GONE if normal_name(match[1]) in dropped else match[0], text)
    return _without_brackets(text)


def _replace_external(match: re.Match[str]) -> str:
    return f"{LINK}{match[1] or GONE}{LINK_END}"


def _without_brackets(text: str) -> str:
    """Take out double brackets that have no other end, with the brackets beside them."""
    if "[[" not in text and "]]" not in text:
        return text
    return _BRACKETS.sub(lambda match: "" if "[[" in match[0] or "]]" in match[0] else match[0], text)


# --- lines ---

_MAGIC_WORD = re.compile(r"__[^\W\d_]{2,40}(?:_[^\W\d_]{1,40}){0,3}__")
_HEADING = re.compile(rf"(={{1,6}})(.+?)\1[\s{GONE}]*$")
# With text after it, or without its end, which is shown as text; one sign of equality may well be a formula.
_BROKEN_HEADING = re.compile(r"={2,6}([^=]{1,200})(?:={2,6}(?!=)(.*)|)$")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_QUOTES = re.compile(r"'{2,}")
_LIST_MARK = "*#:;"


def _split(text: str, boilerplate: bool) -> list[Paragraph]:
    found: list[Paragraph] = []
    blocks: list[Block] = []
    lines: list[str] = []
    section = ""
    in_rows = False  # a line that begins with an exclamation mark is a header cell below a row, and prose elsewhere

    def end_block(item: bool = False) -> None:
        if lines:
            blocks.append(Block(" ".join(lines), item))
            lines.clear()

    def end_section() -> None:
        end_block()
        shown = [without_marks(block.text) for block in blocks] if boilerplate else shown_blocks(blocks)
        found.extend(Paragraph(section, prose) for block in shown if (prose := _tidy(block)))
        blocks.clear()

    for line in text.split("\n"):
        first = line[:1]
        if first == "=" and (heading := _HEADING.match(line)):
            end_section()
            section = _tidy(_without_quotes(without_marks(heading[2].strip("="))))
        elif first == "=" and (heading := _BROKEN_HEADING.match(line)):
            if heading[2] is None:
                end_block()
                lines.append(_without_quotes(heading[1]))
                end_block()
            else:
                end_section()
                section = _tidy(_without_quotes(without_marks(heading[1])))
                lines.append(_without_quotes(heading[2]))
        elif first and first in _LIST_MARK:
            end_block()
            lines.append(_without_quotes(line.lstrip("*#:; \t")))
            end_block(item=True)
        elif not line.strip(_BLANK) or line.startswith("----"):
            end_block()
            lines.extend([rest] if (rest := line.lstrip("-").strip(_BLANK)) else [])
        elif first == "|" or line.startswith(("{|", "!!")) or (first == "!" and in_rows):
            # Rows of a table or parameters of a template whose other end is missing.
            end_block()
            in_rows = True
        else:
            lines.append(_without_quotes(line))
            in_rows = False
    end_section()
    return found


_BLANK = f" \t\u00a0\u3000{GONE}"


def _without_quotes(line: str) -> str:
    """Resolve the apostrophes of bold and italics: 2, 3 or 5 go, 4 leave one, more leave those after five."""
    if "''" not in line:
        return line
    runs = [len(run) for run in _QUOTES.findall(line)]
    bold = sum(run == 3 or run == 4 or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    spared = _misread_bold(line) if bold % 2 and italic % 2 else -1

    def replace(match: re.Match[str]) -> str:
        length = len(match[0])
        if match.start() == spared:
            return "'"
        return "'" if length == 4 else "'" * max(0, length - 5)

    return _QUOTES.sub(replace, line)


def _misread_bold(line: str) -> int:
    """Where three apostrophes mean one and italics, as in l'''Iliade'', by MediaWiki's own preference; -1 for nowhere.

    After a word of one letter first, then after a longer word, then after a space.
    """
    best = (3, -1)
    for match in _QUOTES.finditer(line):
        if len(match[0]) not in (3, 4):
            continue
        start = match.start()
        before, last = line[max(0, start - 2) : max(0, start - 1)], line[max(0, start - 1) : start]
        rank = 2 if last in (" ", "") else (0 if before in (" ", "") else 1)
        if rank < best[0]:
            best = (rank, start)
    return best[1]


_JOINTS = r" ,;:،؛、，；：/·•–—\-"
_OPENING, _CLOSING = "(（\\[", ")）\\]"
_AFTER_OPEN = re.compile(rf"([{_OPENING}])[{_JOINTS}]{{0,20}}{GONE}[{_JOINTS}{GONE}]{{0,40}}")
_CLOSES = re.compile(rf"{GONE}[{_JOINTS}{GONE}]{{0,40}}[{_CLOSING}」』»\"/]")
_BEFORE_CLOSE = re.compile(rf"[{_JOINTS}]{{0,20}}{GONE}[{_JOINTS}{GONE}]{{0,40}}(?=[{_CLOSING}])")
_EMPTY = re.compile(
    rf" ?[{_OPENING}「『«\"]{{1,2}}{GONE}[ {GONE}]{{0,40}}[{_CLOSING}」』»\"]{{1,2}}|/{GONE}[ {GONE}]{{0,40}}/"
)
_STILL_OPEN = re.compile(rf"([{_OPENING}]){GONE}[ {GONE}]*")
_TWO_COMMAS = re.compile(rf"[,;،、，]{GONE}[ {GONE}]{{0,40}}(?=[,;،、，.])")
_BEFORE_POINT = re.compile(rf"{GONE}[ {GONE}]{{0,40}}(?=[,.;:!?،؛؟、。，；：！？)\]])")
_AT_START = re.compile(rf"^{GONE}[ {GONE}]*(?:[,;:.،؛、，；：。)）\]]|[-–—](?= ))[{_JOINTS}{GONE}]*")
_LEFT = re.compile(rf"{GONE}[ {GONE}]*")


def _tidy(text: str) -> str:
    """Close the gaps that removals left, decode entities, make spaces single, normalise to NFC."""
    text = " ".join(text.split())
    if GONE in text:
        # Every space beside a marker goes to its right, where the expressions look for it.
        text = text.replace(f" {GONE}", f"{GONE} ")
        text = _AT_START.sub("", text)
        text = _AFTER_OPEN.sub(rf"\1{GONE}", text)
        if _CLOSES.search(text):
            text = _BEFORE_CLOSE.sub(GONE, text)
            text = _EMPTY.sub(lambda match: f"{GONE} " if match[0][0] == " " else GONE, text)
        text = _STILL_OPEN.sub(r"\1", text)
        text = _TWO_COMMAS.sub("", text)
        text = _BEFORE_POINT.sub("", text)
        text = _LEFT.sub(lambda match: " " if " " in match[0] else "", text)
        text = text.strip()
    if "[[" in text or "]]" in text:
        # Single brackets, which what stood between them has joined: quotes, say.
        text = " ".join(_without_brackets(text).split())
    if "&" in text:
        # Last, because what an entity stands for is never markup.
        text = " ".join(_ENTITY.sub(lambda match: html.unescape(match[0]), text).split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)
