"""Which weights are trained: all, low-rank updates, biases, or the head alone."""

from __future__ import annotations

import warnings
from typing import Any

from unibert.errors import DataError
from unibert.recipe import FineTune


def prepare(model: Any, settings: FineTune) -> Any:
    """Freeze what is not trained; the model to train, which for `lora` is one of peft's around the given one.

    What belongs to the task is always trained: the head, and the pooler below it, which pre-training does not know.

    Raises:
        DataError: the model has nothing that this method could train.
    """
    if settings.method == "full":
        return model
    head = head_names(model)
    if settings.method == "lora":
        return _with_low_rank_updates(model, settings, head)
    biases = {name for name, _ in model.named_parameters() if settings.method == "bitfit" and name.endswith("bias")}
    chosen = {name for name, _ in model.named_parameters() if name in biases or name.startswith(tuple(head))}
    if not chosen or (settings.method == "bitfit" and not biases - {n for n in biases if n.startswith(tuple(head))}):
        lacking = "biases" if settings.method == "bitfit" else "head"
        raise DataError(
            f"method {settings.method}: {type(model).__name__} has no {lacking} to train",
            "Choose another method: full or lora.",
        )
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in chosen)
    return model


def finish(model: Any) -> Any:
    """The model as transformers knows it, every weight in its place: low-rank updates are added to the matrices."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def head_names(model: Any) -> list[str]:
    """Beginnings of the names of a model's own parts above its encoder, and of the encoder's pooler."""
    prefix = model.base_model_prefix
    body = getattr(model, prefix, None)
    if body is None or body is model:  # an encoder without a head
        return []
    own = [name for name, part in model.named_children() if name != prefix and list(part.parameters())]
    head = [f"{name}." for name in own]
    return [*head, f"{prefix}.pooler."] if getattr(body, "pooler", None) is not None else head


def _with_low_rank_updates(model: Any, settings: FineTune, head: list[str]) -> Any:
    from peft import LoraConfig, get_peft_model
    from torch import nn

    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not f"{name}.".startswith(tuple(head) or ("\0",))
    ]
    config = LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=targets,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers, and nothing to users
        wrapped = get_peft_model(model, config)
    for name, weight in model.named_parameters():  # peft has put its own into the same model
        if name.startswith(tuple(head) or ("\0",)):
            weight.requires_grad_(True)
    return wrapped
