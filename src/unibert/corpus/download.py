"""Dumps from a mirror into a folder: resumed, verified, never fetched twice."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from unibert.corpus.mirror import CONNECTIONS, DUMP_NAME, DumpFile, Mirror, Missing, Stopped
from unibert.corpus.transfer import differs, fetch_file, part_of, size_of, told_bytes
from unibert.errors import DataError, Interrupted
from unibert.files import read_json, write_json
from unibert.languages import Language, select_languages
from unibert.progress import progress_bar

WIKIMEDIA = "https://dumps.wikimedia.org"
RECORD = "downloads.json"
_AGAIN = "Run the same command again: it goes on from there."

T = TypeVar("T")


@dataclass
class Downloads:
    """What was asked for, and what of it was not in the folder before."""

    folder: Path
    files: list[DumpFile] = field(default_factory=list)
    fetched: list[DumpFile] = field(default_factory=list)
    """Those that were (in a dry run: would be) downloaded."""
    problems: list[DataError] = field(default_factory=list)
    """Of a dry run: wikis without such a dump."""


def download_dumps(
    languages: Iterable[str],
    date: str = "latest",
    mirror: str = WIKIMEDIA,
    output: Path = Path("dumps"),
    *,
    dry_run: bool = False,
    verify: bool = False,
    contact: str = "",
    stall: float = 60.0,
    retries: int = 10,
    pause: float = 1.0,
) -> Downloads:
    """Download the articles of these Wikipedias with their indices, flat into one folder.

    What is there is not fetched again; what was broken off goes on where it stopped, in `NAME.part`. Each file is
    checked against the mirror's SHA-1 (MD5 where there is none, else its size alone) before it gets its name, and
    entered into `downloads.json` beside it. One folder holds one date of a wiki, since two would count every article
    twice: `latest` stays with a date that the folder has begun.

    Args:
        languages: codes; `paper` and `all` stand for many.
        date: `YYYYMMDD`, or `latest`: the newest dump whose articles are finished, wiki by wiki.
        mirror: address of the mirror.
        output: the folder; made if it is not there.
        dry_run: only look what there is to download.
        verify: compute the checksums of files that are complete already, too.
        contact: an e-mail address or page by which the mirror's operators reach whoever runs this.
        stall: seconds without a byte after which a connection is given up.
        retries: attempts in a row that may bring nothing before a file is given up.
        pause: seconds before the second attempt; each further pause is twice as long, up to a minute.

    Raises:
        DataError: an unknown wiki or date, no room on the disk, another date in the folder; or, at the end of all
            others, files that could not be downloaded.
        Interrupted: on Ctrl-C; what has arrived is kept.
    """
    wanted = select_languages(languages)
    if date != "latest" and not re.fullmatch(r"\d{8}", date):
        raise DataError(f"{date!r} is not a date of a dump", "Write it as 20261101, or `latest`.")
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: not a folder", "Name another --output.")
    source = Mirror(mirror, contact=contact, stall=stall, retries=retries, pause=pause, tell=_tell)
    result = Downloads(output)
    try:
        if dry_run:
            result.problems = _look(source, wanted, date, result)
            result.fetched = [file for file in result.files if size_of(output / file.name) != file.size]
            return result
        output.mkdir(parents=True, exist_ok=True)
        with _only_one(output):
            problems = _look(source, wanted, date, result)
            record = _Record(output)
            result.fetched = _missing(result, record, verify)
            _check_room(output, result.fetched)
            problems += _fetch_all(source, result, record)
    except KeyboardInterrupt:
        ready = sum(size_of(output / file.name) == file.size for file in result.files)
        raise Interrupted(
            f"{output}: interrupted; {ready} of {len(result.files)} files are complete, what came of others is kept",
            _AGAIN,
        ) from None
    if len(problems) == 1:
        raise problems[0]
    if problems:
        told = "\n".join(f"  {problem.message}" for problem in problems)
        fixes = list(dict.fromkeys(problem.fix for problem in problems if problem.fix))[:3]
        raise DataError(f"{len(problems)} things could not be downloaded:\n{told}", "\n       ".join([*fixes, _AGAIN]))
    return result


def read_downloads(folder: Path) -> dict[str, dict[str, Any]]:
    """What `downloads.json` of a folder says of each file that is still there, by name; {} where there is none.

    An entry has `language`, `wiki`, `date`, `url`, `size`, `sha1`, `md5`, `verified` (by what: "sha1", "md5" or
    "size"), `modified` (of the file, in ns) and `downloaded` (a time in ISO 8601).
    """
    if not (folder / RECORD).exists():
        return {}
    files = read_json(folder / RECORD)
    files = files.get("files") if isinstance(files, dict) else None
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise DataError(f"{folder / RECORD}: not a record of downloads", "Delete it; the files are then checked anew.")
    return {name: entry for name, entry in files.items() if (folder / name).exists()}


def format_downloads(result: Downloads) -> str:
    """One line per wiki: date, files, size, and how much of it was not there yet; a sum below."""
    rows = []
    for wiki in dict.fromkeys(file.wiki for file in result.files):
        files = [file for file in result.files if file.wiki == wiki]
        new = [file for file in files if file in result.fetched]
        rows.append(f"{wiki:18} {files[0].date}  {_told(files)}, {_told(new)} of them new")
    rows += [f"error: {problem.message}" for problem in result.problems]
    return "\n".join([*rows, f"{result.folder}: {_told(result.files)}, {_told(result.fetched)} of them new"])


def _told(files: Sequence[DumpFile]) -> str:
    return f"{len(files)} file{'s' * (len(files) != 1)} ({told_bytes(sum(file.size for file in files))})"


def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)  # above the progress bar, if there is one


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two downloads into one folder would write into the same parts."""
    try:
        import fcntl
    except ImportError:  # a system without such locks
        yield
        return
    with (folder / ".downloads.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{folder}: another download is writing into it", "Wait for it, or name another --output."
            ) from None
        except OSError:
            pass  # a file system that knows no locks
        yield


