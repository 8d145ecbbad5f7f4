"""What the benchmarks of pre-training share: real batches, models of the paper's shapes, one update of ours.

A scene is a token store of real text in 16 languages under mBERT's vocabulary of 119,547 pieces, the paper's students,
and a teacher of BERT-base shape. All weights are random: what a step costs does not depend on them. `--quick` is the
same in miniature, on made-up words, to see that everything runs.

On a machine without the text, bring the tokens: `python benchmarks/pretrain_support.py FOLDER` makes them, and
`--store FOLDER` uses them.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForMaskedLM
from transformers.utils import logging as library_logging

from unibert.corpus.pipeline import build_corpus
from unibert.models.allocator import keep_freed_memory
from unibert.models.precision import best_device, resolve_precision
from unibert.models.sizes import SIZES
from unibert.models.student import build_student
from unibert.pretrain.distributed import Team
from unibert.pretrain.family import Family
from unibert.pretrain.step import Totals
from unibert.pretrain.vocabulary_losses import wants_compilation
from unibert.recipe import Adversary, Architecture, Corpus, Distillation, Pretrain, Tokens
from unibert.runs import usable_cores
from unibert.tokens.batches import Batches, MicroBatch
from unibert.tokens.build import build_tokens
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer

DATA = Path(__file__).parents[2] / "shared" / "data"
LANGUAGES = ["ar", "de", "el", "en", "fi", "fr", "he", "hi", "ja", "pl", "ru", "sw", "ta", "tr", "vi", "zh"]
TEACHER = Architecture(layers=12, hidden=768, heads=12, feed_forward=3072)
SEED = 1
KINDS = {"lines": 1, "paragraphs": 6}
"""Lines of text in a sample: as the text is, with about 20 tokens in the mean, or joined to about 110, the paper's."""

_TINY = {
    "small": Architecture(layers=2, hidden=48, heads=4, feed_forward=96),
    "xsmall": Architecture(layers=2, hidden=32, heads=4, feed_forward=64),
    "xxsmall": Architecture(layers=1, hidden=16, heads=2, feed_forward=32),
}
_TINY_TEACHER = Architecture(layers=2, hidden=64, heads=4, feed_forward=128)


@dataclass(frozen=True)
class Sample:
    """One sample of a step, as every contender gets it."""

    ids: np.ndarray
    """int64[L]: [CLS], pieces with the masks, [SEP]."""
    chosen: np.ndarray
    """int64[M]: places to predict."""
    labels: np.ndarray
    """int64[M]: what stood there."""

    @property
    def unmasked(self) -> np.ndarray:
        """int64[L]: the sample as it is in the store."""
        ids = self.ids.copy()
        ids[self.chosen] = self.labels
        return ids


@dataclass(frozen=True)
class Scene:
    """Data, shapes and settings that a comparison is made with."""

    root: Path
    """What `--store` would name to get the same scene again."""
    folder: Path
    """Holds tokens/ and tokenizer/."""
    teacher_shape: Architecture
    students: Mapping[str, Architecture]
    settings: Pretrain
    quick: bool
    device: torch.device
    micro_batch: int = 8
    """Samples in a micro-batch of the baselines; ours are cut by tokens."""

    @cached_property
    def store(self) -> TokenStore:
        """The token store."""
        return TokenStore(self.folder / "tokens")

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the store."""
        return load_tokenizer(self.folder / "tokenizer")

    @cached_property
    def special(self) -> SpecialIds:
        """Its special ids."""
        return SpecialIds.of(self.tokenizer)

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """The batch of a step as our loop gets it, on the device."""
        batches = Batches(self.store, self.special, self.settings, SEED)
        return [batch.to(self.device) for batch in batches.batch(step)]

    def samples(self, step: int) -> list[Sample]:
        """The same batch, sample by sample, in the order in which it was drawn."""
        return samples_of(self.micro_batches(step))

    def teacher(self, dtype: torch.dtype = torch.float32) -> BertForMaskedLM:
        """A frozen teacher with random weights on the device; in its number format from the first, as if loaded so."""
        torch.set_default_dtype(dtype)
        try:
            model = build_student(self.teacher_shape, self.special.vocabulary_size, self.special.pad, SEED + 1)
        finally:
            torch.set_default_dtype(torch.float32)
        return model.eval().requires_grad_(False).to(self.device)

    def student(self, size: str) -> BertForMaskedLM:
        """A student with random weights, in training mode, on the device."""
        shape, special = self.students[size], self.special
        student = build_student(shape, special.vocabulary_size, special.pad, SEED, self.settings.dropout)
        return student.train().to(self.device)

    def wait(self) -> None:
        """Until the device has done all that was asked of it: before a clock is read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def our_step(
    scene: Scene,
    sizes: Sequence[str],
    micro_batches: Sequence[MicroBatch],
    teacher: BertForMaskedLM | None = None,
) -> Callable[[], float]:
    """A whole update of one student, or of several from one pass of the teacher; calling it returns the loss.

    Everything is as `unibert pretrain` does it in a long run, what the loop tells the C library included: a baseline
    that knows nothing of that belongs in another process. Micro-batches are made beforehand, by whomever.

    Args:
        scene: where.
        sizes: of the students.
        micro_batches: of the update.
        teacher: is changed to the number format of the run; a new one when None.
    """
    keep_freed_memory()
    settings = scene.settings.model_copy(update={"students": {size: scene.students[size] for size in sizes}})
    special, dtype = scene.special, resolve_precision(settings.precision, scene.device)
    family = Family(
        settings,
        SEED,
        vocabulary_size=special.vocabulary_size,
        pad_id=special.pad,
        languages=len(scene.store.languages),
        teacher=teacher or scene.teacher(dtype),
        team=Team(0, 1, scene.device),
        dtype=dtype,
        compiled=wants_compilation(settings.compile, settings.steps, scene.device),
    )
    family.train()
    batches = list(micro_batches)
    rows, tokens = sum(len(batch.rows) for batch in batches), sum(batch.tokens for batch in batches)
    totals = Totals(rows, tokens, settings.batch_size)

    def update() -> float:
        updates = family.update(settings.warmup_steps, batches, totals)
        scene.wait()
        return sum(float(update.measures[0]) for update in updates.values())

    return update


