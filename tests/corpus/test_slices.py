import bz2
import gzip
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpus_support import articles, cut_streams, dump_xml, multistream, page_xml, zstd
from unibert.corpus import slices
from unibert.corpus.dump import DumpReader
from unibert.corpus.slices import Slice, plan_slices

XML = dump_xml(
    [page_xml("A", "Ein <b>Fluß</b> 東京 <page> &amp;", 1), *articles(9, start=2), page_xml("Z", "🙂" * 40, 11)]
)
DATA = XML.encode()
STREAM = b"BZh91AY&SY"
INDEXED = "dewiki-20260101-pages-articles-multistream1.xml-p1p41242.bz2"
INDEX = "dewiki-20260101-pages-articles-multistream-index1.txt-p1p41242.bz2"


def read(path, part=None):
    reader = DumpReader(path, part)
    return list(reader), reader


def read_slices(path, size):
    """All pages and the damage of each slice, and a check that the plan covers the file."""
    plan = plan_slices(path, size)
    assert [part.start for part in plan] == [0, *(part.stop for part in plan[:-1])]
    assert plan[-1].stop == path.stat().st_size
    assert plan == plan_slices(path, size)
    both = [read(path, part) for part in plan]
    return [page for pages, _ in both for page in pages], [reader for _, reader in both]


def streams(data):
    return [i for i in range(len(data)) if data[i : i + 10] == STREAM]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("slices") / "dewiki-test.xml"


PAGE_TAGS = [i for i in range(len(DATA)) if DATA[i : i + 6] == b"<page>"]
LETTERS = [i for i in range(len(DATA)) if DATA[i] & 0xC0 == 0x80]


@settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(
        st.integers(1, len(DATA) - 1)
        | st.sampled_from([tag + i for tag in PAGE_TAGS for i in range(7)])
        | st.sampled_from(LETTERS),
        unique=True,
        max_size=40,
    ),
    size=st.integers(40, 4000),
)
@example(cuts=[tag + 3 for tag in PAGE_TAGS], size=100)
@example(cuts=[len(DATA) - 8, len(DATA) - 1], size=50)
def test_each_page_comes_once_and_in_order_however_the_streams_are_cut(place, cuts, size):
    place.write_bytes(cut_streams(DATA, cuts))
    whole, reader = read(place)
    assert len(whole) == 11
    assert reader.damage is None
    pages, readers = read_slices(place, size)
    assert pages == whole
    assert [reader.damage for reader in readers] == [None] * len(readers)
    assert all(one.namespaces == reader.namespaces for one in readers)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(5, 5000))
@example(size=7)
def test_plain_xml_is_cut_at_any_byte(place, size):
    place.write_bytes(DATA)
    pages, readers = read_slices(place, size)
    assert len(pages) == 11
    assert pages == read(place)[0]
    assert not any(reader.damage for reader in readers)
    assert len(readers) == max(1, round(len(DATA) / size))
    assert [reader.position for reader in readers if reader.pages] == [
        reader.part.stop for reader in readers if reader.pages
    ]


@settings(max_examples=250, deadline=None)
@given(data=st.data(), size=st.integers(40, 2500))
def test_slices_lose_what_the_whole_file_loses_and_nothing_else(place, data, size):
    """Spoil some bytes, or remove some, or put some in: the pages that come out do not depend on the slices."""
    cuts = data.draw(st.lists(st.integers(1, len(DATA) - 1), unique=True, max_size=20))
    whole = bytearray(data.draw(st.sampled_from([DATA, multistream(XML), cut_streams(DATA, cuts)])))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(whole) - 1))
        stop = data.draw(st.sampled_from([start, start + 1, start + 1, start + 200]))
        new = data.draw(st.sampled_from([b"", b"\0", b"<", b">", b"\xff", b"<page>", b"</page>", b"<!--", b"\0" * 300]))
        whole[start:stop] = new
    place.write_bytes(bytes(whole))
    expected, reader = read(place)
    pages, readers = read_slices(place, size)
    assert pages == expected
    if reader.damage is None:
        assert not any(one.damage for one in readers)


