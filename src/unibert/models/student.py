"""Students: stock `BertForMaskedLM`, so that what comes out loads with `transformers` and nothing else."""

from __future__ import annotations

import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from unibert.recipe import Architecture


def build_student(
    shape: Architecture, vocabulary_size: int, pad_id: int, seed: int, dropout: float = 0.1
) -> BertForMaskedLM:
    """A BERT with random weights (normal, standard deviation 0.02, as BERT's) and its output tied to the embeddings.

    Args:
        shape: layers, hidden, heads, feed-forward width, positions.
        vocabulary_size: rows of the embedding table.
        pad_id: the row that stays zero at initialisation.
        seed: decides the weights; the caller's random state is left as it was.
        dropout: probability, for hidden states and attention alike.
    """
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        max_position_embeddings=shape.max_positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=pad_id,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForMaskedLM(config)
    return model


def count_parameters(model: nn.Module) -> int:
    """Number of different parameters; a tied matrix counts once."""
    return sum(parameter.numel() for parameter in model.parameters())
