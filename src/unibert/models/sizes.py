"""The three sizes of the paper's Table 1 (arXiv 2503.12608)."""

from __future__ import annotations

from unibert.recipe import Architecture

# The paper does not print the feed-forward width; only BERT's default of 3072 gives the printed parameter counts.
SIZES: dict[str, Architecture] = {
    "small": Architecture(layers=6, hidden=512, heads=8, feed_forward=3072),
    "xsmall": Architecture(layers=4, hidden=256, heads=8, feed_forward=3072),
    "xxsmall": Architecture(layers=4, hidden=128, heads=4, feed_forward=3072),
}


def architecture(student: str | Architecture) -> Architecture:
    """The shape that a recipe's `student` stands for."""
    return SIZES[student] if isinstance(student, str) else student
