"""The server of the page in the browser: on this machine, read-only, and nothing but a fixed list of files.

Every address is looked up in a table that is made at the start, so there is no path that could lead out of a folder.
The page is told by its policy (Content-Security-Policy) to load from here and from nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import shutil
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from unibert.deploy.web_assets import Library, load_library
from unibert.deploy.web_models import Stamp, WebModel, find_web_models
from unibert.errors import DataError, RecipeError

ROOT = "/unibert/"
"""Where the page is: not at /, as what it keeps in the browser would concern every other page on the same port."""
LOOPBACK = "127.0.0.1"
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    # These three let WebAssembly use threads, as nothing of another origin can be in the page.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
"""By suffix; not `mimetypes`, which knows what the system says, and that is wrong for .js on some."""
_PAGE_SUFFIXES = (".html", ".css", ".js", ".svg")
_PACKED = (".html", ".css", ".js", ".json", ".svg", ".wasm")
"""Suffixes of what gzip makes much smaller; weights it does not."""
_NEW_EACH_TIME, _FOR_EVER = "no-cache", "public, max-age=31536000, immutable"


@dataclass
class Item:
    """Something that can be asked for."""

    suffix: str
    content: bytes | Stamp
    """The bytes, or the file that has them."""
    caching: str
    """The header Cache-Control: what lies under a version's address never changes."""
    _packed: bytes | None = field(default=None, repr=False)

    def open(self) -> bytes | None:
        """The bytes; None for a file that has changed since the start."""
        if isinstance(self.content, bytes):
            return self.content
        return self.content.path.read_bytes() if self.content.is_current() else None

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the file, and bytes that a browser has to download for it."""
        plain = len(self.content) if isinstance(self.content, bytes) else self.content.size
        packed = self.packed()
        return plain, plain if packed is None else len(packed)

    def packed(self) -> bytes | None:
        """The bytes as gzip packs them, kept for the next time; None where it is not worth it, or a file changed."""
        if self.suffix not in _PACKED or (isinstance(self.content, Stamp) and not self.content.is_current()):
            return None
        if self._packed is None:
            plain = self.open()
            self._packed = None if plain is None else gzip.compress(plain, 6, mtime=0)
        return self._packed


class WebServer(ThreadingHTTPServer):
    """Serves a table of items; requests are told to `asked`, if there is one."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers have one port

    def __init__(
        self, host: str, port: int, items: Mapping[str, Item], asked: Callable[[str], object] | None = None
    ) -> None:
        self.items, self.asked = items, asked
        self._connections: set[Any] = set()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """Of the page, for a browser on this machine."""
        host = str(self.server_address[0])
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}{ROOT}"

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which may take seconds and is not needed."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; remember the connection, which a browser keeps open for more."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """End all of it: otherwise what browsers keep open would still be answered."""
        super().server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that breaks off is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "unibert", ""
    timeout = 60  # of an idle connection, in seconds

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].partition("#")[0]
        if self.server.asked:
            self.server.asked(path)
        if path in ("/", ROOT.rstrip("/")):
            self._send(HTTPStatus.FOUND, b"", "text/plain", {"Location": ROOT})
            return
        item = self.server.items.get(path)
        if item is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing of this name")
            return
        try:
            self._answer(item)
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            self._refuse(HTTPStatus.GONE, "the file cannot be read any more")

    do_HEAD = do_GET

    def _answer(self, item: Item) -> None:
        headers = {"Cache-Control": item.caching}
        kind = _TYPES[item.suffix]
        gone = "the model has changed on the disk: start `unibert web` again"
        if item.suffix in _PACKED:
            headers["Vary"] = "Accept-Encoding"
            wanted = "gzip" in self.headers.get("Accept-Encoding", "")
            content = item.packed() if wanted else item.open()
            if content is None:
                self._refuse(HTTPStatus.GONE, gone)
                return
            self._send(HTTPStatus.OK, content, kind, headers | ({"Content-Encoding": "gzip"} if wanted else {}))
        elif isinstance(item.content, bytes):
            self._send(HTTPStatus.OK, item.content, kind, headers)
        elif not item.content.is_current():
            self._refuse(HTTPStatus.GONE, gone)
        else:
            with item.content.path.open("rb") as stream:
                self._head(HTTPStatus.OK, item.content.size, kind, headers)
                if self.command != "HEAD":
                    shutil.copyfileobj(stream, self.wfile, 1 << 20)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, f"{reason}\n".encode(), "text/plain; charset=utf-8", {"Cache-Control": "no-store"})

    def _send(self, status: HTTPStatus, content: bytes, kind: str, headers: Mapping[str, str]) -> None:
        self._head(status, len(content), kind, headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: HTTPStatus, size: int, kind: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who wants to see the requests has the browser's tools."""


def page_folder() -> Path:
    """The folder with the page: `web/` of the repository, or its copy in an installed package.

    Raises:
        DataError: there is neither.
    """
    here = Path(__file__).resolve()
    for folder in (here.parents[3] / "web", here.parent / "web_page"):
        if (folder / "index.html").is_file():
            return folder
    raise DataError(f"{here.parent / 'web_page'}: the page is not there", "Install unibert again.")


def make_items(page: Path, library: Library, models: Sequence[WebModel]) -> dict[str, Item]:
    """Everything that can be asked for, by its address on the server.

    Args:
        page: the folder with the page.
        library: the packages' files.
        models: what to offer, in this order.
    """
    items: dict[str, Item] = {}
    for path in sorted(page.iterdir()):
        if path.suffix in _PAGE_SUFFIXES and path.is_file():
            items[ROOT + path.name] = Item(path.suffix, path.read_bytes(), _NEW_EACH_TIME)
    items[ROOT] = items[ROOT + "index.html"]
    here = f"library/{library.version}/"
    for name, content in library.files.items():
        items[ROOT + here + name] = Item(Path(name).suffix, content, _FOR_EVER)
    for model in models:
        for name, found in model.files.items():
            items[f"{ROOT}models/{model.identity}/{name}"] = Item(Path(name).suffix, found, _FOR_EVER)
    sizes = {address.removeprefix(ROOT): item.sizes for address, item in items.items()}
    told = {
        "schema": 1,
        "page": sorted(address or "./" for address in sizes if "/" not in address),
        "library": {"path": here, "files": {name: sizes[here + name] for name in library.files}},
        "models": [
            {**model.described(), "files": {name: sizes[f"models/{model.identity}/{name}"] for name in model.files}}
            for model in models
        ],
    }
    items[ROOT + "models.json"] = Item(".json", json.dumps(told, ensure_ascii=False).encode(), _NEW_EACH_TIME)
    return items


def open_server(
    host: str, port: int, items: Mapping[str, Item], asked: Callable[[str], object] | None = None
) -> WebServer:
    """A server that listens, and serves when `serve_forever` is called.

    Args:
        host: name or address of an interface of this machine.
        port: 0 for any that is free.
        items: see `make_items`.
        asked: told the path of every request, from the threads that answer them.

    Raises:
        RecipeError: a port that is none.
        DataError: the port is in use (tells one that is free), may not be used, or the host is not this machine.
    """
    if not 0 <= port <= 65535:
        raise RecipeError(f"--port {port}: no such port", "Give a number from 1024 to 65535, or 0 for any free one.")
    try:
        return WebServer(host, port, items, asked)
    except (OSError, TypeError, UnicodeError) as error:  # the last two: a name that cannot be one of a host
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            free = _free_port(host, port)
            raise DataError(
                f"port {port} of {host} is in use",
                f"Give --port {free}, which is free, or end the program that uses {port}.",
            ) from None
        if isinstance(error, PermissionError):
            raise DataError(f"port {port} may not be used ({error.strerror})", "Give a --port above 1023.") from None
        raise DataError(
            f"{host}: cannot be listened on ({getattr(error, 'strerror', None) or error})",
            f"Give --host {LOOPBACK} for this machine only, or 0.0.0.0 for the whole network.",
        ) from None


def _free_port(host: str, port: int) -> int:
    """The next port after one in use that is free; 0, which is any, where none is."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for other in range(port + 1, min(port + 200, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            if os.name == "posix":
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, other))
            except OSError:
                continue
            return other
    return 0


def serve(
    folders: Sequence[Path],
    host: str = LOOPBACK,
    port: int = 8000,
    open_browser: bool = False,
    assets: Path | None = None,
    offline: bool = False,
    listening: Callable[[WebServer], object] = lambda server: None,
) -> None:
    """Serve the page with the models of exported folders until Ctrl-C.

    Everything is looked at before the start: folders, libraries, port.

    Args:
        folders: exported folders (see `unibert export`).
        host: the interface to listen on; by default only this machine can reach it.
        port: 0 for any that is free.
        open_browser: open the page in the system's browser.
        assets: see `load_library`.
        offline: see `load_library`.
        listening: called with the server when it listens.

    Raises:
        DataError: see `find_web_models`, `load_library` and `open_server`.
    """
    models = find_web_models(folders)
    page = page_folder()
    items = make_items(page, load_library(page, assets, offline), models)
    with open_server(host, port, items) as server:
        listening(server)
        if open_browser:
            # Some systems' browsers return only when they are closed.
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
