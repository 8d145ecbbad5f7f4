from pathlib import Path

import pytest

from corpus_support import COMPRESSIONS, dump_xml
from executor_support import Note
from mirror_support import BODY, INDEX, XML, serving
from unibert.corpus.download import download_dumps


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("UNIBERT_QUIET", "1")


@pytest.fixture
def notes(tmp_path):
    """Make tasks; those of a name in `changes` are different."""

    def make(count, **changes):
        return [Note(tmp_path, f"task{n}", **changes.get(f"task{n}", {})) for n in range(count)]

    return make


@pytest.fixture
def write_dump(tmp_path):
    """Write a dump of pages (or raw XML) and return its path."""

    def write(pages, name="dewiki-test.xml.bz2", folder=None, **options):
        xml = pages if isinstance(pages, str) else dump_xml(pages, **options)
        path: Path = (folder or tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ending = next(end for end in sorted(COMPRESSIONS, key=len, reverse=True) if name.endswith(end))
        path.write_bytes(COMPRESSIONS[ending](xml))
        return path

    return write


@pytest.fixture
def mirror(monkeypatch):
    """An empty mirror of dumps on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def german(mirror):
    """A mirror with one dump of one wiki: the articles and their index."""
    mirror.add_dump("dewiki", {XML: BODY, INDEX: b"index"})
    return mirror


@pytest.fixture
def fetch(mirror, tmp_path):
    """Call download_dumps with the mirror, quick to give up, into a folder of the test."""

    def call(languages="de", date="latest", **options):
        settings = {"stall": 10.0, "retries": 4, "pause": 0.01, "mirror": mirror.address, "output": tmp_path / "dumps"}
        return download_dumps(languages.split(","), date, **(settings | options))

    return call
