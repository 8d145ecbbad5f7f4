"""Opening a tokenizer, whatever form it is kept in: vocabulary file, tokenizer file, folder or hub name."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from unibert.errors import DataError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def load_tokenizer_file(name: str) -> Tokenizer:
    """Open a tokenizer.

    Args:
        name: a `vocab.txt` (read as BERT's cased WordPiece: text cleaned, Chinese characters set apart, case and
            accents kept), a `tokenizer.json`, a folder that holds one of them, or a name on the Hugging Face hub.

    Raises:
        DataError: there is no such tokenizer, or the file is damaged or is something else.
    """
    if not name:
        raise DataError("the tokenizer's name is empty: no such tokenizer", "Name a file, a folder or a hub name.")
    path = Path(name).expanduser()
    if path.is_dir():
        for candidate in (path / "tokenizer.json", path / "vocab.txt"):
            if candidate.is_file():
                return load_tokenizer_file(str(candidate))
        raise DataError(
            f"{path}: no tokenizer.json and no vocab.txt in this folder", "Name a tokenizer's folder or file."
        )
    if path.is_file():
        return _from_vocabulary(path) if path.suffix == ".txt" else _from_tokenizer_file(path)
    # A hub name is NAME or OWNER/NAME; anything else that is not there was meant as a path.
    if path.suffix in (".txt", ".json") or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise DataError(f"{name}: no such tokenizer file or folder", "Check the path.")
    return _from_hub(name)


def wordpiece_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    """BERT's cased tokenizer around a WordPiece vocabulary (piece -> id) that holds the five special tokens."""
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder(prefix="##")
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _from_vocabulary(path: Path) -> Tokenizer:
    try:
        # Only the newline ends a piece: some vocabularies hold other characters that Python counts as line ends.
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "A vocabulary is UTF-8 text, one piece a line.") from None
    if lines and lines[-1] == "":
        lines.pop()
    pieces = [line.removesuffix("\r") for line in lines]
    vocabulary: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        if piece in vocabulary:
            raise DataError(
                f"{path}:{number + 1}: the piece {piece!r} stands here and on line {vocabulary[piece] + 1}",
                "Each piece may stand once; take the tokenizer's original file.",
            )
        vocabulary[piece] = number
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise DataError(
            f"{path}: {', '.join(missing)} not among its {len(pieces):,} lines",
            "Name the vocab.txt of a BERT tokenizer: one piece a line, special tokens included.",
        )
    return wordpiece_tokenizer(vocabulary)


def _from_tokenizer_file(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception for every problem in the file
        raise DataError(f"{path}: not a tokenizer file ({error})", "Name a tokenizer.json or a vocab.txt.") from None


def _from_hub(name: str) -> Tokenizer:
    try:
        return Tokenizer.from_pretrained(name)
    except Exception as error:  # offline, unknown name, no permission: the library has no common exception
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"{name}: neither a tokenizer file or folder here nor a tokenizer on the Hugging Face hub ({reason})",
            "Check the name; without a network, give the path of a tokenizer that was downloaded before.",
        ) from None
