"""Text files of all kinds, read whole; and JSON lines."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unibert.errors import DataError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, likely: str = "") -> str:
    """The text of a UTF-8 file; gzip is unpacked, whatever the file is called.

    Args:
        path: the file.
        likely: what such files are like when they are not UTF-8, for the message.

    Raises:
        DataError: a missing or empty file, a damaged archive, another encoding.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "Check the path; it is relative to the current folder.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error})", "Download or write it again.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "Name a readable file.") from None
    if not data.strip():
        told = "the file is empty but for white space" if data else "the file is empty"
        raise DataError(f"{path}: {told}", "Download or write it again.")
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if data.startswith(_UTF_16):
        raise DataError(
            f"{path}:1: UTF-16, not UTF-8", f"Convert it: iconv -f UTF-16 -t UTF-8 {plain} > {plain.name}.utf8"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x})" + (f"; {likely}" if likely else ""),
            f"Convert it: iconv -f ISO-8859-1 -t UTF-8 {plain} > {plain.name}.utf8",
        ) from None
    # Old Macs ended lines with a carriage return alone, and so does Excel's "CSV (Macintosh)".
    return text if "\n" in text else text.replace("\r", "\n")


def json_lines(text: str, path: Path, fix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSON lines, with their lines' numbers from 1; empty lines are left out.

    Args:
        text: of the file.
        path: its name, for messages.
        fix: what to do about a line that is something else.

    Raises:
        DataError: names file and line.
    """
    # Only the newline ends a line: JSON strings may hold other characters that Python counts as line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # also thousands of digits, or of brackets
            raise DataError(f"{path}:{number}: not a JSON object on one line ({error})", fix) from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: {kind_of_json(row)} where an object should be", fix)
        yield number, row


def kind_of_json(value: Any) -> str:
    """What a JSON value is, in words: `a list`."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
