"""Corpus to token shards, everything included, against bare `encode_batch` of `tokenizers` on the same text.

Ours reads Parquet, chooses the held-out pages, encodes, counts [UNK] and writes shards with checksums; the baseline has
all texts in memory and throws the encodings away. Both use every core. The text is the real plain text
beside the project with mBERT's vocabulary; without it the benchmark says so and prints no figure.
"""

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from pairs import compare
from unibert.corpus.pipeline import build_corpus
from unibert.recipe import Corpus, Tokens
from unibert.tokenizer_files import load_tokenizer_file
from unibert.tokens.build import build_tokens

DATA = Path(__file__).parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", default="*", help="a pattern of codes")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not (DATA / "text").is_dir():
        sys.exit(print("no text beside the project: ../shared/data/text", file=sys.stderr))
    os.environ["UNIBERT_QUIET"] = "1"
    vocabulary = str(DATA / "mbert" / "vocab.txt")
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        folder = Path(name)
        corpus = folder / "corpus"
        build_corpus(Corpus(text=[str(DATA / "text" / f"{options.languages}.txt.gz")]), corpus, {})
        texts = [text for path in sorted(corpus.glob("*.parquet")) for text in _column(path)]
        tokenizer = load_tokenizer_file(vocabulary)
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def ours() -> None:
            shutil.rmtree(folder / "tokens", ignore_errors=True)
            build_tokens(Tokens(tokenizer=vocabulary), corpus, folder / "tokens", folder / "tokenizer", {}, 1)

        def bare() -> None:
            for start in range(0, len(texts), 4096):  # faster than all at once, and what ours does
                tokenizer.encode_batch(texts[start : start + 4096], add_special_tokens=False)

        size = sum(len(text.encode()) for text in texts) / 1e6
        compare("corpus to token shards against bare encode_batch", "MB", size, ours, bare, options.repeats)


def _column(path: Path) -> list[str]:
    return pq.read_table(path, columns=["text"])["text"].to_pylist()


if __name__ == "__main__":
    main()
