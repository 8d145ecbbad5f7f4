"""The language discriminator (section 3.2 of the paper): mean-pooled embeddings -> feed-forward -> languages.

Shape suffixes: B samples, L positions, D hidden, K languages.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LanguageDiscriminator(nn.Module):
    """Reads the language of a sample from the mean of the student's last-layer token embeddings.

    Args:
        hidden: width D of the student.
        languages: number K of languages.
        width: of one hidden layer with GELU; linear when None.
        seed: decides the initial weights.
    """

    def __init__(self, hidden: int, languages: int, width: int | None, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = (
                [nn.Linear(hidden, languages)]
                if width is None
                else [nn.Linear(hidden, width), nn.GELU(), nn.Linear(width, languages)]
            )
            self.layers = nn.Sequential(*layers)

    def forward(self, pooled_BD: Tensor) -> Tensor:
        """Return logits_BK."""
        logits_BK: Tensor = self.layers(pooled_BD)
        return logits_BK

    def frozen(self, pooled_BD: Tensor) -> Tensor:
        """The same logits_BK, but no gradient reaches the discriminator's own weights (it still reaches the input)."""
        weights = {name: parameter.detach() for name, parameter in self.named_parameters()}
        logits_BK: Tensor = torch.func.functional_call(self, weights, (pooled_BD,))
        return logits_BK


def mean_pool(hidden_BLD: Tensor, attention_mask_BL: Tensor) -> Tensor:
    """Mean over a sample's tokens, padding left out: pooled_BD (equation 2)."""
    weights_BL1 = attention_mask_BL.unsqueeze(-1).to(hidden_BLD.dtype)
    return (hidden_BLD * weights_BL1).sum(dim=1) / weights_BL1.sum(dim=1).clamp(min=1)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradients[0], None


def reverse_gradient(values: Tensor, scale: float) -> Tensor:
    """Identity forwards; backwards the gradient is multiplied by -scale (Ganin and Lempitsky, arXiv 1409.7495)."""
    reversed_: Tensor = _ReverseGradient.apply(values, scale)
    return reversed_
