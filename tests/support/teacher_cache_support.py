"""A teacher that answers by a rule, and what the tests of its cache do with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unibert.pretrain.teacher_cache import TeacherCache
from unibert.pretrain.top_k import TopK, top_k
from unibert.tokens.batches import Batches, MicroBatch

IDENTITY = {"seed": 3}
TOP, VOCABULARY = 8, 100


class Teacher:
    """Answers by a rule that looks at the token and its neighbours alone; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, batch: MicroBatch) -> Callable[[], TopK]:
        def ask() -> TopK:
            self.asked += 1
            ids_T = batch.input_ids.double()
            seeds_M = (ids_T + 0.37 * ids_T.roll(1) + 0.73 * ids_T.roll(-1))[batch.rows]
            logits_MV = 9 * torch.sin(seeds_M.unsqueeze(1) * torch.arange(1, VOCABULARY + 1))
            return top_k(logits_MV, TOP, 2.0)

        return ask


def open_cache(folder: Path, **changes: Any) -> TeacherCache:
    arguments: dict[str, Any] = {"identity": IDENTITY, "top": TOP, "vocabulary_size": VOCABULARY, **changes}
    return TeacherCache(folder, **arguments)


def answers(cache: TeacherCache, source: Batches, steps: range, teacher: Teacher) -> dict[tuple[int, int], list[Any]]:
    """Per step and place in the batch, the rows of that sample."""
    found = {}
    for step in steps:
        for batch in source.batch(step):
            top = cache.answer(step, batch, teacher(batch))
            start = 0
            for position, count in zip(batch.positions, batch.rows_per_sample, strict=True):
                part = top[start : start + count]
                found[step, position] = [part.ids_MK.tolist(), part.probabilities_MK.tolist()]
                start += count
            assert start == len(top)
    return found
