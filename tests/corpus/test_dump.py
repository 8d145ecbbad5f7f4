import bz2
import gzip
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_support import COMPRESSIONS, articles, cut_streams, dump_xml, multistream, page_xml, zstd
from unibert.corpus import export_xml
from unibert.corpus.dump import Damage, DumpReader, Page
from unibert.corpus.slices import plan_slices


def read(path, part=None):
    reader = DumpReader(path, part)
    return list(reader), reader


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_every_compression_gives_the_same_pages(write_dump, ending):
    pages, reader = read(write_dump(articles(7), f"dewiki-test{ending}"))
    assert reader.damage is None
    assert [page.title for page in pages] == [f"Seite {n}" for n in range(1, 8)]
    assert [page.page_id for page in pages] == list(range(1, 8))
    assert pages[2].text.endswith("in das Meer. Nummer 3.")
    assert reader.namespaces[6] == "Datei"
    assert reader.position == reader.path.stat().st_size


def test_what_a_page_is(write_dump):
    path = write_dump(
        [
            page_xml("A & B", "<ref>x</ref> &amp;nbsp; ü", 4),
            page_xml("Alt", "#WEITERLEITUNG [[Neu]]", 5, redirect=True),
            page_xml("Älter", "#WEITERLEITUNG [[Neu]]", 6),
            page_xml("Kategorie:X", "y", 7, namespace=14),
            page_xml("Modul:X", "return {}", 8, namespace=828, model="Scribunto"),
            page_xml("Spezial:X", "old export", 9, namespace=None),
            page_xml("Star Wars: Krieg", "old export", 10, namespace=None),
        ]
    )
    pages, _ = read(path)
    assert pages[0] == Page("A & B", 4, 0, False, "<ref>x</ref> &amp;nbsp; ü")
    assert [page.redirect for page in pages] == [False, True, True, False, False, False, False]
    assert [page.namespace for page in pages] == [0, 0, 0, 14, 828, -1, 0]
    assert pages[4].text == ""


def cut_xml(path):
    xml = dump_xml(articles(9))
    path.write_bytes(bz2.compress(xml[: xml.index("Nummer 6")].encode()))


def cut_after_a_page(path):
    path.write_bytes(bz2.compress(dump_xml(articles(5)).replace("</mediawiki>", "").encode()))


def cut_bz2(path):
    whole = multistream(dump_xml(articles(12)))
    path.write_bytes(whole[: int(len(whole) * 0.6)])


def cut_gz(path):
    # Stored, not deflated, so that what stands before the cut can be told.
    whole = gzip.compress(dump_xml(articles(12)).encode(), compresslevel=0, mtime=0)
    path.write_bytes(whole[: int(len(whole) * 0.6)])


def cut_zst(path):
    whole = zstd(dump_xml(articles(30)).encode())
    path.write_bytes(whole[: int(len(whole) * 0.8)])


def wrong_checksum(path):
    path.write_bytes(bz2.compress(dump_xml(articles(9, "Ganz " * 60_000)).encode()))
    whole = bytearray(path.read_bytes())
    whole[-10] ^= 0xFF
    path.write_bytes(bytes(whole))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_xml, "XML ends in the middle"),
        (cut_after_a_page, "XML ends in the middle"),
        (cut_bz2, "compressed data end in the middle"),
        (cut_gz, "compressed data end in the middle"),
        (cut_zst, "compressed data end in the middle"),
        (wrong_checksum, "compressed data are damaged"),
    ],
)
def test_pages_before_damage_are_kept_and_the_place_is_named(tmp_path, spoil, reason):
    path = tmp_path / "dewiki-test.xml"
    spoil(path)
    pages, reader = read(path)
    assert len(pages) >= 4
    assert [page.title for page in pages] == [f"Seite {n}" for n in range(1, len(pages) + 1)]
    assert all(page.text.endswith(f"Nummer {page.page_id}.") for page in pages)
    damage = reader.damage
    assert reason in damage.reason
    assert (damage.file, damage.pages, damage.last_title) == ("dewiki-test.xml", len(pages), pages[-1].title)
    assert "byte" in damage.place
    assert "line" in damage.place
    assert f"last is 'Seite {len(pages)}'" in str(damage)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff\xfe",
        b"\xe6\x9d",
        b"\x00",
        b"<",
        b"</revision>",
        b"<text>",
        b"&nbsp;",
        b"&l;",
        b"<!DOCTYPE a>",
        b"<?",
        b"<!--",
    ],
    ids=repr,
)
@pytest.mark.parametrize("compress", [bytes, bz2.compress, lambda data: cut_streams(data, range(300, 3000, 300))])
def test_what_is_wrong_in_a_page_costs_that_page_only(tmp_path, rubbish, compress):
    xml = dump_xml(articles(9)).encode()
    place = xml.index(b"Nummer 6")
    path = tmp_path / "dewiki-test.xml"
    path.write_bytes(compress(xml[:place] + rubbish + xml[place:]))
    pages, reader = read(path)
    assert [page.page_id for page in pages] == [1, 2, 3, 4, 5, 7, 8, 9]
    damage = reader.damage
    assert (damage.pages, damage.last_title, damage.lost, damage.further) == (5, "Seite 5", 1, 0)
    assert "the XML is damaged" in damage.reason
    assert "read 5 complete pages before it, the last is 'Seite 5'; 1 page lost" in str(damage)


