"""A mirror of Wikimedia's dumps: which dumps it has, and requests that tell what may pass from what will not."""

from __future__ import annotations

import email.utils
import importlib.metadata
import json
import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
    TimeoutError,
)

from unibert import __version__
from unibert.errors import DataError
from unibert.languages import Language

CONNECTIONS = 2
"""Wikimedia asks for no more than two at a time."""
DUMP_NAME = re.compile(
    r"(?P<wiki>[a-z][a-z0-9_]*)-(?P<date>\d{8})-pages-articles-multistream"
    r"(?:(?P<part>\d*)\.xml|-index(?P<index>\d*)\.txt)(?P<pages>-p\d+p\d+)?\.bz2"
)
_DATE_LINK = re.compile(r"""href=["'](?:[^"']*/)?(\d{8})/?["']""", re.IGNORECASE)
_MAY_PASS = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 3600.0
"""Seconds; a server that asks for a longer pause is not waited for."""


class MayPass(Exception):
    """Something went wrong that may go right when it is tried again, after `wait` seconds if the server said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Stopped(Exception):
    """The user asked to stop while we waited or read."""


class Missing(DataError):
    """The mirror has nothing under this address (404 or 410)."""


@dataclass(frozen=True)
class DumpFile:
    """One file of a dump: a part of the articles, or the index of such a part."""

    language: str
    wiki: str
    date: str
    name: str
    url: str
    size: int
    """In bytes."""
    sha1: str | None
    md5: str | None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The name of the better algorithm that the mirror gives and its hexadecimal digits; None if it gives none."""
        if self.sha1:
            return ("sha1", self.sha1)
        return ("md5", self.md5) if self.md5 else None


class Mirror:
    """Requests to one mirror, two connections at most, identified as ours.

    Args:
        address: `https://dumps.wikimedia.org` or a mirror of its layout; the environment's proxy is used.
        contact: an e-mail address or page by which the operators reach whoever runs this; sent with every request.
        stall: seconds without a byte after which a connection is given up.
        retries: attempts in a row that may bring nothing before a file is given up.
        pause: seconds before the second attempt; each further pause is twice as long, up to a minute.
        stop: set from outside to end waiting and reading.
        tell: shows a line to the user.
    """

    def __init__(
        self,
        address: str,
        *,
        contact: str = "",
        stall: float = 60.0,
        retries: int = 10,
        pause: float = 1.0,
        stop: threading.Event | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.address = address.rstrip("/")
        self.stall, self.retries, self.pause, self.tell = stall, retries, pause, tell
        self.stop = stop or threading.Event()
        try:
            parts = urllib.parse.urlsplit(self.address)
            sound = parts.scheme in ("http", "https") and parts.port != 0
        except ValueError:  # half a bracket, a port that is none
            sound = False
        if not sound or not parts.hostname:
            raise DataError(f"{address!r} is not the address of a mirror", "Name one as https://dumps.wikimedia.org.")
        client = f"urllib3/{importlib.metadata.version('urllib3')}"
        agent = f"unibert/{__version__} ({contact or 'text corpora from Wikipedia dumps'}) {client}"
        options: dict[str, Any] = {
            # Compressed on the way, a file could not be resumed by its bytes.
            "headers": {"User-Agent": agent, "Accept-Encoding": "identity"},
            "maxsize": CONNECTIONS,
            "block": True,
            "timeout": urllib3.Timeout(connect=min(stall, 30.0), read=stall),
            # Only redirects are followed here: what was read of a file before an error must not be asked for again.
            "retries": urllib3.Retry(
                total=None, connect=0, read=0, redirect=5, status=0, other=0, respect_retry_after_header=False
            ),
        }
        proxy = None if urllib.request.proxy_bypass(parts.hostname) else urllib.request.getproxies().get(parts.scheme)
        self._pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)

    @contextmanager
    def open(self, url: str, offset: int = 0) -> Iterator[urllib3.BaseHTTPResponse]:
        """Ask for a file from byte `offset` on; the answer is 200 (the whole), 206 (the rest) or 416 (no such byte).

        Raises:
            MayPass: no or a broken connection, also within the block; an overloaded or failing server.
            Missing: 404.
            DataError: any other refusal.
        """
        try:
            response = self._pool.request(
                "GET",
                url,
                headers={**self._pool.headers, **({"Range": f"bytes={offset}-"} if offset else {})},
                preload_content=False,
            )
            try:
                if response.status not in ((200, 206, 416) if offset else (200,)):
                    raise _refusal(url, response.status, response.headers.get("Retry-After"))
                yield response
            finally:
                response.close()  # what was not read to its end cannot carry another request
                response.release_conn()  # without it, the pool would wait for this connection for ever
        except HTTPError as error:
            raise MayPass(self._reason(error)) from error

    def dates(self, wiki: str) -> list[str]:
        """The dates of which the mirror lists a dump of this wiki, newest first."""
        url = f"{self.address}/{wiki}/"
        try:
            return sorted(set(_DATE_LINK.findall(self._text(url))), reverse=True)
        except Missing:
            raise Missing(
                f"{url}: the mirror has no such wiki",
                "`unibert languages` lists the codes; another mirror may have more wikis.",
            ) from None

    def files(self, entry: Language, date: str) -> list[DumpFile] | None:
        """The articles of one dump in all their parts, with the indices; None if the dump is not finished.

        Raises:
            Missing: no dump of this date.
            DataError: a dumpstatus.json that cannot be read.
        """
        url = f"{self.address}/{entry.wiki}/{date}/dumpstatus.json"
        try:
            jobs = json.loads(self._text(url))["jobs"].values()
            return _choose([job for job in jobs if isinstance(job, dict)], entry, date, self.address)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise DataError(
                f"{url}: not the status of a dump ({type(error).__name__}: {error})",
                "Try again later, or name another --date or --mirror.",
            ) from None

    def _text(self, url: str) -> str:
        patience = Patience(self, url, retries=min(self.retries, 4))
        while True:
            try:
                with self.open(url) as response:
                    return response.read(decode_content=False).decode("utf-8", errors="replace")
            except MayPass as problem:
                patience.wait(problem)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, MaxRetryError) and error.reason is not None:
            error = error.reason
        if isinstance(error, NameResolutionError):
            return "the mirror's name cannot be resolved"
        if isinstance(error, NewConnectionError):
            return f"no connection ({str(error).rpartition(': ')[2]})"
        if isinstance(error, TimeoutError):
            return f"not a byte for {self.stall:g} s"
        if isinstance(error, SSLError):
            return f"no secure connection ({error})"
        return f"the connection broke ({type(error).__name__})"


