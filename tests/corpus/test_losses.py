"""What can go wrong on the way to a corpus: each loss is counted and named, and never stops the rest."""

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from corpus_support import PROSE, articles, dump_xml, page_xml
from unibert.corpus import sources
from unibert.corpus.blocks import WikipediaReader
from unibert.corpus.pipeline import build_corpus
from unibert.errors import DataError, RunMismatch
from unibert.recipe import Corpus, Deduplication


def rows(folder, language):
    return pq.read_table(folder / f"{language}.parquet").to_pylist()


def test_a_page_that_the_converter_fails_on_costs_that_page(tmp_path, write_dump, monkeypatch):
    convert = sources.paragraphs

    def fail_on_three(text, namespaces):
        if "Nummer 3." in text:
            raise RecursionError("too deep")
        return convert(text, namespaces)

    monkeypatch.setattr(sources, "paragraphs", fail_on_three)
    path = write_dump(articles(5), "dewiki-x.xml")
    statistics = build_corpus(Corpus(dumps=[str(path)], workers=1), tmp_path / "out", {})
    assert [row["page_id"] for row in rows(tmp_path / "out", "de")] == [1, 2, 4, 5]
    (file,) = statistics["files"]
    lost = "1 page could not be converted and was left out, the first is 'Seite 3' (RecursionError: too deep)"
    assert file["damage"] == f"dewiki-x.xml: {lost}"
    assert file["pages"] == 5


def test_a_dump_of_another_project_is_left_out_and_named(tmp_path, write_dump):
    write_dump(articles(3), "dewiktionary-x.xml", tmp_path / "in")
    write_dump(articles(3), "dewiki-x.xml", tmp_path / "in")
    statistics = build_corpus(Corpus(dumps=[str(tmp_path / "in")], workers=1), tmp_path / "out", {})
    assert {row["source"] for row in rows(tmp_path / "out", "de")} == {"dewiki-x.xml"}
    damage = {entry["file"]: entry["damage"] for entry in statistics["files"]}
    assert "Wiktionary" in damage["dewiktionary-x.xml"]
    assert damage["dewiki-x.xml"] is None


@pytest.mark.parametrize("name", ["commonswiki-x.xml", "wikidatawiki-x.xml.bz2", "metawiki-x.xml"])
def test_a_project_without_a_language_is_left_out_and_named(tmp_path, write_dump, name):
    write_dump(articles(3), name, tmp_path / "in")
    write_dump(articles(3), "dewiki-x.xml", tmp_path / "in")
    statistics = build_corpus(Corpus(dumps=[str(tmp_path / "in")], workers=1), tmp_path / "out", {})
    assert statistics["totals"]["samples"] == 3
    assert [warning.partition(":")[0] for warning in statistics["warnings"]] == [name]


def test_what_a_download_leaves_beside_the_dumps_is_not_read(tmp_path, write_dump):
    path = write_dump(articles(3), "dewiki-x-multistream.xml.bz2", tmp_path / "in")
    (path.parent / f"{path.name}.md5").write_text("0" * 32)
    (path.parent / f"{path.name}-rss.xml").write_text("<rss/>")
    (path.parent / "dewiki-y.xml.bz2.part").write_bytes(path.read_bytes()[:-50])
    (path.parent / "dewiki-z.xml.bz2.part").touch()
    statistics = build_corpus(Corpus(dumps=[str(tmp_path / "in")], workers=1), tmp_path / "out", {})
    assert [file["file"] for file in statistics["files"]] == [path.name]
    read = [document.metadata["source"] for document in WikipediaReader(str(tmp_path / "in")).run()]
    assert read == [path.name] * 3


def test_a_dump_that_is_named_by_two_paths_is_told(tmp_path, write_dump):
    path = write_dump(articles(3), "dewiki-x.xml", tmp_path / "in")
    with pytest.raises(DataError, match="named twice"):
        build_corpus(Corpus(dumps=[str(path), f"{path.parent}/../in/*.xml"], workers=1), tmp_path / "out", {})


def test_damage_of_several_slices_stands_in_one_entry(tmp_path):
    xml = dump_xml(articles(9000, PROSE)).encode()
    bad = xml.replace(b"Nummer 100.", b"Nummer \xff.").replace(b"Nummer 8000.", b"Nummer \xff.")
    (tmp_path / "dewiki-x.xml").write_bytes(bad)
    settings = Corpus(dumps=[str(tmp_path / "*.xml")], workers=1, slice_mb=1)
    (file,) = build_corpus(settings, tmp_path / "out", {})["files"]
    assert file["pages"] == file["samples"] == 8998
    assert "'Seite 99'" in file["damage"]
    assert "'Seite 7999'" in file["damage"]


