"""An encoder that reads two texts apart and compares what it made of them: the cosine of the means of their pieces.

The texts' vectors can be kept and compared by the million, which takes a cross-encoder a pass for every pair. It is
what Reimers and Gurevych (arXiv 1908.10084) call a Sentence-BERT, trained on the regression objective.

Shape suffixes: B pairs, R = 2B rows, L word pieces, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from unibert.tasks.batches import padded
from unibert.tasks.encoder import Encoder, load_with_head, quiet_transformers


class BiEncoder(nn.Module):
    """An encoder of texts as a model of pairs, called like those of transformers that have a head.

    It adds no weights: what is saved is the encoder, and loads with `AutoModel.from_pretrained`.

    Args:
        encoder: from `AutoModel`; its pooler is taken off, since nothing reads what it puts out.
    """

    base_model_prefix = "encoder"

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        self.encoder = encoder

    @property
    def config(self) -> Any:
        """The encoder's configuration."""
        return self.encoder.config

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.encoder.device

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.encoder

    def get_input_embeddings(self) -> Any:
        """The encoder's table of word pieces."""
        return self.encoder.get_input_embeddings()

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write the encoder and its configuration."""
        self.encoder.save_pretrained(folder, **options)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The texts' vectors, [R, L] -> [R, D], in float32."""
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return mean_of_pieces(output.last_hidden_state, attention_mask)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> Any:
        """Compare each even row with the odd one after it.

        Args:
            input_ids: [R, L], the two texts of a pair one after the other.
            attention_mask: [R, L], 1 on real pieces.
            labels: [B], the cosines to come near to.
            output_hidden_states: also give those of every row, [R, L, D] for each layer.

        Returns:
            `logits`, the cosines [B, 1]; `loss`, their mean squared distance from the labels; `hidden_states`.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        output = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=output_hidden_states
        )
        means_B2D = mean_of_pieces(output.last_hidden_state, attention_mask).unflatten(0, (-1, 2))
        cosines_B = functional.cosine_similarity(means_B2D[:, 0], means_B2D[:, 1], dim=-1)
        loss = None if labels is None else functional.mse_loss(cosines_B, labels.float())
        return SequenceClassifierOutput(
            loss=loss, logits=cosines_B.unsqueeze(-1), hidden_states=output.get("hidden_states")
        )


def mean_of_pieces(hidden_RLD: Tensor, mask_RL: Tensor) -> Tensor:
    """The mean over real pieces, special ones included, [R, L, D] -> [R, D], in float32."""
    mask_RL1 = mask_RL.unsqueeze(-1).float()
    return (hidden_RLD.float() * mask_RL1).sum(1) / mask_RL1.sum(1).clamp(min=1)


def load_bi_encoder(encoder: Encoder) -> tuple[BiEncoder, Any]:
    """An encoder, fine-tuned as one of these before or not, and its tokenizer.

    Raises:
        DataError: it cannot be loaded.
    """
    from transformers import AutoModel, AutoModelForTextEncoding

    kind = AutoModelForTextEncoding if _half_of_a_pair(encoder) else AutoModel
    model, tokenizer = load_with_head(encoder, kind, "sentence embeddings")
    return BiEncoder(model), tokenizer


def _half_of_a_pair(encoder: Encoder) -> bool:
    """Whether it was saved as the encoder of an encoder-decoder, such as T5's: `AutoModel` would add a new decoder."""
    from transformers import AutoConfig

    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(
                encoder.source, trust_remote_code=False, revision=encoder.revision or "main"
            )
    except Exception:  # loading the model tells what is wrong with it
        return False
    return any(str(name).endswith("EncoderModel") for name in config.architectures or ())


def collate_texts(features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """A padded batch of `input_ids` and `second_ids`, [R, L], the texts of a pair one after the other."""
    rows = [{"input_ids": feature[key]} for feature in features for key in ("input_ids", "second_ids")]
    batch = padded(rows, tokenizer)
    if "labels" in features[0]:
        batch["labels"] = torch.tensor([feature["labels"] for feature in features])
    return batch
