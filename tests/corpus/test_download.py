"""What comes into the folder, and what a second run does; see tests/support/mirror_support.py for the server."""

import bz2
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pyarrow.parquet as pq
import pytest

from corpus_support import articles, dump_xml, multistream
from mirror_support import BODY, DATE, INDEX, PATH, XML, Trick, content
from tests_support import heed_interrupts
from unibert.corpus import download
from unibert.corpus.download import download_dumps, format_downloads, read_downloads
from unibert.corpus.pipeline import build_corpus
from unibert.errors import DataError
from unibert.recipe import Corpus


def test_a_dump_comes_whole_under_its_name_and_is_entered_with_its_source(german, fetch):
    result = fetch()
    assert content(result.folder) == {XML: BODY, INDEX: b"index"}
    entry = read_downloads(result.folder)[XML]
    assert entry | {"downloaded": "", "modified": 0} == {
        "language": "de",
        "wiki": "dewiki",
        "date": DATE,
        "url": f"{german.address}/dewiki/{DATE}/{XML}",
        "size": len(BODY),
        "sha1": hashlib.sha1(BODY).hexdigest(),
        "md5": hashlib.md5(BODY).hexdigest(),
        "verified": "sha1",
        "modified": 0,
        "downloaded": "",
    }
    assert [file.name for file in result.fetched] == [INDEX, XML]


def test_nothing_is_downloaded_twice(german, fetch):
    fetch()
    german.asked.clear()
    result = fetch()
    assert german.downloads() == []
    assert (len(result.files), result.fetched) == (2, [])
    assert "0 files (0 bytes) of them new" in format_downloads(result)


def test_what_came_by_another_way_is_taken_when_its_checksum_is_right(german, fetch, tmp_path, capfd):
    folder = tmp_path / "dumps"
    folder.mkdir()
    (folder / XML).write_bytes(BODY)
    (folder / INDEX).write_bytes(b"iNdex")
    assert [file.name for file in fetch().fetched] == [INDEX]
    assert content(folder)[INDEX] == b"index"
    assert f"{INDEX}: its checksum is wrong" in capfd.readouterr().err
    assert set(read_downloads(folder)) == {XML, INDEX}


