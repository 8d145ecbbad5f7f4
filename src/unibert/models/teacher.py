"""Teachers: any Hugging Face masked language model that shares the student's tokenizer, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForMaskedLM, AutoTokenizer

from unibert.errors import DataError
from unibert.models.positions import position_limit


def load_teacher(name: str | Path) -> Any:
    """Load a masked language model from a folder or the Hugging Face hub, in evaluation mode, without gradients.

    Raises:
        DataError: it cannot be had, has no masked language modelling head, or has unsafe (pickled) weights only.
    """
    try:
        model, loading = AutoModelForMaskedLM.from_pretrained(
            str(name), use_safetensors=True, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"teacher {name}: cannot be loaded as a masked language model ({first_line})",
            "Give a Hugging Face name or a folder with config.json and model.safetensors; without a network, a folder.",
        ) from None
    if loading["missing_keys"]:
        # transformers fills them with random numbers, and the student would learn from those.
        raise DataError(
            f"teacher {name}: its weights lack {', '.join(sorted(loading['missing_keys'])[:3])} ...",
            "Give a model that was saved with its masked language modelling head.",
        )
    return model.eval().requires_grad_(False)


def check_length(name: str | Path, model: Any, context: int) -> None:
    """Refuse a teacher that has fewer positions than the student's samples may have tokens.

    Raises:
        DataError: names both numbers.
    """
    limit = position_limit(model)
    if limit is not None and limit < context:
        raise DataError(
            f"teacher {name}: reads at most {limit} tokens, but pretrain.context is {context}",
            f"Set pretrain.context={limit}, or give the teacher more positions.",
        )


def check_same_tokenizer(name: str | Path, model: Any, tokenizer: Any) -> None:
    """Refuse a teacher whose ids mean other pieces: distillation would compare probabilities of different words.

    Args:
        name: the teacher's folder or hub name; its own tokenizer is compared piece by piece when it has one.
        model: the loaded teacher.
        tokenizer: the `PreTrainedTokenizerFast` the token store was built with.

    Raises:
        DataError: names the first difference.
    """
    fix = "Build the tokens with the teacher's tokenizer (tokens.tokenizer), or train a teacher on these tokens."
    ours = tokenizer.get_vocab()
    # Some checkpoints pad the embedding table; fewer rows than pieces can never be right.
    if model.config.vocab_size < len(ours):
        raise DataError(
            f"teacher {name}: its vocabulary has {model.config.vocab_size:,} rows, the tokens use {len(ours):,}", fix
        )
    folder = Path(name)
    # Without files of a tokenizer, transformers makes up an empty one.
    has_tokenizer = not folder.is_dir() or any(folder.glob("token*.json")) or any(folder.glob("vocab*"))
    if has_tokenizer:
        try:
            theirs = AutoTokenizer.from_pretrained(str(name), trust_remote_code=False).get_vocab()
        except Exception as error:  # every kind of damage raises its own
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DataError(f"teacher {name}: its tokenizer cannot be read ({first_line})", fix) from None
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
