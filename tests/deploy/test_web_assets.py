"""The page's libraries: pinned, checked, from a registry, the cache or a folder; never half of them."""

import base64
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unibert.deploy import web_assets
from unibert.deploy.web_assets import IMPORTS, RUNTIME, TRANSFORMERS, cache_folder, load_library, read_pins
from unibert.errors import DataError

VERSIONS = {TRANSFORMERS: "1.2.3", RUNTIME: "4.5.6-dev.1"}
CONTENTS = {
    TRANSFORMERS: {
        "dist/transformers.web.min.js": "".join(f"import*as x from{name};" for name in IMPORTS).encode(),
        "dist/other.js": b"unwanted",
    },
    RUNTIME: {"dist/ort.wasm.bundle.min.mjs": b"export {}", "dist/ort-wasm-simd-threaded.wasm": b"\0asm" * 99},
}
SERVED = {
    "transformers.js": b'import*as x from"./onnxruntime.js";' * 2,
    "onnxruntime.js": b"export {}",
    "onnxruntime.wasm": b"\0asm" * 99,
}


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def integrity(archive: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


class Registry(ThreadingHTTPServer):
    def __init__(self):
        self.archives = {name: packed(files) for name, files in CONTENTS.items()}
        self.asked, self.tricks = [], []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        trick = self.server.tricks.pop(0) if self.server.tricks else None
        names = {
            f"/npm/{name}/-/{name.rpartition('/')[2]}-{VERSIONS[name]}.tgz": archive
            for name, archive in self.server.archives.items()
        }
        archive = names.get(self.path)
        if isinstance(trick, int) or archive is None:
            self.send_error(trick or 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(archive)))
        self.end_headers()
        self.wfile.write(archive[:20] if trick == "broken off" else archive)

    def log_message(self, *_):
        pass


@pytest.fixture
def registry(monkeypatch, tmp_path):
    server = Registry()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/npm/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(web_assets.time, "sleep", lambda seconds: None)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(tmp_path, registry) -> Path:
    packages = {
        f"node_modules/{name}": {"version": VERSIONS[name], "integrity": integrity(archive)}
        for name, archive in registry.archives.items()
    }
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "package-lock.json").write_text(json.dumps({"packages": packages}))
    return tmp_path / "page"


def node_modules(folder: Path, **changes: str) -> Path:
    for package, files in CONTENTS.items():
        for name, content in files.items():
            (folder / package / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / package / name).write_bytes(content)
        version = {"version": changes.get(package, VERSIONS[package])}
        (folder / package / "package.json").write_text(json.dumps(version))
    return folder


def test_the_real_lock_file_pins_both_packages() -> None:
    pins = read_pins(Path(__file__).parents[2] / "web")
    assert [pin.name for pin in pins] == [TRANSFORMERS, RUNTIME]
    named = json.loads((Path(__file__).parents[2] / "web" / "package.json").read_text())["dependencies"]
    assert {pin.name: pin.version for pin in pins} == named


def test_only_the_needed_files_are_taken_and_kept(registry, page) -> None:
    library = load_library(page)
    assert library.files == SERVED
    assert len(registry.asked) == 2
    # The second time nothing is asked of anybody.
    assert load_library(page, offline=True) == library
    assert len(registry.asked) == 2
    kept = cache_folder() / library.version
    assert {path.name for path in kept.iterdir()} == {*SERVED, "sha256.json"}
    assert [path.name for path in cache_folder().iterdir()] == [library.version]


def test_what_is_damaged_in_the_cache_is_fetched_again(registry, page) -> None:
    library = load_library(page)
    (cache_folder() / library.version / "onnxruntime.wasm").write_bytes(b"damaged")
    with pytest.raises(DataError, match="not been fetched"):
        load_library(page, offline=True)
    assert load_library(page) == library
    assert load_library(page, offline=True) == library


def test_an_archive_with_another_checksum_is_refused(registry, page) -> None:
    registry.archives[RUNTIME] = packed({**CONTENTS[RUNTIME], "dist/ort.wasm.bundle.min.mjs": b"evil"})
    with pytest.raises(DataError, match="SHA-512 is not the one"):
        load_library(page)
    assert not cache_folder().exists()


