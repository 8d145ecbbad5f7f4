"""The corpus stage with two workers against one: the same dumps, the same command in a fresh process each time.

The dumps are the real ones beside the project, put together into one file of many bz2 streams per language and repeated
until one worker has about a minute of work; without them, a generated dump. Everything counts: starting Python and
the workers, planning, reading, cleaning, writing, merging, statistics.
"""

import argparse
import bz2
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pairs import compare

DUMPS = Path(__file__).parents[2] / "shared" / "data" / "dumps" / "larger"
PAGES = 100  # in a stream, as Wikimedia has it

BUILD = """
import sys
from pathlib import Path
from unibert.corpus.pipeline import build_corpus
from unibert.recipe import Corpus

if __name__ == "__main__":
    settings = Corpus(dumps=[sys.argv[1]], workers=int(sys.argv[3]), slice_mb=int(sys.argv[4]))
    build_corpus(settings, Path(sys.argv[2]), {})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400, help="XML in all")
    parser.add_argument("--slice-mb", type=int, default=2, help="size of a slice, as it is on the disk")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dumps = folder / "dumps"
        dumps.mkdir()
        size = write_dumps(dumps, options.megabytes * 1_000_000)
        (folder / "build.py").write_text(BUILD)

        def build(workers: int) -> None:
            output = folder / "corpus"
            shutil.rmtree(output, ignore_errors=True)
            command = [sys.executable, folder / "build.py", dumps, output, workers, options.slice_mb]
            environment = {**os.environ, "UNIBERT_QUIET": "1"}
            subprocess.run([str(word) for word in command], check=True, env=environment, stderr=subprocess.DEVNULL)

        claim = "corpus build: two workers against one"
        compare(claim, "MB of XML", size / 1e6, lambda: build(2), lambda: build(1), repeats=options.repeats)


def write_dumps(folder: Path, size: int) -> int:
    """Dumps of about `size` bytes of XML in all, as multistream files; returns how many bytes it is."""
    sources = {path.name.partition("wiki")[0]: bz2.decompress(path.read_bytes()).decode() for path in DUMPS.glob("*")}
    sources = sources or {"de": generated(20_000_000)}
    written = 0
    for code, xml in sources.items():
        head, *pages = re.split(r"(?=<page>)", xml.partition("</mediawiki>")[0])
        streams = ["".join(pages[start : start + PAGES]) for start in range(0, len(pages), PAGES)]
        compressed = [bz2.compress(text.encode()) for text in streams]
        repeats = max(1, round(size / len(sources) / len(xml.encode())))
        with (folder / f"{code}wiki-x-pages-articles-multistream.xml.bz2").open("wb") as file:
            file.write(bz2.compress(head.encode()))
            for _ in range(repeats):
                file.writelines(compressed)
            file.write(bz2.compress(b"</mediawiki>\n"))
        written += repeats * len(xml.encode())
    return written


def generated(size: int) -> str:
    """A dump of made-up words with links and bold type."""
    chooser = random.Random(1)
    words = ["".join(chooser.choices("abcdefghijklmnoprstuvwz", k=chooser.randint(2, 9))) for _ in range(5000)]
    pages, length = [], 0
    while length < size:
        sentences = [
            f"'''{chooser.choice(words)}''' [[{chooser.choice(words)}]] {' '.join(chooser.choices(words, k=30))}.\n\n"
            for _ in range(40)
        ]
        number = len(pages) + 1
        text = "".join(sentences)
        pages.append(
            f"<page><title>P{number}</title><ns>0</ns><id>{number}</id><revision><text>{text}</text></revision></page>\n"
        )
        length += len(pages[-1])
    head = "<mediawiki><siteinfo><namespaces><namespace key='0'/></namespaces></siteinfo>\n"
    return "".join([head, *pages, "</mediawiki>\n"])


if __name__ == "__main__":
    main()
