import bz2
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_support import COMPRESSIONS, articles, dump_xml, multistream, page_xml
from unibert.corpus import dump
from unibert.corpus.dump import DumpReader, Page


def read(path):
    reader = DumpReader(path)
    return list(reader), reader


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("version", ["0.3", "0.6", "0.10", "0.11"])
def test_every_compression_and_version_gives_the_same_pages(write_dump, ending, version):
    pages, reader = read(write_dump(articles(7), f"dewiki-test{ending}", version=version))
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


def test_other_slots_and_older_revisions_do_not_count(write_dump):
    slot = "<content><role>mediainfo</role><model>json</model><text>{}</text></content>"
    old = "<revision><id>1</id><text>old</text></revision>"
    page = page_xml("A", "new", extra=slot).replace("<revision>", f"{old}<revision>", 1)
    pages, _ = read(write_dump([page]))
    assert [page.text for page in pages] == ["new"]


def cut_xml(path):
    xml = dump_xml(articles(9))
    path.write_bytes(bz2.compress(xml[: xml.index("Nummer 6")].encode()))


def cut_after_a_page(path):
    path.write_bytes(bz2.compress(dump_xml(articles(5)).replace("</mediawiki>", "").encode()))


def invalid_bytes(path):
    xml = dump_xml(articles(9)).encode()
    place = xml.index(b"Nummer 6")
    path.write_bytes(bz2.compress(xml[:place] + b"\xff\xfe" + xml[place:]))


def cut_bz2(path):
    whole = multistream(dump_xml(articles(12)))
    path.write_bytes(whole[: int(len(whole) * 0.6)])


def cut_gz(path):
    # Stored, not deflated, so that what stands before the cut can be told.
    whole = gzip.compress(dump_xml(articles(12)).encode(), compresslevel=0, mtime=0)
    path.write_bytes(whole[: int(len(whole) * 0.6)])


def wrong_checksum(path):
    whole = bytearray(multistream(dump_xml(articles(12))))
    streams = [i for i in range(len(whole)) if whole[i : i + 10] == b"BZh91AY&SY"]
    whole[streams[4] + 11] ^= 0xFF  # the fifth stream's block checksum
    path.write_bytes(bytes(whole))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_xml, "XML ends in the middle"),
        (cut_after_a_page, "XML ends in the middle"),
        (invalid_bytes, "XML is damaged"),
        (cut_bz2, "compressed data end in the middle"),
        (cut_gz, "compressed data end in the middle"),
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


def test_the_place_of_xml_damage_is_exact(tmp_path):
    path = tmp_path / "dewiki-test.xml"
    invalid_bytes(path)
    _, reader = read(path)
    xml = bz2.decompress(path.read_bytes())
    place = xml.index(b"\xff\xfe")
    assert f"byte {place:,} of the XML, line {xml[:place].count(10) + 1:,}" in str(reader.damage)


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
        (b"\x28\xb5\x2f\xfd rest", "Zstandard"),
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
    monkeypatch.setattr(dump, "_LONGEST_TEXT", 10_000)
    pages, reader = read(write_dump([*articles(2), page_xml("Lang", "x" * 200_000), *articles(2)]))
    assert len(pages) == 2
    assert "more than 10,000 characters" in reader.damage.reason


def test_pages_come_before_the_file_is_read_to_its_end(write_dump):
    path = write_dump(articles(3000, "Ganz " * 300), "dewiki-test.xml")
    reader = DumpReader(path)
    assert next(iter(reader)).title == "Seite 1"
    assert reader.position < path.stat().st_size / 4


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_spoilt_byte_leaves_a_whole_prefix(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("dump") / "dewiki-test.xml"
    plain = dump_xml(articles(6)).encode()
    whole = bytearray(data.draw(st.sampled_from([plain, multistream(plain.decode()), gzip.compress(plain, mtime=0)])))
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole))
    pages, reader = read(path)
    assert len(pages) == 6 or reader.damage is not None
    assert reader.pages == len(pages)
    if reader.damage:
        assert reader.damage.pages == len(pages)
