"""Markup and noise around prose: taking it away again gives the prose."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.quickstart import noise
from unibert.quickstart.markup import HIDDEN, Footnotes, decorated, link, linked, with_hidden_characters
from unibert.quickstart.templates import Segment, text_of

SENTENCES = st.text("abcé 0123456789.,!?।。北", max_size=60).map(Segment)
MENTIONS = st.sampled_from([Segment("Paris", "paris", "LOC", "Paris"), Segment("Франции", "france", "LOC", "Франция")])
PARAGRAPHS = st.lists(SENTENCES | MENTIONS, max_size=6)
SEEDS = st.integers(0, 10_000)


def stripped(wikitext):
    """A reader's view of what `decorated` writes."""
    text = re.sub(
        r"<!--.*?-->|<ref[^>]*/>|<ref[^>]*>.*?</ref>|\{\{sfn.*?\}\}| \(\{\{Audio.*?\}\}\}\}\}\}\)", "", wikitext
    )
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", text)
    text = text.replace("<br />", " ").replace("&nbsp;", " ").replace("'''", "")
    return re.sub(r"</?(?:span|small)[^>]*>", "", text)


@given(PARAGRAPHS, SEEDS, st.booleans())
def test_decoration_keeps_the_words(paragraph, seed, bold):
    footnotes = Footnotes("Report on X, 1999", "https://www.example.org/x", random.Random(seed))
    wikitext = decorated(paragraph, footnotes, random.Random(seed), "paris", bold)
    assert stripped(wikitext) == text_of(paragraph)
    assert "[[Paris" not in wikitext
    has_subject = any(segment.entity == "paris" for segment in paragraph)
    assert wikitext.count("'''Paris'''") == (bold and has_subject)


@given(SEEDS)
def test_a_footnote_that_is_reused_was_named_before(seed):
    footnotes = Footnotes("T", "https://www.example.org", random.Random(seed))
    named = set()
    for _ in range(12):
        wikitext = footnotes.next()
        if reused := re.fullmatch(r'<ref name="(\w+)" />', wikitext):
            assert reused[1] in named
        elif new := re.match(r'<ref name="(\w+)">', wikitext):
            named.add(new[1])


@given(PARAGRAPHS, SEEDS)
def test_hidden_characters_come_out_again(paragraph, seed):
    changed = with_hidden_characters(paragraph, random.Random(seed))
    text = text_of(changed)
    assert text.translate(dict.fromkeys(map(ord, HIDDEN))) == text_of(paragraph)
    assert [s.text for s in changed if s.entity] == [s.text for s in paragraph if s.entity]
    if any(len(s.text) >= 10 and not s.entity for s in paragraph):
        assert text != text_of(paragraph)


def test_hidden_characters_never_come_between_a_letter_and_its_mark():
    for seed in range(50):
        (segment,) = with_hidden_characters([Segment("कि ति हि नि गि मि")], random.Random(seed))
        assert not re.search(rf"[{''.join(HIDDEN)}]\u093f", segment.text)


def test_links():
    assert link("Paris") == link("Paris", "Paris") == "[[Paris]]"
    assert linked([Segment("в "), Segment("Париже", "paris", "LOC", "Париж")]) == "в [[Париж|Париже]]"


@given(SEEDS)
def test_book_numbers_have_a_right_check_digit(seed):
    digits = [int(character) for character in noise.isbn(random.Random(seed)) if character.isdigit()]
    assert len(digits) == 13
    assert sum(digit * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


@pytest.mark.parametrize("seed", range(12))
def test_noise_is_what_it_says(world, seed):
    chooser = random.Random(seed)
    language = world.languages["en"]
    numbers = noise.digits(chooser)
    assert sum(character.isdigit() for character in numbers.text) > 0.7 * len(numbers.text)
    addresses = noise.links_only("https://www.example.org", chooser)
    assert re.sub(r"https://\S+|ISBN [\d-]+|\s", "", addresses.text) == ""
    assert noise.short(world, language, chooser).rules == ("short",)
    artefact = noise.with_html(noise.Block("[[a]] b", "a b"), chooser)
    assert re.search(r"<[^>]+>|&\w+;", artefact.text)
    assert "a b" in artefact.text
    assert artefact.rules == ("html",)


def test_prose_finds_its_own_rules():
    assert noise.prose("x", "one two three four").rules == ("short",)
    assert noise.prose("x", "one two three four five").rules == ()
    assert noise.prose("x", "one two three four fi\u00adve").rules == ("hidden_characters",)


def test_the_plan_gives_every_rule_a_page_and_depends_on_the_seed(world):
    language = world.languages["en"]
    plan = noise.plan(world, language, 1)
    assert set(plan.values()) == set(noise.RULES)
    assert plan == noise.plan(world, language, 1) != noise.plan(world, language, 2)