def device_name(device: torch.device) -> str:
    """What the models run on, for the results: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def samples_of(micro_batches: Sequence[MicroBatch]) -> list[Sample]:
    """Take micro-batches apart into their samples, in the order in which they were drawn."""
    found: dict[int, Sample] = {}
    for batch in micro_batches:
        ids, rows, labels = (part.cpu().numpy() for part in (batch.input_ids, batch.rows, batch.labels))
        start = 0
        for position, length in zip(batch.positions, batch.lengths, strict=True):
            own = (rows >= start) & (rows < start + length)
            found[position] = Sample(ids[start : start + length], rows[own] - start, labels[own])
            start += length
    return [sample for _, sample in sorted(found.items())]


def real_tokens(samples: Sequence[Sample]) -> int:
    """Tokens without padding, [CLS] and [SEP] included."""
    return sum(len(sample.ids) for sample in samples)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks of pre-training have; and what has to be set before a GPU is first asked for."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # the Trainer would take all there are, and ours one
    os.environ["UNIBERT_QUIET"] = "1"
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="tiny models on made-up text: does it run?")
    parser.add_argument("--store", type=Path, help="made by pretrain_support.py")
    parser.add_argument("--micro-batch", type=int, help="samples, of the baselines; 8 on a CPU, 32 on a GPU")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of torch")
    return parser


@contextlib.contextmanager
def scene(options: argparse.Namespace, kind: str = "lines") -> Iterator[Scene]:
    """The scene that the options ask for; its store, unless one is named, is gone afterwards.

    Args:
        options: of a parser from `arguments`.
        kind: of the samples, see `KINDS`.
    """
    torch.set_num_threads(options.threads)
    device = best_device()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # as anybody would
    library_logging.set_verbosity_error()
    library_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        root = options.store or Path(name)
        if options.store is None:
            build_store(root / kind, options.quick, KINDS[kind])
        settings = Pretrain(
            batch_size=16 if options.quick else 128,
            context=64 if options.quick else 512,
            adversary=Adversary(mode="none", weight=0),  # none of the baselines has one
            distillation=Distillation(weight=0.4, temperature=2),
            compile="off" if options.quick else "auto",
        )
        yield Scene(
            root,
            root / kind,
            _TINY_TEACHER if options.quick else TEACHER,
            _TINY if options.quick else SIZES,
            settings,
            options.quick,
            device,
            options.micro_batch or (32 if device.type == "cuda" else 8),
        )


def build_store(folder: Path, quick: bool, lines_per_sample: int) -> None:
    """Text to `folder`/tokens and `folder`/tokenizer by the project's own stages."""
    vocabulary = None if quick else str(DATA / "mbert" / "vocab.txt")
    # One worker: each would import all that the script does, which takes longer than the work.
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        texts, corpus = Path(name) / "text", Path(name) / "corpus"
        texts.mkdir()
        for language in LANGUAGES[:3] if quick else LANGUAGES:
            lines = _made_up(language) if quick else _real(language)
            joined = [" ".join(lines[at : at + lines_per_sample]) for at in range(0, len(lines), lines_per_sample)]
            (texts / f"{language}.txt").write_text("\n".join(joined), encoding="utf-8")
        build_corpus(Corpus(text=[str(texts / "*.txt")], tokenizer=vocabulary, workers=1), corpus, {})
        # Nothing is held out: no benchmark evaluates.
        tokens = Tokens(tokenizer=vocabulary, vocabulary_size=500, held_out_share=0, workers=1)
        build_tokens(tokens, corpus, folder / "tokens", folder / "tokenizer", {}, SEED)


def _real(language: str) -> list[str]:
    path = DATA / "text" / f"{language}.txt.gz"
    if not path.exists():
        sys.exit(print(f"no text beside the project ({path}); bring tokens with --store", file=sys.__stderr__))
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return stream.read().splitlines()


def _made_up(language: str) -> list[str]:
    chance = random.Random(language)
    words = ["".join(chance.choices("abdefgiklmnoprstu", k=chance.randint(2, 9))) for _ in range(300)]
    return [" ".join(chance.choices(words, k=round(chance.lognormvariate(2, 0.6)) + 5)) for _ in range(400)]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for kind, lines in KINDS.items():
        build_store(Path(sys.argv[1]) / kind, quick=False, lines_per_sample=lines)
