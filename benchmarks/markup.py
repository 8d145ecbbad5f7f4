"""Leftover markup: samples in 2,000 that still contain some, after the five rules, over every real dump.

Ours against `mwparserfromhell.parse(page).strip_code()` cut at line ends, which goes through the same rules. The
count is exact and the same in every run, so there is one pair. `-v` prints our samples that have some left.

Reads the dumps beside the project; without them it says so and prints no figure.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import mwparserfromhell

from unibert.corpus.clean import apply_rules
from unibert.corpus.counting import token_counter
from unibert.corpus.dump import DumpReader
from unibert.corpus.wikitext import paragraphs
from unibert.recipe import Rules
from unibert.runs import provenance

DUMPS = Path(__file__).parents[2] / "shared" / "data" / "dumps"
MARKS = ("[[", "]]", "{{", "}}", "{|", "|}", "''", "==", "<ref", "&nbsp;", "px|", "thumb|")
ADDRESSES = ("http://", "https://")  # counted apart
OF = 2_000


class Count:
    """Samples, those with markup, those with an address."""

    def __init__(self) -> None:
        self.samples = self.marked = self.addressed = 0
        self.found: list[str] = []

    def add(self, texts: Iterable[str], rules: Rules, count_tokens: Callable[[str], int]) -> None:
        """Put texts through the rules and count what is left of them."""
        for text in texts:
            sample = apply_rules(text, rules, count_tokens).text
            if sample is None:
                continue
            self.samples += 1
            self.addressed += any(address in sample for address in ADDRESSES)
            if any(mark in sample for mark in MARKS):
                self.marked += 1
                self.found.append(sample)

    def share(self, number: int) -> float:
        """So many samples in `OF`."""
        return OF * number / self.samples


def main() -> None:
    rules, count_tokens = Rules(), token_counter(None)
    ours, theirs = Count(), Count()
    for path in sorted(DUMPS.glob("*/*.bz2")):
        reader = DumpReader(path)
        for page in reader:
            if page.namespace == 0 and not page.redirect:
                ours.add((text for _, text in paragraphs(page.text, reader.namespaces)), rules, count_tokens)
                lines = mwparserfromhell.parse(page.text).strip_code().split("\n")
                theirs.add(filter(None, map(str.strip, lines)), rules, count_tokens)
    if not ours.samples:
        sys.exit(print("no dumps beside the project: ../shared/data/dumps", file=sys.stderr))
    ratio = theirs.share(theirs.marked) / max(ours.share(ours.marked), OF / ours.samples)
    print(
        json.dumps(
            {
                "claim": f"leftover markup in clean samples, fewer is better: {ours.marked:,} of {ours.samples:,} "
                f"against {theirs.marked:,} of {theirs.samples:,} with mwparserfromhell's strip_code",
                "unit": f"samples in {OF:,}",
                "ours": ours.share(ours.marked),
                "baseline": theirs.share(theirs.marked),
                "ratio": ratio,
                "lowest": ratio,
                "highest": ratio,
                "pairs": 1,
                "ours_with_addresses": ours.share(ours.addressed),
                "baseline_with_addresses": theirs.share(theirs.addressed),
                **provenance(),
            }
        )
    )
    if "-v" in sys.argv[1:]:
        print(*ours.found, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
