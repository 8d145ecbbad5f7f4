"""A mirror of dumps on loopback: a real HTTP server that can be told to misbehave, and remembers what it was asked."""

import hashlib
import json
import random
import re
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DATE = "20261101"
XML = f"dewiki-{DATE}-pages-articles-multistream.xml.bz2"
INDEX = f"dewiki-{DATE}-pages-articles-multistream-index.txt.bz2"
BODY = random.Random(0).randbytes(300_000)
PATH = f"/mirror/dewiki/{DATE}/{XML}"


def content(folder: Path) -> dict[str, bytes]:
    """The dumps in a folder, unfinished ones too, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if ".bz2" in path.name}


@dataclass(frozen=True)
class Trick:
    """How one request is answered instead of well."""

    status: int | None = None
    """Only this status, with `headers`."""
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None
    """Close the connection after so many bytes of the body."""
    stall: int | None = None
    """Send so many bytes of the body, then nothing until the client leaves."""
    body: bytes | None = None
    """Send other bytes."""
    deaf: bool = False
    """Take no notice of a Range."""
    unsized: bool = False
    """Say nothing of the length; the end of the connection is the end of the body."""


@dataclass(frozen=True)
class Asked:
    path: str
    offset: int
    agent: str
    status: int


class MirrorServer(ThreadingHTTPServer):
    """`add_dump` fills it; `tricks[path]` are played one per request, `always[path]` every time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content: dict[str, bytes] = {}
        self.tricks: dict[str, list[Trick]] = defaultdict(list)
        self.always: dict[str, Trick] = {}
        self.asked: list[Asked] = []
        self.delay = 0.0
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mirror"

    def add_dump(self, wiki, files, date=DATE, checksums=("sha1", "md5"), jobs=None, listed=True):
        """One dump; `files` are of the job articlesmultistreamdump, `jobs` more: name -> (status, files)."""
        status = {}
        for job, (state, contents) in {"articlesmultistreamdump": ("done", files), **(jobs or {})}.items():
            entries = {}
            for name, content in contents.items():
                path = f"/{wiki}/{date}/{name}"
                self.content[f"/mirror{path}"] = content
                sums = {kind: hashlib.new(kind, content).hexdigest() for kind in checksums}
                entries[name] = {"size": len(content), "url": path, **sums}
            status[job] = {"status": state, "updated": "2026-11-03 00:00:00", "files": entries}
        text = json.dumps({"version": "0.8", "jobs": status})
        self.content[f"/mirror/{wiki}/{date}/dumpstatus.json"] = text.encode()
        if listed:
            index = f"/mirror/{wiki}/"
            links = self.content.get(index, b'<html><a href="../">../</a><a href="latest/">latest/</a>')
            self.content[index] = links + f'<a href="{date}/">{date}/</a> 03-Nov-2026 00:00 -\n'.encode()

    def offsets(self, name):
        """Where each request for this file began."""
        return [asked.offset for asked in self.asked if asked.path.endswith(f"/{name}")]

    def downloads(self):
        return [asked for asked in self.asked if ".bz2" in asked.path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MirrorServer

    def do_GET(self):
        with self.server.lock:
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
            tricks = self.server.tricks[self.path]
            trick = tricks.pop(0) if tricks else self.server.always.get(self.path, Trick())
        try:
            time.sleep(self.server.delay)
            self.answer(trick)
        except ConnectionError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.open -= 1

    def answer(self, trick):
        content = self.server.content.get(self.path)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        offset = int(asked[1]) if asked else 0
        status = trick.status or (404 if content is None else 200)
        start = 0
        if status == 200 and offset and not trick.deaf:
            status, start = (206, offset) if offset < len(content) else (416, 0)
        self.server.asked.append(Asked(self.path, offset, self.headers.get("User-Agent", ""), status))
        body = (content if trick.body is None else trick.body)[start:] if status in (200, 206) else b"no"
        self.send_response(status)
        for name, value in trick.headers:
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if trick.unsized:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if trick.cut is not None or trick.stall is not None:
            self.wfile.write(body[: trick.cut if trick.cut is not None else trick.stall])
            self.wfile.flush()
            if trick.stall is not None:
                self.server.closing.wait(60)
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    server = MirrorServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
