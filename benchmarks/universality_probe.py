"""What probing costs: 107 languages, 300 sentences of each, every layer of an encoder of UniBERT-XXSmall's shape.

The linear probe is timed against scikit-learn's logistic regression with the same penalty on the same standardised
embeddings, which finds the same predictions (a test holds that).
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np

from ner_finetuning import random_encoder
from pairs import report, seconds_of
from pretrain_support import DATA
from unibert.languages import PAPER_CODES
from unibert.tasks.encoder import find_encoder
from unibert.universality.embedding import Embedder
from unibert.universality.probe import classify, probe, stratified_split
from unibert.universality.sentences import find_texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of an encoder; UniBERT-XXSmall with random weights without")
    parser.add_argument("--languages", type=int, default=107)
    parser.add_argument("--sentences", type=int, default=300, help="of each language")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    texts, _ = find_texts([DATA / "text"], None, options.sentences, 1)
    chosen = sorted(texts, key=lambda code: (code not in PAPER_CODES, code))[: options.languages]
    names = np.array([code for code in chosen for _ in texts[code]])
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(find_encoder(options.model or random_encoder(Path(folder))))
        layers_LND = embedder.embed([text for code in chosen for text in texts[code]]).layers_LND

    def everything() -> None:
        for layer, embeddings_ND in enumerate(layers_LND):
            for kind in ("linear", "mlp"):
                probe(embeddings_ND, names, layer, kind, range(options.seeds))

    _, targets = np.unique(names, return_inverse=True)
    train, held = stratified_split(targets, 0.2, 1)
    last = layers_LND[-1].astype(np.float64)
    mean, spread = last[train].mean(axis=0), last[train].std(axis=0)
    standard = (last - mean) / np.where(spread > 0, spread, 1)

    def theirs() -> None:
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            LogisticRegression(C=1.0, max_iter=2000, tol=1e-5).fit(standard[train], targets[train])

    def ours() -> None:
        classify("linear", layers_LND[-1][train], targets[train], layers_LND[-1][held], len(chosen), 1)

    ours()
    pairs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(options.pairs)]
    report(
        f"time of a linear probe of {len(chosen)} languages ({len(train):,} sentences, {last.shape[1]} dimensions) "
        "against scikit-learn's LogisticRegression",
        "s",
        [own for own, _ in pairs],
        [other for _, other in pairs],
        asked="at most 1",
    )
    report(
        f"probe of {len(chosen)} languages, XXSmall: {len(layers_LND)} layers, linear and MLP, {options.seeds} seeds",
        "s",
        [seconds_of(everything)],
        asked="at most 300",
    )


if __name__ == "__main__":
    main()
