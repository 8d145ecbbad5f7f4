"""Mutated real pages through the wikitext converter: no exception, no page over five seconds.

Not a claim of the README, so `run.py` leaves it alone; `make fuzz` runs it. A failure prints its seed, which makes the
same page again: `python benchmarks/fuzz_wikitext.py --only SEED`. Reads the dumps beside the project; without them it
says so.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from unibert.corpus.dump import DumpReader
from unibert.corpus.wikitext import paragraphs

ROOT = Path(__file__).parents[1]
DUMPS = ROOT.parent / "shared" / "data" / "dumps"
SLOW = 5.0  # seconds of processor time for one page

sys.path.insert(0, str(ROOT / "tests" / "support"))
from wikitext_mutations import Mutation, mutate, mutations  # noqa: E402


def real_pages() -> list[str]:
    """The articles of every dump, in the order of the files."""
    paths = sorted(DUMPS.glob("*/*.bz2"))
    return [page.text for path in paths for page in DumpReader(path) if page.namespace == 0 and not page.redirect]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=20_000, help="mutated pages")
    parser.add_argument("--seed", type=int, default=1, help="another sequence of them")
    parser.add_argument("--only", help="one page by the seed that a failure printed")
    settings = parser.parse_args()
    pages = real_pages()
    if not pages:
        sys.exit(print("no dumps beside the project: ../shared/data/dumps", file=sys.stderr))
    cases = mutations(pages, settings.pages, settings.seed)
    if settings.only:
        cases = iter([Mutation(settings.only, mutate(pages, settings.only))])

    began, slowest, slowest_seed, failures, count = time.perf_counter(), 0.0, "", [], 0
    for case in cases:
        count += 1
        started = time.process_time()
        try:
            paragraphs(case.text)
        except Exception as error:  # any exception is the finding
            failures.append({"seed": case.seed, "error": f"{type(error).__name__}: {error}"})
        seconds = time.process_time() - started
        if seconds > slowest:
            slowest, slowest_seed = seconds, case.seed
        if seconds > SLOW:
            failures.append({"seed": case.seed, "error": f"{seconds:.1f} s"})
    result = {
        "claim": f"{count:,} mutated real pages: no exception, no page over {SLOW:.0f} s",
        "pages": count,
        "pages_per_second": round(count / (time.perf_counter() - began), 1),
        "slowest_seconds": round(slowest, 3),
        "slowest_seed": slowest_seed,
        "failures": failures,
    }
    print(json.dumps(result))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