def test_pages_behind_a_damaged_stream_are_read(place):
    spoilt = bytearray(multistream(XML))
    starts = streams(spoilt)
    spoilt[starts[3] + 11] ^= 0xFF  # the checksum of the pages 5 and 6
    place.write_bytes(bytes(spoilt))
    for size in (len(spoilt), 300, 60):
        pages, readers = read_slices(place, size)
        assert [page.page_id for page in pages] == [1, 2, 3, 4, 7, 8, 9, 10, 11]
        damage = [reader.damage for reader in readers if reader.damage]
        assert len(damage) == 1
        assert f"the stream at byte {starts[3]:,} of the compressed file" in damage[0].place
        assert damage[0].skipped == starts[4] - starts[3]
        assert f"{damage[0].skipped:,} bytes of the file skipped" in str(damage[0])


def test_two_damaged_streams_and_a_bad_page_are_counted(place):
    spoilt = bytearray(cut_streams(DATA.replace(b"Nummer 2", b"Nummer \xff"), [i + 20 for i in PAGE_TAGS[2:]]))
    starts = streams(spoilt)
    for number in (2, 5):
        spoilt[starts[number] + 11] ^= 0xFF
    place.write_bytes(bytes(spoilt))
    pages, reader = read(place)
    assert [page.page_id for page in pages] == [1, 3, 6, 9, 10, 11]
    assert "the XML is damaged" in reader.damage.reason
    assert (reader.damage.further, reader.damage.lost) == (2, 3)
    assert reader.damage.skipped == starts[3] - starts[2] + starts[6] - starts[5]
    assert "3 pages lost" in str(reader.damage)
    assert "2 more places of damage" in str(reader.damage)
    assert read_slices(place, 200)[0] == pages


def test_a_hole_of_zeros_does_not_end_the_file(place):
    whole = multistream(XML)
    starts = streams(whole)
    place.write_bytes(whole[: starts[2]] + bytes(400_000) + whole[starts[3] :])
    pages, reader = read(place)
    assert [page.page_id for page in pages] == [1, 2, *range(5, 12)]
    assert reader.damage is None or "not bz2" in reader.damage.reason
    assert read_slices(place, 50_000)[0] == pages


def test_a_page_that_reaches_into_a_damaged_stream_of_the_next_slice(place):
    spoilt = bytearray(cut_streams(DATA, [tag + n for tag in PAGE_TAGS for n in (20, 40)]))  # pages reach over three
    starts = streams(spoilt)
    spoilt[starts[6] + 11] ^= 0xFF
    place.write_bytes(bytes(spoilt))
    _, whole = read(place)
    for size in (40, 100, 200, 400):
        damage = [reader.damage for reader in read_slices(place, size)[1] if reader.damage]
        assert all(one.skipped >= 0 for one in damage)
        assert sum(one.skipped for one in damage) == whole.damage.skipped == starts[7] - starts[6]
        assert sum(one.lost for one in damage) == whole.damage.lost


@pytest.mark.parametrize("place_name", ["header", "all"])
def test_a_damaged_header_costs_its_names_and_no_page(place, place_name):
    spoilt = bytearray(multistream(XML))
    spoilt[streams(spoilt)[0] + 11] ^= 0xFF
    place.write_bytes(bytes(spoilt))
    pages, readers = read_slices(place, 200 if place_name == "header" else len(spoilt))
    assert [page.page_id for page in pages] == list(range(1, 12))
    assert readers[0].damage.pages == 0
    assert readers[0].namespaces == {}


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(DATA, mtime=0),
        zstd(DATA),
        bz2.compress(DATA),
        XML.encode("utf-16"),
        b"\xfe\xff" + XML.encode("utf-16-be"),
        multistream(XML).replace(STREAM, b"BZh9", 1),
    ],
    ids=["gzip", "zstd", "one stream", "utf-16-le", "utf-16-be", "damaged start"],
)
def test_what_cannot_be_cut_is_one_slice(place, content):
    place.write_bytes(content)
    plan = plan_slices(place, 100)
    if content.startswith(b"BZh9") and content.count(STREAM) > 1:
        assert len(plan) > 1
    else:
        assert plan == [Slice(0, len(content))]
    assert read_slices(place, 100)[0] == read(place)[0]