@pytest.mark.parametrize("tricks", [["broken off"], [503, "broken off"]])
def test_a_passing_fault_is_tried_again(registry, page, tricks) -> None:
    registry.tricks = list(tricks)
    assert load_library(page).files == SERVED
    assert len(registry.asked) == 2 + len(tricks)


@pytest.mark.parametrize(("tricks", "requests"), [([404], 1), ([503, 503, 503], 3), (["broken off"] * 3, 3)])
def test_a_lasting_fault_is_told_with_the_way_out(registry, page, tricks, requests) -> None:
    registry.tricks = list(tricks)
    with pytest.raises(DataError, match="cannot be fetched") as error:
        load_library(page)
    assert "npm install --ignore-scripts" in error.value.fix
    assert len(registry.asked) == requests
    assert not cache_folder().exists()


def test_no_network_and_an_empty_cache(page, monkeypatch) -> None:
    with pytest.raises(DataError, match="--offline forbids") as error:
        load_library(page, offline=True)
    assert "--fetch-assets" in error.value.fix
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="cannot be fetched"):
        load_library(page)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "file:///etc")
    with pytest.raises(DataError, match="not the address of a registry"):
        load_library(page)


def test_a_package_of_another_build_is_refused(registry, page) -> None:
    """The page imports the runtime by the address that replaces a package's name: it has to be there."""
    registry.archives[TRANSFORMERS] = packed({"dist/transformers.web.min.js": b"export {}"})
    lock = json.loads((page / "package-lock.json").read_text())
    lock["packages"][f"node_modules/{TRANSFORMERS}"]["integrity"] = integrity(registry.archives[TRANSFORMERS])
    (page / "package-lock.json").write_text(json.dumps(lock))
    with pytest.raises(DataError, match="does not import"):
        load_library(page)
    registry.archives[TRANSFORMERS] = packed({"README.md": b""})
    lock["packages"][f"node_modules/{TRANSFORMERS}"]["integrity"] = integrity(registry.archives[TRANSFORMERS])
    (page / "package-lock.json").write_text(json.dumps(lock))
    with pytest.raises(DataError, match=r"has no dist/transformers\.web\.min\.js"):
        load_library(page)


def test_a_folder_of_npm_is_taken_as_it_is(registry, page, tmp_path) -> None:
    library = load_library(page, given=node_modules(tmp_path / "node_modules"))
    assert library.files == SERVED
    assert registry.asked == [] and not cache_folder().exists()
    assert load_library(page) == library  # the same from the registry


def test_folders_that_will_not_do(page, tmp_path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_library(page, given=tmp_path / "nowhere")
    with pytest.raises(DataError, match="is not in it"):
        load_library(page, given=page)
    other = node_modules(tmp_path / "other", **{RUNTIME: "9.9.9"})
    with pytest.raises(DataError, match=r"version 9\.9\.9, the page is pinned to 4\.5\.6"):
        load_library(page, given=other)
    partial = node_modules(tmp_path / "partial")
    (partial / RUNTIME / "dist" / "ort-wasm-simd-threaded.wasm").unlink()
    with pytest.raises(DataError, match=r"ort-wasm-simd-threaded\.wasm: no such file"):
        load_library(page, given=partial)


@pytest.mark.parametrize(
    "change", [{"integrity": "sha1-AAAA"}, {"integrity": "sha512-AAAA"}, {"integrity": "sha512-!"}, {"version": None}]
)
def test_a_lock_file_without_checksums_pins_nothing(page, change) -> None:
    lock = json.loads((page / "package-lock.json").read_text())
    entry = lock["packages"][f"node_modules/{RUNTIME}"]
    entry.update(change)
    if entry["version"] is None:
        del entry["version"]
    (page / "package-lock.json").write_text(json.dumps(lock))
    with pytest.raises(DataError, match="does not pin onnxruntime-web"):
        read_pins(page)
