"""The two npm packages that the page in the browser runs on: pinned, checked, fetched once.

Nothing of them is in this repository. `web/package-lock.json` pins their versions and the SHA-512 of their archives;
of 36 MB in the archives the page needs three files. They are taken from the registry that npm itself would ask, without
Node, or from a `node_modules` folder.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import json
import os
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from unibert.errors import DataError, first_line
from unibert.files import atomic_folder, fingerprint, read_json, telling_of_full_disk
from unibert.progress import progress_bar

LOCK = "package-lock.json"
REGISTRY = "https://registry.npmjs.org"
TRANSFORMERS, RUNTIME = "@huggingface/transformers", "onnxruntime-web"
TAKEN: Mapping[str, Mapping[str, str]] = {
    TRANSFORMERS: {"dist/transformers.web.min.js": "transformers.js"},
    # The build for the CPU alone: half the size of the one with WebGPU, which so small a model does not need.
    RUNTIME: {
        "dist/ort.wasm.bundle.min.mjs": "onnxruntime.js",
        "dist/ort-wasm-simd-threaded.wasm": "onnxruntime.wasm",
    },
}
"""Package: file in it -> its name on the page."""
IMPORTS: Mapping[str, str] = {
    '"onnxruntime-web/webgpu"': '"./onnxruntime.js"',
    '"onnxruntime-common"': '"./onnxruntime.js"',
}
"""What transformers.js imports by a package's name, which no browser can look up within a worker."""

_SUMS = "sha256.json"
_CHUNK = 1 << 18
_ATTEMPTS = 3
_BY_HAND = (
    "Run `npm install --ignore-scripts` in web/ (or on another machine, with web/package.json and "
    "web/package-lock.json) and give --assets web/node_modules."
)


@dataclass(frozen=True)
class Pin:
    """One package as the lock file has it."""

    name: str
    version: str
    integrity: str
    """`sha512-` and the digest of the archive in base 64."""

    def address(self, registry: str) -> str:
        """Where a registry has the archive."""
        return f"{registry.rstrip('/')}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


@dataclass(frozen=True)
class Library:
    """The files that the page needs, by their names on it."""

    version: str
    """Changes whenever a file does; part of the files' addresses."""
    files: Mapping[str, bytes]


def read_pins(page: Path) -> list[Pin]:
    """The versions and checksums in the page's lock file, in the order of `TAKEN`.

    Raises:
        DataError: there is no lock file, or it does not pin the packages.
    """
    path = page / LOCK
    lock = read_json(path)
    found = []
    for name in TAKEN:
        try:
            entry = lock["packages"][f"node_modules/{name}"]
            pin = Pin(name, str(entry["version"]), str(entry["integrity"]))
            if len(_digest(pin)) != hashlib.sha512().digest_size:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{path}: does not pin {name} with a SHA-512",
                "Make it again: `npm install --package-lock-only --ignore-scripts` in web/.",
            ) from None
        found.append(pin)
    return found


