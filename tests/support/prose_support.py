"""How much of a page's prose the wikitext converter keeps, measured against pages whose prose is marked.

`tests/real/prose/*.json` say which characters of a page's wikitext are prose: `keep` is a list of pairs (start, end) in
the page's source, so that no text of the data is kept here. The marks were made without the converter: a script of its
own resolved links and formatting, and its result was read page by page against the source and corrected. Prose is what
a reader of the rendered page reads: paragraphs, list items, the shown text of links, and what a template shows inside a
sentence or as a quotation where those words stand in the source. Not prose: headings, tables, infoboxes, references,
captions, galleries, formulas, and the sections of references, literature, "see also" and links.

Run `python tests/support/prose_support.py` from the project's root to see each page's figures, with what is missing and
what is too much (`--show 20` of each page; `--show 0` for the figures alone).
"""

import argparse
import hashlib
import html
import json
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unibert.corpus.dump import DumpReader
from unibert.corpus.wikitext import paragraphs

FOLDER = Path(__file__).parents[1] / "real" / "prose"
DUMPS = Path(__file__).parents[3] / "shared" / "data" / "dumps"

RUNS = (32, 16, 8, 4)
"""Characters; what is shorter than the last and stands alone may be alike by chance, and does not count as found."""

Convert = Callable[[str, dict[int, str]], str]


@dataclass(frozen=True)
class MarkedPage:
    """A page of a dump and the part of its source that is prose."""

    file: str
    page_id: int
    language: str
    sha256: str
    keep: tuple[tuple[int, int], ...]

    def prose(self, wikitext: str) -> str:
        return html.unescape("".join(wikitext[start:end] for start, end in self.keep))

    def is_of(self, wikitext: str) -> bool:
        """Whether the spans were marked in exactly this source."""
        return hashlib.sha256(wikitext.encode()).hexdigest() == self.sha256


@dataclass(frozen=True)
class Comparison:
    """Expected and found text, both without white space, and the runs that they share."""

    expected: str
    found: str

    @cached_property
    def runs(self) -> list[tuple[int, int, int]]:
        return common_runs(self.expected, self.found)

    @property
    def common(self) -> int:
        return sum(size for _, _, size in self.runs)

    @property
    def recall(self) -> float:
        return self.common / len(self.expected) if self.expected else 1.0

    @property
    def precision(self) -> float:
        return self.common / len(self.found) if self.found else 1.0

    def differences(self) -> Iterator[tuple[str, str, str]]:
        """(what stands before it, missing, too much) of each place where the two differ."""
        i = j = 0
        for start, at, size in [*self.runs, (len(self.expected), len(self.found), 0)]:
            if start > i or at > j:
                yield self.expected[max(0, i - 20) : i], self.expected[i:start], self.found[j:at]
            i, j = start + size, at + size


def compare(expected: str, found: str) -> Comparison:
    return Comparison(bare(expected), bare(found))


def bare(text: str) -> str:
    """In NFC and without white space, which carries nothing here: each side breaks lines in its own way."""
    return "".join(unicodedata.normalize("NFC", text).split())


def common_runs(expected: str, found: str) -> list[tuple[int, int, int]]:
    """Runs of characters that stand in both texts in the same order, as (start in one, start in the other, size).

    An alignment in the manner of patience diff: strings of 32 characters that occur once in each text are the anchors;
    the longest series of them that is in order in both is kept, and each is extended over all equal characters beside
    it. What lies between two anchors is aligned likewise by strings of 16, 8 and 4. So a character counts only as part
    of an equal run of at least four: the figure errs on the low side, where the longest common subsequence of single
    characters would find half of a lost paragraph among the letters of any other text.
    """
    runs: list[tuple[int, int, int]] = []
    work = [(0, len(expected), 0, len(found), 0)]
    while work:
        start, stop, at, to, level = work.pop()
        if level == len(RUNS) or start == stop or at == to:
            continue
        i, j = start, at
        for anchor, place in _anchors(expected[start:stop], found[at:to], RUNS[level]):
            left, right = start + anchor, at + place
            if left < i or right < j:
                continue  # inside of the run before it
            size = RUNS[level]
            while left > i and right > j and expected[left - 1] == found[right - 1]:
                left, right, size = left - 1, right - 1, size + 1
            while left + size < stop and right + size < to and expected[left + size] == found[right + size]:
                size += 1
            work.append((i, left, j, right, level + 1))
            runs.append((left, right, size))
            i, j = left + size, right + size
        work.append((i, stop, j, to, level + 1))
    return sorted(runs)