def test_the_place_of_xml_damage_is_exact(tmp_path):
    xml = dump_xml([*articles(5), page_xml("\n\n", "zwei\nZeilen \n", 6), *articles(3, start=7)]).encode()
    for number in (1, 5, 7, 9):
        place = xml.index(b"Nummer %d" % number)
        path = tmp_path / "dewiki-test.xml.bz2"
        path.write_bytes(cut_streams(xml[:place] + b"\xff" + xml[place:], range(100, 3000, 77)))
        _, reader = read(path)
        assert f"byte {place:,} of the XML, line {xml[:place].count(10) + 1:,};" in str(reader.damage)


def test_a_second_place_of_damage_has_the_right_line_too(tmp_path, monkeypatch):
    xml = dump_xml(articles(9)).encode().replace(b"Nummer 3", b"\xff").replace(b"Nummer 7", b"<x>")
    path = tmp_path / "dewiki-test.xml"
    path.write_bytes(xml)
    told = []
    monkeypatch.setattr(DumpReader, "_damaged", lambda self, reason, place, *rest: told.append(place))
    assert len(read(path)[0]) == 7
    places = [xml.index(b"\xff"), xml.index(b"</text>", xml.index(b"<x>")) + 2]
    assert told == [f"byte {place:,} of the XML, line {xml[:place].count(10) + 1:,}" for place in places]


def test_damage_in_words():
    damage = Damage("f", "broken", "byte 5", "A", 1)
    assert str(damage) == "f: broken at byte 5; read 1 complete page before it, the last is 'A'"
    assert str(Damage("f", "left out", "")) == "f: left out; no page read"
    assert str(Damage("f", "broken", "byte 5", "A", 2000, 3, 1, 2345)) == (
        "f: broken at byte 5; read 2,000 complete pages before it, the last is 'A'; "
        "1 page lost, 2,345 bytes of the file skipped, 3 more places of damage"
    )


SISTERS = [
    ("dewiktionary-20260101-pages-articles.xml", "", "Wiktionary"),
    ("dewiki-test.xml", "<dbname>dewiktionary</dbname>", "Wiktionary"),
    ("dewiki-test.xml", "<sitename>Wikibooks</sitename>", "Wikibooks"),
    ("dewiki-test.xml", "<sitename>Викитека</sitename><base>https://ru.wikisource.org/wiki/X</base>", "Wikisource"),
    ("dewiki-test.xml", "<base>http://de.wikiquote.org/wiki/Hauptseite</base>", "Wikiquote"),
    ("dewiki-test.xml", "<dbname>zh_min_nanwikisource</dbname>", "Wikisource"),
    ("dewiki-test.xml", "<dbname>commonswiki</dbname>", "Wikimedia Commons"),
    ("dewiki-test.xml", "<base>https://commons.wikimedia.org/wiki/Main_Page</base>", "Wikimedia Commons"),
    ("wikidatawiki-20260101-pages-articles.xml", "", "Wikidata"),
    ("dewiki-test.xml", "<base>https://www.wikidata.org/wiki/X</base>", "Wikidata"),
    ("dewiki-test.xml", "<dbname>mediawikiwiki</dbname>", "MediaWiki.org"),
]
WIKIPEDIAS = [
    ("enwikibooklet-test.xml", "", "Wikipedia"),
    ("dewiki-test.xml", "<sitename>Wikipedia</sitename><dbname>enwiki</dbname>", "Wikipedia"),
    (
        "dewiki-test.xml",
        "<sitename>Vikipedeja</sitename><base>https://ltg.wikipedia.org/wiki/Seite:Wiktionary</base>",
        "Wikipedia",
    ),
    ("metawikipedia.xml", "<sitename>Die Wiki der Wikis</sitename><base>https://wiki.example.org/</base>", "Wikipedia"),
    ("be_x_oldwiki-test.xml", "<dbname>be_x_oldwiki</dbname>", "Wikipedia"),
]


@pytest.mark.parametrize(("name", "header", "project"), SISTERS + WIKIPEDIAS)
def test_a_dump_of_another_project_is_left_out(tmp_path, name, header, project):
    path = tmp_path / name
    path.write_text(dump_xml(articles(30)).replace("<sitename>W</sitename><dbname>enwiki</dbname>", header))
    pages, reader = read(path)
    assert reader.project == project
    if project == "Wikipedia":
        assert len(pages) == 30
        assert reader.damage is None
        return
    assert pages == []
    assert str(reader.damage) == f"{name}: a dump of {project}, not of Wikipedia: left out; no page read"
    both = [read(path, part) for part in plan_slices(path, 1000)]
    assert len(both) > 2
    assert [bool(reader.damage) for _, reader in both] == [True] + [False] * (len(both) - 1)
    assert not any(pages for pages, _ in both)


