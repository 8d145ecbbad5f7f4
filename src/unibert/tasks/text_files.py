"""Text files of all kinds, read whole."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

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
        raise DataError(f"{path}: the file is empty", "Download or write it again.")
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
