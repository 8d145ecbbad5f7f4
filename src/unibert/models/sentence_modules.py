"""What a folder of sentence-transformers does with an encoder's pieces: their mean, and a linear layer after it.

`unibert neutralise` writes such folders; the layer takes the directions out that tell languages apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unibert.errors import DataError, first_line
from unibert.files import read_json

MODULES_FILE = "modules.json"
_IDENTITY = "Identity"


class UnknownModules(DataError):
    """Embeddings are something else than a mean with at most one linear layer after it."""


def load_projection(folder: Path, width: int) -> Any:
    """The linear layer after the mean, as torch's `Linear`; None where embeddings are the mean itself.

    Args:
        folder: of the encoder, with or without `modules.json`.
        width: of the encoder's hidden states.

    Raises:
        UnknownModules: embeddings are made in another way.
        DataError: the list of modules or the layer is damaged, or the layer of another width.
    """
    path = folder / MODULES_FILE
    modules = read_json(path) if path.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise DataError(f"{path}: not a list of modules", "Copy the folder again.")
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"][: len(kinds)] or kinds[2:] not in ([], ["Dense"]):
        raise UnknownModules(
            f"{path}: its embeddings go through {', '.join(kinds)}, which is not supported",
            "Give an encoder whose embeddings are the mean of its pieces, with at most one linear layer after it.",
        )
    for module, kind in zip(modules, kinds, strict=True):
        if kind == "Pooling":
            _check_mean(folder / str(module.get("path")) / "config.json")
    return _linear(folder / str(modules[2].get("path")), width) if len(modules) > 2 else None


def _check_mean(path: Path) -> None:
    settings = read_json(path) if path.is_file() else {}
    modes = [name for name, on in settings.items() if name.startswith("pooling_mode_") and on is True]
    if modes not in ([], ["pooling_mode_mean_tokens"]):
        raise UnknownModules(
            f"{path}: embeddings by {', '.join(modes)}, of which only the mean is supported",
            "Give an encoder whose embeddings are the mean of its pieces.",
        )


def _linear(folder: Path, width: int) -> Any:
    import torch
    from safetensors.torch import load_file

    settings = read_json(folder / "config.json")
    activation = str(settings.get("activation_function")).rpartition(".")[2]
    if activation != _IDENTITY:
        raise UnknownModules(
            f"{folder / 'config.json'}: a layer with {activation} after the mean, which is not supported",
            "Give an encoder with a linear layer, whose activation function is Identity.",
        )
    path = folder / "model.safetensors"
    try:
        weights = load_file(path)
        weight, bias = weights["linear.weight"], weights.get("linear.bias")
    except Exception as error:  # every kind of damage raises its own
        raise DataError(f"{path}: cannot be read ({first_line(error)})", "Copy the folder again.") from None
    if weight.dim() != 2 or weight.shape[1] != width or not bool(torch.isfinite(weight).all()):
        raise DataError(
            f"{path}: of shape {[*weight.shape]}, where the encoder has width {width}, or not finite",
            "Copy the folder again; encoder and layer have to be of one model.",
        )
    layer = torch.nn.Linear(width, weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer.eval()