def test_verify_finds_a_file_that_went_bad_without_a_trace(german, fetch):
    folder = fetch().folder
    before = (folder / XML).stat()
    (folder / XML).write_bytes(BODY[:-1] + b"?")
    os.utime(folder / XML, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch().fetched == []
    assert [file.name for file in fetch(verify=True).fetched] == [XML]
    assert content(folder)[XML] == BODY


def test_a_file_that_was_touched_is_checked_anew(german, fetch):
    folder = fetch().folder
    (folder / XML).write_bytes(BODY[:-1] + b"?")
    os.utime(folder / XML, ns=(1, 1))
    assert [file.name for file in fetch().fetched] == [XML]
    os.utime(folder / XML, ns=(1, 1))  # the right content, as a copy without its time
    assert fetch().fetched == []
    assert content(folder)[XML] == BODY


@pytest.mark.parametrize("record", ["{", "[]", '{"files": {"a": 1}}'])
def test_a_damaged_record_costs_only_time(german, fetch, record):
    folder = fetch().folder
    (folder / "downloads.json").write_text(record)
    assert fetch().fetched == []
    assert set(read_downloads(folder)) == {XML, INDEX}


def test_a_file_that_grew_between_runs_is_replaced(german, fetch):
    fetch()
    german.add_dump("dewiki", {XML: BODY + b"more", INDEX: b"index"}, listed=False)
    assert [file.name for file in fetch().fetched] == [XML]
    assert content(fetch().folder)[XML] == BODY + b"more"


def test_one_file_that_is_gone_does_not_stop_the_others(mirror, fetch, tmp_path):
    names = [f"dewiki-20261101-pages-articles-multistream{n}.xml-p{n}p{n}.bz2" for n in (1, 2, 3)]
    mirror.add_dump("dewiki", {name: name.encode() for name in names})
    mirror.add_dump("frwiki", {XML.replace("de", "fr"): b"fr"})
    del mirror.content[f"/mirror/dewiki/{DATE}/{names[1]}"]
    with pytest.raises(DataError) as caught:
        fetch("de,qqq,fr")
    told = str(caught.value)
    assert "2 things could not be downloaded" in told
    assert f"{names[1]}: not there (the mirror answers 404)" in told
    assert "qqqwiki/: the mirror has no such wiki" in told
    assert "Run the same command again" in told
    assert set(content(tmp_path / "dumps")) == {names[0], names[2], XML.replace("de", "fr")}


@pytest.mark.parametrize(
    ("languages", "date", "says"),
    [
        (["../de"], "latest", "not the code of a language"),
        ([], "latest", "no language is named"),
        (["vot"], "latest", "no Wikipedia in Votic"),
        (["de"], "2026-11-01", "not a date of a dump"),
    ],
)
def test_a_mistake_in_the_request_is_told_before_anything_is_asked(mirror, fetch, languages, date, says):
    with pytest.raises(DataError, match=says):
        download_dumps(languages, date, mirror.address)
    assert mirror.asked == []


def test_one_folder_holds_one_date_of_a_wiki(german, fetch, capfd):
    folder = fetch().folder
    newer = XML.replace(DATE, "20261120")
    german.add_dump("dewiki", {newer: b"newer"}, date="20261120")
    assert fetch().fetched == []
    assert "dewiki: stays at 20261101, which" in capfd.readouterr().err
    with pytest.raises(DataError, match="holds dewiki of 20261101 already"):
        fetch(date="20261120")
    assert newer not in content(folder)
    assert content(fetch(date="20261120", output=folder / "new").folder) == {newer: b"newer"}
    del german.content[f"/mirror/dewiki/{DATE}/dumpstatus.json"]  # mirrors keep the last few dumps only
    with pytest.raises(DataError, match="no finished dump of 20261101") as caught:
        fetch()
    assert "Delete" in caught.value.fix


def test_a_dry_run_tells_the_sizes_and_writes_nothing(german, fetch, tmp_path):
    result = fetch("de,qqq", dry_run=True)
    told = format_downloads(result)
    assert "dewiki             20261101  2 files (300.0 kB), 2 files (300.0 kB) of them new" in told
    assert "error: " in told
    assert "no such wiki" in told
    assert german.downloads() == []
    assert not (tmp_path / "dumps").exists()


def test_a_disk_that_is_too_small_is_told_before_anything_comes(german, fetch, monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage(10**6, 10**6, 100_000))
    with pytest.raises(DataError, match=r"300\.0 kB are to be downloaded, 100\.0 kB are free .* 200\.0 kB are missing"):
        fetch()
    assert german.downloads() == []
    (tmp_path / "dumps" / f"{XML}.part").write_bytes(BODY[:250_000])  # what has come takes no more room
    assert content(fetch().folder)[XML] == BODY


def test_two_downloads_into_one_folder_do_not_mix(german, fetch, tmp_path):
    (tmp_path / "dumps").mkdir()
    with download._only_one(tmp_path / "dumps"), pytest.raises(DataError, match="another download is writing into it"):
        fetch()
    assert german.asked == []


def test_a_system_without_locks_can_download_and_read_the_record(german, fetch, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert content(fetch().folder)[XML] == BODY
    script = "import sys; sys.modules['fcntl'] = None; import unibert.corpus.card"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def command(mirror, folder, *more):
    arguments = ["corpus", "download", "--languages", "de", "--mirror", mirror.address, "--output", str(folder), *more]
    return [sys.executable, "-m", "unibert", *arguments]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_interrupted_download_goes_on_in_a_new_process(german, tmp_path, number, code):
    german.tricks[PATH] = [Trick(stall=123_456)]
    folder = tmp_path / "dumps"
    process = subprocess.Popen(command(german, folder), stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    part, until = folder / f"{XML}.part", time.monotonic() + 60
    while not part.exists() or part.stat().st_size < 115_000 or not (folder / INDEX).exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in told
    if code == 130:
        assert "1 of 2 files are complete" in told
        assert "Run the same command again" in told
    had = part.stat().st_size
    again = subprocess.run(command(german, folder), capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert "2 files (300.0 kB), 1 file (300.0 kB) of them new" in again.stdout
    assert german.offsets(XML) == [0, had]
    assert content(folder) == {XML: BODY, INDEX: b"index"}


def test_the_command_ends_with_1_and_a_list(german, tmp_path):
    german.always[PATH] = Trick(body=bytes(len(BODY)))
    out = subprocess.run(command(german, tmp_path / "dumps"), capture_output=True, text=True)
    assert out.returncode == 1
    assert f"{XML}: downloaded twice" in out.stderr.splitlines()[-2]
    assert "Traceback" not in out.stderr


def test_what_was_downloaded_can_be_built_into_a_corpus(mirror, fetch, tmp_path):
    stem = "dewiki-20261101-pages-articles-multistream"
    files = {}
    for first in (1, 6):
        files[f"{stem}{first}.xml-p{first}p{first + 4}.bz2"] = multistream(dump_xml(articles(5, start=first)))
        files[f"{stem}-index{first}.txt-p{first}p{first + 4}.bz2"] = bz2.compress(b"0:1:Seite 1\n")
    mirror.add_dump("dewiki", files, jobs={"articlesmultistreamdumprecombine": ("done", {XML: BODY})})
    mirror.add_dump("frwiki", {XML.replace("de", "fr"): multistream(dump_xml(articles(3)))})
    folder = fetch("de,fr").folder
    (folder / f"{XML}.part").write_bytes(b"begun")  # of another download
    statistics = build_corpus(Corpus(dumps=[str(folder)], workers=1), tmp_path / "corpus", {})
    assert statistics["warnings"] == []
    pages = {code: pq.read_table(tmp_path / "corpus" / f"{code}.parquet").num_rows for code in ("de", "fr")}
    assert pages == {"de": 10, "fr": 3}


def test_the_record_is_plain_json(german, fetch):
    written = json.loads((fetch().folder / "downloads.json").read_text(encoding="utf-8"))
    assert list(written) == ["files"]
    assert list(written["files"]) == sorted([XML, INDEX])
