"""A tokenizer with fewer pieces that spells what it still can spell as before; its tokenizer.json, rewritten by id.

Why text whose pieces are all kept is spelled as before:

- WordPiece takes the longest piece that matches. Without pieces that it did not take, the longest is still there. (A
  word that was [UNK] has no pieces to be kept; it may come to be spelled.)
- Unigram takes the likeliest path. Fewer pieces make fewer paths, of which the likeliest is still there with the same
  probability. (Kudo, Subword regularization, 2018, arXiv 1804.10959.) What [UNK] costs is ten below the least likely
  piece of all, so one of these is always kept.
- BPE makes the earliest merge of the list that it can make. All merges that lead to a kept piece are kept, with the
  pieces in between, in their order: the merge that was chosen in each step is still there, and none comes before it.
  (Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, 2016, arXiv 1508.07909.)

Ids are taken from the vocabulary as a map and never from the order of an iteration.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from unibert.errors import DataError, first_line
from unibert.files import atomic_file, write_json
from unibert.tokens.vocabulary import backend_of

KINDS = ("BPE", "Unigram", "WordPiece")
_WORD_START = "▁"
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class Vocabulary:
    """The pieces of a tokenizer, and what has to stay together.

    Args:
        tokenizer: of transformers or of the `tokenizers` library.
        name: the model's, for messages.

    Raises:
        DataError: a kind of tokenizer that cannot be trimmed.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        text = backend_of(tokenizer).to_str()
        self.specification: dict[str, Any] = json.loads(text)
        """tokenizer.json as a tree."""
        self.model: dict[str, Any] = self.specification["model"]
        self.kind = str(self.model.get("type"))
        """`WordPiece`, `Unigram` or `BPE`."""
        if self.kind not in KINDS:
            raise DataError(
                f"model {name}: its tokenizer is of the kind {self.kind}, which cannot be trimmed: nothing says how it "
                "spells a word with fewer pieces",
                f"Give a model with a tokenizer of one of these kinds: {', '.join(KINDS)}.",
            )
        self.backend = Tokenizer.from_str(text)
        """For counting: it neither pads nor cuts."""
        self.backend.no_padding()
        self.backend.no_truncation()
        self.id_of: dict[str, int] = self.backend.get_vocab(with_added_tokens=True)
        """Every piece's id, those of added tokens too."""
        self.piece_of = {number: piece for piece, number in self.id_of.items()}
        self.byte_level = any(node.get("type") == "ByteLevel" for node in self._nodes("pre_tokenizer", "normalizer"))
        """Whether pieces are of bytes, each written as a letter."""

    @property
    def rows(self) -> int:
        """One more than the largest id."""
        return max(self.piece_of) + 1

    @cached_property
    def unknown(self) -> int | None:
        """The id of [UNK]; None where there is none."""
        if self.kind == "Unigram":
            number = self.model.get("unk_id")
            return None if number is None else int(number)
        return self.id_of.get(self.model.get("unk_token"))  # type: ignore[arg-type]

    @cached_property
    def special(self) -> frozenset[int]:
        """What is no piece of text: added tokens, [UNK], and what is put around a text."""
        found = {self.id_of[token["content"]] for token in self.specification["added_tokens"]}
        for node in self._nodes("post_processor"):
            for token in (node.get("special_tokens") or {}).values():
                found.update(token["ids"])
            found.update(node[role][1] for role in ("sep", "cls") if isinstance(node.get(role), list))
        padding = self.specification.get("padding")
        found.update([padding["pad_id"]] if padding else [])
        return frozenset(found | ({self.unknown} if self.unknown is not None else set()))

    @cached_property
    def needed(self) -> frozenset[int]:
        """Pieces of text without which others would be spelled otherwise, or some bytes not at all."""
        found: set[int] = set()
        if self.model.get("byte_fallback"):
            found.update(self.id_of[piece] for piece in (f"<0x{byte:02X}>" for byte in range(256)) if piece in self)
        if self.kind == "Unigram":
            scores = {number: float(score) for number, (_, score) in enumerate(self.model["vocab"])}
            least = min(scores.values())
            found.add(next(number for number, score in scores.items() if score == least and number in self.piece_of))
        if self.byte_level:
            found.update(number for piece, number in self.id_of.items() if len(piece) == 1)
        if _WORD_START in self:
            found.add(self.id_of[_WORD_START])
        return frozenset(found)

    def __contains__(self, piece: str) -> bool:
        return piece in self.id_of

    def bare(self, number: int) -> str:
        """A piece without the marks that tell where in a word it stands."""
        piece = self.piece_of[number]
        prefix = self.model.get("continuing_subword_prefix") or ""
        piece = piece.removeprefix(prefix) if len(piece) > len(prefix) else piece
        suffix = self.model.get("end_of_word_suffix") or ""
        piece = piece.removesuffix(suffix) if len(piece) > len(suffix) else piece
        return piece.removeprefix(_WORD_START) if len(piece) > 1 and self.kind != "WordPiece" else piece

    @cached_property
    def _parts(self) -> dict[int, set[int]]:
        """Of BPE the pieces that each piece is merged from, in whichever way."""
        found: dict[int, set[int]] = {}
        for left, right, merged in self._merges():
            found.setdefault(self.id_of[merged], set()).update((self.id_of[left], self.id_of[right]))
        return found

    def _merges(self) -> Iterator[tuple[str, str, str]]:
        prefix = len(self.model.get("continuing_subword_prefix") or "")
        for merge in self.model.get("merges") or ():
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            yield left, right, left + right[prefix:]

    def with_parts(self, numbers: Collection[int]) -> set[int]:
        """Pieces, and of BPE all pieces that they are merged from."""
        found, waiting = set(numbers), list(numbers)
        if self.kind == "BPE":
            while waiting:
                new = self._parts.get(waiting.pop(), set()) - found
                found |= new
                waiting += new
        return found

    def numbered(self, kept: Collection[int]) -> list[int]:
        """The old ids in the order of the new ones: the place in the list is the new id.

        The order stays, but added tokens that the model part of tokenizer.json does not hold come last, as they do
        when the file is read.
        """
        model = self.model["vocab"]
        own = set(range(len(model))) if self.kind == "Unigram" else set(model.values())
        return sorted(kept, key=lambda number: (number not in own, number))

    def trimmed(self, numbered: Collection[int]) -> dict[str, Any]:
        """tokenizer.json with these pieces only, as a tree.

        Args:
            numbered: old ids in the order of the new ones; with all special and needed ones and their parts.
        """
        new_id = {old: new for new, old in enumerate(numbered)}
        tree: dict[str, Any] = json.loads(json.dumps({**self.specification, "model": None}))
        model = dict(self.model)
        if self.kind == "Unigram":
            model["vocab"] = [model["vocab"][old] for old in numbered if old < len(self.model["vocab"])]
            model["unk_id"] = None if self.unknown is None else new_id[self.unknown]
        else:
            own = self.model["vocab"]
            model["vocab"] = {
                piece: new_id[old] for old in numbered if (piece := self.piece_of[old]) in own and own[piece] == old
            }
        if self.kind == "BPE":
            model["merges"] = [[left, right] for left, right, merged in self._merges() if self.id_of[merged] in new_id]
        tree["model"] = model
        for token in tree["added_tokens"]:
            token["id"] = new_id[self.id_of[token["content"]]]
        tree["added_tokens"].sort(key=lambda token: token["id"])
        for node in _nodes(tree.get("post_processor")):
            _renumber(node, new_id)
        if tree.get("padding"):
            tree["padding"]["pad_id"] = new_id[tree["padding"]["pad_id"]]
        return tree

    def _nodes(self, *parts: str) -> Iterator[dict[str, Any]]:
        for part in parts:
            yield from _nodes(self.specification.get(part))


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a part of tokenizer.json: a sequence holds others."""
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


def _renumber(node: dict[str, Any], new_id: Mapping[int, int]) -> None:
    """Put new ids into a part of a post-processor: of a template, or of BERT's and RoBERTa's own kinds."""
    if node.get("type") == "TemplateProcessing":
        for token in node["special_tokens"].values():
            token["ids"] = [new_id[old] for old in token["ids"]]
    elif node.get("type") in ("BertProcessing", "RobertaProcessing"):
        for role in ("sep", "cls"):
            piece, old = node[role]
            node[role] = [piece, new_id[old]]


def open_trimmed(tree: Mapping[str, Any], numbered: Collection[int], vocabulary: Vocabulary, name: str) -> Tokenizer:
    """The tokenizer that a rewritten tree stands for, neither padding nor cutting.

    Raises:
        DataError: it cannot be read, or does not give each piece the id that it is meant to have.
    """
    fix = "The tokenizer has a form that cannot be trimmed; save it with a newer version of its library."
    try:
        backend = Tokenizer.from_str(json.dumps(tree, ensure_ascii=False))
    except Exception as error:  # the tokenizers library raises bare Exception for every problem in the file
        raise DataError(f"model {name}: its tokenizer cannot be rewritten ({first_line(error)})", fix) from None
    backend.no_padding()
    backend.no_truncation()
    wanted = {vocabulary.piece_of[old]: new for new, old in enumerate(numbered)}
    if backend.get_vocab(with_added_tokens=True) != wanted:
        raise DataError(f"model {name}: its tokenizer gives some pieces other ids when it is rewritten", fix)
    return backend


def write_trimmed(tokenizer: Any, tree: Mapping[str, Any], folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json into a folder.

    Args:
        tokenizer: the original one of transformers, which tells its special pieces and longest text.
        tree: tokenizer.json.
        folder: that is there.
    """
    with atomic_file(folder / "tokenizer.json") as stream:
        json.dump(tree, stream, ensure_ascii=False, indent=2)
    # This class takes tokenizer.json as it is; others would build parts of it again from options.
    configuration: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for key in ("model_max_length", "model_input_names", "padding_side", "truncation_side"):
        configuration[key] = getattr(tokenizer, key)
    if getattr(tokenizer, "clean_up_tokenization_spaces", None) is not None:
        configuration["clean_up_tokenization_spaces"] = tokenizer.clean_up_tokenization_spaces
    for role in _ROLES:
        token = getattr(tokenizer, f"{role}_token", None)
        if token is not None:
            configuration[f"{role}_token"] = str(token)
    extra = [str(token) for token in getattr(tokenizer, "extra_special_tokens", None) or ()]
    if extra:
        configuration["extra_special_tokens"] = extra
    write_json(folder / "tokenizer_config.json", configuration)
