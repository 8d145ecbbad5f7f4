"""Pages damaged at random, for feeding the wikitext converter what no author meant to write."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_MARKUP = (
    "{{ }} {{{ }}} [[ ]] [ ] {| |} |- | || ! !! '' ''' ''''' = == === ==== * # : ; ---- ~~~~ <ref> </ref> <ref/> <ref "
    "<references/> <!-- --> <nowiki> </nowiki> <nowiki/> <math> </math> <gallery> </gallery> <table> </table> <td> "
    "<div> </div> <div <br> <br/> <span </span> <syntaxhighlight> </syntaxhighlight> -{ }- -{zh-hans: [http://a.b "
    "[http://a.b] https://a.b [[File: [[File:A.jpg|thumb| [[Category: [[:Category: [[de: {{lang|de| {{convert|5|km "
    "{{quote| {{cite|url= {{#if: __TOC__ __NOTOC__ &nbsp; &amp;lt; &#x0; &#1114112; &#xD800; ISBN ( ) （ ） , ."
)
_OTHERS = [
    "\n",
    "\n\n",
    "\n* ",
    "\n== ",
    " ==\n",
    "\r\n",
    "\t",
    "\x00",
    "\x01",
    "\x03",
    "\u200e",
    "\u0301",
    "\ud800",
    "🏴",
]
TOKENS = [*_MARKUP.split(), *_OTHERS]
"""What the converter looks for, whole and in pieces, and characters that text should not contain."""

_LONGEST_SPAN = 400
_LONGEST_RUN = 60


class Mutation(NamedTuple):
    """A damaged page, and what makes the same one again."""

    seed: str
    text: str


def mutations(pages: Sequence[str], count: int, seed: int) -> Iterator[Mutation]:
    """`count` damaged pages; number n depends on the pages, the seed and n only.

    Args:
        pages: sources to damage.
        count: how many.
        seed: makes the whole sequence again.
    """
    for number in range(count):
        name = f"{seed}:{number}"
        yield Mutation(name, mutate(pages, name))


def mutate(pages: Sequence[str], seed: str) -> str:
    """One page with 1 to 12 damages; the page and the damages depend on the seed only."""
    chance = random.Random(seed)
    text = chance.choice(pages)
    for _ in range(chance.randint(1, 12)):
        text = chance.choice(_DAMAGES)(text, pages, chance)
    return text


def _span(text: str, chance: random.Random) -> tuple[int, int]:
    start = chance.randint(0, len(text))
    return start, min(len(text), start + chance.randint(1, _LONGEST_SPAN))


def _delete(text: str, pages: Sequence[str], chance: random.Random) -> str:
    start, end = _span(text, chance)
    return text[:start] + text[end:]


def _duplicate(text: str, pages: Sequence[str], chance: random.Random) -> str:
    start, end = _span(text, chance)
    return text[:end] + text[start:end] * chance.randint(1, 4) + text[end:]


def _swap(text: str, pages: Sequence[str], chance: random.Random) -> str:
    (a, b), (c, d) = sorted((_span(text, chance), _span(text, chance)))
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[max(b, d) :]


def _insert(text: str, pages: Sequence[str], chance: random.Random) -> str:
    start, _ = _span(text, chance)
    # Mostly one token, now and then a run of them.
    tokens = chance.choice(TOKENS) * (1 if chance.random() < 0.9 else chance.randint(2, _LONGEST_RUN))
    return text[:start] + tokens + text[start:]


def _truncate(text: str, pages: Sequence[str], chance: random.Random) -> str:
    cut = chance.randint(0, len(text))
    return text[:cut] if chance.random() < 0.7 else text[cut:]


def _splice(text: str, pages: Sequence[str], chance: random.Random) -> str:
    other = chance.choice(pages)
    return text[: chance.randint(0, len(text))] + other[chance.randint(0, len(other)) :]


# Inserting is drawn more often than the others: it is what makes markup that does not fit together.
_DAMAGES = (_delete, _duplicate, _swap, _insert, _insert, _insert, _truncate, _splice)
