import re
import unicodedata

import mwparserfromhell
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.corpus.wikitext import Paragraph, paragraphs, plain_text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # links
        ("[[Stadt]] [[Stadt|alte]]n [[a|b|c]]", "Stadt alten b|c"),
        (
            "[[Neu_York]] [[#Abschnitt]] [[:Category:Z]] [[:en:Town]] [[:en:Town|town]]",
            "Neu York Abschnitt Category:Z Town town",
        ),
        ("[[File:A.jpg|thumb|cap [[link|s]] {{x}}]]b", "b"),
        ("[[Datei:A.jpg|mini|a [[Datei:B.svg|rahmenlos]] c]]b", "b"),
        ("[[Irgendwas:A.jpg|x]]b [[Kategorija:X]]c [[категория:X|*]]d", "b c d"),
        ("[[de:Foo]]a [[zh-min-nan:Foo]]b [[de:Foo|Bar]]", "a b Bar"),
        ("[[Mission: Impossible]] [[Star Wars: X|Krieg]]", "Mission: Impossible Krieg"),
        (
            "[http://x.org the site] [//x.org y] [http://x.org] [sic] https://x.org/a",
            "the site y [sic] https://x.org/a",
        ),
        ("[http://x.org a ''[[b|c]]'' (d) [[e]], f] [//x.org [[g]]]", "a c (d) e, f g"),
        ("[[File:A.jpg|thumb|cap\n\nb", "b"),
        ("a [[open b", "a open b"),
        ("a ]] b", "a b"),
        # emphasis
        ("''a'' '''b''' '''''c''''' d's", "a b c d's"),
        ("l'''Iliade'' e '''x'''", "l'Iliade e x"),
        ("''''a'''' '''''''b'''''''", "'a' ''b''"),
        # templates
        ("a {{Infobox|x={{y|{{z}}}}|w=}} b", "a b"),
        ("a{{{1|}}}b {{{{{x}}}}} c", "ab c"),
        ("{{Infobox\n| a = b\n}}\ntext", "text"),
        ("{{open\n| a = b\n\ntext", "text"),
        ("text}} here", "text here"),
        ("{{lang|fr|Bonjour [[monde|le monde]]}} {{nowrap|10 km}} {{lang-ru|Москва}}", "Bonjour le monde 10 km Москва"),
        ("{{convert|5|km|mi}} {{formatnum:1234}} a{{nbsp}}b {{convert|5|to|6|km}}", "5 km 1234 a b 5 to 6 km"),
        ("{{nowrap|{{lang|de|Haus}} am See}}", "Haus am See"),
        # tags
        ("a<ref name=x>y [[z]]</ref> b<ref name=x />, c<ref>{{open</ref>.", "a b, c."),
        ("x<math>a^2 < {{b}}</math>y<gallery>\nA.jpg|b\n</gallery>z", "xyz"),
        ("H<sub>2</sub>O<br/>m<sup class='x'>2</sup> <s>alt</s>", "H2O m2 alt"),
        ("<nowiki>a [[b]] {{c}} '' ''' d</nowiki> <nowiki/>", "a b c d"),
        ("a<ref>open\nb", "a b"),
        ("a <!-- b\n\nc --> d\n<!-- e -->\nf", "a d f"),
        ("<noinclude>a</noinclude><includeonly>b</includeonly><onlyinclude>c</onlyinclude>", "ac"),
        ("a < b und c > d", "a < b und c > d"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字", "漢字"),
        # entities, magic words, variants
        ("a&nbsp;b &amp; &eacute; &unknown; &lt;b&gt; &#x263a;", "a b & é &unknown; <b> ☺"),
        ("__NOTOC__a __БЕЗОГЛ__ b_c __d __init__", "a b_c __d __init__"),
        ("-{zh-hans:州; zh-hant:邦}-議 -{x}- -{H|zh:a}-", "州議 x"),
        # what is left around removed things
        ("A ({{x}}; born 1900) b", "A (born 1900) b"),
        ("A (born 1900, {{x}}) b", "A (born 1900) b"),
        ("A ({{x}}, {{y}}) b", "A b"),
        ("A {{x}}, {{y}}, b {{z}}.", "A, b."),
        ("（{{x}}）は「{{y}}」a", "はa"),
        ("f() ( a ) , b", "f() ( a ) , b"),
        ("{{x}}, b", "b"),
        ("<ref>x</ref>. {{y}} – b", "b"),
        ("{{x}} - b", "b"),
        ("{{x}}-b", "-b"),
        (", b", ", b"),
        ("Name (/{{IPA|x}}/, b) c", "Name (b) c"),
        ("Il dit : « oui » ; non !", "Il dit : « oui » ; non !"),
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_markup_becomes_what_it_shows(source, expected):
    # With boilerplate, because some of these are nothing but links.
    assert " ".join(paragraph.text for paragraph in paragraphs(source, boilerplate=True)) == expected


def test_paragraphs_lists_and_sections_in_reading_order():
    source = """{{Infobox}}
'''Foo''' is
a bar.

Second.
{{box}}
Third.
== Head ''it'' <!-- c --> ==
* one
** [[two]]
# three
; term : text
: indented
----
Text.<p>New paragraph.</p>
{| class="x"
|-
| a || {|
| nested
|}
| b
|}
After.
=== Deeper ===<!-- x -->
End.
==Empty==
"""
    assert paragraphs(source) == [
        Paragraph("", "Foo is a bar."),
        Paragraph("", "Second."),
        Paragraph("", "Third."),
        Paragraph("Head it", "one"),
        Paragraph("Head it", "two"),
        Paragraph("Head it", "three"),
        Paragraph("Head it", "term : text"),
        Paragraph("Head it", "indented"),
        Paragraph("Head it", "Text."),
        Paragraph("Head it", "New paragraph."),
        Paragraph("Head it", "After."),
        Paragraph("Deeper", "End."),
    ]


@pytest.mark.parametrize(
    "table",
    [
        "{|\n| a\n|}",
        "{|\n| a\n{|\n| b\n|}\n| c\n|}",
        ":{| class=x\n! a !! b\n|-\n| {{t|}}\n|}",
        "<table><tr><td>a<table><td>b</table></td></tr></table>",
        "{{T|\n{|\n| {{{a|}}}\n|}}\n",
    ],
)
def test_tables_go_with_their_cells(table):
    assert plain_text(f"Vor.\n{table}\nNach.") == "Vor.\n\nNach."


def test_an_unclosed_table_ends_at_the_next_heading():
    assert plain_text("Vor.\n{|\n| a\nb\n== H ==\nNach.") == "Vor.\n\nNach."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("==A==b\nc", [Paragraph("A", "b c")]),
        ("a\n== b\nc", [Paragraph("", "a"), Paragraph("", "b"), Paragraph("", "c")]),
        ("== A [http://x.org b] ==\nc", [Paragraph("A b", "c")]),
        ("a == b == c", [Paragraph("", "a == b == c")]),
        ("=a=b", [Paragraph("", "=a=b")]),
    ],
)
def test_headings_that_are_not_quite_right(source, expected):
    assert paragraphs(source) == expected


