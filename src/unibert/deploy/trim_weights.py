"""A model's files with fewer pieces: the rows of its vocabulary and the ids of its configuration, all else as it is.

The weights are rewritten in the file and not through a loaded model: what transformers would leave out or make anew
(a pooler, a second head), and the number format, stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from unibert.errors import DataError, first_line
from unibert.files import read_json, write_json
from unibert.models.positions import first_position
from unibert.models.sentence_modules import MODULES_FILE
from unibert.tasks.finetune import RESULT_FILE

_ROWS = (
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "predictions.bias",
    "decoder.weight",
    "decoder.bias",
    "lm_head.bias",
    "vocab_projector.weight",
    "vocab_projector.bias",
)
"""What tensors with a row for each piece are called, in BERT, DistilBERT, ModernBERT, RoBERTa and XLM-R."""
_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_SENTENCE_FILES = (MODULES_FILE, "config_sentence_transformers.json", "sentence_bert_config.json")
_MOST_BELOW = 1024


def write_trimmed_model(source: Path, folder: Path, model: Any, tokenizer: Any, numbered: Sequence[int]) -> None:
    """Write config.json and model.safetensors, and what makes a folder a sentence encoder or tells of its fine-tuning.

    Args:
        source: the model's folder.
        folder: that is there.
        model: of transformers, loaded from `source`.
        tokenizer: its original one.
        numbered: old ids in the order of the new ones.

    Raises:
        DataError: weights that cannot be read, a tensor that has not a row for each piece where it has to, or
            positions that would shift.
    """
    start = first_position(model)
    if start and numbered[start - 1] != start - 1:
        raise DataError(
            f"{source}: the model counts positions from its padding id on, which would change",
            "Give a model whose tokenizer.json holds the padding piece among the others.",
        )
    new_id = {old: new for new, old in enumerate(numbered)}
    for name in ("config.json", "generation_config.json"):
        if (source / name).is_file():
            known = ids_of(model.config) if name == "config.json" else {}
            tree = read_json(source / name)
            write_json(folder / name, trimmed_configuration({**tree, **known}, tokenizer, new_id))
    _write_weights(source, folder, int(model.get_input_embeddings().weight.shape[0]), numbered)
    if (source / MODULES_FILE).is_file():
        _copy_sentence_modules(source, folder)
    # What `unibert finetune` told is asked for again when the model is used.
    for path in (source / RESULT_FILE, *sorted(source.glob("LICENSE*"))):
        if path.is_file():
            shutil.copy(path, folder / path.name)


def ids_of(config: Any) -> dict[str, Any]:
    """What a configuration says about ids, defaults included: `pad_token_id` and its like."""
    return {key: value for key, value in config.to_dict().items() if key.endswith("_token_id") and value is not None}


def required_ids(model: Any) -> set[int]:
    """The ids that the model cannot do without: those of its configuration, and where positions begin.

    RoBERTa and its kin count positions from the padding id on, so that it has to stay the same: all ids below it stay.

    Raises:
        DataError: positions are counted from a padding id too high for that.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    found: set[int] = set()
    for value in ids_of(model.config).values():
        found.update(number for number in (value if isinstance(value, list) else [value]) if 0 <= number < rows)
    start = first_position(model)
    if start > _MOST_BELOW:
        raise DataError(
            f"the model counts positions from its padding id {start - 1:,} on, so that no piece below it can go",
            "Give a model whose padding piece is among the first.",
        )
    return found | set(range(start))


def trimmed_configuration(tree: Mapping[str, Any], tokenizer: Any, new_id: Mapping[int, int]) -> dict[str, Any]:
    """A configuration with the new ids and number of pieces.

    An id that no piece has, as a configuration's defaults may be, becomes that of the tokenizer's piece of this role,
    or none.
    """

    def renumbered(key: str, old: Any) -> Any:
        if isinstance(old, list):
            return [new_id[number] for number in old if number in new_id]
        if old in new_id:
            return new_id[old]
        return new_id.get(getattr(tokenizer, key, None))  # type: ignore[arg-type]

    changed = {
        key: renumbered(key, value) for key, value in tree.items() if key.endswith("_token_id") and value is not None
    }
    pieces = {"vocab_size": len(new_id)} if "vocab_size" in tree else {}
    return {**tree, **changed, **pieces}


def _write_weights(source: Path, folder: Path, rows: int, numbered: Sequence[int]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    files = [_WEIGHTS]
    if not (source / _WEIGHTS).is_file():
        files = sorted(set(read_json(source / _INDEX)["weight_map"].values()))
    order = torch.tensor(numbered, dtype=torch.long)
    tensors: dict[str, Any] = {}
    for name in files:
        try:
            tensors |= load_file(source / name)
        except Exception as error:  # safetensors raises its own for each kind of damage
            raise DataError(
                f"{source / name}: cannot be read ({first_line(error)})", "Copy the model folder again."
            ) from None
    for name, tensor in tensors.items():
        if not any(name == ending or name.endswith(f".{ending}") for ending in _ROWS):
            continue
        if tensor.shape[0] != rows:
            raise DataError(
                f"{source}: {name} has {tensor.shape[0]:,} rows, the embedding has {rows:,}",
                "Copy the model folder again; its weights have to be of one model.",
            )
        tensors[name] = tensor.index_select(0, order)
    save_file(tensors, folder / _WEIGHTS, {"format": "pt"})


def _copy_sentence_modules(source: Path, folder: Path) -> None:
    """Copy what comes after the encoder in a folder of sentence-transformers: none of it knows the vocabulary."""
    for name in _SENTENCE_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, folder / name)
    for module in read_json(source / MODULES_FILE):
        place = PurePosixPath(str(module.get("path", "")))
        if place.parts and not place.is_absolute() and ".." not in place.parts and (source / place).is_dir():
            shutil.copytree(source / place, folder / place)
