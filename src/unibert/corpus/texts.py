"""Text that is not a dump: plain text, JSON lines and Parquet, whose lines go through the same rules.

What cannot be read is left out, counted, and named with its line in the source's `damage`; it never stops the rest.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from unibert.corpus.compression import DAMAGE, ByteStream, damage_reason, open_compressed
from unibert.corpus.sources import Sample
from unibert.errors import DataError
from unibert.languages import LANGUAGES, language_of_file

_BLOCK = 1 << 18  # bytes
_LONGEST_LINE = 64 << 20
"""Bytes; a longer line is left out, because it would fill the memory."""
_REPORT_EVERY = 1 << 20  # bytes of input
_BATCH = 256  # rows of Parquet
_LARGEST_ID = 2**63 - 1

_COMPRESSED = re.compile(r"\.(?:gz|bz2|zst)$")
_KINDS = {".txt": "lines", ".text": "lines", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "table"}


class Document(NamedTuple):
    """One line of plain text, one JSON object, one row."""

    text: str
    title: str = ""
    page_id: int = 0


def is_text(path: Path) -> bool:
    """Whether a file's name ends as one that `open_text` reads."""
    return _ending(path) in _KINDS


def open_text(path: Path, text_column: str = "text", advance: Callable[[int], None] | None = None) -> TextSource:
    """The samples of a file of text, in constant memory; what kind it is tells its name.

    `.txt` has a sample in each line; `.jsonl`, `.ndjson` and `.json` have an object in each line, `.parquet` has rows
    (as `wikimedia/wikipedia` on the Hugging Face hub), and each line of an object's or a row's text is a sample. All
    but Parquet may be compressed by gzip, bzip2 or Zstandard and may be UTF-16 with a byte-order mark.

    `title` and `id`, where they are there, become the sample's title and page. A document without a number has its
    own in the file instead (the line's, the row's), so that its paragraphs stay together as those of a page do.

    Args:
        path: the file; any other ending is taken for plain text.
        text_column: the field or column with the text.
        advance: is told how many more bytes of the file have been read; their sum is the file's size.
    """
    lost = _Lost(path.name)
    advance = advance or (lambda size: None)
    kind = _KINDS.get(_ending(path))
    if kind == "table":
        return TextSource(lambda: _rows(path, text_column, advance, lost), lost)
    if kind == "json":
        return TextSource(lambda: _objects(path, text_column, advance, lost), lost)
    return TextSource(lambda: (Document(line) for _, line in _lines(path, advance, lost)), lost)


def language_of_text(path: Path | str) -> str:
    """The language of a text file: `de.txt.gz`, `de.jsonl`, `20231101.de/train-00000-of-00001.parquet`, `de/a.jsonl`.

    Raises:
        DataError: neither the file's name nor its folder's has a language.
    """
    path = Path(path)
    stem = _COMPRESSED.sub("", path.name)
    stem = stem.removesuffix(_ending(path))
    for word in (stem, stem.rpartition(".")[2], path.parent.name, path.parent.name.rpartition(".")[2]):
        code = _code(word)
        if code in LANGUAGES:
            return code
    # A language that is not in the table. Too many folders have short names to be asked for every kind of file.
    code = _code(stem) or (_code(path.parent.name.rpartition(".")[2]) if _ending(path) == ".parquet" else None)
    if code:
        return code
    raise DataError(
        f"{path}: no language in the file's name or its folder's",
        "Name the file de.txt, de.jsonl or de.parquet, or put it into a folder called de or 20231101.de.",
    )


def _code(word: str) -> str | None:
    """The language that Wikimedia means by `de`, `zh-yue` or `be-x-old`, or by the name of a wiki or dump."""
    for name in (word, f"{word}.txt", f"{word.replace('-', '_')}wiki-"):
        try:
            return language_of_file(name)
        except DataError:
            continue
    return None


def _ending(path: Path) -> str:
    return Path(_COMPRESSED.sub("", path.name)).suffix


