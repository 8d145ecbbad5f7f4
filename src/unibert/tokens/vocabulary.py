"""The tokenizer: trained, read, written, and told apart from others. Only `load_tokenizer` needs transformers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, normalizers, trainers

from unibert.errors import DataError
from unibert.files import atomic_file, atomic_folder, write_json
from unibert.tokenizer_files import SPECIAL_TOKENS, load_tokenizer_file, wordpiece_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# The names of BERT, then those of the SentencePiece family (XLM-R).
_ROLES = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}


@dataclass(frozen=True)
class SpecialIds:
    """The ids that are not pieces of text, and the size of the vocabulary."""

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    vocabulary_size: int
    all: tuple[int, ...] = ()
    """Every special id, ascending; the five above when not given."""
    is_special: npt.NDArray[np.bool_] = field(init=False, repr=False, compare=False)
    """bool[V]: look ids up in it."""
    pieces: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)
    """The ids of all other pieces, ascending."""

    def __post_init__(self) -> None:
        every = tuple(sorted({self.pad, self.unk, self.cls, self.sep, self.mask, *self.all}))
        flags = np.zeros(self.vocabulary_size, dtype=np.bool_)
        flags[list(every)] = True
        object.__setattr__(self, "all", every)
        object.__setattr__(self, "is_special", flags)
        object.__setattr__(self, "pieces", np.flatnonzero(~flags))
        if self.pieces.size == 0:
            raise DataError(
                "the tokenizer's vocabulary holds nothing but special tokens", "Name the tokenizer's original file."
            )

    @classmethod
    def of(cls, tokenizer: Any) -> SpecialIds:
        """The special ids of a tokenizer, of the `tokenizers` library or of transformers.

        Raises:
            DataError: it lacks one of [PAD] [UNK] [CLS] [SEP] [MASK] (or <pad> <unk> <s> </s> <mask>).
        """
        backend = backend_of(tokenizer)
        ids: dict[str, Any] = {}
        for role, names in _ROLES.items():
            found = [backend.token_to_id(name) for name in names if backend.token_to_id(name) is not None]
            if not found:
                raise DataError(
                    f"the tokenizer has no {names[0]} (nor {names[1]})",
                    "Use the tokenizer of a masked language model, such as BERT's.",
                )
            ids[role] = found[0]
        added = [number for number, token in backend.get_added_tokens_decoder().items() if token.special]
        return cls(**ids, vocabulary_size=vocabulary_size_of(backend), all=tuple(added))


def backend_of(tokenizer: Any) -> Tokenizer:
    """The `tokenizers.Tokenizer` inside a transformers tokenizer, or the argument itself."""
    return tokenizer if isinstance(tokenizer, Tokenizer) else tokenizer.backend_tokenizer


def vocabulary_size_of(tokenizer: Any) -> int:
    """One more than the largest id: the number of rows that an embedding table needs."""
    return 1 + max(backend_of(tokenizer).get_vocab(with_added_tokens=True).values())


def load_tokenizer(name: str | Path, longest: int = 512) -> PreTrainedTokenizerFast:
    """The tokenizer in a `vocab.txt`, a `tokenizer.json`, a folder, or on the Hugging Face hub, for transformers.

    Args:
        name: what `unibert.tokenizer_files.load_tokenizer_file` accepts.
        longest: `model_max_length`, the model's positions.

    Raises:
        DataError: not found, not readable, or without BERT's special tokens.
    """
    from transformers import PreTrainedTokenizerFast

    backend = load_tokenizer_file(str(name))
    special = SpecialIds.of(backend)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=longest,
        model_input_names=_input_names(backend),
        **{f"{role}_token": backend.id_to_token(getattr(special, role)) for role in _ROLES},
    )


def save_tokenizer(tokenizer: Any, folder: Path, longest: int = 512) -> None:
    """Write a folder that `transformers.AutoTokenizer.from_pretrained` reads; needs no transformers itself.

    Args:
        tokenizer: of the `tokenizers` library or of transformers.
        folder: replaced as a whole.
        longest: `model_max_length`, the model's positions.
    """
    with atomic_folder(folder) as scratch:
        write_tokenizer_files(tokenizer, scratch, longest)


def write_tokenizer_files(tokenizer: Any, folder: Path, longest: int = 512) -> None:
    """Write the tokenizer's files into an existing folder, beside a model's for example."""
    backend = Tokenizer.from_str(backend_of(tokenizer).to_str())
    backend.no_padding()
    backend.no_truncation()
    special = SpecialIds.of(backend)
    with atomic_file(folder / "tokenizer.json") as stream:
        stream.write(backend.to_str(pretty=True))
    names = {f"{role}_token": backend.id_to_token(getattr(special, role)) for role in _ROLES}
    inputs = {"model_max_length": longest, "model_input_names": _input_names(backend)}
    # This class takes tokenizer.json as it is; "BertTokenizer" would rebuild the normaliser from options.
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **inputs, **names})


def _input_names(backend: Tokenizer) -> list[str]:
    """What the tokenizer gives a model: segments too, if it tells the second text of a pair from the first."""
    has_segments = 1 in backend.encode("a", "b").type_ids
    return ["input_ids", "token_type_ids", "attention_mask"] if has_segments else ["input_ids", "attention_mask"]


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """A WordPiece tokenizer with BERT's cased normaliser, Chinese characters apart; [PAD] is 0, [MASK] 4.

    The same texts give the same vocabulary, in any process. (Left to itself, the trainer numbers the `##x` characters
    in the order of a randomly seeded hash table, and ties between pairs follow those numbers. So a first pass without
    merges collects these characters, and a second one is given them sorted.)

    Args:
        texts: kept in memory; some hundred megabytes are plenty.
        vocabulary_size: pieces, special tokens included; fewer if the texts do not yield as many. At most a third of
            it goes to different characters; the rarest beyond that become [UNK].

    Raises:
        DataError: no text.
    """
    kept = list(texts)
    alphabet = _alphabet(kept, vocabulary_size // 3)
    if not alphabet:
        raise DataError("no text to train a tokenizer on", "Check the corpus, or name a tokenizer: tokens.tokenizer.")
    continuing = sorted(piece for piece in _train(kept, 0, alphabet, []) if piece.startswith("##") and len(piece) > 2)
    vocabulary = _train(kept, vocabulary_size, alphabet, continuing)
    return wordpiece_tokenizer(vocabulary)


def _alphabet(texts: list[str], most: int) -> list[str]:
    """The most frequent characters that BERT's normaliser lets pass; ties by code point."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    normaliser = normalizers.BertNormalizer(lowercase=False)
    passing = [character for character in counts if normaliser.normalize_str(character).strip() == character]
    return sorted(passing, key=lambda character: (-counts[character], character))[:most]


def _train(texts: list[str], vocabulary_size: int, alphabet: list[str], continuing: list[str]) -> dict[str, int]:
    tokenizer = wordpiece_tokenizer({name: number for number, name in enumerate(SPECIAL_TOKENS)})
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL_TOKENS, *continuing],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    return vocabulary


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 of all that decides which ids a text gets: the vocabulary and the rules before it.

    A teacher and a student can share targets only if theirs are equal. Left out are padding, truncation, decoding
    and where [CLS] and [SEP] go; `strip_accents` unset counts as what it then means, the value of `lowercase`.
    """
    backend = backend_of(tokenizer)
    tree = json.loads(backend.to_str())
    model = {key: value for key, value in tree["model"].items() if key != "vocab"}
    parts = {
        "vocabulary": sorted((number, piece) for piece, number in backend.get_vocab(with_added_tokens=True).items()),
        "model": model,
        "normalizer": _canonical(tree["normalizer"]),
        "pre_tokenizer": tree["pre_tokenizer"],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _canonical(normalizer: Any) -> Any:
    is_bert = isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer"
    if is_bert and normalizer.get("strip_accents") is None:
        return {**normalizer, "strip_accents": normalizer.get("lowercase")}
    return normalizer
