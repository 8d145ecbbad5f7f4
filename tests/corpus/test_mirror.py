"""Which dumps a mirror has, and how it is asked; see tests/support/mirror_support.py."""

import time
from email.utils import formatdate

import pytest

from mirror_support import BODY, DATE, INDEX, PATH, XML, Trick, content, serving
from unibert.corpus.download import download_dumps
from unibert.errors import DataError


@pytest.mark.parametrize(
    ("status", "after"), [(429, "1"), (503, "1"), (503, None), (500, None), (502, "nonsense"), (429, "date")]
)
def test_an_overloaded_server_is_given_the_time_it_asks_for(german, fetch, status, after):
    value = formatdate(time.time() + 2, usegmt=True) if after == "date" else after
    german.tricks[PATH] = [Trick(status=status, headers=(("Retry-After", value),) if value else ())]
    started = time.monotonic()
    assert content(fetch().folder)[XML] == BODY
    if after in ("1", "date"):
        assert time.monotonic() - started > 0.95
    assert [asked.status for asked in german.downloads() if asked.path == PATH] == [status, 200]


def test_a_server_that_asks_for_a_day_is_not_waited_for(german, fetch):
    german.always[PATH] = Trick(status=429, headers=(("Retry-After", "86400"),))
    with pytest.raises(DataError, match="answers 429; given up after 1 attempt"):
        fetch()


@pytest.mark.parametrize("date", ["20250101", "latest"])
def test_a_wiki_that_the_mirror_does_not_have(mirror, fetch, date):
    with pytest.raises(DataError, match="xqqwiki/: the mirror has no such wiki") as caught:
        fetch("xqq", date)
    assert "unibert languages" in caught.value.fix


def test_a_date_that_the_mirror_does_not_have_names_those_it_has(german, fetch):
    german.add_dump("dewiki", {}, date="20260901")
    with pytest.raises(DataError, match="no finished dump of 20250101; the mirror lists 20261101, 20260901"):
        fetch(date="20250101")


def test_an_address_with_nothing_behind_it(fetch, unused_address):
    with pytest.raises(DataError, match=r"no connection \(.*refused\); given up after 3 attempts"):
        fetch(mirror=unused_address, retries=2)


@pytest.fixture
def unused_address():
    with serving() as server:
        return server.address


@pytest.mark.parametrize(
    "mirror_", ["dumps.wikimedia.org", "ftp://example.org", "http://", "http://[::1", "http://a:99999"]
)
def test_what_is_no_address_is_told(tmp_path, mirror_):
    with pytest.raises(DataError, match="not the address of a mirror"):
        download_dumps(["de"], mirror=mirror_, output=tmp_path)


def _of_size(size):
    name = b"dewiki-20261101-pages-articles-multistream.xml.bz2"
    return b'{"jobs": {"a": {"status": "done", "files": {"%s": {"size": %s}}}}}' % (name, size)


@pytest.mark.parametrize(
    "status",
    [b"<html>", b"[]", b'{"jobs": []}', b'{"jobs": {"a": {"files": [1]}}}', b"[" * 99_999]
    + [_of_size(size) for size in (b"Infinity", b"-5", b"0")],
    ids=["html", "list", "no jobs", "no files", "deep", "infinite", "negative", "nothing"],
)
def test_a_status_that_cannot_be_read_is_named(german, fetch, status):
    german.content[f"/mirror/dewiki/{DATE}/dumpstatus.json"] = status
    with pytest.raises(DataError, match=r"dewiki/20261101/dumpstatus\.json: not the status of a dump"):
        fetch()


def test_a_refusal_hints_at_the_contact(german, fetch):
    german.always["/mirror/dewiki/"] = Trick(status=403)
    with pytest.raises(DataError, match="answers 403") as caught:
        fetch()
    assert "--contact" in caught.value.fix


def test_parts_are_taken_with_their_indices_and_the_recombined_whole_is_not(mirror, fetch):
    stem = "dewiki-20261101-pages-articles"
    parts = {f"{stem}-multistream{n}.xml-p{n}p{n + 1}.bz2": b"x" * n for n in (1, 3, 5)} | {
        f"{stem}-multistream-index{n}.txt-p{n}p{n + 1}.bz2": b"i" * n for n in (1, 3, 5)
    }
    mirror.add_dump(
        "dewiki",
        parts,
        jobs={
            "articlesmultistreamdumprecombine": ("done", {XML: BODY, INDEX: b"index"}),
            "articlesdump": ("done", {f"{stem}1.xml-p1p2.bz2": b"not multistream"}),
            "metacurrentdump": ("in-progress", {"dewiki-20261101-pages-meta-current1.xml-p1p2.bz2": b"talk"}),
        },
    )
    assert content(fetch().folder) == parts


def test_the_whole_is_taken_where_the_parts_are_not_there(mirror, fetch):
    mirror.add_dump("dewiki", {}, jobs={"articlesmultistreamdumprecombine": ("done", {XML: BODY})})
    assert content(fetch().folder) == {XML: BODY}


def test_latest_is_the_newest_whose_articles_are_finished(mirror, fetch):
    def named(date):
        return XML.replace(DATE, date)

    mirror.add_dump("dewiki", {named("20260801"): b"older"}, date="20260801")
    mirror.add_dump("dewiki", {named("20260901"): b"old"}, date="20260901")
    mirror.add_dump("dewiki", {}, date="20261001", jobs={"articlesmultistreamdump": ("waiting", {})})
    mirror.add_dump(
        "dewiki",
        {named("20261101"): b"half"},
        jobs={"articlesmultistreamdump": ("in-progress", {named("20261101"): b"half"})},
    )
    mirror.content["/mirror/dewiki/"] += b'<a href="20261120/">just begun, without a status</a>'
    assert content(fetch().folder) == {named("20260901"): b"old"}
    with pytest.raises(DataError, match="no finished dump of 20261101"):
        fetch(date="20261101", output=fetch().folder / "elsewhere")


def test_there_are_two_connections_at_most_and_each_says_who_we_are(mirror, fetch):
    mirror.delay = 0.05
    for wiki in ("dewiki", "frwiki", "itwiki"):
        names = [f"{wiki}-20261101-pages-articles-multistream{n}.xml-p{n}p{n}.bz2" for n in range(1, 5)]
        mirror.add_dump(wiki, {name: name.encode() for name in names})
    assert len(fetch("de,fr,it", contact="me@example.org").fetched) == 12
    assert mirror.most_open == 2
    agents = {asked.agent for asked in mirror.asked}
    assert len(agents) == 1
    assert agents.pop().startswith("unibert/0.1.0 (me@example.org) urllib3/")
