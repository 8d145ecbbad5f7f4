"""Texts to embeddings, at every layer of any encoder; and how well its tokenizer spells them.

Shape suffixes: L layers (0 is the embeddings' output), N texts, D hidden, R rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unibert.errors import DataError, first_line
from unibert.models.positions import position_limit
from unibert.models.precision import autocast, best_device, resolve_precision
from unibert.models.sentence_modules import UnknownModules, load_projection
from unibert.tasks.batches import BATCH_TOKENS, padded
from unibert.tasks.bi_encoder import load_bi_encoder, mean_of_pieces
from unibert.tasks.encoder import Encoder
from unibert.universality.schema import Spelling

_BATCH_TOKENS_CUDA = 65536
_TEXTS = 2048
"""Given to the tokenizer at once."""


@dataclass(frozen=True)
class Embeddings:
    """What an encoder makes of texts."""

    layers_LND: npt.NDArray[np.float32]
    """Means over the pieces of each text, special ones included; the layers in the order they were asked for. The last
    one's went through the linear layer that the folder puts after the mean, if it has one."""
    pieces: int
    """Word pieces of all texts, as far as they were read, without special ones."""
    unknown: int
    """Unknown pieces among them."""


class Embedder:
    """An encoder that turns texts into the means of its hidden states.

    Args:
        encoder: from `find_encoder`: anything that `AutoModel` loads and that tells its hidden states.
        max_length: pieces, special ones included, after which a text is cut; less where the model has fewer positions.
        batch_tokens: pieces of a batch, with padding; what suits the device when None.
        precision: `auto`, `float32` or `bfloat16`, for the matrix products; means are taken in float32.

    Raises:
        DataError: it cannot be loaded, has no tokenizer, or cannot be run on a text alone.
    """

    layers: int
    """Transformer layers; the embeddings are layer 0."""
    hidden: int
    parameters: int
    """Without the pooler, which nothing reads."""
    note: str
    """What sentence-transformers would do after the encoder and is not done here; empty where there is nothing."""

    def __init__(
        self, encoder: Encoder, max_length: int = 128, batch_tokens: int | None = None, precision: str = "auto"
    ) -> None:
        loaded, self.tokenizer = load_bi_encoder(encoder)
        self.encoder = encoder
        self.device = best_device()
        self._model = loaded.encoder.to(self.device).eval()
        self._precision = resolve_precision(precision, self.device)
        self._batch_tokens = batch_tokens or (_BATCH_TOKENS_CUDA if self.device.type == "cuda" else BATCH_TOKENS)
        self._max_length = min(max_length, position_limit(self._model) or max_length)
        self._special = self.tokenizer.num_special_tokens_to_add()
        if self._max_length <= self._special:
            raise DataError(
                f"model {encoder.name}: texts of at most {self._max_length} pieces leave no room for words",
                "Set max_length to 8 or more.",
            )
        self.parameters = sum(parameter.numel() for parameter in self._model.parameters())
        self.layers, self.hidden = self._dimensions()
        self._linear, self.note = _after_the_mean(encoder, self.hidden)
        if self._linear is not None:
            self._linear.to(self.device)

    @property
    def projected(self) -> bool:
        """Whether a linear layer comes after the mean at the last layer, as where `unibert neutralise` wrote it."""
        return self._linear is not None

    def _dimensions(self) -> tuple[int, int]:
        """Transformer layers and width, from what the model puts out rather than from how its kind names them."""
        try:
            ids = self.tokenizer(["1"], add_special_tokens=True)["input_ids"]
            states = self._states(padded([{"input_ids": ids[0]}], self.tokenizer), True)
        except Exception as error:  # whatever another architecture wants: a decoder's input, an image
            raise DataError(
                f"model {self.encoder.name}: {type(self._model).__name__} cannot be run as an encoder of texts "
                f"({first_line(error)})",
                "Give a BERT-like encoder.",
            ) from None
        if len(states) < 2 or len({state.shape for state in states}) > 1:
            raise DataError(
                f"model {self.encoder.name}: the hidden states of {type(self._model).__name__} are not one of the "
                "same size for each layer",
                "Give a BERT-like encoder.",
            )
        return len(states) - 1, int(states[-1].shape[-1])

    def embed(
        self, texts: Sequence[str], layers: Sequence[int] | None = None, bar: Callable[[int], object] | None = None
    ) -> Embeddings:
        """The texts' embeddings, in their order, whatever batches they are read in.

        Args:
            texts: an empty one is embedded as the special pieces alone.
            layers: which ones, 0 to `layers`; all when None.
            bar: is told how many more texts are done.

        Raises:
            DataError: an embedding that is not a number, by layer and text; no such layer; a text without any piece.
        """
        chosen = list(range(self.layers + 1)) if layers is None else list(layers)
        if not chosen or not all(0 <= layer <= self.layers for layer in chosen):
            raise DataError(
                f"model {self.encoder.name}: layers {chosen}, but there are 0 (embeddings) to {self.layers}",
                "Name layers that the model has.",
            )
        ids = [its for part in self._pieces(texts) for its in part]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        if not lengths.all():
            raise DataError(f"model {self.encoder.name}: {_named(texts, int(lengths.argmin()))} has no pieces at all")
        layers_LND = np.empty((len(chosen), len(ids), self.hidden), np.float32)
        for rows in _batches(lengths, self._batch_tokens):
            means_LRD = self._means([ids[row] for row in rows], chosen)
            self._check_finite(means_LRD, chosen, rows, texts)
            layers_LND[:, rows] = means_LRD
            if bar:
                bar(len(rows))
        unknown = self.tokenizer.unk_token_id
        return Embeddings(
            layers_LND,
            pieces=int(lengths.sum()) - self._special * len(ids),
            unknown=0 if unknown is None else sum(its.count(unknown) for its in ids),
        )

    def embed_distinct(
        self, texts: Sequence[str], layers: Sequence[int] | None = None, bar: Callable[[int], object] | None = None
    ) -> tuple[Embeddings, npt.NDArray[np.int64]]:
        """The embeddings of the different ones among texts, and the place [N] of each text in them.

        `bar` is told of the different texts only; `pieces` and `unknown` count each once. See `embed`.
        """
        places: dict[str, int] = {}
        of_each = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
        return self.embed(list(places), layers, bar), of_each

    def _pieces(self, texts: Sequence[str]) -> Iterator[list[list[int]]]:
        return _in_parts(self.tokenizer, texts, add_special_tokens=True, truncation=True, max_length=self._max_length)

    def _means(self, ids: Sequence[list[int]], layers: Sequence[int]) -> npt.NDArray[np.float32]:
        """The mean hidden states of a batch at these layers, [L, R, D]."""
        batch = padded([{"input_ids": its} for its in ids], self.tokenizer)
        states = self._states(batch, any(layer < self.layers for layer in layers))
        mask_RL = batch["attention_mask"].to(self.device)
        means = []
        for layer in layers:
            # Where only the output was asked for, it is the one state.
            mean_RD = mean_of_pieces(states[layer if len(states) > 1 else 0], mask_RL)
            if self._linear is not None and layer == self.layers:
                with torch.inference_mode():
                    mean_RD = self._linear(mean_RD)
            means.append(mean_RD)
        return torch.stack(means).cpu().numpy()

    def _states(self, batch: dict[str, Any], inner: bool) -> list[Tensor]:
        """The hidden states of a batch: the embeddings' and each layer's, or the last layer's alone."""
        with torch.inference_mode(), autocast(self._precision, self.device):
            output = self._model(
                **{name: values.to(self.device) for name, values in batch.items()},
                output_hidden_states=inner,
                return_dict=True,
            )
        # Some put the last layer's state there as it was before the last normalisation.
        return [*(output.hidden_states[:-1] if inner else ()), output.last_hidden_state]

    def _check_finite(
        self,
        means_LRD: npt.NDArray[np.float32],
        layers: Sequence[int],
        rows: npt.NDArray[np.int64],
        texts: Sequence[str],
    ) -> None:
        damaged = np.asarray(~np.isfinite(means_LRD).all(2))  # [L, R]
        if damaged.any():
            column = min(np.flatnonzero(damaged.any(0)), key=lambda place: int(rows[place]))
            layer = min(layers[int(place)] for place in np.flatnonzero(damaged[:, column]))
            row = int(rows[column])
            where = f"from layer {layer} on" if len(layers) > self.layers else f"at layer {layer}"
            raise DataError(
                f"model {self.encoder.name}: its embeddings are not finite (NaN or infinite) {where}, "
                f"first at {_named(texts, row)}",
                "Leave this model out, or train it again: its weights are damaged.",
            )


