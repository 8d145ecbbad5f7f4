"""Paragraphs that the five cleaning rules have to act on, as they are found in real dumps."""

from __future__ import annotations

import html
import random
from dataclasses import dataclass

from unibert.quickstart.markup import has_hidden_characters, link
from unibert.quickstart.words import words
from unibert.quickstart.world import Language, World

RULES = ("html", "links_only", "digits", "hidden_characters", "short")
"""The rules in their order, by their names in the recipe and in the corpus statistics."""

CHANGING_RULES = frozenset(("html", "hidden_characters"))
"""Rules that mend a paragraph; the others drop it."""

_PAGES_PER_RULE = {"html": 6, "links_only": 5, "digits": 4, "hidden_characters": 7, "short": 8}
_FEWEST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a page that stands by itself: a paragraph, a list item, a heading, a table, a template ...

    Attributes:
        wikitext: as it stands in the page.
        text: the prose in it, as a reader sees it; empty where there is none.
        rules: the cleaning rules that have to act on `text`.
    """

    wikitext: str
    text: str = ""
    rules: tuple[str, ...] = ()


def prose(wikitext: str, text: str, *rules: str) -> Block:
    """A block of prose; rules that its own words call for are added to those named."""
    if has_hidden_characters(text) and "hidden_characters" not in rules:
        rules = (*rules, "hidden_characters")
    if not rules and len(words(text)) < _FEWEST_WORDS:
        rules = ("short",)
    return Block(wikitext, text, rules)


def plan(world: World, language: Language, seed: int) -> dict[str, str]:
    """Entity id -> the rule that its page gives work to; most pages are not in it."""
    chooser = random.Random(f"{seed}/{language.code}/noise")
    ids = list(world.entities)
    chooser.shuffle(ids)
    # A small world of one's own has fewer pages than that: every rule still gets its turn.
    wanted = [rule for turn in range(max(_PAGES_PER_RULE.values())) for rule in RULES if _PAGES_PER_RULE[rule] > turn]
    return dict(zip(ids, wanted, strict=False))


def with_html(block: Block, chooser: random.Random) -> Block:
    """A paragraph with a tag or entity that somebody escaped once too often, so that readers see it."""
    before, after = chooser.choice(
        (
            ("", " &lt;br /&gt;"),
            ("", " &lt;br clear=&quot;all&quot;&gt;"),
            ('&lt;span style="color:red"&gt;', "&lt;/span&gt;"),
            ("&lt;div align=center&gt; ", " &lt;/div&gt;"),
            ("", "&amp;nbsp;"),
            ("&lt;p&gt;", ""),
        )
    )
    text = html.unescape(before) + block.text + html.unescape(after)
    return Block(before + block.wikitext + after, text, (*block.rules, "html"))


def isbn(chooser: random.Random) -> str:
    """An ISBN of thirteen digits with the right check digit."""
    digits = [9, 7, 8, *(chooser.randint(0, 9) for _ in range(9))]
    check = -sum(digit * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10
    joined = "".join(map(str, digits))
    return f"{joined[:3]}-{joined[3]}-{joined[4:7]}-{joined[7:]}-{check}"


def links_only(address: str, chooser: random.Random) -> Block:
    """A paragraph of bare addresses and book numbers; the converter itself leaves out lists of them."""
    kind = chooser.randrange(3)
    if kind == 0:
        text = f"{address}/{chooser.randint(1, 99)}.html {address}/{chooser.randint(100, 999)}.html"
    elif kind == 1:
        text = f"ISBN {isbn(chooser)} ISBN {isbn(chooser)}"
    else:
        text = f"{address}/?id={chooser.randint(1, 999)} ISBN {isbn(chooser)}"
    return Block(text, text, ("links_only",))


def digits(chooser: random.Random) -> Block:
    """A paragraph of years or of counts: about four fifths digits."""
    if chooser.random() < 0.5:
        numbers = sorted(chooser.sample(range(1801, 2024), 14))
    else:
        numbers = [chooser.randint(100_000, 999_999) for _ in range(9)]
    text = " ".join(map(str, numbers))
    return Block(text, text, ("digits",))


def short(world: World, language: Language, chooser: random.Random) -> Block:
    """A paragraph or list item of one name."""
    names = [
        language.titles[entity.id]
        for entity in (*world.of_kind("city"), *world.of_kind("country"))
        if len(words(language.titles[entity.id])) < _FEWEST_WORDS - 1
    ]
    if not names:
        return Block(language.fields["year"], language.fields["year"], ("short",))
    name = chooser.choice(names)
    wikitext, text = chooser.choice(((f"* {link(name)}", name), (f"{link(name)}.", f"{name}."), (f"''{name}''", name)))
    return Block(wikitext, text, ("short",))
