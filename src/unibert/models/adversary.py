"""The language discriminator (section 3.2 of the paper): mean-pooled embeddings -> feed-forward -> languages.

Shape suffixes: B samples, D hidden, K languages.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class LanguageDiscriminator(nn.Module):
    """Reads the language of a sample from the mean of the student's last-layer token embeddings.

    Args:
        hidden: width D of the student.
        languages: number K of languages.
        width: of each hidden layer with GELU; linear when None.
        depth: number of hidden layers; without a width there are none.
        seed: decides the initial weights; the caller's random state is left as it was.
    """

    def __init__(self, hidden: int, languages: int, width: int | None, depth: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = [hidden] if width is None else [hidden, *[width] * depth]
            layers: list[nn.Module] = []
            for inputs, outputs in pairwise(widths):
                layers += [nn.Linear(inputs, outputs), nn.GELU()]
            self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], languages))

    def forward(self, pooled_BD: Tensor) -> Tensor:
        """Return logits_BK."""
        logits_BK: Tensor = self.layers(pooled_BD)
        return logits_BK

    def frozen(self, pooled_BD: Tensor) -> Tensor:
        """The same logits_BK, but no gradient reaches the discriminator's own weights (it still reaches the input)."""
        weights = {name: parameter.detach() for name, parameter in self.named_parameters()}
        logits_BK: Tensor = torch.func.functional_call(self, weights, (pooled_BD,))
        return logits_BK
