"""Opening a model that is to be deployed: its weights and tokenizer, what it puts out, and all that is refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from unibert.deploy.model_folder import MODEL_FOLDER, find_models, is_pickle
from unibert.errors import DataError, RecipeError, first_line
from unibert.files import read_json
from unibert.models.sentence_modules import MODULES_FILE, load_projection
from unibert.tasks.encoder import Encoder, find_encoder, quiet_transformers

Kind = Literal["encoder", "embeddings", "head"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ARCHITECTURES = ("bert", "distilbert", "modernbert", "roberta", "xlm-roberta")
"""The `model_type` of the configurations that are known to come out right."""
_HEADS = {
    "ForMaskedLM": ("fill-mask", "AutoModelForMaskedLM"),
    "ForPreTraining": ("fill-mask", "AutoModelForMaskedLM"),
    "ForTokenClassification": ("token-classification", "AutoModelForTokenClassification"),
    "ForSequenceClassification": ("sequence-classification", "AutoModelForSequenceClassification"),
    "ForQuestionAnswering": ("question-answering", "AutoModelForQuestionAnswering"),
}
"""Ending of a class: the task in the hub's words, and what loads it."""
UNUSED_ROWS = 1024
"""So many rows of an embedding table may be without a piece: tables are padded to what hardware likes."""
_OF_A_LAYER = re.compile(r"\.layers?\.\d+\.")
_SAYING_NOTHING = (MODEL_FOLDER, "student", "onnx")


@dataclass(frozen=True)
class Deployable:
    """A model that has been opened, with the tokenizer that belongs to it."""

    model: Any
    """Of transformers, in float32, on the CPU, in evaluation mode."""
    tokenizer: Any
    """A fast one of transformers."""
    kind: Kind
    """What it is opened for: `head` has the output of its task, the others have hidden states."""
    task: str | None
    """Of a head, in the hub's words: `fill-mask`, `token-classification`, `sequence-classification`,
    `question-answering`; None without a head."""
    name: str
    """Short, for tables and file names: that of the folder, or of the run that it lies in."""
    folder: Path
    """Where its files lie."""
    projection: Any = None
    """Of embeddings: torch's `Linear` after the mean of the pieces; None where there is none."""

    @property
    def architecture(self) -> str:
        """The `model_type` of its configuration: `bert`."""
        return str(self.model.config.model_type)

    @property
    def rows(self) -> int:
        """Of the embedding table: the pieces that the model knows, and perhaps some without use."""
        return int(self.model.get_input_embeddings().weight.shape[0])


def load_deployable(
    source: Path | str,
    kind: Kind | None = None,
    architectures: Collection[str] = ARCHITECTURES,
    attention: str | None = None,
) -> Deployable:
    """Open a model and its tokenizer, and refuse whatever is not fit to be handed on.

    Args:
        source: a model's folder, the folder of a finished run (which stands for its student), or a name on the
            Hugging Face hub.
        kind: what is to be opened; the head if there is one, else the encoder, or its embeddings where
            `modules.json` says what they are.
        architectures: the `model_type`s that are taken.
        attention: how transformers computes attention (`eager`, `sdpa`); its own choice when None.

    Raises:
        RecipeError: no such kind.
        DataError: no such folder, a run that is not finished or of a family, no configuration, tokenizer or weights,
            weights in pickles only, an architecture that is not taken, a head that is asked for and not there or not
            known, embeddings that are more than a mean and a linear layer, weights that are not whole, not finite or
            of another shape than the configuration says, or a tokenizer that does not belong to the model.
    """
    if kind is not None and kind not in KINDS:
        raise RecipeError(f"{kind!r}: no such kind of model", f"The kinds are: {', '.join(KINDS)}.")
    encoder = _find(source)
    folder = Path(encoder.source)
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise DataError(f"{folder / 'config.json'}: not a model's configuration", "Copy the model folder again.")
    _check_architecture(encoder, config, architectures)
    task, loader = _head(encoder, config, kind)
    kind = kind or ("head" if task else "embeddings" if (folder / MODULES_FILE).is_file() else "encoder")
    tokenizer = _load_tokenizer(encoder)
    model = _load_model(encoder, loader, attention)
    _check_weights(encoder, model)
    projection = load_projection(folder, int(model.config.hidden_size)) if kind == "embeddings" else None
    found = Deployable(model, tokenizer, kind, task, encoder.name, folder, projection)
    _check_tokenizer(found)
    return found