def _look(source: Mirror, wanted: list[Language], date: str, result: Downloads) -> list[DataError]:
    """Fill `result.files` with what the mirror has; what is wrong with single wikis is returned."""
    begun: dict[str, set[str]] = {}
    for path in result.folder.iterdir() if result.folder.exists() else ():
        if match := DUMP_NAME.fullmatch(path.name.removesuffix(".part")):
            begun.setdefault(match["wiki"], set()).add(match["date"])
    found: dict[str, list[DumpFile]] = {}
    with progress_bar(len(wanted), "look", "wiki", leave=False) as bar:

        def look(entry: Language) -> None:
            found[entry.wiki] = _find(source, entry, date, begun.get(entry.wiki, set()), result.folder)
            bar.update()

        problems = _side_by_side(source, wanted, look)
    result.files = [file for entry in wanted for file in found.get(entry.wiki, [])]
    return problems


def _missing(result: Downloads, record: _Record, verify: bool) -> list[DumpFile]:
    """The files that are not in the folder, or not as they should be; what nobody vouches for is read to find out."""
    there = [file for file in result.files if size_of(result.folder / file.name) == file.size]
    unsure = [file for file in there if verify or not record.knows(file)]
    broken = _read_through(unsure, result.folder, record) if unsure else set()
    return [file for file in result.files if file not in there or file.name in broken]


def _read_through(files: Sequence[DumpFile], folder: Path, record: _Record) -> set[str]:
    """Enter those whose checksums are right; the names of the others."""
    broken = set()
    with progress_bar(sum(file.size for file in files), "verify", "B", unit_scale=True, leave=False) as bar:
        for file in files:
            if differs(folder / file.name, file):
                broken.add(file.name)
                _tell(f"{folder / file.name}: its checksum is wrong; it is downloaded again")
            else:
                record.enter(file)
            bar.update(file.size)
    return broken


