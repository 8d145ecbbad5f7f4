"""What distillation of hidden states needs beside the two models: which layers meet, and maps between their widths.

Shape suffixes: T packed tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn


class Projections(nn.Module):
    """Learned linear maps from the student's width to the teacher's, one for each pair of hidden states.

    The W_h and W_e of TinyBERT (Jiao et al., arXiv 1909.10351, equations 8 and 9): without bias, and dropped after
    training. They start so that a projected state is about as large as the state itself.

    Args:
        pairs: number of maps, as many as `layer_map` has pairs.
        student_width: width of what comes in.
        teacher_width: width of what goes out.
        seed: decides the initial weights; the caller's random state is left as it was.
    """

    def __init__(self, pairs: int, student_width: int, teacher_width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.maps = nn.ModuleList(nn.Linear(student_width, teacher_width, bias=False) for _ in range(pairs))
            for weight in self.parameters():
                nn.init.normal_(weight, std=student_width**-0.5)

    def forward(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Project the student's states_TD, one for each map, to the teacher's width."""
        return [projection(state_TD) for projection, state_TD in zip(self.maps, states, strict=True)]


def layer_map(student_layers: int, teacher_layers: int, which: Literal["all", "last"]) -> list[tuple[int, int]]:
    """Which hidden state of the student is compared with which of the teacher: (student's, teacher's) indices.

    Index 0 are the embeddings, index l is the output of layer l. `all` takes every state of the student and the
    teacher's at the same relative depth, rounded up at a half; the last layers always meet. `last` takes these alone.
    """
    if which == "last":
        return [(student_layers, teacher_layers)]
    return [
        (layer, (2 * layer * teacher_layers + student_layers) // (2 * student_layers))
        for layer in range(student_layers + 1)
    ]
