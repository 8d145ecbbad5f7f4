"""What the corpus of the paper (107 Wikipedias, 82 GB of clean text) would take: a prediction from rates measured here.

Two workers build a corpus from real dumps (bz2 and all) and tokenise it; the rates per core are carried over to 16
cores and to 10 nodes of 16 cores. Left out: the download, which two connections bound, and what a cluster adds. The
price of a core hour is an assumption, and so is that cores do not slow one another down more than two do here.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from unibert.corpus.pipeline import build_corpus
from unibert.recipe import Corpus, Tokens
from unibert.runs import provenance, usable_cores
from unibert.tokens.build import build_tokens

DATA = Path(__file__).parents[2] / "shared" / "data"
CLEAN_GB = 82  # the paper's section 3: 107 languages after cleaning
COPIES = 6  # of the dumps, so that starting processes does not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dollars", type=float, default=0.05, help="for a core and hour")
    options = parser.parse_args()
    dumps = [*sorted(DATA.glob("dumps/larger/*.bz2")), *sorted(DATA.glob("dumps/mini/*.bz2"))]
    if not dumps:
        sys.exit(print("no dumps beside the project: ../shared/data/dumps", file=sys.stderr))
    os.environ["UNIBERT_QUIET"] = "1"
    cores = usable_cores()
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        folder = Path(name)
        for number in range(COPIES):
            (folder / "dumps" / str(number)).mkdir(parents=True)
            for path in dumps:
                shutil.copy(path, folder / "dumps" / str(number))
        began = time.perf_counter()
        statistics = build_corpus(Corpus(dumps=[f"{folder}/dumps/*/*"], workers=cores), folder / "corpus", {})
        corpus_seconds = time.perf_counter() - began
        began = time.perf_counter()
        tokens = Tokens(tokenizer=str(DATA / "mbert" / "vocab.txt"), workers=cores)
        build_tokens(tokens, folder / "corpus", folder / "tokens", folder / "tokenizer", {}, 1)
        token_seconds = time.perf_counter() - began
    size = statistics["totals"]["bytes"]
    core_seconds = CLEAN_GB * 1e9 / size * cores * (corpus_seconds + token_seconds)
    rates = [size / 1e6 / seconds / cores for seconds in (corpus_seconds, token_seconds)]
    print(
        f"{size / 1e6:.1f} MB clean; MB/s a core: {rates[0]:.2f} from dumps, {rates[1]:.2f} to tokens", file=sys.stderr
    )
    price = f"${core_seconds / 3600 * options.dollars:,.2f} at ${options.dollars} a core hour"
    for where, number in (("16 cores", 16), ("10 nodes of 16 cores", 160)):
        claim = f"predicted: 107 Wikipedias ({CLEAN_GB} GB clean) to token shards on {where}, {price}"
        print(json.dumps({"claim": claim, "unit": "hours", "ours": core_seconds / 3600 / number, **provenance()}))


if __name__ == "__main__":
    main()
