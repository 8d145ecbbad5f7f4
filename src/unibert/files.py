"""Writing files so that nothing half-written ever stands under its final name."""

from __future__ import annotations

import errno
import glob
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from unibert.errors import DataError, UniBertError

# `.NAME.XXXXXXXX.tmp` is being written (or removed); `.NAME.XXXXXXXX.old` holds the NAME that is being replaced.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(?P<kind>tmp|old)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Libraries that write by themselves tell of the system's error in words only.
_FULL_IN_WORDS = re.compile(
    "|".join([*(rf"os error {number}\b" for number in _FULL), *(os.strerror(number) for number in _FULL)])
)


@contextmanager
def atomic_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a neighbour of `path` for writing; rename it to `path` only when the block ends well.

    The neighbour is flushed to the disk before the rename and the folder after it, so a power cut leaves either the
    old file or the new one, and the new one for good once the block has ended. On any exception, Ctrl-C included, the
    neighbour is removed.
    """
    make_folder(path.parent)
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
    _flush_folder(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty neighbour folder; rename it to `path` only when the block ends well.

    An existing `path` is replaced. As with files, all of it is flushed to the disk: a power cut leaves what was
    there before or the new folder with all that is in it.
    """
    make_folder(path.parent)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        yield scratch
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o777 & ~umask)
        for child in (*scratch.rglob("*"), scratch):
            if child.is_dir():
                _flush_folder(child)
            elif child.is_file():
                child.chmod(child.stat().st_mode | (0o666 & ~umask))  # safetensors makes files private, as mkstemp does
                _flush_file(child)
        if path.exists():
            # Two renames; after a crash between them `remove_leftovers` puts the old folder back.
            discarded = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
            aside = discarded / path.name
            try:
                os.replace(path, aside)
                os.replace(scratch, path)
                _flush_folder(path.parent)
            finally:
                if aside.exists() and not path.exists():
                    os.replace(aside, path)
                shutil.rmtree(discarded, ignore_errors=True)
        else:
            os.replace(scratch, path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    _flush_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it; at no time does a part of it stand under its name."""
    going = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.replace(path, going)
    shutil.rmtree(going, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in `folder` and below it; put back what one was just replacing.

    Only for who knows that nobody is writing there.
    """
    for path in list(folder.rglob(".*")) if folder.is_dir() else ():
        found = _LEFTOVER.fullmatch(path.name)
        if found is None:
            continue
        original, aside = path.with_name(found["name"]), path / found["name"]
        if found["kind"] == "old" and aside.exists() and not original.exists():
            os.replace(aside, original)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that they are still there after a power cut."""
    missing = list(itertools.takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _flush_folder(folder.parent)


def see_that_it_can_be_written(path: Path) -> None:
    """Refuse a place that cannot be written to before the work is done whose result goes there.

    Raises:
        DataError: names the place and the reason.
    """
    try:
        make_folder(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})", "Name another place for the result.") from None


def see_that_it_is_free(folder: Path) -> None:
    """Refuse a place where there is something already, before the work is done whose result goes there.

    Raises:
        DataError: there is something there, or nothing can be written there.
    """
    see_that_it_is_no_dead_link(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: there is something there already", "Name another folder, or remove this one.")
    see_that_it_can_be_written(folder)


def see_that_it_is_no_dead_link(folder: Path) -> None:
    """Refuse a link to a folder that is not there: it looks like a free place, and nothing can be moved to it.

    Raises:
        DataError: it is one.
    """
    if folder.is_symlink() and not folder.exists():
        raise DataError(f"{folder}: a link to something that is not there", "Name a folder, or remove the link.")


def _flush_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _flush_folder(path: Path) -> None:
    """Write a folder's names to the disk: without it a power cut may take back a rename."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return  # a folder that may be written but not read, or a system that opens no folders
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


@contextmanager
def telling_of_full_disk(path: Path) -> Iterator[None]:
    """What fails for want of room in this block, which writes `path`, is told with the file's name and what to do."""
    try:
        yield
    except UniBertError:
        raise
    except Exception as error:
        reason = _want_of_room(error)
        if reason is None:
            raise
        raise DataError(
            f"{path}: cannot be written ({getattr(reason, 'strerror', None) or reason})",
            "Make room on the disk, or allow larger files there, and run the same command again: what is finished is "
            "kept.",
        ) from error


def _want_of_room(error: BaseException | None) -> BaseException | None:
    """What says that there is no room (disk, quota, largest size of a file), in an error or in what led to it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno in _FULL:
                return error
        elif _FULL_IN_WORDS.search(str(error)):
            return error
        error = error.__cause__ or error.__context__
    return None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False, default=str)
        stream.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; one that is damaged or cannot be read is a DataError that names the file and the reason."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        fix = "Check its permissions, and that it is a file."
        raise DataError(f"{path}: cannot be read ({error.strerror or error})", fix) from None
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