def _anchors(one: str, other: str, size: int) -> list[tuple[int, int]]:
    """Places of strings of `size` characters that occur once in both; the longest series in order in both texts."""
    places, others = _single_places(one, size), _single_places(other, size)
    pairs = [(place, others[key]) for key, place in places.items() if key in others]
    ends: list[int] = []  # the smallest end of an ascending series of each length, and which pair it is
    last: list[int] = []
    before: list[int] = []
    for index, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [index]
    series = []
    index = last[-1] if last else -1
    while index >= 0:
        series.append(pairs[index])
        index = before[index]
    return series[::-1]


def _single_places(text: str, size: int) -> dict[str, int]:
    places: dict[str, int] = {}
    for start in range(len(text) - size + 1):
        key = text[start : start + size]
        places[key] = -1 if key in places else start
    return {key: start for key, start in places.items() if start >= 0}


def marked_pages(folder: Path = FOLDER) -> list[MarkedPage]:
    """All pages of the JSON files of a folder."""
    return [
        MarkedPage(**{**page, "keep": tuple((start, end) for start, end in page["keep"])})
        for path in sorted(folder.glob("*.json"))
        for page in json.loads(path.read_text(encoding="utf-8"))["pages"]
    ]


def with_sources(pages: list[MarkedPage], dumps: Path = DUMPS) -> Iterator[tuple[MarkedPage, str, dict[int, str]]]:
    """Each page with its wikitext and the names of its dump's namespaces.

    Raises:
        LookupError: a page is not in its dump.
    """
    for file in sorted({page.file for page in pages}):
        wanted = {page.page_id: page for page in pages if page.file == file}
        reader = DumpReader(next(dumps.glob(f"*/{file}")))
        for page in reader:
            if page.page_id in wanted and page.namespace == 0:
                yield wanted.pop(page.page_id), page.text, reader.namespaces
        if wanted:
            raise LookupError(f"{file} lacks the pages {sorted(wanted)}")


def converted(wikitext: str, namespaces: dict[int, str]) -> str:
    return "\n".join(paragraph.text for paragraph in paragraphs(wikitext, namespaces))


def measure(pages: list[MarkedPage], dumps: Path = DUMPS, convert: Convert = converted) -> dict[MarkedPage, Comparison]:
    return {
        page: compare(page.prose(wikitext), convert(wikitext, namespaces))
        for page, wikitext, namespaces in with_sources(pages, dumps)
    }


def totals(comparisons: list[Comparison]) -> tuple[float, float]:
    """Recall and precision over all characters."""
    common = sum(comparison.common for comparison in comparisons)
    expected = sum(len(comparison.expected) for comparison in comparisons)
    return common / expected, common / max(1, sum(len(comparison.found) for comparison in comparisons))


def main() -> None:
    parser = argparse.ArgumentParser(description="Recall and precision of the wikitext converter on the marked pages.")
    parser.add_argument("--show", type=int, default=10, help="differences to print of each page, the largest")
    parser.add_argument("--language", help="only the pages of this language")
    parser.add_argument("--width", type=int, default=100, help="characters of a difference to print")
    arguments = parser.parse_args()
    pages = [page for page in marked_pages() if arguments.language in (None, page.language)]
    results = measure(pages)
    for page, result in results.items():
        print(
            f"{page.language:4} {page.page_id:>9}  recall {result.recall:8.3%}  precision {result.precision:8.3%}"
            f"  {len(result.expected):>7,} characters"
        )
        largest = sorted(result.differences(), key=lambda difference: -len(difference[1]) - len(difference[2]))
        for context, missing, extra in largest[: arguments.show]:
            lost, added = (_short(text, arguments.width) for text in (missing, extra))
            print(f"       ...{context}  missing {lost}  extra {added}")
    recall, precision = totals(list(results.values()))
    print(f"{len(results)} pages  recall {recall:.3%}  precision {precision:.3%}")


def _short(text: str, width: int) -> str:
    return repr(text) if len(text) <= width else f"{text[: width // 2]!r}...{text[-width // 2 :]!r} ({len(text):,})"


if __name__ == "__main__":
    main()
