"""What retrieval costs: all of Tatoeba through an encoder of UniBERT-XXSmall's shape, at every layer.

The baseline is the loop that one writes first: texts in the order of their files in padded batches of 32, in float32,
all hidden states kept, means taken from them. Both embed the same sentences in turn, in one process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from ner_finetuning import random_encoder
from pairs import compare, report, seconds_of
from pretrain_support import DATA
from unibert.models.neutral import fit_projection
from unibert.tasks.bi_encoder import load_bi_encoder
from unibert.tasks.encoder import find_encoder
from unibert.universality.embedding import Embedder
from unibert.universality.retrieval import measure_retrieval
from unibert.universality.schema import Pair
from unibert.universality.sentences import find_parallel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of an encoder; UniBERT-XXSmall with random weights without")
    parser.add_argument("--languages", nargs="+", help="all when left out")
    parser.add_argument("--sentences", type=int, default=2000, help="that both ways embed")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    parallel, _ = find_parallel([DATA / "retrieval" / "tatoeba"], options.languages)
    with tempfile.TemporaryDirectory() as folder:
        encoder = find_encoder(options.model or random_encoder(Path(folder)))
        embedder = Embedder(encoder)
        layers = range(embedder.layers + 1)
        flat = [text for pair in parallel for text in pair.texts]
        texts = [flat[row] for row in np.random.default_rng(1).permutation(len(flat))[: options.sentences]]
        bare, tokenizer = load_bi_encoder(encoder)

        def first_written() -> None:
            for start in range(0, len(texts), 32):
                batch = tokenizer(texts[start : start + 32], padding=True, truncation=True, max_length=128,
                                  return_tensors="pt", return_token_type_ids=False)  # fmt: skip
                with torch.inference_mode():
                    states = bare.encoder(**batch, output_hidden_states=True).hidden_states
                mask = batch["attention_mask"].unsqueeze(-1)
                torch.stack([(state * mask).sum(1) / mask.sum(1) for state in states]).numpy()

        compare(
            "embedding Tatoeba's sentences at every layer, XXSmall, against batches of 32 in file order",
            "sentences",
            len(texts),
            lambda: embedder.embed(texts),
            first_written,
            options.pairs,
            asked="more than 1",
        )

        def whole() -> None:
            for pair in parallel:
                size = len(pair.texts)
                both = embedder.embed([*pair.texts, *pair.others]).layers_LND
                known = {pair.name: Pair(language=pair.language, other=pair.other, sentences=size, chance=1 / size)}
                names = [pair.language] * size + [pair.other] * size
                for layer in layers:
                    project = fit_projection(both[layer], names).apply
                    measure_retrieval(
                        layer, {pair.name: (both[layer, :size], both[layer, size:])}, known, None, project
                    )

        sentences = sum(len(pair.texts) for pair in parallel)
        report(
            f"retrieval over {len(parallel)} languages of Tatoeba ({sentences:,} pairs), XXSmall: 5 layers, cosine and "
            "CSLS, raw, centred and projected",
            "s",
            [seconds_of(whole)],
            asked="at most 300",
        )


if __name__ == "__main__":
    main()
