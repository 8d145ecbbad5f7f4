"""The reader on real dumps, as they are and compressed as Wikimedia and parallel compressors do it."""

import bz2
import gzip
import random
import re

import pytest

from corpus_support import cut_streams, zstd
from unibert.corpus.dump import DumpReader
from unibert.corpus.slices import plan_slices

LARGER = [
    "larger/itwiki-small-pages-articles.xml.bz2",
    "larger/ltgwiki-latest-pages-articles.xml.bz2",
    "larger/enwiki-shortened-pages-articles.xml.bz2",
    "truncated/enwiki-truncated-pages-articles.xml.bz2",
    "mini/enwiki-mini-pages-articles.xml.bz2",
]


def digest(pages):
    return [(page.title, page.page_id, page.namespace, page.redirect, hash(page.text)) for page in pages]


@pytest.mark.parametrize("name", LARGER)
def test_slices_of_real_dumps_hold_each_page_once(shared_data, tmp_path, name):
    source = shared_data / "dumps" / name
    reader = DumpReader(source)
    whole = digest(reader)
    xml = bz2.decompress(source.read_bytes())
    ends = [found.end() + 1 for found in re.finditer(rb"</page>", xml)]
    wikimedia = cut_streams(xml, [xml.index(b"<page>"), *ends[99::100], ends[-1]])
    anywhere = random.Random(name).sample(range(1, len(xml)), min(60, len(ends)))
    path = tmp_path / source.name
    for content in (wikimedia, cut_streams(xml, anywhere), xml):
        path.write_bytes(content)
        for count in (1, 3, 11):
            plan = plan_slices(path, max(1, len(content) // count))
            assert len(plan) > 1 or count == 1 or len(content) < 200_000 or content is wikimedia
            readers = [DumpReader(path, part) for part in plan]
            assert digest(page for one in readers for page in one) == whole
            damaged = [one.damage for one in readers if one.damage]
            assert len(damaged) == ("truncated" in name)
            assert all("the XML ends in the middle" in damage.reason for damage in damaged)


def test_gzip_and_zstandard_give_the_same_pages(shared_data, tmp_path):
    source = shared_data / "dumps" / LARGER[1]
    whole = digest(DumpReader(source))
    assert len(whole) == 2004
    xml = bz2.decompress(source.read_bytes())
    for content in (gzip.compress(xml, 1, mtime=0), zstd(xml), xml.decode().encode("utf-16")):
        path = tmp_path / source.name
        path.write_bytes(content)
        reader = DumpReader(path)
        assert digest(reader) == whole
        assert reader.damage is None


def test_a_damaged_stream_of_a_real_dump_costs_its_pages_only(shared_data, tmp_path):
    source = shared_data / "dumps" / LARGER[1]
    whole = digest(DumpReader(source))
    xml = bz2.decompress(source.read_bytes())
    ends = [found.end() + 1 for found in re.finditer(rb"</page>", xml)]
    content = bytearray(cut_streams(xml, [xml.index(b"<page>"), *ends[99::100]]))
    starts = [found.start() for found in re.finditer(rb"BZh91AY&SY", content)]
    content[starts[8] + 500] ^= 0xFF
    path = tmp_path / source.name
    path.write_bytes(content)
    reader = DumpReader(path)
    assert digest(reader) == whole[:700] + whole[800:]
    assert reader.damage.skipped == starts[9] - starts[8]
    plan = plan_slices(path, len(content) // 5)
    assert len(plan) == 5
    assert digest(page for part in plan for page in DumpReader(path, part)) == whole[:700] + whole[800:]


def test_every_real_dump_is_of_wikipedia_and_sound(shared_data):
    for path in sorted((shared_data / "dumps").rglob("*.bz2")):
        reader = DumpReader(path)
        assert sum(1 for _ in reader) == reader.pages > 0
        assert reader.project == "Wikipedia"
        assert (reader.damage is None) == ("truncated" not in path.name)
