"""Wikitext to text: our converter against `mwparserfromhell.parse(page).strip_code()`, one core, real pages.

Reads the dumps beside the project; without them it says so and prints no figure.
"""

import sys
from pathlib import Path

import mwparserfromhell

from pairs import compare
from unibert.corpus.dump import DumpReader
from unibert.corpus.wikitext import plain_text

DUMPS = Path(__file__).parents[2] / "shared" / "data" / "dumps"
MOST = 6_000_000  # characters: enough to be steady, short enough for five pairs


def main() -> None:
    pages, size = [], 0
    for path in sorted(DUMPS.glob("mini/*.bz2")) + sorted(DUMPS.glob("larger/*.bz2")):
        for page in DumpReader(path):
            if page.namespace == 0 and not page.redirect and size < MOST:
                pages.append(page.text)
                size += len(page.text.encode())
    if not pages:
        sys.exit(print("no dumps beside the project: ../shared/data/dumps", file=sys.stderr))

    def ours() -> None:
        for page in pages:
            plain_text(page)

    def strip_code() -> None:
        for page in pages:
            mwparserfromhell.parse(page).strip_code()

    claim = "wikitext to text: our converter against mwparserfromhell's strip_code"
    compare(claim, "MB", size / 1e6, ours, strip_code, repeats=3)


if __name__ == "__main__":
    main()