def test_utf_16_in_several_streams_is_one_slice_and_reads(place):
    place.write_bytes(cut_streams(XML.encode("utf-16"), [777, 2001]))
    assert len(plan_slices(place, 100)) == 1
    pages, reader = read(place)
    assert [page.page_id for page in pages] == list(range(1, 12))
    assert reader.damage is None


def test_a_small_file_is_one_slice_and_one_that_cannot_be_read_too(place, tmp_path):
    place.write_bytes(multistream(XML))
    size = place.stat().st_size
    assert len(plan_slices(place, int(size / 1.45))) == 1
    assert len(plan_slices(place, int(size / 2.4))) == 2
    assert plan_slices(tmp_path / "none.xml.bz2", 100) == [Slice(0, 0)]
    pages, reader = read(tmp_path / "none.xml.bz2", Slice(0, 0))
    assert pages == []
    assert "cannot be read" in str(reader.damage)


def test_only_the_surroundings_of_the_cuts_are_read(tmp_path, monkeypatch):
    path = tmp_path / "dewiki-test.xml.bz2"
    noise = multistream(XML)
    path.write_bytes(noise * 2000)
    read_bytes = 0
    find = slices.find_stream

    def counted(raw, start, stop):
        nonlocal read_bytes
        found = find(raw, start, stop)
        read_bytes += raw.tell() - start
        return found

    monkeypatch.setattr(slices, "find_stream", counted)
    plan = plan_slices(path, path.stat().st_size // 4)
    assert len(plan) == 4
    assert read_bytes <= 3 * (1 << 18)
    assert max(part.stop - part.start for part in plan) < 1.1 * min(part.stop - part.start for part in plan)


def indexed(tmp_path, spoil=lambda lines: lines, ending=".bz2"):
    path = tmp_path / INDEXED
    path.write_bytes(multistream(XML))
    # The first stream is the header, the last one the footer.
    lines = [
        f"{start}:{2 * number + i}:Titel: mit Doppelpunkt {i}\n"
        for number, start in enumerate(streams(path.read_bytes())[1:-1])
        for i in (1, 2)
    ]
    text = "".join(spoil(lines)).encode()
    name = INDEX if ending else INDEX.removesuffix(".bz2")
    (tmp_path / name).write_bytes(bz2.compress(text) if ending else text)
    return path


@pytest.mark.parametrize("ending", [".bz2", ""])
def test_the_index_tells_the_starts(tmp_path, monkeypatch, ending):
    path = indexed(tmp_path, ending=ending)
    monkeypatch.setattr(slices, "find_stream", None)  # would fail if it were used
    plan = plan_slices(path, 400)
    assert len(plan) > 2
    assert {part.start for part in plan[1:]} <= set(streams(path.read_bytes()))
    assert read_slices(path, 400)[0] == read(path)[0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [f"{int(line.partition(':')[0]) + 1}:{line.partition(':')[2]}" for line in lines],
        lambda lines: [*lines, "99999999:9:Zu weit\n"],
        lambda lines: lines[::-1],
        lambda lines: lines[:2],
        lambda lines: ["kein Verzeichnis\n"],
        lambda lines: [],
        lambda lines: ["9" * 5000],
    ],
    ids=["no stream there", "behind the end", "backwards", "too short", "not an index", "empty", "long line"],
)
def test_an_index_that_does_not_fit_is_not_believed(tmp_path, spoil):
    path = indexed(tmp_path, spoil)
    starts = streams(path.read_bytes())
    plan = plan_slices(path, 400)
    assert len(plan) > 2
    assert {part.start for part in plan[1:]} <= set(starts)
    (tmp_path / INDEX).unlink()
    assert plan == plan_slices(path, 400)


def test_a_cut_index_is_not_believed(tmp_path):
    path = indexed(tmp_path)
    index = tmp_path / INDEX
    index.write_bytes(index.read_bytes()[:-9])
    assert len(plan_slices(path, 400)) > 2


def test_slices_are_about_equal(tmp_path):
    path = tmp_path / "dewiki-test.xml.bz2"
    path.write_bytes(multistream(dump_xml(articles(400, "Ganz " * 50))))
    plan = plan_slices(path, path.stat().st_size // 5)
    sizes = [part.stop - part.start for part in plan]
    assert len(sizes) == 5
    assert max(sizes) < 1.2 * min(sizes)
    assert all(a.stop == b.start for a, b in pairwise(plan))
