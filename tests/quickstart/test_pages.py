"""Articles: what is announced as their prose is what a wikitext parser finds in them."""

import re

import mwparserfromhell
import pytest

from unibert.corpus.clean import RULE_NAMES, apply_rules
from unibert.corpus.counting import count_words
from unibert.corpus.wikitext import paragraphs
from unibert.quickstart.facts import KINDS
from unibert.quickstart.pages import ArticleWriter, categories, fact_rows, related
from unibert.quickstart.templates import text_of
from unibert.quickstart.wikis import expected_removals, namespaces
from unibert.recipe import Rules


def articles(pages):
    return [page for page in pages if page.namespace == 0 and page.redirect is None]


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def test_a_parser_finds_the_prose_in_every_article(wikis):
    for code, pages in wikis.items():
        # A parser in Python takes its time: a quarter of the pages of each wiki, of all kinds, is enough.
        for page in articles(pages)[::4]:
            parsed = mwparserfromhell.parse(page.wikitext.replace("<br />", " "))
            for tag in parsed.filter_tags(matches=lambda tag: str(tag.tag) == "ref"):
                parsed.remove(tag)
            text = squeezed(parsed.strip_code().replace(" ()", ""))
            for block in page.prose:
                assert squeezed(block.text) in text, (code, page.title)
            assert not any(mark in text for mark in ("{{", "}}", "[[", "]]", "{|")), (code, page.title)


def test_the_converter_finds_the_prose_and_nothing_else(world, wikis):
    for code, pages in wikis.items():
        names = namespaces(world.languages[code])
        for page in articles(pages):
            found = [squeezed(paragraph.text) for paragraph in paragraphs(page.wikitext, names)]
            assert found == [squeezed(block.text).strip() for block in page.prose], (code, page.title)


def test_the_cleaning_rules_find_the_work_that_is_announced(world, wikis):
    expected = expected_removals(world, 1)
    for code, pages in wikis.items():
        done = {rule: {"changed": 0, "dropped": 0} for rule in RULE_NAMES}
        for page in articles(pages):
            for paragraph in paragraphs(page.wikitext, namespaces(world.languages[code])):
                cleaned = apply_rules(paragraph.text, Rules(), count_words)
                for rule in cleaned.changed:
                    done[rule]["changed"] += 1
                if cleaned.dropped_by:
                    done[cleaned.dropped_by]["dropped"] += 1
        assert done == expected[code], code


@pytest.mark.parametrize("kind", KINDS)
def test_an_article_of_each_kind_is_the_same_every_time(world, kind):
    language = world.languages["en"]
    entity = world.of_kind(kind)[0]
    page = ArticleWriter(world, language, entity, 5).page()
    assert page == ArticleWriter(world, language, entity, 5).page()
    assert page != ArticleWriter(world, language, entity, 6).page()
    assert page.title == language.titles[entity.id]
    assert categories(world, language, entity)
    assert related(world, entity)
    assert entity not in related(world, entity)


def test_different_articles_about_one_entity_use_different_templates(world):
    language = world.languages["en"]
    for entity in world.of_kind("country"):
        page = ArticleWriter(world, language, entity, 1).page()
        texts = [block.text for block in page.prose]
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("rule", ["html", "links_only", "digits", "hidden_characters", "short"])
def test_a_page_gives_work_to_the_rule_it_was_written_for_and_no_other(world, rule):
    for language in world.languages.values():
        for kind in KINDS:
            page = ArticleWriter(world, language, world.of_kind(kind)[1], 1, rule).page()
            assert [name for block in page.prose for name in block.rules] == [rule]


def test_fact_rows_tell_the_facts(world):
    language = world.languages["de"]
    rows = dict(fact_rows(world, language, world.entities["paris"]))
    assert text_of(rows["country"]) == "Frankreich"
    assert rows["country"][0].target == "Frankreich"
    assert text_of(rows["population"]) == "2,1"
    assert text_of(rows["river"]) == "Seine"
    assert "river" not in dict(fact_rows(world, language, world.entities["madrid"]))
