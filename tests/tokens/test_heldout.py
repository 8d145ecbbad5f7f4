from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unibert.tokens.heldout import PageHash, choose_held_out

# Few page numbers and texts, so that pages have several paragraphs and texts repeat; page 0 is plain text.
ROWS = st.lists(
    st.tuples(st.sampled_from(["a.xml", "b.xml"]), st.integers(0, 6), st.text("xyz", max_size=2)), max_size=40
)
SHARE = st.floats(0.001, 0.5)
MOST = st.integers(1, 12)


def pages_of(rows, seed=1):
    page_hash = PageHash("de", seed)
    return [page_hash.of(*row) for row in rows]


@given(ROWS, st.integers(0, 9))
def test_a_page_is_its_source_and_number_and_plain_text_is_its_text(rows, seed):
    page_of = dict(zip(rows, pages_of(rows, seed), strict=True))
    keys = {row: (row[0], row[1]) if row[1] else row[2] for row in rows}
    for one, first in page_of.items():
        for other, second in page_of.items():
            assert (first == second) == (keys[one] == keys[other])


@given(ROWS, SHARE, MOST)
def test_what_is_held_out(rows, share, most):
    chosen = choose_held_out(rows, PageHash("de", 1), share, most)
    pages = pages_of(rows)
    order = sorted(set(pages))
    assert len(chosen.texts) <= most
    if len(order) < 2:
        assert not chosen.pages and not chosen.texts and not chosen.rows
        return
    assert order[0] in chosen.pages and order[-1] not in chosen.pages
    assert chosen.texts
    # Whole pages in the order of their hash, as many as fit; written down naively.
    sizes = Counter(pages)
    expected, total = [], 0
    for page in order[:-1]:
        if expected and (total + sizes[page] > most or page >= share * 2**64):
            break
        expected.append(page)
        total += sizes[page]
    assert chosen.pages == set(expected)
    assert chosen.rows == [number for number, page in enumerate(pages) if page in chosen.pages]
    assert chosen.texts == [row[2] for row, page in zip(rows, pages, strict=True) if page in chosen.pages][:most]


@given(st.permutations([("a", page, f"{page}-{number}") for page in range(1, 9) for number in range(3)]), SHARE, MOST)
def test_the_order_of_the_rows_does_not_matter(rows, share, most):
    one = choose_held_out(rows, PageHash("de", 1), share, most)
    other = choose_held_out(sorted(rows), PageHash("de", 1), share, most)
    assert one.pages == other.pages
    assert len(one.texts) == len(other.texts)


def test_about_the_share_is_held_out():
    rows = [("a", page, "text") for page in range(1, 20_001)]
    for share in (0.02, 0.5):
        number = len(choose_held_out(rows, PageHash("de", 1), share, 20_000).texts)
        # Five standard deviations of the binomial; the hash is fixed, so this cannot flicker.
        assert abs(number - 20_000 * share) < 5 * (20_000 * share * (1 - share)) ** 0.5


def test_share_zero_holds_nothing_out():
    assert choose_held_out([("a", page, "x") for page in range(1, 50)], PageHash("de", 1), 0, 100).texts == []


def test_seed_and_language_choose_other_pages():
    rows = [("a", page, str(page)) for page in range(1, 400)]
    chosen = [
        tuple(choose_held_out(rows, PageHash(language, seed), 0.02, 100).texts)
        for language, seed in (("de", 1), ("de", 2), ("en", 1), ("de", 1))
    ]
    assert len(set(chosen)) == 3 and chosen[0] == chosen[3]
