"""What the setting *all* costs: one fine-tuning on every language together against one for each of them.

PAN-X in several languages, as many sentences of each, the same epochs and batch size; every fine-tuning is followed by
its tests, so *all* tests as many sentences as the others together. In one process, in turn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ner_finetuning import random_encoder
from pairs import report, seconds_of
from pretrain_support import DATA
from unibert.benchmark.loading import load_data
from unibert.recipe import BenchmarkData, FineTune
from unibert.tasks import ner
from unibert.tasks.data import Splits
from unibert.tasks.encoder import find_encoder
from unibert.tasks.finetune import fine_tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of an encoder; UniBERT-XXSmall with random weights without")
    parser.add_argument("--languages", nargs="+", default=["ar", "de", "en", "zh"])
    parser.add_argument("--sentences", type=int, default=500, help="to train and to test on, of each language")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    settings = BenchmarkData(
        folder=str(DATA / "ner" / "panx"),
        languages=options.languages,
        split=True,
        max_train=options.sentences,
        max_test=options.sentences,
    )
    data = load_data("panx", settings).languages
    finetune = FineTune(epochs=1, learning_rate=5e-4, max_length=128)
    with tempfile.TemporaryDirectory() as folder:
        encoder = find_encoder(options.model or random_encoder(Path(folder)))

        def train(parts: Sequence[Mapping[str, Splits]]) -> None:
            for part in parts:
                fine_tune(ner, encoder, part, finetune, 1)

        alone = [{language: splits} for language, splits in data.items()]
        train(alone[:1])  # warms up
        pairs = [(seconds_of(lambda: train([data])), seconds_of(lambda: train(alone))) for _ in range(options.pairs)]
    report(
        f"time of the setting all on {len(data)} languages of PAN-X against each of them, XXSmall",
        "s",
        [together for together, _ in pairs],
        [apart for _, apart in pairs],
        asked="at most 1",
    )


if __name__ == "__main__":
    main()
