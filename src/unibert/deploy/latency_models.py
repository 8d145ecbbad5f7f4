"""The models whose latency is measured: folders, runs, exported folders, and shapes with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.deploy.model_folder import find_models
from unibert.deploy.session import FLOAT_FILE, QUANTISED_FILES
from unibert.errors import DataError, check_names
from unibert.models.sizes import SIZES

SHAPE = "shape:"
MBERT_PIECES, XLM_R_PIECES = 119_547, 250_002
"""Of the vocabularies of mBERT (cased), which is ours too, and of XLM-R."""
ONNX_FILES = {"onnx": FLOAT_FILE, "onnx-int8": QUANTISED_FILES["int8"]}
"""In an exported folder, by backend."""
_SAYING_NOTHING = ("model", "student", "onnx", "")


@dataclass(frozen=True)
class Candidate:
    """A model that is to be measured: a folder, or a shape that is first to be filled with random weights."""

    name: str
    """For tables: never a path."""
    folder: Path | None
    shape: str | None = None
    """A key of `shapes`."""


def find_candidates(models: Sequence[str]) -> list[Candidate]:
    """The models that the user names.

    Args:
        models: a model's folder, an exported folder, a run's (which stands for its student, or for every member of a
            family), or `shape:NAME`.

    Raises:
        RecipeError: no such shape.
        DataError: no such folder, nothing of the kind in it, a run that is not finished, or the same one twice.
    """
    found: list[Candidate] = []
    for given in models:
        if given.startswith(SHAPE):
            name = given.removeprefix(SHAPE)
            check_names(SHAPE.rstrip(":"), [name], list(shapes()), "the shapes")
            found.append(Candidate(name, None, name))
        else:
            place = Path(given).expanduser()
            found += [Candidate(_name(folder), folder) for folder in find_models(place).values()]
    sources = [str(candidate.folder.resolve() if candidate.folder else candidate.shape) for candidate in found]
    for source in sources:
        if sources.count(source) > 1:
            raise DataError(f"{source}: is to be measured twice", "Name it once.")
    return _told_apart(found)


def _name(folder: Path) -> str:
    """What a folder is called; where its own name says nothing, what the one above it is called."""
    names = [part for part in folder.absolute().parts if part not in _SAYING_NOTHING]
    return names[-1] if names else "model"


def _told_apart(found: Sequence[Candidate]) -> list[Candidate]:
    """Candidates of the same name get a number."""
    names = [candidate.name for candidate in found]
    seen: dict[str, int] = {}
    told = []
    for candidate in found:
        number = seen[candidate.name] = seen.get(candidate.name, 0) + 1
        name = candidate.name if number == 1 else f"{candidate.name} ({number})"
        while number > 1 and name in names:
            number += 1
            name = f"{candidate.name} ({number})"
        told.append(Candidate(name, candidate.folder, candidate.shape))
        names.append(name)
    return told


def shapes() -> dict[str, dict[str, Any]]:
    """The configurations of the peers and of our own sizes, by name; keys as transformers' `AutoConfig` has them.

    Those of the peers are the published ones of distilbert-base-multilingual-cased, bert-base-multilingual-cased and
    xlm-roberta-base.
    """
    bert = {"model_type": "bert", "vocab_size": MBERT_PIECES, "type_vocab_size": 2, "pad_token_id": 0}
    own = {
        name: {
            **bert,
            "hidden_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "intermediate_size": shape.feed_forward,
            "max_position_embeddings": shape.max_positions,
        }
        for name, shape in SIZES.items()
    }
    base = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    return {
        "distil-mbert": {
            "model_type": "distilbert",
            "vocab_size": MBERT_PIECES,
            "dim": 768,
            "n_layers": 6,
            "n_heads": 12,
            "hidden_dim": 3072,
            "max_position_embeddings": 512,
            "pad_token_id": 0,
        },
        "mbert": {**bert, **base, "max_position_embeddings": 512},
        "xlm-r-base": {
            **base,
            "model_type": "xlm-roberta",
            "vocab_size": XLM_R_PIECES,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "layer_norm_eps": 1e-5,
        },
        **own,
    }


def make_shape(configuration: dict[str, Any], folder: Path, seed: int = 0) -> None:
    """Write an encoder of a shape with random weights, and a tokenizer of made-up pieces, as a model's folder.

    Args:
        configuration: from `shapes`.
        folder: is made.
        seed: of the weights; the caller's random state is left as it was.
    """
    import torch
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    from unibert.tasks.encoder import quiet_transformers
    from unibert.tokenizer_files import SPECIAL_TOKENS, wordpiece_tokenizer

    kind = configuration["model_type"]
    config = AutoConfig.for_model(kind, **{key: value for key, value in configuration.items() if key != "model_type"})
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = AutoModel.from_config(config)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    pad, names = configuration["pad_token_id"], list(SPECIAL_TOKENS)
    # The padding piece stands where the shape has it.
    order = [*names[1 : pad + 1], names[0], *names[pad + 1 :]]
    vocabulary = [*order, *(f"p{number}" for number in range(configuration["vocab_size"] - len(order)))]
    backend = wordpiece_tokenizer({piece: number for number, piece in enumerate(vocabulary)})
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    with quiet_transformers():
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(roles, names, strict=True))).save_pretrained(
            folder
        )