# --- what is in the folder ---


def _find(source: Path | str) -> Encoder:
    """The folder that holds the model, its files there and none of them a pickle that would have to be run."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists() and (folder / "onnx").is_dir():
            raise DataError(f"{folder}: has an onnx folder and no config.json", "Copy the exported folder again.")
        if (folder / "unibert_export.json").exists() and not any(folder.glob("*.safetensors")):
            raise DataError(
                f"{folder}: an exported model, whose weights are in ONNX files only",
                "Name the folder of the model that it was made from.",
            )
        models = find_models(folder)
        if "" not in models:
            raise DataError(
                f"{folder}: holds a family of models", f"Name one of {', '.join(models)}: its model folder."
            )
        folder = models[""]
        _check_pickles(folder)
        return find_encoder(folder, _name(folder))
    encoder = find_encoder(source)
    return Encoder(_name(Path(encoder.name)), str(_fetch(encoder)), encoder.fingerprint, encoder.revision)


def _name(folder: Path) -> str:
    """What a folder is called; where its own name says nothing, what the one above it is called."""
    names = [part for part in folder.absolute().parts if part not in _SAYING_NOTHING]
    return names[-1] if names else folder.name


def _fetch(encoder: Encoder) -> Path:
    """The folder in the cache with a hub model's files, without any pickle."""
    from huggingface_hub import snapshot_download

    parts = [
        "config.json",
        MODULES_FILE,
        "*_Pooling/config.json",
        "*_Dense/config.json",
        "*.safetensors",
        "*.safetensors.index.json",
        "tokenizer*",
        "*.model",
        "vocab.*",
    ]
    try:
        with quiet_transformers():
            folder = Path(
                snapshot_download(encoder.source, revision=encoder.revision, allow_patterns=[*parts, "merges.txt"])
            )
    except Exception as error:  # no network, no such commit, no room: the library has no common exception
        raise DataError(
            f"model {encoder.name}: cannot be fetched from the Hugging Face hub ({first_line(error)})",
            "Check the network, or give the path of a downloaded model.",
        ) from None
    if not any(folder.glob("*.safetensors")):
        raise DataError(
            f"model {encoder.name}: has no weights in safetensors on the hub, only in pickles or in none",
            _conversion("FOLDER"),
        )
    return folder


def _check_pickles(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.iterdir() if path.is_file() and is_pickle(path))
    if pickles:
        raise DataError(
            f"{folder}: its weights are pickles only ({', '.join(pickles[:3])}), which can run any program on the "
            "machine that loads them",
            _conversion(str(folder)),
        )


def _conversion(folder: str) -> str:
    return (
        "If you trust their origin, convert them once: "
        f"python -c \"import sys, transformers as t; f = '{folder}'; c = t.AutoConfig.from_pretrained(f); "
        'getattr(t, c.architectures[0]).from_pretrained(f).save_pretrained(f)" writes model.safetensors beside them.'
    )


def _check_architecture(encoder: Encoder, config: dict[str, Any], architectures: Collection[str]) -> None:
    found = config.get("model_type")
    if found not in architectures:
        raise DataError(
            f"model {encoder.name}: its architecture is {found or 'not named in config.json'}, which is not supported",
            f"Give an encoder of one of these: {', '.join(sorted(architectures))}.",
        )
    if config.get("is_decoder") or config.get("add_cross_attention"):
        raise DataError(
            f"model {encoder.name}: is set up as a decoder (is_decoder or add_cross_attention in config.json)",
            "Give an encoder, which reads a text in both directions.",
        )


def _head(encoder: Encoder, config: dict[str, Any], kind: Kind | None) -> tuple[str | None, str]:
    """The task of the head that is to be loaded, and what loads it."""
    named = config.get("architectures")
    named = [named] if isinstance(named, str) else named
    architecture = str(named[0]) if isinstance(named, Sequence) and named else ""
    found = next((head for ending, head in _HEADS.items() if architecture.endswith(ending)), None)
    if kind in ("encoder", "embeddings"):
        return None, "AutoModel"
    if found:
        return found
    if "For" in architecture or architecture.endswith("LMHeadModel"):
        raise DataError(
            f"model {encoder.name}: its head is that of a {architecture}, which is not supported",
            f"Ask for the encoder or its embeddings, or give a model with one of these heads: {', '.join(_HEADS)}.",
        )
    if kind == "head":
        raise DataError(
            f"model {encoder.name}: has no head ({architecture or 'no architecture in its config.json'})",
            "Ask for the encoder or its embeddings, or fine-tune it first: unibert finetune.",
        )
    return None, "AutoModel"


