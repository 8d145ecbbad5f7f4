"""The converter keeps the prose that is marked in pages of many languages; and the measure can tell if it does not.

Where the first test fails, `python tests/support/prose_support.py` shows what is missing in which page.
"""

import random
import time

import pytest

from prose_support import common_runs, compare, marked_pages, measure, totals, with_sources
from unibert.corpus.wikitext import paragraphs

PARAGRAPHS = [
    "The mill stands where the brook leaves the wood, and its wheel has not turned for a hundred years.",
    "In winter the pond freezes; children from both villages come to skate on it until the bell rings.",
    "水車小屋は森の出口に立っている。冬には池が凍り、子どもたちが滑りに来る。",
    "The last miller sold the stones to a museum, which shows them beside a drawing of the house.",
]


@pytest.fixture(scope="module")
def sources(shared_data):
    return [(page, wikitext) for page, wikitext, _ in with_sources(marked_pages(), shared_data / "dumps")]


@pytest.fixture(scope="module")
def results(shared_data):
    return measure(marked_pages(), shared_data / "dumps")


def test_at_least_97_percent_of_the_prose_is_kept(results):
    recall, precision = totals(list(results.values()))
    assert recall >= 0.97
    assert precision >= 0.95


def test_no_page_loses_much_of_its_prose(results):
    poor = {f"{page.language} {page.page_id}": result.recall for page, result in results.items() if result.recall < 0.9}
    assert not poor


def test_the_sample_has_40_pages_in_20_languages():
    pages = marked_pages()
    assert len({(page.file, page.page_id) for page in pages}) == len(pages) >= 40
    assert len({page.language for page in pages}) >= 20


def test_the_pages_are_those_that_were_marked(sources):
    assert sources
    assert [page.page_id for page, wikitext in sources if not page.is_of(wikitext)] == []


def test_the_marked_spans_are_in_order_and_without_markup(sources):
    for page, wikitext in sources:
        offsets = [offset for span in page.keep for offset in span]
        assert offsets == sorted(offsets) and offsets[-1] <= len(wikitext), page.page_id
        prose = page.prose(wikitext)
        assert len(prose) > 200, page.page_id
        assert not [mark for mark in ("[[", "]]", "{{", "}}", "''", "<ref", "|thumb") if mark in prose], page.page_id


def test_a_converter_that_keeps_everything_scores_one():
    text = "\n\n".join(PARAGRAPHS)
    assert compare(text, text.replace(" ", "\n")).recall == 1
    result = compare(text, text)
    assert (result.recall, result.precision, list(result.differences())) == (1, 1, [])


@pytest.mark.parametrize("lost", range(len(PARAGRAPHS)))
def test_a_lost_paragraph_costs_recall_by_its_length(lost):
    left = PARAGRAPHS[:lost] + PARAGRAPHS[lost + 1 :]
    result = compare("\n".join(PARAGRAPHS), "\n".join(left))
    size = len("".join(PARAGRAPHS[lost].split()))
    assert result.recall == pytest.approx(1 - size / len(result.expected), abs=4 / len(result.expected))
    assert result.precision == pytest.approx(1, abs=4 / len(result.expected))


def test_a_paragraph_in_the_place_of_another_is_not_taken_for_it():
    """The letters of any long text contain those of another in order; only runs of characters count."""
    other = (
        "A table of tolls hung by the door: oats at two pence, rye at three, and barley at whatever was left to pay."
    )
    result = compare("\n".join(PARAGRAPHS), "\n".join([PARAGRAPHS[0], other, *PARAGRAPHS[2:]]))
    lost = len("".join(PARAGRAPHS[1].split()))
    assert result.recall < 1 - 0.9 * lost / len(result.expected)
    assert result.precision < 1


def test_the_same_text_in_another_order_is_not_found_twice():
    result = compare("\n".join(PARAGRAPHS[:2]), "\n".join(PARAGRAPHS[1::-1]))
    assert 0.4 < result.recall < 0.6


def test_markup_left_in_costs_precision_only():
    clean = PARAGRAPHS[0]
    left_in = clean.replace("its wheel", "<ref>Miller 1911, p. 4</ref> its wheel")
    result = compare(clean, left_in)
    assert result.recall == 1
    assert 0.7 < result.precision < 0.8
    assert [(missing, extra) for _, missing, extra in result.differences()] == [("", "<ref>Miller1911,p.4</ref>")]


def test_composed_and_decomposed_letters_are_equal():
    assert compare("Caf\u00e9 au Mus\u00e9e", "Cafe\u0301 au Muse\u0301e").recall == 1


def test_nothing_found_and_nothing_expected():
    assert compare("Some prose of a page", "").recall == 0
    assert compare("", "").recall == compare("", "extra").recall == 1


def test_the_converter_itself_is_measured_on_a_page_of_our_own():
    wikitext = (
        "\n\n".join(PARAGRAPHS).replace("brook", "[[stream|'''brook''']]") + "\n{{box|a=b}}\n[[File:A.jpg|thumb|No]]"
    )
    found = "\n".join(paragraph.text for paragraph in paragraphs(wikitext))
    assert compare("\n".join(PARAGRAPHS), found).recall == 1
    assert compare("\n".join(PARAGRAPHS), found.replace(PARAGRAPHS[1], "")).recall < 0.8


def test_runs_are_equal_ascending_and_apart():
    choose = random.Random(3)
    words = [choose.choice(["mill", "brook", "wood", "pond", "stone", "e"]) for _ in range(3000)]
    changed = [word for word in words if choose.random() > 0.1]
    expected, found = "".join(words), "".join(changed)
    started = time.perf_counter()
    runs = common_runs(expected, found)
    assert time.perf_counter() - started < 5
    i = j = 0
    for start, at, size in runs:
        assert start >= i and at >= j and size >= 4
        assert expected[start : start + size] == found[at : at + size]
        i, j = start + size, at + size
    assert sum(size for _, _, size in runs) > 0.6 * len(found)
