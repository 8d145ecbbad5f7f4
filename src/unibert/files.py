"""Writing files so that nothing half-written ever stands under its final name."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from unibert.errors import DataError


@contextmanager
def atomic_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a neighbour of `path` for writing; rename it to `path` only when the block ends well.

    The neighbour is flushed to the disk before the rename, so a power cut leaves either the old
    file or the new one. On any exception, Ctrl-C included, the neighbour is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    encoding = None if "b" in mode else "utf-8"
    try:
        with os.fdopen(descriptor, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes files private; results are not secrets
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty neighbour folder; rename it to `path` only when the block ends well.

    An existing `path` is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        yield scratch
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o777 & ~umask)
        for child in scratch.rglob("*"):
            if child.is_file():
                _flush_to_disk(child)
        if path.exists():
            # Two renames, so that a crash between them leaves a complete folder under either name.
            discarded = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
            os.replace(path, discarded / path.name)
            os.replace(scratch, path)
            shutil.rmtree(discarded, ignore_errors=True)
        else:
            os.replace(scratch, path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


@contextmanager
def telling_of_full_disk(path: Path) -> Iterator[None]:
    """What fails for want of room in this block, which writes `path`, is told with the file's name and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error})",
            "Make room on the disk, or allow larger files there, and run the same command again: what is finished is "
            "kept.",
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False, default=str)
        stream.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one is a DataError that names the file and the line."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})", "Delete the file and run the stage again.") from None


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits; reads 1 MiB at a time."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """16 hexadecimal digits that depend on every key and value of a JSON-like tree, not on key order."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def expand(
    patterns: Iterable[str | Path], what: str, left_out: Callable[[Path], object] = lambda path: False
) -> list[Path]:
    """Turn files, folders and globs into a sorted list of files without repetition.

    Args:
        patterns: files, folders, globs.
        what: is looked for, for messages.
        left_out: tells which files are not meant, though a pattern matches them.

    Raises:
        DataError: a pattern that matches nothing.
    """
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            matches = [child for child in path.iterdir() if child.is_file() and not child.name.startswith(".")]
        else:
            matches = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]
        matches = [path for path in matches if not left_out(path)]
        if not matches:
            raise DataError(f"{pattern}: no such {what}", "Check the path; it is relative to the current folder.")
        found.update(matches)
    return sorted(found)