def _after_the_mean(encoder: Encoder, width: int) -> tuple[Any, str]:
    """The linear layer after the mean, if the folder has one that is known; what else there is, in words."""
    folder = Path(encoder.source)
    if not folder.is_dir():
        return None, ""
    try:
        linear = load_projection(folder, width)
    except UnknownModules as error:
        return None, f"{error.message}; what is measured is the mean of the pieces"
    if linear is not None and linear.out_features != width:
        return None, f"a layer from {width} to {linear.out_features} numbers after the mean is not applied"
    return linear, ""


def spelling(tokenizer: Any, texts: Sequence[str]) -> Spelling:
    """What a tokenizer makes of texts of one language: pieces per word and per character, unknown ones among them.

    Words are runs without white space, characters are those that are no white space; texts are read to their ends.

    Args:
        tokenizer: of transformers, a fast one.
        texts: in one language.

    Raises:
        DataError: there is no word in them.
    """
    words = sum(len(text.split()) for text in texts)
    if not words:
        raise DataError("no word in the texts that the tokenizer was to spell", "Give texts with words in them.")
    characters = sum(len(word) for text in texts for word in text.split())
    ids = [piece for part in _in_parts(tokenizer, texts, add_special_tokens=False) for its in part for piece in its]
    unknown = 0 if tokenizer.unk_token_id is None else ids.count(tokenizer.unk_token_id)
    return Spelling(
        sentences=len(texts),
        fertility=len(ids) / words,
        per_character=len(ids) / characters,
        unknown=unknown / len(ids) if ids else 0.0,
    )


def _in_parts(tokenizer: Any, texts: Sequence[str], **options: Any) -> Iterator[list[list[int]]]:
    """The ids of texts, some at a time: what the tokenizer tells besides takes a hundred times the memory."""
    for start in range(0, len(texts), _TEXTS):
        yield tokenizer(
            list(texts[start : start + _TEXTS]),
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=True,  # a text that writes "[MASK]" means the six characters
            verbose=False,
            **options,
        )["input_ids"]


def _batches(lengths: npt.NDArray[np.int64], tokens: int) -> Iterator[npt.NDArray[np.int64]]:
    """Places of texts in batches of at most so many pieces with padding, or of one text; the long ones first."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, tokens // int(lengths[order[start]]))
        yield order[start:stop]
        start = stop


def _named(texts: Sequence[str], number: int) -> str:
    shown = texts[number][:40] + ("…" if len(texts[number]) > 40 else "")
    return f"text {number + 1:,} ({shown!r})"