# --- killed workers ---

KILLER = """
import os, signal, sys
from pathlib import Path

from unibert.corpus import parts
from unibert.corpus.pipeline import build_corpus
from unibert.errors import UniBertError
from unibert.recipe import Corpus

MOST = int(sys.argv[3])
make_part = parts.make_part


def make_or_die(job, advance):
    if "ltg" in job.path.name and job.number == int(sys.argv[4]):
        deaths = Path(sys.argv[2]).with_name("deaths")
        with deaths.open("a") as stream:
            stream.write("x")
        if len(deaths.read_text()) <= MOST:
            os.kill(os.getpid(), signal.SIGKILL)
    make_part(job, advance)


parts.make_part = make_or_die  # in the workers too: they import this script

if __name__ == "__main__":
    settings = Corpus(dumps=[sys.argv[1]], workers=2, slice_mb=1, strict="strict" in sys.argv)
    try:
        build_corpus(settings, Path(sys.argv[2]), {})
    except UniBertError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


def build_killing(tmp_path, deaths, number, *more):
    (tmp_path / "script.py").write_text(KILLER)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "in", tmp_path / "out", str(deaths), str(number)]
    return subprocess.run([*map(str, command), *more], capture_output=True, text=True)


@pytest.fixture
def two_dumps(tmp_path, write_dump):
    write_dump(articles(4), "dewiki-x.xml.bz2", tmp_path / "in")
    write_dump(articles(8000, PROSE), "ltgwiki-x.xml", tmp_path / "in")


def test_a_worker_that_is_killed_once_changes_nothing(two_dumps, tmp_path):
    out = build_killing(tmp_path, 1, 1)
    assert (out.returncode, out.stderr) == (0, "")
    assert (tmp_path / "deaths").read_text() == "xx"
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert [row["page_id"] for row in rows(tmp_path / "out", "ltg")] == list(range(1, 8001))


def test_a_slice_that_kills_its_workers_is_named_and_tried_again_by_the_next_command(two_dumps, tmp_path):
    out = build_killing(tmp_path, 2, 1)
    assert out.returncode == 0
    assert "warning: ltgwiki-x.xml, bytes " in out.stderr
    assert "killed twice (most likely for want of memory)" in out.stderr
    read = [row["page_id"] for row in rows(tmp_path / "out", "ltg")]
    assert read == sorted(set(read))
    assert 4000 < len(read) < 8000
    assert read[0] == 1
    assert read[-1] == 8000
    assert len(rows(tmp_path / "out", "de")) == 4
    assert (tmp_path / "deaths").read_text() == "xx"
    out = build_killing(tmp_path, 2, 1)  # now it lives
    assert (out.returncode, out.stderr) == (0, "")
    assert (tmp_path / "deaths").read_text() == "xxx", "slices that were finished have been read again, or this was not"
    assert [row["page_id"] for row in rows(tmp_path / "out", "ltg")] == list(range(1, 8001))


def test_a_lost_slice_is_damage_to_strict(two_dumps, tmp_path):
    out = build_killing(tmp_path, 9, 0, "strict")
    assert out.returncode == 1
    assert "1 of 2 files are damaged; the first: ltgwiki-x.xml" in out.stderr
    assert len(rows(tmp_path / "out", "de")) == 4


# --- a full disk ---

LIMITED = """
import resource, sys
from pathlib import Path

from unibert.corpus.pipeline import build_corpus
from unibert.errors import UniBertError
from unibert.recipe import Corpus

if __name__ == "__main__":
    if int(sys.argv[4]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
    try:
        build_corpus(Corpus(dumps=[sys.argv[1]], workers=int(sys.argv[3])), Path(sys.argv[2]), {})
    except UniBertError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


def build_limited(tmp_path, out, workers, limit=0):
    (tmp_path / "script.py").write_text(LIMITED)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "in", out, workers, limit]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


