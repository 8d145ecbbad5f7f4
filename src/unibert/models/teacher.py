"""Teachers: any Hugging Face masked language model that shares the student's tokenizer, frozen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from unibert.errors import DataError, first_line
from unibert.models.positions import position_limit


def load_teacher(name: str | Path, dtype: torch.dtype = torch.float32) -> Any:
    """Load a masked language model from a folder or the Hugging Face hub, in evaluation mode, without gradients.

    Args:
        name: folder or hub name. The weights are safetensors, one file or many, in any number format.
        dtype: number format of the loaded weights. In bfloat16 the teacher takes half the memory, and its
            normalisations are computed in bfloat16 too.

    Raises:
        DataError: it cannot be had, is no encoder with a masked language modelling head, its weights do not fit its
            configuration, or are not numbers, or there are unsafe (pickled) weights only.
    """
    source = _source(name)
    # Else the library asks a service on the web to convert pickled weights, in the user's name.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    try:
        model, loading = AutoModelForMaskedLM.from_pretrained(
            source,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below, by name
            trust_remote_code=False,
        )
    except Exception as error:  # the library's many, and every kind of damage raises its own
        raise DataError(
            f"teacher {name}: cannot be loaded as a masked language model ({first_line(error)})",
            "Give a Hugging Face name or a folder with config.json and model.safetensors; without a network, a folder.",
        ) from None
    if model.config.is_encoder_decoder:
        raise DataError(f"teacher {name}: has a decoder", "Give an encoder, such as BERT, XLM-R or ModernBERT.")
    # In both cases transformers takes random numbers instead, and the student would learn from those.
    if loading["missing_keys"]:
        raise DataError(
            f"teacher {name}: its weights lack {_some(loading['missing_keys'])}",
            "Give a model that was saved whole, with its masked language modelling head.",
        )
    if loading["mismatched_keys"]:
        key, found, expected = sorted(loading["mismatched_keys"])[0]
        raise DataError(
            f"teacher {name}: {key} is {list(found)} in its weights, but {list(expected)} by its config.json",
            "Give a folder whose config.json belongs to its weights.",
        )
    broken = [key for key, parameter in model.named_parameters() if not bool(torch.isfinite(parameter).all())]
    if broken:
        raise DataError(
            f"teacher {name}: its weights hold values that are not numbers ({_some(broken)})",
            "Give a sound model; half-precision files can hold no values beyond 65,504.",
        )
    return model.eval().requires_grad_(False)


def _source(name: str | Path) -> str:
    """A folder that is there, or a name that the hub may have."""
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    looks_like_a_path = path.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1
    if looks_like_a_path or path.exists():
        what = "is a file" if path.exists() else "no such folder"
        raise DataError(f"teacher {name}: {what}", "Give the folder that holds config.json and model.safetensors.")
    return str(name)


def check_length(name: str | Path, model: Any, context: int, setting: str = "pretrain.context") -> None:
    """Refuse a teacher that has fewer positions than the student's samples, of length `setting`, may have tokens.

    Raises:
        DataError: names both numbers.
    """
    limit = position_limit(model)
    if limit is not None and limit < context:
        raise DataError(
            f"teacher {name}: reads at most {limit} tokens, but {setting} is {context}",
            f"Set {setting}={limit}, or give the teacher more positions.",
        )


_OTHER_TOKENIZER = (
    "Build the tokens with the teacher's tokenizer (tokens.tokenizer), or train a teacher on these tokens."
)


def check_same_tokenizer(name: str | Path, model: Any, tokenizer: Any, fix: str = _OTHER_TOKENIZER) -> None:
    """Refuse a teacher whose ids mean other pieces: distillation would compare probabilities of different words.

    Args:
        name: the teacher's folder or hub name; its own tokenizer is compared piece by piece when it has one.
        model: the loaded teacher.
        tokenizer: the student's `PreTrainedTokenizerFast`, in pre-training the one the token store was built with.
        fix: what to do about another one.

    Raises:
        DataError: names the first difference.
    """
    ours = tokenizer.get_vocab()
    # Some checkpoints pad the embedding table; fewer rows than pieces can never be right.
    if model.config.vocab_size < len(ours):
        raise DataError(
            f"teacher {name}: its vocabulary has {model.config.vocab_size:,} rows, the student uses {len(ours):,}", fix
        )
    source = _source(name)
    folder = Path(source)
    # Without files of a tokenizer, transformers makes up an empty one.
    has_tokenizer = not folder.is_dir() or any(folder.glob("token*.json")) or any(folder.glob("vocab*"))
    if has_tokenizer:
        try:
            theirs = AutoTokenizer.from_pretrained(source, trust_remote_code=False).get_vocab()
        except Exception as error:  # every kind of damage raises its own
            raise DataError(f"teacher {name}: its tokenizer cannot be read ({first_line(error)})", fix) from None
    else:
        if model.config.vocab_size != len(ours):
            raise DataError(
                f"teacher {name}: has no tokenizer and {model.config.vocab_size:,} rows, not {len(ours):,}", fix
            ) from None
        return
    if theirs == ours:
        return
    different = sorted(piece for piece in ours.keys() | theirs.keys() if ours.get(piece) != theirs.get(piece))
    piece = different[0]
    raise DataError(
        f"teacher {name}: another tokenizer ({len(different):,} pieces differ; "
        f"{piece!r} is {_id(theirs, piece)} there, {_id(ours, piece)} here)",
        fix,
    )


def _id(vocabulary: dict[str, int], piece: str) -> str:
    return f"id {vocabulary[piece]}" if piece in vocabulary else "missing"


def _some(keys: Iterable[str]) -> str:
    first, *others = sorted(keys)
    return f"{first} and {len(others)} more" if others else first