class Patience:
    """Waits between attempts, longer each time, and gives up after too many in a row that brought nothing."""

    def __init__(self, mirror: Mirror, what: str, retries: int | None = None) -> None:
        self._mirror, self._what = mirror, what
        self._retries = mirror.retries if retries is None else retries
        self._failed = 0

    def progressed(self) -> None:
        """The last attempt brought something."""
        self._failed = 0

    def wait(self, problem: MayPass) -> None:
        """Sleep before the next attempt.

        Raises:
            DataError: enough attempts have been made, or the server asks for too long a pause.
            Stopped: the user does not want to wait.
        """
        self._failed += 1
        if self._failed > self._retries or (problem.wait or 0) > _LONGEST_WAIT:
            raise DataError(
                f"{self._what}: {problem}; given up after {self._failed} attempt{'s' * (self._failed > 1)}",
                "Check the network and the mirror, and run the same command again later: it goes on from there.",
            )
        seconds = min(self._mirror.pause * 2.0 ** (self._failed - 1), 60.0) if problem.wait is None else problem.wait
        if seconds >= 1:
            self._mirror.tell(f"{self._what}: {problem}; again in {seconds:.0f} s")
        if self._mirror.stop.wait(seconds):
            raise Stopped


def _refusal(url: str, status: int, retry_after: str | None) -> Exception:
    if status in _MAY_PASS:
        return MayPass(f"the mirror answers {status}", _seconds(retry_after))
    if status in (404, 410):
        return Missing(f"{url}: not there (the mirror answers {status})")
    return DataError(
        f"{url}: the mirror answers {status}",
        "It may refuse programs that give no contact: name an e-mail address or page with --contact."
        if status == 403
        else "Check the address of the mirror.",
    )


def _seconds(retry_after: str | None) -> float | None:
    """The pause that a server asks for, in seconds; it writes seconds or a date."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def _choose(jobs: list[dict[str, Any]], entry: Language, date: str, address: str) -> list[DumpFile] | None:
    """Large wikis come in parts and, in another job, recombined: the parts where there are any, never both."""
    found: dict[bool, list[DumpFile]] = {True: [], False: []}
    unfinished: set[bool] = set()
    for job in jobs:
        for name, about in (job.get("files") or {}).items():
            match = DUMP_NAME.fullmatch(name)
            if not match or (match["wiki"], match["date"]) != (entry.wiki, date):
                continue
            in_parts = bool(match["part"] or match["index"] or match["pages"])
            if job.get("status") != "done":
                unfinished.add(in_parts)
                continue
            path = str(about.get("url") or "")
            url = address + (path if path.startswith("/") else f"/{entry.wiki}/{date}/{name}")
            size = int(about["size"])
            if size <= 0:
                raise ValueError(f"{name} has {size} bytes")
            sha1, md5 = _digits(about.get("sha1"), 40), _digits(about.get("md5"), 32)
            found[in_parts].append(DumpFile(entry.code, entry.wiki, date, name, url, size, sha1, md5))
    for in_parts in (True, False):
        if in_parts not in unfinished and any(".xml" in file.name for file in found[in_parts]):
            return sorted({file.name: file for file in found[in_parts]}.values(), key=lambda file: file.name)
    return None


def _digits(value: object, count: int) -> str | None:
    text = str(value or "").strip().lower()
    return text if re.fullmatch(rf"[0-9a-f]{{{count}}}", text) else None