def test_brackets_that_a_removal_joins_go():
    assert plain_text("a [''[ b ]''] c") == "a b c"


def test_header_cells_go_where_the_table_has_no_beginning_or_end_and_stay_where_they_are_prose():
    assert plain_text("Vor.\n\n|-\n! Jahr !! Ort\n! Etappe\n|}\n\nNach.\n\n!Kung ist eine Sprache.") == (
        "Vor.\n\nNach.\n\n!Kung ist eine Sprache."
    )


@pytest.mark.parametrize("source", ["a {| b |} c", "x" * 60 + " {|\nb\n|}\n", "a<table>b</table> c"])
def test_a_table_begins_a_line_or_is_a_tag(source):
    assert ("b" in plain_text(source)) is ("<table>" not in source)


def test_namespaces_of_the_dump_are_known_too():
    source = "[[Bildlein:X|klein]]a [[Sorte:Y]]b"
    assert plain_text(source, {6: "Bildlein", 14: "Sorte", 0: ""}) == "a b"
    assert plain_text(source) == "kleina Sorte:Yb"


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends_of_other_systems(line_end):
    assert plain_text(f"a{line_end}{line_end}b") == "a\n\nb"


# --- properties ---

TOKENS = (
    "[[ ]] { } {{ }} {{{ }}} {| |} | [ ] '' ''' ''''' == === \n \n\n * # ; : <ref> </ref> <ref/> <!-- --> <br> <div "
    "</div> <nowiki> </nowiki> <math> </math> <table> </table> File: Kategorie: de: http://x.org __A__ -{ }- &amp; "
    "&lt; ( ) , . - a b Wort ሀ 中 é \u200c \x00 ="
).split(" ")
MARKUP = st.lists(st.sampled_from([*TOKENS, " "]), max_size=60).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80) | MARKUP)
def test_any_text_is_converted_to_tidy_paragraphs(source):
    for section, text in paragraphs(source):
        for value in (section, text):
            assert value == value.strip() == unicodedata.normalize("NFC", value)
            assert "\x00" not in value
            assert "\n" not in value
            assert "  " not in value
        assert text
        if "&" not in source:
            assert "[[" not in text
            assert "]]" not in text