@pytest.fixture
def small_and_large(tmp_path, write_dump):
    """A dump whose part is small, and one whose part is over 300 kB and cannot be compressed."""
    write_dump(articles(4), "dewiki-x.xml", tmp_path / "in")
    pages = [page_xml(f"{n}", f"{PROSE} {os.urandom(400).hex()}", n) for n in range(1, 1001)]
    write_dump(pages, "enwiki-x.xml.gz", tmp_path / "in")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_be_written_is_named_and_what_is_finished_stays(small_and_large, tmp_path, workers):
    pytest.importorskip("resource")
    out = build_limited(tmp_path, tmp_path / "out", workers, 100_000)
    assert out.returncode == 1, out.stderr
    assert "enwiki-x.xml.gz" in out.stderr
    assert "cannot be written (File too large)" in out.stderr
    assert "Make room on the disk" in out.stderr
    assert "Traceback" not in out.stderr
    names = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".tmp")]
    assert not [name for name in names if "enwiki" in name and name.endswith(("parquet", "json"))]
    assert not [name for name in names if name in ("statistics.json", "en.parquet", "de.parquet")]
    out = build_limited(tmp_path, tmp_path / "out", workers)
    assert out.returncode == 0, out.stderr
    assert len(rows(tmp_path / "out", "en")) == 1000


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up(tmp_path, write_dump, small_disk):
    for code in ("de", "en", "fr"):
        pages = [page_xml(f"{n}", f"{PROSE} {os.urandom(400).hex()}", n) for n in range(1, 1001)]
        write_dump(pages, f"{code}wiki-x.xml", tmp_path / "in")
    out = build_limited(tmp_path, small_disk / "out", 1)
    assert out.returncode == 1
    assert "cannot be written (No space left on device)" in out.stderr
    assert "Traceback" not in out.stderr
    assert not list((small_disk / "out").rglob("*.tmp"))
    finished = list((small_disk / "out" / "parts").glob("*.json"))
    assert 1 <= len(finished) < 3
    for counts in finished:
        assert pq.read_metadata(counts.with_suffix(".parquet")).num_rows == 1000


# --- deduplication on the way ---


def test_repeated_paragraphs_leave_the_corpus_and_are_counted(tmp_path, write_dump):
    pytest.importorskip("xxhash")
    texts = {
        "dewiki-a.xml": ["Das hier ist der erste Satz.", "Ein zweiter Satz steht hier."],
        "dewiki-b.xml": [
            "Das hier ist der erste Satz.",
            "Ein dritter Satz steht hier.",
            "Ein dritter Satz steht hier.",
        ],
        "ltgwiki-c.xml": ["Das hier ist der erste Satz."],
    }
    for name, lines in texts.items():
        pages = [page_xml(f"{name} {n}", text, n) for n, text in enumerate(lines, 1)]
        write_dump(pages, name, tmp_path / "in")
    plain = Corpus(dumps=[str(tmp_path / "in")], workers=1)
    whole = build_corpus(plain, tmp_path / "whole", {})
    settings = plain.model_copy(update={"deduplicate": Deduplication(exact=True)})
    statistics = build_corpus(settings, tmp_path / "out", {})
    kept = [row["text"] for row in rows(tmp_path / "out", "de")]
    assert kept == [*texts["dewiki-a.xml"], texts["dewiki-b.xml"][1]]
    assert len(rows(tmp_path / "out", "ltg")) == 1  # another language
    german = statistics["languages"]["de"]
    assert (german["samples"], german["rules"]["duplicate"]["dropped"]) == (3, 2)
    assert german["bytes"] == sum(len(text.encode()) for text in kept)
    assert german["tokens"] == whole["languages"]["de"]["tokens"] - 7 - 6
    assert sum(german["lengths"].values()) == 3
    assert [(entry["file"], entry["samples"]) for entry in statistics["files"]] == [
        ("dewiki-a.xml", 2), ("dewiki-b.xml", 1), ("ltgwiki-c.xml", 1)
    ]  # fmt: skip
    assert not (tmp_path / "out" / "parts" / "dedup").exists()
    two = build_corpus(settings.model_copy(update={"workers": 2}), tmp_path / "two", {})
    assert two == statistics
    with pytest.raises(RunMismatch, match="deduplicate"):
        build_corpus(plain, tmp_path / "out", {})


# --- other text ---


def test_text_of_all_kinds_goes_through_the_same_rules(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "20231101.de"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text('{"text": "Ein Satz steht in dieser Zeile.\\nKurz.", "title": "A", "id": "5"}\n')
    import pyarrow as pa

    pq.write_table(pa.table({"text": ["Noch ein Satz steht hier drin."], "id": ["9"]}), folder / "train-0.parquet")
    (folder / ".hidden.txt").write_text("Das hier wird nicht gelesen, weil versteckt.")
    (tmp_path / "data" / "infos.json").write_text("{}")
    (tmp_path / "data" / "README.md").write_text("# x")
    monkeypatch.chdir(tmp_path)  # relative paths reach the workers
    statistics = build_corpus(Corpus(text=["data"], workers=2), tmp_path / "out", {})
    assert [(row["text"], row["title"], row["page_id"], row["source"]) for row in rows(tmp_path / "out", "de")] == [
        ("Ein Satz steht in dieser Zeile.", "A", 5, "a.jsonl"),
        ("Noch ein Satz steht hier drin.", "", 9, "train-0.parquet"),
    ]
    assert statistics["languages"]["de"]["rules"]["short"]["dropped"] == 1