def load_library(page: Path, given: Path | None = None, offline: bool = False) -> Library:
    """The files of the packages: from a given folder, else from the cache, else from the registry into the cache.

    Args:
        page: the folder with the page and its lock file.
        given: a `node_modules` folder; its versions have to be the pinned ones. Nothing of it is put into the cache.
        offline: never ask the registry.

    Raises:
        DataError: the folder lacks a file or has another version; there is nothing in the cache and the registry may
            not be asked or does not answer; an archive has another checksum than the lock file; no room.
    """
    pins = read_pins(page)
    version = f"{pins[0].version}-{fingerprint([[vars(pin) for pin in pins], TAKEN, IMPORTS])}"
    if given is not None:
        return Library(version, _from_node_modules(given.expanduser(), pins))
    folder = cache_folder() / version
    files = _from_cache(folder)
    if files is None:
        if offline:
            raise DataError(
                f"{folder}: the page's libraries have not been fetched yet, and --offline forbids it",
                f"Run `unibert web --fetch-assets` once with a network. Or without one: {_BY_HAND}",
            )
        files = _fetch(pins)
        with telling_of_full_disk(folder), atomic_folder(folder) as scratch:
            for name, content in files.items():
                (scratch / name).write_bytes(content)
            sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
            (scratch / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
    return Library(version, files)


def cache_folder() -> Path:
    """Where libraries are kept: `unibert/web` below XDG_CACHE_HOME, which is ~/.cache where it is not set."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "unibert" / "web"


def _from_cache(folder: Path) -> dict[str, bytes] | None:
    """The files that were kept; None where one is missing or damaged."""
    try:
        sums = json.loads((folder / _SUMS).read_text(encoding="utf-8"))
        files = {name: (folder / name).read_bytes() for names in TAKEN.values() for name in names.values()}
    except (OSError, ValueError):
        return None
    whole = isinstance(sums, dict) and all(
        sums.get(name) == hashlib.sha256(content).hexdigest() for name, content in files.items()
    )
    return files if whole else None


def _from_node_modules(folder: Path, pins: list[Pin]) -> dict[str, bytes]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "Give --assets the node_modules folder that npm has filled.")
    contents: dict[str, dict[str, bytes]] = {}
    for pin in pins:
        described = folder / pin.name / "package.json"
        if not described.is_file():
            raise DataError(f"{folder}: {pin.name} is not in it", _BY_HAND)
        found: Any = read_json(described)
        version = found.get("version") if isinstance(found, dict) else None
        if version != pin.version:
            raise DataError(f"{described}: version {version}, the page is pinned to {pin.version}", _BY_HAND)
        contents[pin.name] = {}
        for path in TAKEN[pin.name]:
            try:
                contents[pin.name][path] = (folder / pin.name / path).read_bytes()
            except FileNotFoundError:
                raise DataError(f"{folder / pin.name / path}: no such file", _BY_HAND) from None
    return _as_served(contents)


def _fetch(pins: list[Pin]) -> dict[str, bytes]:
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or os.environ.get("npm_config_registry") or REGISTRY  # noqa: SIM112
    if not registry.startswith(("https://", "http://")):
        raise DataError(f"{registry}: not the address of a registry", "Correct NPM_CONFIG_REGISTRY, or unset it.")
    contents = {}
    for pin in pins:
        with tempfile.TemporaryFile() as archive:
            _download(pin, registry, archive)
            contents[pin.name] = _unpacked(pin, archive)
    return _as_served(contents)


def _download(pin: Pin, registry: str, archive: IO[bytes]) -> None:
    """Fill `archive`, and see that it is what the lock file pins."""
    address = pin.address(registry)
    for attempt in range(1, _ATTEMPTS + 1):
        archive.seek(0)
        archive.truncate()
        digest = hashlib.sha512()
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                length = answer.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() else None
                with progress_bar(total, f"{pin.name} {pin.version}", "B", unit_scale=True) as bar:
                    while chunk := answer.read(_CHUNK):
                        archive.write(chunk)
                        digest.update(chunk)
                        bar.update(len(chunk))
                    if total is not None and archive.tell() < total:
                        raise ConnectionError(f"broken off after {archive.tell()} of {total} bytes")
            break
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if final or attempt == _ATTEMPTS:
                raise DataError(
                    f"{address}: cannot be fetched ({first_line(error)})",
                    f"Check the network and NPM_CONFIG_REGISTRY, then run it again. Or without a network: {_BY_HAND}",
                ) from None
            time.sleep(attempt)
    if digest.digest() != _digest(pin):
        raise DataError(
            f"{address}: its SHA-512 is not the one in {LOCK}",
            "Do not use it: the registry, or somebody on the way, has changed the package. Name another registry in "
            "NPM_CONFIG_REGISTRY.",
        )


def _digest(pin: Pin) -> bytes:
    """The SHA-512 that the lock file pins."""
    for word in pin.integrity.split():
        kind, _, digits = word.partition("-")
        if kind == "sha512":
            try:
                return base64.b64decode(digits, validate=True)
            except binascii.Error:
                break
    raise ValueError(f"{pin.name}: no SHA-512 in {pin.integrity!r}")


def _unpacked(pin: Pin, archive: IO[bytes]) -> dict[str, bytes]:
    """The files of a package that the page needs; npm's archives hold everything below `package/`."""
    archive.seek(0)
    found = {}
    with tarfile.open(fileobj=archive, mode="r:gz") as packed:
        for path in TAKEN[pin.name]:
            try:
                stream = packed.extractfile(f"package/{path}")
            except KeyError:
                stream = None
            if stream is None:
                raise DataError(f"{pin.name} {pin.version}: has no {path}", "Pin a version that has it, in web/.")
            found[path] = stream.read()
    return found


def _as_served(contents: Mapping[str, Mapping[str, bytes]]) -> dict[str, bytes]:
    """The files by their names on the page, importing each other by addresses."""
    files = {name: contents[package][path] for package, names in TAKEN.items() for path, name in names.items()}
    text = files["transformers.js"]
    for name, address in IMPORTS.items():
        if text.count(f"from{name}".encode()) != 1:
            raise DataError(
                f"{TRANSFORMERS}: does not import {name} once, as the pinned version does",
                "Pin the version that this page was made for, in web/.",
            )
        text = text.replace(f"from{name}".encode(), f"from{address}".encode())
    return {**files, "transformers.js": text}