WORD = st.from_regex(r"[a-zäé]{2,8}", fullmatch=True)
PLAIN = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


def around(inner):
    """Balanced markup around words: what shows its content, and what hides it."""
    return st.one_of(
        inner.map(lambda x: x if "'" in x else f"'''{x}'''"),
        inner.map(lambda x: x if "'" in x else f"''{x}''"),
        st.tuples(WORD, inner).map(lambda x: f"[[{x[0]}|{x[1]}]]"),
        inner.map(lambda x: f"<small>{x}</small>"),
        inner.map(lambda x: f"<span style='a'>{x}</span>"),
        inner.map(lambda x: f"hh{{{{zz|{x}}}}} "),
        inner.map(lambda x: f"hh<ref>{x}</ref> "),
        inner.map(lambda x: f"[[File:A.jpg|thumb|{x}]]"),
        # A reference ends at the first </ref>, in a comment too, so no markup in comments here.
        PLAIN.map(lambda x: f"<!-- {x} -->"),
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
    )


BALANCED = st.recursive(PLAIN, around, max_leaves=6)


@settings(max_examples=100, deadline=None)
@given(st.lists(BALANCED, min_size=1, max_size=4))
def test_balanced_markup_leaves_none_of_itself(parts):
    shown = plain_text("\n\n".join(parts))
    assert not re.search(r"\[\[|\]\]|\{\{|\}\}|''|</?[a-z]|-->|File:|\|", shown)


SIMPLE = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        PLAIN.map(lambda x: f"'''{x}'''"),
        PLAIN.map(lambda x: f"''{x}''"),
        st.tuples(WORD, PLAIN).map(lambda x: f"[[{x[0]}|{x[1]}]]"),
        PLAIN.map(lambda x: f"[http://x.org {x}]"),
        PLAIN.map(lambda x: f"<small>{x}</small>"),
        WORD.map(lambda x: f"[[{x}]]"),
        WORD.map(lambda x: f"{{{{zz|{x}}}}}"),
        WORD.map(lambda x: f"<!--{x}-->"),
        st.just("&nbsp;"),
        st.just("&eacute;"),
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SIMPLE, min_size=1, max_size=3))
def test_simple_markup_gives_the_words_of_mwparserfromhell(parts):
    source = "\n\n".join(parts)
    theirs = mwparserfromhell.parse(source).strip_code()
    ours = " ".join(text for _, text in paragraphs(source, boilerplate=True))
    assert ours.split() == theirs.split()


def test_deep_nesting_keeps_the_text_around_it():
    deep = "[[a|" * 500 + "innen" + "]]" * 500
    assert "innen" in plain_text(f"{deep} x")
    assert plain_text("{{a|" * 5000 + "innen" + "}}" * 5000 + " x") == "x"
