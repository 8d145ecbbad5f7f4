"""An encoder of sentences in a folder that sentence-transformers loads as it is, with the language taken out.

The format is that of sentence-transformers 3 and later (modules.json, a folder for each module after the first); a
folder written here was loaded with version 6.2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unibert.errors import DataError
from unibert.files import atomic_folder, see_that_it_is_free, telling_of_full_disk, write_json
from unibert.models.neutral import Projection, Vectors, save_means
from unibert.models.sentence_modules import MODULES_FILE
from unibert.tasks.encoder import Encoder

MEANS_FILE = "language_means.safetensors"
_POOLING, _DENSE = "1_Pooling", "2_Dense"
_FORMAT = "3.0.0"
"""Of sentence-transformers; a newer number than the reader's own would make it warn."""


def write_sentence_encoder(
    encoder: Encoder,
    projection: Projection | None,
    means: Mapping[str, Vectors] | None,
    folder: Path,
    max_length: int = 128,
) -> Path:
    """Write an encoder whose embeddings are the means of a text's pieces, after a projection where one is given.

    The projection is a linear layer after the pooling: it costs one product of a vector with a matrix per text, and
    nobody has to know the texts' languages. Per-language means, which do need them, lie beside it as
    `language_means.safetensors` with the code that subtracts them in README.md; they are means of what the folder's
    encoder puts out, so after the projection.

    Args:
        encoder: from `tasks.encoder.find_encoder`.
        projection: fitted on this encoder's last layer; none for the plain encoder.
        means: by language, of this encoder's embeddings before any projection; none to leave them out.
        folder: appears when all of it is written.
        max_length: of a text in tokens, special ones included; what is longer is cut. No more than the encoder reads.

    Returns:
        The folder.

    Raises:
        DataError: there is something at the folder's place, the encoder cannot be loaded, the projection or the means
            are of another width, or the disk is full.
    """
    import safetensors.numpy

    from unibert.models.positions import position_limit
    from unibert.tasks.bi_encoder import load_bi_encoder

    see_that_it_is_free(folder)
    model, tokenizer = load_bi_encoder(encoder)
    width = int(model.config.hidden_size)
    _check_widths(encoder, width, projection, means)
    longest = position_limit(model) or max_length
    with telling_of_full_disk(folder), atomic_folder(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        write_json(scratch / MODULES_FILE, _modules(projection is not None))
        write_json(scratch / "config_sentence_transformers.json", _configuration())
        length = {"max_seq_length": min(max_length, longest), "do_lower_case": False}
        write_json(scratch / "sentence_bert_config.json", length)
        write_json(scratch / _POOLING / "config.json", _pooling(width))
        if projection is not None:
            write_json(scratch / _DENSE / "config.json", _dense(width))
            layer = {"linear.weight": projection.weight_DD, "linear.bias": projection.bias_D}
            # Readers look for this mark before they take a file's tensors for torch's.
            safetensors.numpy.save_file(layer, scratch / _DENSE / "model.safetensors", {"format": "pt"})
        if means:
            put_out = {language: projection.apply(mean) if projection else mean for language, mean in means.items()}
            save_means(put_out, scratch / MEANS_FILE, encoder.fingerprint)
        (scratch / "README.md").write_text(_card(encoder, projection, means), encoding="utf-8")
    return folder


def _check_widths(
    encoder: Encoder, width: int, projection: Projection | None, means: Mapping[str, Vectors] | None
) -> None:
    if projection is not None and projection.width != width:
        raise DataError(
            f"model {encoder.name}: its embeddings have width {width}, the projection {projection.width}",
            "Fit the projection on this model's embeddings.",
        )
    for language, mean in (means or {}).items():
        if mean.shape != (width,) or not np.isfinite(mean).all():
            raise DataError(
                f"model {encoder.name}: the mean of {language} is not {width} finite numbers",
                "Fit the means on this model's embeddings.",
            )


def _modules(with_projection: bool) -> list[dict[str, Any]]:
    names = [("", "Transformer"), (_POOLING, "Pooling"), (_DENSE, "Dense")][: 3 if with_projection else 2]
    return [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(names)
    ]


def _configuration() -> dict[str, Any]:
    import torch
    import transformers

    return {
        "__version__": {
            "sentence_transformers": _FORMAT,
            "transformers": transformers.__version__,
            "pytorch": torch.__version__,
        },
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }


def _pooling(width: int) -> dict[str, Any]:
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {
        "word_embedding_dimension": width,
        **{f"pooling_mode_{mode}": mode == "mean_tokens" for mode in modes},
        "include_prompt": True,
    }


def _dense(width: int) -> dict[str, Any]:
    return {
        "in_features": width,
        "out_features": width,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }


def _card(encoder: Encoder, projection: Projection | None, means: Mapping[str, Vectors] | None) -> str:
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "tags:",
        "- sentence-transformers",
        "- feature-extraction",
        "- sentence-similarity",
        "---",
        "",
        f"# {Path(encoder.name).name}, an encoder of sentences",
        "",
        f"Made from `{Path(encoder.name).name}` (fingerprint {encoder.fingerprint}) without any training. A text's "
        "embedding is the mean of its pieces in the last layer, special ones included.",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'encoder = SentenceTransformer("FOLDER")',
        "vectors = encoder.encode(texts)",
        "```",
    ]
    if projection is not None:
        lines += [
            "",
            f"`{_DENSE}` removes the mean of {len(projection.languages)} languages and {projection.rank} directions in "
            "which their means differ, so that texts of different languages can be compared and their languages need "
            f"not be known. Fitted on: {', '.join(projection.languages)}.",
        ]
    if means:
        lines += [
            "",
            f"`{MEANS_FILE}` holds the mean embedding of each of {len(means)} languages, as this folder's encoder puts "
            "them out. Where a text's language is known, subtract its mean before comparing:",
            "",
            "```python",
            "from safetensors.numpy import load_file",
            "",
            f'means = load_file("FOLDER/{MEANS_FILE}")',
            "vectors = encoder.encode(texts) - means[language]",
            "```",
            "",
            f"Languages: {', '.join(sorted(means))}.",
        ]
    return "\n".join(lines) + "\n"
