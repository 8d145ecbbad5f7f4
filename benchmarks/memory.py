"""Memory of a corpus worker: the peak on a generated dump of 2 GB of XML, against one of a hundredth of it.

The dump is multistream bz2 as Wikimedia writes it. Its articles are made of words that are made up here; 20 MB of them
are compressed once, and the streams repeated, page ids and all, which the reader cannot tell from a larger dump. One
worker reads it as one slice, which is the hardest case: usually slices of `corpus.slice_mb` are.
"""

import argparse
import bz2
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from unibert.corpus.pipeline import build_corpus
from unibert.recipe import Corpus
from unibert.runs import provenance

BASE = 20_000_000  # bytes of XML that are generated; what is larger repeats them
PAGES_PER_STREAM = 100
HEADER = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n  <siteinfo>\n'
    "    <sitename>Wikipedia</sitename>\n    <dbname>enwiki</dbname>\n    <namespaces>\n"
    '      <namespace key="0" case="first-letter" />\n    </namespaces>\n  </siteinfo>\n'
)
PAGE = (
    "  <page>\n    <title>{title}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n    <revision>\n"
    "      <id>{number}</id>\n      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
    '      <text bytes="{size}" xml:space="preserve">{text}</text>\n    </revision>\n  </page>\n'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of XML")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        build_and_tell_the_peak(options.worker)
        return
    large = round(options.gigabytes * 1e9)
    ours, baseline = peak(large), peak(min(large // 100, BASE))
    result = {
        "claim": f"memory of a corpus worker on a dump of {options.gigabytes:g} GB "
        f"(baseline: {min(large // 100, BASE) / 1e6:g} MB)",
        "unit": "MB",
        "ours": ours,
        "baseline": baseline,
        "ratio": ours / baseline,
        "lowest": ours / baseline,
        "highest": ours / baseline,
        "pairs": 1,
        **provenance(),
    }
    print(json.dumps(result))


def peak(size: int) -> float:
    """MB of resident memory at most, of the process that reads a dump of `size` bytes of XML."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dump(folder / "enwiki-20260101-pages-articles-multistream.xml.bz2", size)
        command = [sys.executable, __file__, "--worker", str(folder)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return float(out.splitlines()[-1])


def build_and_tell_the_peak(folder: Path) -> None:
    settings = Corpus(dumps=[str(folder / "*.bz2")], workers=1, slice_mb=1_000_000)
    build_corpus(settings, folder / "corpus", {})
    # Whether the stage works in this process or in one of its own: the larger of them is the worker.
    usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(usage / (1e6 if sys.platform == "darwin" else 1e6 / 1024))


def write_dump(path: Path, size: int) -> None:
    streams: list[tuple[int, bytes]] = []  # bytes of XML, compressed
    generated = written = 0
    number = 1
    with path.open("wb") as file:
        file.write(bz2.compress(HEADER.encode()))
        while generated < min(size, BASE):
            xml = "".join(page(n) for n in range(number, number + PAGES_PER_STREAM)).encode()
            streams.append((len(xml), bz2.compress(xml)))
            generated, number = generated + len(xml), number + PAGES_PER_STREAM
        while written < size:
            for length, stream in streams:
                file.write(stream)
                written += length
        file.write(bz2.compress(b"</mediawiki>\n"))


def page(number: int) -> str:
    """An article of some kilobytes with links, templates, references and a table."""
    chance = random.Random(number)
    paragraphs = []
    for section in range(chance.randint(2, 12)):
        words = chance.choices(WORDS, WEIGHTS, k=chance.randint(30, 160))
        for place in range(5, len(words), 15):
            words[place] = f"[[{words[place].title()}|{words[place]}]]"
        words[-1] += f".&lt;ref&gt;{{{{cite book|title={words[0]}|year=19{number % 100:02}}}}}&lt;/ref&gt;"
        paragraphs.append(f"== {words[1].title()} ==\n{' '.join(words).capitalize()}\n" if section else " ".join(words))
    text = "{{Infobox|a=1|b=2}}\n" + "\n\n".join(paragraphs) + "\n{|\n! a\n|-\n| 1\n|}\n[[Category:Words]]\n"
    return PAGE.format(title=f"Article {number}", number=number, size=len(text), text=text)


def made_up_words(count: int) -> list[str]:
    chance = random.Random(0)
    syllables = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("", "n", "r", "s")]
    return ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(count)]


WORDS = made_up_words(20_000)
WEIGHTS = [1 / rank for rank in range(1, len(WORDS) + 1)]  # as often as the words of a language, by Zipf's law


if __name__ == "__main__":
    main()
