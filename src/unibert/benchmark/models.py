"""The encoders of a benchmark, by their names in the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from unibert.errors import DataError
from unibert.tasks.encoder import Encoder, find_encoder

BASELINES = (
    "distilbert-base-multilingual-cased",
    "bert-base-multilingual-cased",
    "xlm-roberta-base",
    "xlm-roberta-large",
    "facebook/xlm-v-base",
)
"""The paper's five, which `baselines` stands for."""
OWN_MODELS = ("student", "teacher")


def model_names(named: Iterable[str]) -> list[str]:
    """The names of a benchmark's models, each once, with the paper's five in place of `baselines`."""
    found = [model for name in named for model in (BASELINES if name == "baselines" else (name,))]
    return list(dict.fromkeys(found))


def find_models(names: Iterable[str], own: Mapping[str, Path | str]) -> list[Encoder]:
    """The encoders of these names.

    Args:
        names: from `model_names`.
        own: the folder (or hub name) of `student`, `teacher` and members of a family.

    Raises:
        DataError: names the model that cannot be used, or two names of one model.
    """
    encoders = [find_model(name, own) for name in names]
    known: dict[str, str] = {}
    for encoder in encoders:
        other = known.setdefault(encoder.fingerprint, encoder.name)
        if other != encoder.name:
            raise DataError(f"models: {other} and {encoder.name} are the same model", "Leave one of them out.")
    return encoders


def find_model(name: str, own: Mapping[str, Path | str]) -> Encoder:
    """The encoder of a name; see `find_models`."""
    if name in own:
        return find_encoder(own[name], name)
    if name in OWN_MODELS:
        raise DataError(f"model {name}: not trained yet", "Run `unibert pretrain` first, or leave it out.")
    return find_encoder(name)
