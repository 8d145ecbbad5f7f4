"""The branch of the attention that CUDA takes in training runs on a CPU too, through PyTorch's plain kernels."""

import torch

from unibert.models import packed
from unibert.tokens.batches import MicroBatch


def test_nested_tensors_attend_within_each_sample() -> None:
    torch.manual_seed(0)
    batch = MicroBatch.of([torch.arange(length) for length in (7, 4, 4, 1)])
    packing = packed._Packing(batch.lengths, batch.offsets, frozenset())
    parts = [torch.randn(16, 2, 8, requires_grad=True) for _ in range(3)]
    barely = 1e-9  # with none at all, another kernel is taken
    nested = packed._on_cuda(*parts, packing, None, barely, None)
    plain = packed._by_length(*parts, batch.lengths, None, 0.0, None)
    torch.testing.assert_close(nested, plain)
    upstream = torch.randn_like(plain)
    for one, other in zip(*(torch.autograd.grad(out, parts, upstream) for out in (nested, plain)), strict=True):
        torch.testing.assert_close(one, other)
