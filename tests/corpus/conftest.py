from pathlib import Path

import pytest

from corpus_support import COMPRESSIONS, dump_xml


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
