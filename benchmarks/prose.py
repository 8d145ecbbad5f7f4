"""How much of the prose comes out, and how little else: 40 real pages whose prose was marked by reading the source.

Ours against mwparserfromhell's `strip_code`, by the alignment of tests/support/prose_support.py, white space aside. The
marks are spans of the pages beside the project; without those it says so and prints no figure.
"""

import json
import sys
from pathlib import Path

import mwparserfromhell

from unibert.runs import provenance

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from prose_support import DUMPS, marked_pages, measure, totals


def strip_code(wikitext: str, _: dict[int, str]) -> str:
    return str(mwparserfromhell.parse(wikitext).strip_code())


def main() -> None:
    if not DUMPS.is_dir():
        sys.exit(print("no dumps beside the project: ../shared/data/dumps", file=sys.stderr))
    pages = marked_pages()
    ours = totals(list(measure(pages).values()))
    theirs = totals(list(measure(pages, convert=strip_code).values()))
    where = f"{len(pages)} marked pages in {len({page.language for page in pages})} languages"
    for claim, one, other in zip(
        (f"prose that comes out, {where} (recall)", f"prose among what comes out, {where} (precision)"),
        ours,
        theirs,
        strict=True,
    ):
        result = {"claim": claim, "unit": "%", "ours": 100 * one, "baseline": 100 * other, "ratio": one / other}
        print(json.dumps({**result, **provenance()}))


if __name__ == "__main__":
    main()
