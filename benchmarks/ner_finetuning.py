"""Fine-tuning on CoNLL-2002 Spanish in samples per second, ours against the recipe of transformers' own `run_ner.py`.

The same encoder, sentences, epochs, batch size, learning rate and seed. The baseline is what `run_ner.py` does by
default: samples in random order, padded to the longest of their batch, float32, first pieces labelled. Both are timed
from loading the encoder to the last update; scores of the test file follow, and are not timed. Each run has a process
of its own, in turn.

Without `--model` the encoder is UniBERT-XXSmall with random weights, whose speed is that of a trained one; its scores
say nothing, so they are only told with a model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from pairs import report
from pretrain_support import DATA
from unibert.models.sizes import SIZES
from unibert.models.student import build_student
from unibert.recipe import FineTune
from unibert.runs import usable_cores
from unibert.tasks import ner
from unibert.tasks.conll import Sentence, read_conll
from unibert.tasks.data import Split, Splits
from unibert.tasks.encoder import find_encoder
from unibert.tasks.finetune import fine_tune
from unibert.tokens.vocabulary import load_tokenizer

CONLL = DATA / "ner" / "conll2002"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of an encoder")
    parser.add_argument("--train", type=Path, default=CONLL / "esp.train")
    parser.add_argument("--test", type=Path, default=CONLL / "esp.testb")
    parser.add_argument("--sentences", type=int, default=2000, help="to train on, the first of the file")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--pairs", type=int, default=3, help="each with a seed of its own")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of torch")
    parser.add_argument("--way", choices=["ours", "theirs"], help="run one way and print what came out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(one_way(options)))
        return
    if not options.train.exists():
        sys.exit(f"{options.train} is not there: see the README of the data")
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or random_encoder(Path(folder))
        found: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
        for seed in range(1, options.pairs + 1):
            for way, results in found.items():
                results.append(in_a_process(options, way, model, seed))
    rates = {way: [result["samples_per_second"] for result in results] for way, results in found.items()}
    what = f"fine-tuning on CoNLL-2002 es, {options.model.name if options.model else 'XXSmall'}"
    claim = f"{what}, batches of {options.batch_size}, against run_ner.py's recipe"
    report(claim, "samples/s", rates["ours"], rates["theirs"], asked="at least 1.5")
    if options.model is not None:
        scores = {way: [result["f1"] for result in results] for way, results in found.items()}
        spread = ", ".join(f"{way} {min(own):.2f} to {max(own):.2f}" for way, own in scores.items())
        claim = f"{what}, {options.sentences:,} sentences, {options.epochs} epochs, {options.pairs} seeds: {spread}"
        report(claim, "entity F1", [fmean(scores["ours"])], [fmean(scores["theirs"])], asked="the same within seeds")


def random_encoder(folder: Path) -> Path:
    """UniBERT-XXSmall with random weights and mBERT's tokenizer."""
    tokenizer = load_tokenizer(DATA / "mbert" / "vocab.txt")
    build_student(SIZES["xxsmall"], len(tokenizer), tokenizer.pad_token_id, 1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def in_a_process(options: argparse.Namespace, way: str, model: Path, seed: int) -> dict[str, float]:
    """What one way makes of one seed, in a process of its own."""
    named = ("train", "test", "sentences", "epochs", "batch_size", "learning_rate", "threads")
    command = [sys.executable, __file__, "--way", way, "--model", str(model), "--seed", str(seed)]
    for name in named:
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"{way} failed:\n{out.stderr[-2000:]}")
    return json.loads(out.stdout.strip().splitlines()[-1])


def one_way(options: argparse.Namespace) -> dict[str, float]:
    """Fine-tune once, timed; then test."""
    import torch

    torch.set_num_threads(options.threads)
    sentences, test = read_conll(options.train)[: options.sentences], read_conll(options.test)
    settings = FineTune(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_share=0.0,  # as run_ner.py: in so few steps a warm-up costs points of F1
        max_length=256,
    )
    began = time.perf_counter()
    model, tokenizer = (ours if options.way == "ours" else theirs)(options, sentences, settings)
    seconds = time.perf_counter() - began
    scores = ner.scores(test, ner.predict(model, tokenizer, test, settings), "es")
    return {"samples_per_second": len(sentences) * options.epochs / seconds, "f1": scores["f1"]}


def ours(options: argparse.Namespace, sentences: list[Sentence], settings: FineTune) -> tuple[Any, Any]:
    """As `unibert finetune` does it."""
    data = {"es": Splits(train=Split("train", "", sentences))}
    outcome = fine_tune(ner, find_encoder(options.model), data, settings, options.seed)
    return outcome.model, outcome.tokenizer


def theirs(options: argparse.Namespace, sentences: list[Sentence], settings: FineTune) -> tuple[Any, Any]:
    """As `run_ner.py` does it: tokenise and align, pad by the library's collator, train by the Trainer's defaults."""
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(options.seed)
    labels = ner.label_names(sentences)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForTokenClassification.from_pretrained(
        options.model, id2label=dict(enumerate(labels)), label2id={label: n for n, label in enumerate(labels)}
    )
    features = ner.features(sentences, tokenizer, labels, settings)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seed=options.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=features,
            data_collator=DataCollatorForTokenClassification(tokenizer),
            processing_class=tokenizer,
        ).train()
    return model, tokenizer


if __name__ == "__main__":
    main()