class _Lost:
    """What was left out of a file: how many lines for each reason, and which was the first."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.unit = "line"
        self.read = 0
        """Lines or rows seen, the lost ones included."""
        self.ended = ""
        """Why reading ended before the end of the file."""
        self._reasons: dict[str, tuple[int, int, str]] = {}

    def add(self, reason: str, place: int, number: int = 1, detail: str = "") -> None:
        """Count lines; of each reason the first place is kept with its detail, so that the memory stays small."""
        count, first, its_detail = self._reasons.get(reason, (0, place, detail))
        self._reasons[reason] = (count + number, first, its_detail)

    def __str__(self) -> str:
        told = [
            f"{count:,} of {self.read:,} {self.unit}s {reason} and were left out, the first is {self.unit} {first:,}"
            + (f" ({detail})" if detail else "")
            for reason, (count, first, detail) in self._reasons.items()
        ]
        told += [self.ended] if self.ended else []
        return f"{self.file}: {'; '.join(told)}" if told else ""


class TextSource:
    """The samples of a file, in its order: the lines of its documents, in NFC and with single spaces."""

    def __init__(self, documents: Callable[[], Iterator[Document]], lost: _Lost) -> None:
        self._documents, self._lost = documents, lost

    @property
    def damage(self) -> str | None:
        """What was left out so far and why; None if all is sound."""
        return str(self._lost) or None

    def __iter__(self) -> Iterator[Sample]:
        for document in self._documents():
            for line in document.text.split("\n"):
                text = unicodedata.normalize("NFC", " ".join(line.split()))
                if text:
                    yield Sample(text, document.title, document.page_id, "")


# --- lines ---


def _lines(path: Path, advance: Callable[[int], None], lost: _Lost) -> Iterator[tuple[int, str]]:
    """The numbers (from 1) and texts of the lines that are sound, without their ends."""
    reported = 0

    def blocks(stream: ByteStream) -> Iterator[bytes]:
        nonlocal reported
        while block := stream.read1(_BLOCK):
            if raw.tell() - reported >= _REPORT_EVERY:
                advance(raw.tell() - reported)
                reported = raw.tell()
            yield block

    with path.open("rb") as raw:
        try:
            for line in _split(_as_utf8(blocks(open_compressed(raw)[0]))):
                lost.read += 1
                if line is None:
                    lost.add(f"are longer than {_LONGEST_LINE >> 20} MiB", lost.read)
                    continue
                try:
                    yield lost.read, line.decode()
                except UnicodeDecodeError:
                    lost.add("are not UTF-8", lost.read)
        except DAMAGE as error:
            lost.ended = f"{damage_reason(error)} after line {lost.read:,}; read the lines before it"
        except UnicodeDecodeError:
            lost.ended = f"the UTF-16 ends in the middle of a character after line {lost.read:,}"
    if not lost.read and not lost.ended:
        lost.ended = "the file is empty"
    advance(path.stat().st_size - reported)


def _as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of UTF-8, or of UTF-16 that begins with a byte-order mark, as UTF-8 without the mark.

    Half a surrogate pair in UTF-16 is handed on as bytes that are not UTF-8, so that it harms its own line only.
    """
    start = b""
    for block in blocks:
        start += block
        if len(start) >= len(codecs.BOM_UTF8):
            break
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
    yield decoder.decode(start).encode(errors="surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode(errors="surrogatepass")
    decoder.decode(b"", final=True)


def _split(blocks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Lines of blocks; None for one that is too long."""
    pending: list[bytes] = []
    size = 0
    for block in blocks:
        *ends, rest = block.split(b"\n")
        for end in ends:
            if not pending:
                yield end
                continue
            size += len(end)
            yield b"".join([*pending, end]) if size <= _LONGEST_LINE else None
            pending, size = [], 0
        if rest:
            size += len(rest)
            pending = [*pending, rest] if size <= _LONGEST_LINE else [b""]
    if pending:
        yield b"".join(pending) if size <= _LONGEST_LINE else None


# --- JSON lines ---


def _objects(path: Path, column: str, advance: Callable[[int], None], lost: _Lost) -> Iterator[Document]:
    for number, line in _lines(path, advance, lost):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            lost.add("are not JSON", number)
            continue
        if not isinstance(found, dict):
            lost.add("are not a JSON object", number)
        elif column not in found:
            lost.add(f"have no field {column!r}", number, detail=_names(found))
        elif not isinstance(found[column], str):
            lost.add(f"have a field {column!r} that is not a text", number)
        else:
            yield Document(_whole(found[column]), _title(found.get("title")), _page_id(found.get("id"), number))


def _whole(text: str) -> str:
    """The text without half surrogate pairs, which JSON can spell and no file can hold."""
    return text if text.isascii() else text.encode(errors="ignore").decode()


def _title(value: Any) -> str:
    return " ".join(_whole(value).split()) if isinstance(value, str) else ""


def _page_id(value: Any, number: int) -> int:
    """The document's own number, written as a number or as digits; its place in the file where it has none."""
    digits = str(value)
    if isinstance(value, int | str) and re.fullmatch(r"[0-9]{1,19}", digits) and 0 < int(digits) <= _LARGEST_ID:
        return int(digits)
    return number


def _names(found: Iterable[str]) -> str:
    names = sorted(found)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"there are {', '.join(names[:10])}{more}" if names else "there is none"


# --- Parquet ---


def _rows(path: Path, column: str, advance: Callable[[int], None], lost: _Lost) -> Iterator[Document]:
    """The rows; a row group that is damaged is left out, the others are read."""
    lost.unit = "row"
    size, reported = path.stat().st_size, 0
    try:
        # Streamed, not read ahead: a row group may be larger than the memory.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BLOCK, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if names.count(column) == 1:
                # Of several columns of one name none can be asked for.
                columns = [name for name in dict.fromkeys((column, "title", "id")) if names.count(name) == 1]
                total = max(file.metadata.num_rows, 1)
                for group in range(file.num_row_groups):
                    yield from _row_group(file, group, column, columns, lost)
                    advance(size * lost.read // total - reported)
                    reported = size * lost.read // total
            else:
                several = "several columns" if column in names else "no column"
                lost.ended = f"{several} {column!r} ({_names(names)})"
    except _DAMAGED as error:
        lost.ended = f"cannot be read as Parquet ({_one_line(error)})"
    advance(size - reported)


_DAMAGED = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What pyarrow raises for bytes that are not what they should be."""


def _row_group(file: pq.ParquetFile, group: int, column: str, columns: list[str], lost: _Lost) -> Iterator[Document]:
    end = lost.read + file.metadata.row_group(group).num_rows
    try:
        for batch in file.iter_batches(_BATCH, row_groups=[group], columns=columns):
            values = {name: batch.column(name) for name in batch.schema.names}
            for row in range(batch.num_rows):
                lost.read += 1
                try:
                    found = {name: values[name][row].as_py() for name in columns}
                except UnicodeDecodeError:
                    lost.add("are not UTF-8", lost.read)
                    continue
                if found[column] is None:
                    lost.add("have no text", lost.read)
                elif not isinstance(found[column], str):
                    lost.add(f"have a column {column!r} that is not a text", lost.read)
                else:
                    yield Document(found[column], _title(found.get("title")), _page_id(found.get("id"), lost.read))
    except _DAMAGED as error:
        lost.add("are in a damaged row group", lost.read + 1, end - lost.read, _one_line(error))
    lost.read = end


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