# --- what is loaded ---


def _load_tokenizer(encoder: Encoder) -> Any:
    """The tokenizer as it is in the folder: it is written again beside what is made of the model."""
    from transformers import AutoConfig, AutoTokenizer

    try:  # first: what loads the tokenizer reads it too, and its damage would be taken for the tokenizer's
        with quiet_transformers():
            AutoConfig.from_pretrained(encoder.source, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # every kind of damage raises its own
        raise DataError(
            f"model {encoder.name}: {Path(encoder.source) / 'config.json'} cannot be read ({first_line(error)})",
            "Copy the model folder again.",
        ) from None
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(encoder.source, trust_remote_code=False)
    except Exception as error:  # every kind of damage raises its own
        raise DataError(
            f"model {encoder.name}: the tokenizer in {encoder.source} cannot be loaded ({first_line(error)})",
            "Put the tokenizer.json and tokenizer_config.json there that the model was trained with.",
        ) from None
    if not tokenizer.is_fast:
        raise DataError(f"model {encoder.name}: its tokenizer is not a fast one", "Save it with a tokenizer.json.")
    if tokenizer.pad_token_id is None:
        raise DataError(
            f"model {encoder.name}: its tokenizer names no padding piece",
            "Put the tokenizer.json and tokenizer_config.json there that the model was trained with.",
        )
    return tokenizer


def _load_model(encoder: Encoder, loader: str, attention: str | None) -> Any:
    import torch
    import transformers

    fix = "Copy or write the whole folder again; configuration and weights have to be of one model."
    options = {"attn_implementation": attention} if attention else {}
    try:
        with quiet_transformers():
            model, loading = getattr(transformers, loader).from_pretrained(
                encoder.source,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # refused below, by name
                **options,
            )
    except Exception as error:  # every kind of damage raises its own
        raise DataError(
            f"model {encoder.name}: {encoder.source} cannot be loaded with transformers ({first_line(error)})", fix
        ) from None
    for name, *shapes in sorted(loading["mismatched_keys"]):
        stored, wanted = ([*shape] for shape in shapes)
        raise DataError(
            f"model {encoder.name}: {name} is of shape {stored} in the weights, of {wanted} by config.json", fix
        )
    left_over = sorted(name for name in loading["unexpected_keys"] if _OF_A_LAYER.search(name))
    if left_over:
        raise DataError(
            f"model {encoder.name}: its weights have layers that config.json does not ({left_over[0]}"
            f"{' ...' if len(left_over) > 1 else ''})",
            fix,
        )
    # A pooler that was never trained is none: nothing that is exported reads it, but for a classifier of texts.
    made_up = sorted(name for name in loading["missing_keys"] if loader != "AutoModel" or not name.startswith("pooler"))
    if made_up:
        raise DataError(
            f"model {encoder.name}: its weights lack {', '.join(made_up[:3])}{' ...' if len(made_up) > 3 else ''}", fix
        )
    if loader == "AutoModel" and getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.eval()


def _check_weights(encoder: Encoder, model: Any) -> None:
    import torch

    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(
                f"model {encoder.name}: {name} holds numbers that are not finite",
                "Train it again with a lower learning rate, or copy the folder again.",
            )


def _check_tokenizer(found: Deployable) -> None:
    pieces, rows = len(found.tokenizer), found.rows
    fix = "Put the tokenizer there that the model was trained with."
    highest = max(found.tokenizer.get_vocab().values(), default=0) + 1
    if max(pieces, highest) > rows:
        raise DataError(
            f"model {found.name}: its tokenizer has {max(pieces, highest):,} pieces, its embedding {rows:,} rows", fix
        )
    if rows - highest > UNUSED_ROWS:
        raise DataError(
            f"model {found.name}: its tokenizer has only {highest:,} pieces, its embedding {rows:,} rows: they do not "
            "belong together",
            fix,
        )
    if found.task == "fill-mask" and found.tokenizer.mask_token is None:
        raise DataError(f"model {found.name}: fills in masks, and its tokenizer names no mask piece", fix)