def _find(source: Mirror, entry: Language, date: str, begun: set[str], folder: Path) -> list[DumpFile]:
    """The files of one wiki's dump of the date that is asked for."""
    other = sorted(begun - {date})
    if other and (date != "latest" or len(other) > 1):
        raise DataError(
            f"{folder}: holds {entry.wiki} of {', '.join(other)} already; a second date would count its articles twice",
            f"Name another --output, or delete {folder / f'{entry.wiki}-{other[0]}-*'}.",
        )
    dates = source.dates(entry.wiki) if date == "latest" else []
    if other and dates and dates[0] > other[0]:
        _tell(f"{entry.wiki}: stays at {other[0]}, which {folder} holds; the mirror lists {dates[0]}")
    for candidate in other or ([date] if date != "latest" else dates):
        # A dump that is just being made has no status yet; one that is named must have it.
        try:
            files = source.files(entry, candidate)
        except Missing:
            files = None
        if files:
            return files
    try:
        dates = dates or source.dates(entry.wiki)
    except Missing:
        raise
    except DataError:
        pass  # a mirror without listings; it has not got this date all the same
    asked = (other or [date])[0]
    what = "no dump whose articles are finished" if asked == "latest" else f"no finished dump of {asked}"
    raise DataError(
        f"{source.address}/{entry.wiki}/: {what}; the mirror lists {', '.join(dates) or 'no date at all'}",
        f"Delete {folder / f'{entry.wiki}-{asked}-*'}, which the mirror cannot complete, to take another date."
        if other
        else "Name one of these dates with --date, `latest` for the newest that is finished, or another --mirror.",
    )


def _check_room(folder: Path, files: Sequence[DumpFile]) -> None:
    needed = sum(max(file.size - size_of(part_of(folder, file)), 0) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {told_bytes(needed)} are to be downloaded, {told_bytes(free)} are free on this disk; "
            f"{told_bytes(needed - free)} are missing",
            "Make room, name another --output, or fewer --languages.",
        )


def _fetch_all(source: Mirror, result: Downloads, record: _Record) -> list[DataError]:
    """Download what is missing, the largest first so that no big one is left alone at the end."""
    if not result.fetched:
        return []
    lock = threading.Lock()
    begun = sum(min(size_of(part_of(result.folder, file)), file.size) for file in result.fetched)
    total = sum(file.size for file in result.fetched)
    with progress_bar(total, "download", "B", unit_scale=True, initial=begun) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        def fetch(file: DumpFile) -> None:
            fetch_file(source, file, result.folder, advance)
            with lock:
                record.enter(file)

        return _side_by_side(source, sorted(result.fetched, key=lambda file: -file.size), fetch)


class _Record:
    """`downloads.json`: which files were verified, by what, and where they are from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._entries = read_downloads(folder)
        except DataError as error:
            _tell(f"{error.message}; the files are checked anew")
            self._entries = {}

    def knows(self, file: DumpFile) -> bool:
        """Was this very file verified, and not touched since?"""
        entry = self._entries.get(file.name, {})
        modified = (self._folder / file.name).stat().st_mtime_ns
        return modified == entry.get("modified") and all(
            entry.get(key) == getattr(file, key) for key in ("size", "sha1", "md5")
        )

    def enter(self, file: DumpFile) -> None:
        about = {key: value for key, value in asdict(file).items() if key != "name"}
        self._entries[file.name] = about | {
            "verified": file.checksum[0] if file.checksum else "size",
            "modified": (self._folder / file.name).stat().st_mtime_ns,
            "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(self._folder / RECORD, {"files": dict(sorted(self._entries.items()))})


def _side_by_side(source: Mirror, items: Sequence[T], work: Callable[[T], None]) -> list[DataError]:
    """Do `work` on every item in as many threads as we may have connections; what went wrong, in the items' order.

    On Ctrl-C the threads are asked to stop and not waited for long: one may sit in a read until the server stalls.
    """
    waiting, problems, fatal = deque(enumerate(items)), dict[int, DataError](), list[BaseException]()

    def run() -> None:
        while not source.stop.is_set():
            try:
                number, item = waiting.popleft()
            except IndexError:
                return
            try:
                work(item)
            except DataError as error:
                problems[number] = error
                if len(items) > 1:
                    source.tell(f"error: {error.message}")
            except Stopped:
                return
            except BaseException as error:
                fatal.append(error)
                source.stop.set()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(CONNECTIONS)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except BaseException:
        source.stop.set()
        for thread in threads:
            thread.join(1.0)
        raise
    if fatal:
        raise fatal[0]
    return [problems[number] for number in sorted(problems)]