@pytest.mark.parametrize("pages", [[], [page_xml("Vorlage:X", "x", namespace=10)]])
def test_no_article_is_no_damage(write_dump, pages):
    found, reader = read(write_dump(pages))
    assert len(found) == len(pages)
    assert reader.damage is None
    assert reader.namespaces[14] == "Kategorie"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (bz2.compress(b""), "decompresses to nothing"),
        (gzip.compress(b"", mtime=0), "decompresses to nothing"),
        (b"plain text, no XML at all", "not a MediaWiki export"),
        (b"   \n", "not a MediaWiki export"),
        (b"<html><body>404</body></html>", "root element is <html>"),
        (b"BZh9 but nothing else", "compressed data"),
        (b"\x1f\x8b", "compressed data"),
        (b"7z\xbc\xaf\x27\x1c rest", "7-Zip, which is not supported"),
        (b"\x28\xb5\x2f\xfd rest", "compressed data"),
        (zstd(b"")[:12], "decompresses to nothing"),
        (bytes(range(256)), "not a MediaWiki export"),
    ],
)
def test_what_is_no_dump_is_damage_and_not_an_exception(tmp_path, content, reason):
    path = tmp_path / "dewiki-test.xml.bz2"
    path.write_bytes(content)
    pages, reader = read(path)
    assert pages == []
    assert reason in reader.damage.reason
    assert "no page read" in str(reader.damage)


def test_a_missing_file_is_damage(tmp_path):
    pages, reader = read(tmp_path / "dewiki-test.xml")
    assert pages == []
    assert "cannot be read" in reader.damage.reason


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;&l;&l;&l;&l;&l;&l;&l;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    ],
)
def test_declarations_of_entities_are_refused(tmp_path, declaration):
    path = tmp_path / "dewiki-test.xml"
    path.write_text(declaration + dump_xml([page_xml("A", "x").replace("x</text>", "&m;</text>")]))
    pages, reader = read(path)
    assert pages == []
    assert "entity declaration" in reader.damage.reason


def test_an_endless_page_does_not_fill_the_memory(write_dump, monkeypatch):
    monkeypatch.setattr(export_xml, "_LONGEST_TEXT", 10_000)
    pages, reader = read(write_dump([*articles(2), page_xml("Lang", "x" * 900_000), *articles(2, start=4)]))
    assert [page.page_id for page in pages] == [1, 2, 4, 5]
    assert "more than 10,000 characters" in reader.damage.reason
    assert reader.damage.lost == 1


def test_a_page_of_20_megabytes_is_read(write_dump):
    text = "Ein Satz mit ü und 東京. " * 750_000
    path = write_dump([page_xml("Lang", text), *articles(2, start=2)])
    assert len(text.encode()) > 20_000_000
    tracemalloc.start()
    try:
        for number, page in enumerate(DumpReader(path)):
            assert page.page_id == max(1, number + 1)
            assert number or page.text == text
        assert tracemalloc.get_traced_memory()[1] < 160 << 20
    finally:
        tracemalloc.stop()


def test_a_page_with_a_long_history_takes_the_memory_of_one_revision(tmp_path):
    revision = "<revision><id>1</id><text>" + "alt " * 50_000 + "</text></revision>"
    path = tmp_path / "dewiki-test.xml"
    path.write_text(dump_xml([page_xml("A", "neu").replace("<revision>", revision * 150 + "<revision>", 1)]))
    tracemalloc.start()
    try:
        assert [page.text for page in DumpReader(path)] == ["neu"]
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_pages_come_before_the_file_is_read_to_its_end(write_dump):
    path = write_dump(articles(3000, "Ganz " * 300), "dewiki-test.xml")
    reader = DumpReader(path)
    assert next(iter(reader)).title == "Seite 1"
    assert reader.position < path.stat().st_size / 4


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_spoilt_byte_costs_little_and_is_told(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("dump") / "dewiki-test.xml"
    plain = dump_xml(articles(6)).encode()
    kinds = [plain, multistream(plain.decode()), gzip.compress(plain, mtime=0), zstd(plain)]
    whole = bytearray(data.draw(st.sampled_from(kinds)))
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole))
    pages, reader = read(path)
    assert len(pages) == 6 or reader.damage is not None
    assert reader.pages == len(pages)
    if reader.damage:
        assert reader.damage.pages <= len(pages)
        titles = [page.title for page in pages]
        assert reader.damage.last_title == (titles[reader.damage.pages - 1] if reader.damage.pages else "")
