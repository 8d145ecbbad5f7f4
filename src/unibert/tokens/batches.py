"""The batch of any step: drawn, masked, sorted by length and cut into micro-batches that fit the memory.

Shape suffixes: B samples, L positions, M masked rows, K languages.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    """Samples of similar length, padded to the longest."""

    input_ids: torch.Tensor
    """int64[B, L]: [CLS], the sample with its masks, [SEP], [PAD]s."""
    attention_mask: torch.Tensor
    """int64[B, L]: 1 on tokens, 0 on padding."""
    rows: torch.Tensor
    """int64[M]: b * L + l of every token to predict, ascending."""
    labels: torch.Tensor
    """int64[M]: what stood there."""
    languages: torch.Tensor
    """int64[B]: index into `TokenStore.languages`."""
    samples: list[tuple[str, int]]
    """(language, index in its split) of each sample."""
    positions: list[int]
    """Place of each sample in the whole batch of the step (in the split, when held out)."""

    def to(self, device: torch.device) -> MicroBatch:
        """The same micro-batch with its tensors on a device; itself where they are there already."""
        if self.input_ids.device == device:
            return self
        tensors = ("input_ids", "attention_mask", "rows", "labels", "languages")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in tensors})

    @property
    def tokens(self) -> int:
        """Tokens without padding, [CLS] and [SEP] included."""
        return int(self.attention_mask.sum())


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
        return _micro_batches(prepared, self.store.languages, self.special, self.settings.micro_batch_tokens)

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
            result[language] = _micro_batches(prepared, store.languages, special, settings.micro_batch_tokens)
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


def _micro_batches(
    samples: list[_Sample], languages: list[str], special: SpecialIds, most_tokens: int
) -> list[MicroBatch]:
    """Cut the samples, longest first, into groups of at most `most_tokens` padded tokens and at least one sample.

    Longest first, so that a batch that does not fit the memory fails at once and not after hours.
    """
    ordered = sorted(samples, key=lambda sample: (-len(sample.ids), sample.position))
    ends = cut(np.array([len(sample.ids) for sample in ordered], dtype=np.int64), most_tokens)
    starts = [0, *ends[:-1]]
    return [_pad(ordered[start:end], languages, special) for start, end in zip(starts, ends, strict=True)]


def cut(lengths: npt.NDArray[np.int64], most_tokens: int) -> list[int]:
    """Where to cut samples of descending lengths into groups, so that the groups cost least.

    A group costs its padded tokens, at most `most_tokens` unless it is a single sample, plus a fixed part for the calls
    that any micro-batch makes, taken as 1/16 of `most_tokens`. Filling groups up one after another instead leaves 55 to
    70 % of the tokens padding when most samples are short and few are long. Exact, by dynamic programming; O(B**2).

    Returns:
        The end of each group, ascending; the last is B.
    """
    count = len(lengths)
    fixed = most_tokens // 16
    best = np.zeros(count + 1, dtype=np.int64)
    start_of = np.zeros(count + 1, dtype=np.int64)
    first = 0  # a group that ends here cannot start before it; the bound only moves on
    for end in range(1, count + 1):
        while end - first > 1 and (end - first) * lengths[first] > most_tokens:
            first += 1
        starts = np.arange(first, end)
        cost = best[first:end] + (end - starts) * lengths[first:end] + fixed
        choice = int(np.argmin(cost))
        best[end], start_of[end] = cost[choice], first + choice
    ends = []
    end = count
    while end:
        ends.append(end)
        end = int(start_of[end])
    return ends[::-1]


def _pad(group: list[_Sample], languages: list[str], special: SpecialIds) -> MicroBatch:
    longest = len(group[0].ids)
    input_ids_BL = np.full((len(group), longest), special.pad, dtype=np.int64)
    attention_mask_BL = np.zeros((len(group), longest), dtype=np.int64)
    for row, sample in enumerate(group):
        input_ids_BL[row, : len(sample.ids)] = sample.ids
        attention_mask_BL[row, : len(sample.ids)] = 1
    rows_M = np.concatenate([row * longest + sample.chosen for row, sample in enumerate(group)])
    return MicroBatch(
        input_ids=torch.from_numpy(input_ids_BL),
        attention_mask=torch.from_numpy(attention_mask_BL),
        rows=torch.from_numpy(rows_M),
        labels=torch.from_numpy(np.concatenate([sample.labels for sample in group])),
        languages=torch.tensor([sample.language for sample in group], dtype=torch.int64),
        samples=[(languages[sample.language], sample.index) for sample in group],
        positions=[sample.position for sample in group],
    )


def _same_vocabulary(store: TokenStore, special: SpecialIds) -> None:
    if store.vocabulary_size != special.vocabulary_size:
        raise DataError(
            f"{store.folder}: written with a vocabulary of {store.vocabulary_size} pieces, "
            f"but this tokenizer has {special.vocabulary_size}",
            "Use the tokenizer folder that was written with the tokens, or build the tokens again.",
        )
