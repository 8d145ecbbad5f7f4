"""The batch of any step: drawn, masked, sorted by length and packed into micro-batches that fit the memory.

Packed: the tokens of all samples one after another, longest sample first, without padding.

Shape suffixes: B samples, T packed tokens, M masked rows, K languages.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from unibert.errors import DataError, RecipeError
from unibert.recipe import Pretrain
from unibert.tokens.masking import held_out_generator, mask_tokens, masking_generator
from unibert.tokens.mixture import Mixture
from unibert.tokens.store import HELD_OUT, TRAIN, TokenStore
from unibert.tokens.vocabulary import SpecialIds

Result = TypeVar("Result")


@dataclass
class MicroBatch:
    """Samples one after another, longest first."""

    input_ids: torch.Tensor
    """int64[T]: of every sample [CLS], its tokens with the masks, [SEP]."""
    lengths: list[int]
    """Tokens of each sample, B numbers, descending; their sum is T."""
    rows: torch.Tensor
    """int64[M]: where in T the tokens to predict are, ascending."""
    labels: torch.Tensor
    """int64[M]: what stood there."""
    languages: torch.Tensor
    """int64[B]: index into `TokenStore.languages`."""
    samples: list[tuple[str, int]]
    """(language, index in its split) of each sample."""
    positions: list[int]
    """Place of each sample in the whole batch of the step (in the split, when held out)."""
    rows_per_sample: list[int]
    """Tokens to predict of each sample; their sum is M."""
    position_ids: torch.Tensor
    """int64[T]: place of each token in its sample, from 0."""
    sample_of: torch.Tensor
    """int64[T]: which of the B samples each token belongs to."""
    offsets: torch.Tensor
    """int32[B + 1]: where in T each sample begins, and T."""

    @classmethod
    def of(
        cls,
        samples: Sequence[torch.Tensor | npt.NDArray[np.int64]],
        chosen: Sequence[npt.NDArray[np.int64]] | None = None,
        labels: Sequence[npt.NDArray[np.int64]] | None = None,
        languages: Sequence[int] | None = None,
        names: Sequence[tuple[str, int]] | None = None,
        positions: Sequence[int] | None = None,
    ) -> MicroBatch:
        """Pack samples of descending length.

        Args:
            samples: ids of each.
            chosen: positions to predict within each; none when left out.
            labels: what stood there.
            languages: number of each one's language; 0 when left out.
            names: for messages.
            positions: place of each in the step's batch.
        """
        lengths = [len(sample) for sample in samples]
        if any(after > before for before, after in pairwise(lengths)):
            raise ValueError(f"samples must come longest first, got lengths {lengths}")
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        none: list[npt.NDArray[np.int64]] = [np.empty(0, dtype=np.int64)] * len(lengths)
        chosen, labels = none if chosen is None else chosen, none if labels is None else labels
        rows = [start + places for start, places in zip(offsets, chosen, strict=False)]
        return cls(
            input_ids=torch.cat([torch.as_tensor(sample, dtype=torch.int64) for sample in samples]),
            lengths=lengths,
            rows=torch.from_numpy(np.concatenate(rows).astype(np.int64)),
            labels=torch.from_numpy(np.concatenate(labels)),
            languages=torch.tensor(languages or [0] * len(lengths), dtype=torch.int64),
            samples=list(names or [("", index) for index in range(len(lengths))]),
            positions=list(positions or range(len(lengths))),
            rows_per_sample=[len(places) for places in chosen],
            position_ids=torch.from_numpy(np.concatenate([np.arange(length, dtype=np.int64) for length in lengths])),
            sample_of=torch.from_numpy(np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)),
            offsets=torch.from_numpy(offsets.astype(np.int32)),
        )

    def to(self, device: torch.device) -> MicroBatch:
        """The same micro-batch with its tensors on a device; itself where they are there already."""
        if self.input_ids.device == device:
            return self
        tensors = ("input_ids", "rows", "labels", "languages", "position_ids", "sample_of", "offsets")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in tensors})

    @property
    def tokens(self) -> int:
        """T: [CLS] and [SEP] included, no padding."""
        return sum(self.lengths)


class Batches:
    """This process's share of the batch of any step; a pure function of (store, settings, seed, step).

    Args:
        store: the token shards.
        special: the tokenizer's special ids.
        settings: batch_size, context, alpha, masking and micro_batch_tokens are used.
        seed: decides the draws and the masks.
        rank: this process; it takes positions rank, rank + world_size, ... of the whole batch, so that the union
            over the processes is the same whatever their number.
        world_size: number of processes.

    Raises:
        RecipeError: more processes than samples in a batch.
        DataError: the tokenizer and the store have different vocabulary sizes, or nothing to train on.
    """

    def __init__(
        self, store: TokenStore, special: SpecialIds, settings: Pretrain, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if world_size > settings.batch_size:
            raise RecipeError(
                f"pretrain.batch_size is {settings.batch_size}, too few for {world_size} processes",
                f"Set pretrain.batch_size to {world_size} or more, or start fewer processes.",
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} processes")
        _same_vocabulary(store, special)
        counts = {language: store.samples(language, TRAIN) for language in store.languages}
        if not any(counts.values()):
            raise DataError(f"{store.folder}: no training samples", "Run `unibert tokens build` on a corpus with text.")
        self.store, self.special, self.settings, self.seed = store, special, settings, seed
        self.rank, self.world_size = rank, world_size
        self.mixture = Mixture(counts, settings.alpha, seed)

    def batch(self, step: int) -> list[MicroBatch]:
        """This process's slice of the batch of `step`, longest micro-batch first."""
        languages, indices = self.mixture.draw(step, self.settings.batch_size)
        prepared = []
        for position in range(self.rank, self.settings.batch_size, self.world_size):
            language, index = int(languages[position]), int(indices[position])
            generator = masking_generator(self.seed, step, position)
            ids = self.store.sample(self.store.languages[language], TRAIN, index)
            prepared.append(_prepare(ids, language, index, position, self.special, self.settings, generator))
        return _micro_batches(prepared, self.store.languages, self.settings.micro_batch_tokens)

    def languages_of(self, step: int) -> npt.NDArray[np.int64]:
        """Samples per language in the whole batch of `step`, all processes together, int64[K]."""
        languages, _ = self.mixture.draw(step, self.settings.batch_size)
        return np.bincount(languages, minlength=len(self.store.languages)).astype(np.int64)


