"""Finding, opening and identifying the encoder that is fine-tuned: a folder, or a name on the Hugging Face hub."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError, first_line
from unibert.files import fingerprint, sha256_of_file

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "spiece.model", "vocab.json")
_PARTS = (
    "config.json",
    "*.safetensors",
    "pytorch_model*.bin",
    "tokenizer*",
    "*.model",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",  # with the next two: what sentence-transformers does after the encoder
    "*_Pooling/config.json",
    "*_Dense/*",
)


@dataclass(frozen=True)
class Encoder:
    """An encoder that is known to be there: what to load it by, and a fingerprint of what it consists of."""

    name: str
    source: str
    fingerprint: str
    revision: str | None = None
    """The commit that the fingerprint is of, where it is on the hub: a later one is another encoder."""


def find_encoder(source: Path | str, name: str | None = None, revision: str | None = None) -> Encoder:
    """Check that an encoder and its tokenizer are there, and identify it, without loading its weights.

    Args:
        source: a Hugging Face model folder or a hub name. A hub name is looked up over the network, then in the cache.
        name: what to call it; `source` itself when unset.
        revision: of a hub name, the commit that is meant; the latest when unset.

    Raises:
        DataError: no such folder, not a model folder, no tokenizer in it, or a hub name that cannot be had.
    """
    name = name or str(source)
    if not str(source):
        raise DataError("model: its name is empty", "Give a model folder or a Hugging Face name.")
    folder = Path(source).expanduser()
    if folder.is_dir():
        _check_folder(folder, name)
        return Encoder(name, str(folder), _folder_fingerprint(folder))
    text = str(source)
    # A hub name is NAME or OWNER/NAME; anything else that is not there was meant as a path.
    if isinstance(source, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise DataError(f"model {name}: {text}: no such folder", "Check the path; the model may not be trained yet.")
    commit = _hub_commit(text, revision)
    return Encoder(name, text, fingerprint({"hub": text, "commit": commit}), commit)


def _check_folder(folder: Path, name: str) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise DataError(
            f"model {name}: {folder} is not a model folder: it has no config.json",
            "Name the folder with config.json, model.safetensors and the tokenizer (a pre-training run's model/).",
        )
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{config}: not valid JSON ({error})", "Copy the model folder again.") from None
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise DataError(f"model {name}: no weights (model.safetensors) in {folder}", "Copy the model folder again.")
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise DataError(
            f"model {name}: no tokenizer in {folder}",
            "Save the model's tokenizer beside it: tokenizer.save_pretrained(folder).",
        )


def _folder_fingerprint(folder: Path) -> str:
    files = sorted({path for pattern in _PARTS for path in folder.glob(pattern) if path.is_file()})
    return fingerprint({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})


def _hub_commit(name: str, revision: str | None) -> str:
    """The commit of a model on the hub; of the copy in the cache, where the hub does not answer."""
    from huggingface_hub import hf_hub_download

    try:
        with quiet_transformers():
            config = hf_hub_download(name, "config.json", revision=revision)
    except Exception as error:  # offline, unknown name, no permission: the library has no common exception
        raise _not_loadable(name, error) from None
    return Path(config).parent.name  # .../snapshots/COMMIT/config.json


def _not_loadable(name: str, error: Exception) -> DataError:
    return DataError(
        f"model {name}: neither a folder here nor a model that can be had from the Hugging Face hub "
        f"({first_line(error)})",
        "Check the name and the network, give the path of a downloaded model, or leave this model out.",
    )


def load_with_head(
    encoder: Encoder, kind: Any, purpose: str, labels: Sequence[str] = (), **config: Any
) -> tuple[Any, Any]:
    """Load an encoder with a head, new unless it is there already, in float32, and its tokenizer.

    The head's weights are drawn from torch's generator: seed it before.

    Args:
        encoder: from `find_encoder`.
        kind: one of transformers' `AutoModelFor...`, or `AutoModel`.
        purpose: what it is for, in words, for messages.
        labels: of a classifier; its config names them.
        config: more of the model's configuration.

    Raises:
        DataError: not an encoder, no fast tokenizer, or a tokenizer with more pieces than the model has rows.
    """
    import torch

    if labels:
        config = {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {label: number for number, label in enumerate(labels)},
            **config,
        }
    try:
        with quiet_transformers():
            tokenizer = _load_tokenizer(encoder)
            model = kind.from_pretrained(
                encoder.source,
                # A model that was fine-tuned before, with other labels, gets a new head.
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                trust_remote_code=False,
                revision=encoder.revision or "main",
                **config,
            )
    except DataError:
        raise
    except Exception as error:  # the libraries raise OSError, ValueError, KeyError and their own for a damaged model
        if Path(encoder.source).is_dir():
            raise DataError(
                f"model {encoder.name}: {encoder.source} cannot be loaded as an encoder for {purpose} "
                f"({first_line(error)})",
                "Give the folder of a BERT-like encoder; if it is one, copy or write it again.",
            ) from None
        raise _not_loadable(encoder.source, error) from None
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise DataError(
            f"model {encoder.name}: its tokenizer has {len(tokenizer):,} pieces, its embedding {rows:,} rows",
            "Put the tokenizer the model was trained with into its folder.",
        )
    return model, tokenizer


def check_trained(encoder: Encoder, model: Any, task: str) -> None:
    """Refuse a model that got a new head when it was loaded: what it says is drawn by lot.

    Args:
        encoder: what it was loaded from.
        model: from a task's `load`.
        task: its name.

    Raises:
        DataError: its files are those of another kind of model.
    """
    from transformers import AutoConfig, PreTrainedModel

    saved = AutoConfig.from_pretrained(encoder.source, trust_remote_code=False)
    # A bi-encoder is saved as the encoder that it consists of.
    kind = type(model if isinstance(model, PreTrainedModel) else model.base_model).__name__
    kinds = saved.architectures or [kind]
    if kind not in kinds or saved.num_labels != model.config.num_labels:
        raise DataError(
            f"model {encoder.name}: not fine-tuned for {task} in this way (a {kinds[0]} of {saved.num_labels} labels, "
            f"not a {kind} of {model.config.num_labels})",
            f"Fine-tune it first: unibert finetune --task {task}.",
        )
    if isinstance(model, PreTrainedModel):
        _check_head(encoder, model, task)


def _check_head(encoder: Encoder, model: Any, task: str) -> None:
    """Refuse weights that are not those of the configuration beside them: without the head, or with another one."""
    from safetensors import safe_open

    there: dict[str, list[int]] = {}
    for path in Path(encoder.source).glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            there |= {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
    for name, weight in model.named_parameters():
        of_head = not name.startswith(f"{model.base_model_prefix}.")
        if there and of_head and there.get(name) != list(weight.shape):
            raise DataError(
                f"model {encoder.name}: not fine-tuned for {task}, though its config.json says so: its weights have "
                f"{'another' if name in there else 'no'} {name}",
                "Copy the whole folder again; configuration and weights are of different models.",
            )


def _load_tokenizer(encoder: Encoder) -> Any:
    from transformers import AutoTokenizer

    source = encoder.source
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, revision=encoder.revision or "main")
    if not tokenizer.is_fast:
        raise DataError(f"model {source}: its tokenizer is not a fast one", "Save it with a tokenizer.json.")
    words_first = tokenizer.backend_tokenizer.pre_tokenizer
    if type(words_first).__name__ == "ByteLevel":
        # Byte-level tokenizers (RoBERTa's) spell a word otherwise after a space; words of a sentence follow one.
        words_first.add_prefix_space = True
    if tokenizer.pad_token_id is None:
        raise DataError(f"model {source}: its tokenizer has no padding token", "Give an encoder with a padding token.")
    return tokenizer


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' reports (a new head is meant to be new) and its bars; errors still raise."""
    from transformers.utils import logging as library

    level = library.get_verbosity()
    bars = library.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    library.set_verbosity(logging.CRITICAL)
    library.disable_progress_bar()
    hub.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        library.set_verbosity(level)
        hub.setLevel(hub_level)
        if bars:
            library.enable_progress_bar()
