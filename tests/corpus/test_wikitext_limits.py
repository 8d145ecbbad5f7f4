"""Wikitext that nobody would write: the converter raises nothing, and ends soon."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.corpus.wikitext import paragraphs
from wikitext_mutations import mutate

MOST = 20.0
"""Seconds of processor time after which a page hangs, whatever is in it: they take about one, a quadratic reading
of this much text minutes."""

UNITS = [
    "{{", "}}", "{{{", "[[", "]]", "[[a|", "[[File:", "{|\n", "|}\n", "'''", "''", "'", "<ref>", "</ref>", "<ref",
    "<!--", "<", "<table>", "<div>", "<div", "[http://", "[http://x ", "[http://x [a] ", "[http://x [[y]] ", "http://",
    "(", "( ,", "({{x}}", ", {{x}}", "/{{x}}/ ", "&amp;", "__A_", "-{", "-{a", "}-", "=", "==", "==\n", "== a",
    "==a==b\n", "{{nowrap|", "{{quote|\n", "{{lang|de|x}}", "{{a{{b}}", "* {{c|url=x}}\n", "* {{", "[[a [[b]]",
    "* [[a]]\n", "* [http://x y]\n", "''[[", "==[[", "{|{{", "<div>{{", "<ref>{{[[", "[", "]", "<nowiki>", "* ",
    "\r\n", " \n", "ISBN 1 ", "\x00", "\x01",
]  # fmt: skip


def seconds(source):
    began = time.process_time()
    paragraphs(source)
    return time.process_time() - began


@pytest.mark.parametrize("unit", UNITS)
def test_a_hundred_thousand_openings_end_soon(unit):
    opened = unit * 100_000
    assert seconds(opened) < MOST
    closed = "".join(reversed(opened.translate(str.maketrans("[{<(", "]}>)"))))
    assert seconds(opened + closed) < MOST


@pytest.mark.parametrize(
    "unit", ["{{", "[[a|", "{|\n", "<ref>", "''", "-{", "<div>", "[http://x ", "==", "* [http://x y]\n", "({{x}}"]
)
def test_four_times_the_openings_end_too(unit):
    # What is quadratic takes sixteen times as long as the hundred thousand above; a ratio of two times would
    # tell a busy machine, not the code.
    assert seconds(unit * 400_000) < MOST


PROSE = "Der '''Fluss''' fließt durch die [[Stadt|alte Stadt]] und mündet in das Meer.<ref>A</ref> " * 4


@pytest.mark.parametrize(
    "unit",
    [
        f"== H ==\n{{{{x|y=[[z]]}}}}\n{PROSE}\n\n* [http://x.org y]\n",
        f"{PROSE}\n{{{{[[<ref>''{{|\n<div -{{ [http://x\n",
    ],
    ids=["sound", "broken"],
)
def test_a_page_of_20_mb_ends_soon(unit):
    assert seconds(unit * (20_000_000 // len(unit.encode()))) < MOST


PAGES = [
    """{{Infobox|name=A|image=[[File:A.jpg|thumb|b]]}}
'''A''' (''{{lang|de|B}}''; [[1900]]–[[1950]]) war ein [[Fluss|C]].<ref name=x>{{cite web|url=http://x.org}}</ref>
== Lage ==
{| class=x
! E
|-
| F || [[G]]
|}
* H
# [[I]]

=== Netz ===
* [http://x.example.org J]
{{Navi|K}}
[[Kategorie:L]]
[[en:M]]""",
    """<!-- n -->'''東京'''（{{仮リンク|町|en|Town}}）は-{zh-hans:国;zh-hant:國}-の[[首都]]<sup>2</sup>である。<br/>
__TOC__
<gallery>
A.jpg|a
</gallery>
<math>a^2</math><nowiki>[[x]]</nowiki>&nbsp;&lt;b&gt; {{#if:a|b|{{{c|d}}}}}""",
]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9))
def test_mutated_pages_raise_nothing_and_stay_tidy(seed):
    for section, text in paragraphs(mutate(PAGES, str(seed))):
        for value in (section, text):
            assert value == " ".join(value.split()) == unicodedata.normalize("NFC", value)
            assert not set(value) & set("\x00\x01\x02\x03") or "&#" in value
        assert text