def held_out_batches(
    store: TokenStore, special: SpecialIds, settings: Pretrain, seed: int
) -> dict[str, list[MicroBatch]]:
    """Every held-out sample, by language, always with the same masks; a language without any is left out.

    Raises:
        DataError: the tokenizer and the store have different vocabulary sizes.
    """
    _same_vocabulary(store, special)
    result = {}
    for number, language in enumerate(store.languages):
        prepared = []
        for index in range(store.samples(language, HELD_OUT)):
            generator = held_out_generator(seed, zlib.crc32(language.encode()), index)
            ids = store.sample(language, HELD_OUT, index)
            prepared.append(_prepare(ids, number, index, index, special, settings, generator))
        if prepared:
            result[language] = _micro_batches(prepared, store.languages, settings.micro_batch_tokens)
    return result


@contextmanager
def prefetch(make: Callable[[int], Result], start: int, stop: int) -> Iterator[Iterator[tuple[int, Result]]]:
    """Iterate over (step, make(step)) for start <= step < stop, making one step ahead in a background thread.

    Use it as `with prefetch(batches.batch, start, stop) as stream: for step, batch in stream: ...`. The results are
    those of calling `make` directly. An exception in `make` is raised at its own step. However the block ends, the
    thread is gone afterwards; at worst that waits for one step to be made.
    """
    # A thread and not a process: what it does is short, and reading memory-mapped pages does not hold the interpreter.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as executor:

        def stream() -> Iterator[tuple[int, Result]]:
            following: Future[Result] | None = executor.submit(make, start) if start < stop else None
            for step in range(start, stop):
                assert following is not None
                current = following.result()
                following = executor.submit(make, step + 1) if step + 1 < stop else None
                yield step, current

        yield stream()


@dataclass
class _Sample:
    """One sample with [CLS] and [SEP], masked."""

    ids: npt.NDArray[np.int64]
    chosen: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    language: int
    index: int
    position: int


def _prepare(
    pieces: npt.NDArray[np.uint32],
    language: int,
    index: int,
    position: int,
    special: SpecialIds,
    settings: Pretrain,
    generator: np.random.Generator,
) -> _Sample:
    length = min(len(pieces), settings.context - 2)
    ids = np.empty(length + 2, dtype=np.int64)
    ids[0], ids[1:-1], ids[-1] = special.cls, pieces[:length], special.sep
    masked, chosen = mask_tokens(ids, special, settings.masking, generator)
    return _Sample(masked, chosen, ids[chosen], language, index, position)


def _micro_batches(samples: list[_Sample], languages: list[str], most_tokens: int) -> list[MicroBatch]:
    """Cut the samples, longest first, into the fewest micro-batches of about equal size, each of at most `most_tokens`.

    A sample that is longer than that is a micro-batch of its own. Longest first, so that a batch that does not fit the
    memory fails at once and not after hours.
    """
    ordered = sorted(samples, key=lambda sample: (-len(sample.ids), sample.position))
    groups = cut([len(sample.ids) for sample in ordered], most_tokens)
    return [_pack(ordered[start:end], languages) for start, end in groups]


def cut(lengths: Sequence[int], most_tokens: int) -> list[tuple[int, int]]:
    """Where to cut samples into consecutive groups of at most `most_tokens` tokens each, or of one sample.

    The fewest groups that filling one after another needs, with the work spread evenly over them where that fits.

    Returns:
        (start, end) of each group.
    """
    full = _filled(lengths, most_tokens)
    even = -(-sum(lengths) // max(1, len(full)))
    for bound in range(even, most_tokens, max(1, most_tokens // 64)):
        groups = _filled(lengths, bound)
        if len(groups) == len(full):
            return groups
    return full


def _filled(lengths: Sequence[int], most_tokens: int) -> list[tuple[int, int]]:
    groups, start, total = [], 0, 0
    for place, length in enumerate(lengths):
        if place > start and total + length > most_tokens:
            groups.append((start, place))
            start, total = place, 0
        total += length
    if start < len(lengths):
        groups.append((start, len(lengths)))
    return groups


def _pack(group: list[_Sample], languages: list[str]) -> MicroBatch:
    return MicroBatch.of(
        [sample.ids for sample in group],
        [sample.chosen for sample in group],
        [sample.labels for sample in group],
        [sample.language for sample in group],
        [(languages[sample.language], sample.index) for sample in group],
        [sample.position for sample in group],
    )


def _same_vocabulary(store: TokenStore, special: SpecialIds) -> None:
    if store.vocabulary_size != special.vocabulary_size:
        raise DataError(
            f"{store.folder}: written with a vocabulary of {store.vocabulary_size} pieces, "
            f"but this tokenizer has {special.vocabulary_size}",
            "Use the tokenizer folder that was written with the tokens, or build the tokens again.",
        )
