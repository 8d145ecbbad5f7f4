"""Dumps as MediaWiki writes them, made for tests."""

import bz2
import gzip
from html import escape
from itertools import pairwise

import zstandard

NAMESPACES = {-2: "Medium", -1: "Spezial", 0: "", 1: "Diskussion", 6: "Datei", 10: "Vorlage", 14: "Kategorie"}
PROSE = "Der '''Fluss''' fließt durch die [[Stadt|alte Stadt]] und mündet nach langer Reise in das Meer."


def page_xml(title, text, page_id=1, namespace=0, redirect=False, model="wikitext", extra=""):
    mark = '<redirect title="X" />' if redirect else ""
    ns = "" if namespace is None else f"<ns>{namespace}</ns>"
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    {ns}<id>{page_id}</id>{mark}\n"
        f"    <revision>\n      <id>7{page_id}</id>\n"
        f"      <contributor><username>N</username><id>99</id></contributor>\n      <model>{model}</model>\n{extra}"
        f'      <text bytes="1" xml:space="preserve">{escape(text, quote=False)}</text>\n    </revision>\n  </page>\n'
    )


def dump_xml(pages, version="0.11", namespaces=NAMESPACES):
    names = "".join(
        f'<namespace key="{key}" case="first-letter">{name}</namespace>' for key, name in namespaces.items()
    )
    head = (
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-{version}/" version="{version}" xml:lang="en">\n'
        f"<siteinfo><sitename>W</sitename><dbname>enwiki</dbname><namespaces>{names}</namespaces></siteinfo>\n"
    )
    return head + "".join(pages) + "</mediawiki>\n"


def articles(count, text=PROSE, start=1):
    return [page_xml(f"Seite {n}", f"{text} Nummer {n}.", n) for n in range(start, start + count)]


def multistream(xml, pages_per_stream=2):
    """A header stream, streams of a few pages each, a footer stream: as Wikimedia compresses its large dumps."""
    head, *pages = xml.split("  <page>")
    *pages, last = pages
    last, _ = last.split("</mediawiki>")
    bodies = ["  <page>" + page for page in [*pages, last]]
    groups = ["".join(bodies[i : i + pages_per_stream]) for i in range(0, len(bodies), pages_per_stream)]
    return b"".join(bz2.compress(part.encode()) for part in [head, *groups, "</mediawiki>\n"])


def cut_streams(data, cuts):
    """bz2 streams cut anywhere, as parallel compressors do."""
    return b"".join(bz2.compress(data[start:stop]) for start, stop in pairwise([0, *sorted(cuts), len(data)]))


def zstd(data):
    """Several frames, the first after one that is to be skipped, as parallel compressors write."""
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    frames = [compressor.compress(data[i : i + 3000]) for i in range(0, len(data), 3000)]
    return b"\x50\x2a\x4d\x18\x04\x00\x00\x00size" + b"".join(frames)


COMPRESSIONS = {
    ".xml": lambda xml: xml.encode(),
    ".xml.bz2": lambda xml: bz2.compress(xml.encode()),
    "-multistream.xml.bz2": multistream,
    ".xml.gz": lambda xml: gzip.compress(xml.encode(), mtime=0),
    ".xml.zst": lambda xml: zstd(xml.encode()),
}
