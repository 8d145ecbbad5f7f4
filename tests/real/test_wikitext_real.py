"""The wikitext converter on every page of the real dumps: what it leaves behind, and what it survives."""

import time

import pytest

from unibert.corpus.clean import apply_rules
from unibert.corpus.counting import token_counter
from unibert.corpus.dump import DumpReader
from unibert.corpus.wikitext import paragraphs
from unibert.recipe import Rules
from wikitext_mutations import mutations

LEFT_OVER = ("[[", "]]", "{{", "}}", "{|", "|}", "''", "==", "<ref", "&nbsp;", "px|", "thumb|")


@pytest.fixture(scope="module")
def pages(shared_data):
    found = []
    for path in sorted((shared_data / "dumps").glob("*/*.bz2")):
        reader = DumpReader(path)
        found += [(page.text, reader.namespaces) for page in reader if page.namespace == 0 and not page.redirect]
    return found


@pytest.fixture(scope="module")
def samples(pages):
    rules, count_tokens = Rules(), token_counter(None)
    cleaned = (
        apply_rules(text, rules, count_tokens).text
        for source, namespaces in pages
        for _, text in paragraphs(source, namespaces)
    )
    return [text for text in cleaned if text is not None]


def test_at_most_one_sample_in_2000_has_markup_left(samples):
    assert len(samples) > 45_000
    left = [text for text in samples if any(mark in text for mark in LEFT_OVER)]
    assert len(left) * 2_000 <= len(samples), left[:20]


def test_at_most_one_sample_in_2000_has_an_address(samples):
    left = [text for text in samples if "http://" in text or "https://" in text]
    assert len(left) * 2_000 <= len(samples), left[:20]


def test_only_a_little_of_the_text_is_boilerplate(pages):
    def letters(boilerplate):
        return sum(
            len(text)
            for source, namespaces in pages
            for _, text in paragraphs(source, namespaces, boilerplate=boilerplate)
        )

    shown, whole = letters(False), letters(True)
    # References and lists of links are there and go; prose is nearly all of a page and stays.
    assert 0.90 * whole < shown < 0.99 * whole


def test_mutated_pages_raise_nothing_and_end_soon(pages):
    sources = [source for source, _ in pages]
    for case in mutations(sources, 400, seed=2):
        began = time.process_time()
        paragraphs(case.text)
        assert time.process_time() - began < 5, case.seed


def test_a_mutation_is_made_again_from_its_seed(pages):
    sources = [source for source, _ in pages]
    assert list(mutations(sources, 20, seed=3)) == list(mutations(sources, 20, seed=3))
    assert [case.text for case in mutations(sources, 20, seed=3)] != [
        case.text for case in mutations(sources, 20, seed=4)
    ]
