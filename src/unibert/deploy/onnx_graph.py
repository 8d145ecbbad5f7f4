"""A model as one ONNX file: traced by torch.export, with names that hub users expect and the mean pooling inside.

Shape suffixes: B texts, L word pieces, D hidden, V vocabulary.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unibert.deploy.source import Deployable
from unibert.errors import DataError, first_line
from unibert.models.positions import position_limit
from unibert.progress import progress_bar
from unibert.tasks.bi_encoder import mean_of_pieces

OPSET = 20
"""The oldest that has GELU as one operator; it runs in every onnxruntime since 1.18, those for the browser included."""
HIDDEN = "last_hidden_state"
EMBEDDING = "sentence_embedding"
_OUT_OF_SIGHT = -1e4
"""Added to what attention must not see. BERT's own number; float16 can hold it, and exp(-1e4) is 0."""
_LARGEST = 2**31 - 2**20
"""Bytes: protobuf, which ONNX files are written in, holds no more than 2 GiB."""
_MASK_AS_IS = ("modernbert",)
"""Architectures that make several masks of the given one, such as those of local attention."""


def output_names(found: Deployable) -> list[str]:
    """What the graph of a model puts out, in its order."""
    if found.kind == "encoder":
        return [HIDDEN]
    if found.kind == "embeddings":
        return [EMBEDDING, HIDDEN]
    return ["start_logits", "end_logits"] if found.task == "question-answering" else ["logits"]


def input_names(found: Deployable) -> list[str]:
    """What the graph of a model reads, in its order: integers, [B, L]."""
    with_types = (getattr(found.model.config, "type_vocab_size", None) or 0) > 1
    return ["input_ids", "attention_mask", *(["token_type_ids"] if with_types else [])]


class _Traced(nn.Module):
    """A model with the arguments and the outputs of its graph; the last output is always its last hidden states."""

    def __init__(self, found: Deployable) -> None:
        super().__init__()
        self.model = found.model
        self.projection = found.projection
        self.outputs = output_names(found)
        self.mask_as_is = found.architecture in _MASK_AS_IS

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        """[B, L] each; see `output_names`."""
        mask = attention_mask
        if not self.mask_as_is:
            # Transformers would compute the same from Booleans, with a dozen operators for the general case.
            mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * _OUT_OF_SIGHT
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden: list[Tensor] = []
        hook = self.model.base_model.register_forward_hook(lambda _, __, output: hidden.append(output[0]))
        try:
            found = self.model(input_ids=input_ids, attention_mask=mask, **types)
        finally:
            hook.remove()
        named = {HIDDEN: hidden[0]}
        if EMBEDDING in self.outputs:
            mean_BD = mean_of_pieces(hidden[0], attention_mask)
            named[EMBEDDING] = self.projection(mean_BD) if self.projection is not None else mean_BD
        heads = [named[name] if name in named else found[name] for name in self.outputs if name != HIDDEN]
        return (*heads, hidden[0])


def build_graph(found: Deployable, path: Path) -> None:
    """Write a model as an ONNX file in float32, its weights inside, with any number of texts and pieces.

    Tied weights are written once. A head's graph computes `last_hidden_state` under that name without putting it out.

    Args:
        found: from `source.load_deployable`.
        path: of the file; nothing is there yet.

    Raises:
        DataError: it is too large for one file, or cannot be traced.
    """
    size = sum(weight.numel() * weight.element_size() for weight in found.model.parameters())
    if size > _LARGEST:
        raise DataError(
            f"model {found.name}: its weights are {size / 1e9:.1f} GB, and one ONNX file holds no more than 2 GiB",
            "Prune it first (unibert prune, unibert trim), or give a smaller model.",
        )
    names = input_names(found)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=position_limit(found.model) or 8192)}
    # torch.export takes a size of 1 for a constant: two texts of some pieces, one of them padded.
    length = min(8, position_limit(found.model) or 8)
    ids = torch.full((2, length), _plain_piece(found), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    arguments = (ids, mask, torch.zeros_like(ids))[: len(names)]
    with _quiet_torch(), torch.no_grad(), progress_bar(2, "building the graph", "step", leave=False) as bar:
        try:
            traced = torch.export.export(
                _Traced(found).eval(), arguments, dynamic_shapes={name: sizes for name in names}, strict=False
            )
            bar.update()
            program = torch.onnx.export(
                traced,
                (),
                input_names=names,
                output_names=[name for name in output_names(found) if name != HIDDEN] + [HIDDEN],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            bar.update()
        except Exception as error:  # whatever the model does that cannot be traced raises its own
            raise DataError(
                f"model {found.name}: a {found.architecture} that torch.onnx cannot trace ({first_line(error)})",
                "Give a model of another architecture, or with the stock code of transformers.",
            ) from error
    if program is None:
        raise DataError(f"model {found.name}: torch.onnx wrote nothing", "Install the versions of constraints.txt.")
    import onnx

    model = _tidied(program.model_proto, output_names(found))
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def _plain_piece(found: Deployable) -> int:
    """A piece that is not padding: RoBERTa counts positions by it."""
    padding = found.tokenizer.pad_token_id
    return 0 if padding != 0 else 1


def _tidied(model: Any, outputs: list[str]) -> Any:
    """Sizes by their names, only the outputs that are asked for, and nothing that tells of the exporting machine."""
    graph = model.graph
    by_name = {output.name: output for output in graph.output}
    del graph.output[:]
    graph.output.extend(by_name[name] for name in outputs)
    batch, length = (size.dim_param for size in graph.input[0].type.tensor_type.shape.dim)
    names = {batch: "batch", length: "length"}
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = names.get(size.dim_param, size.dim_param)
    # Were the sizes in between told, onnxruntime would fuse sums with the norms after them: on a CPU its fused operator
    # (SkipLayerNormalization, 1.31) takes three times as long as the two apart.
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        # Among them are the lines of code that made each node, with the paths of the files.
        del part.metadata_props[:]
    del model.functions[:]
    return model


@contextlib.contextmanager
def _quiet_torch() -> Iterator[None]:
    """Silence what torch says of its own insides and of packages that are not needed; errors still raise."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
