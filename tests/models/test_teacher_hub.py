"""A teacher of the hub, from a stand-in on loopback that has the few addresses that are needed."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from safetensors.torch import load_file

from tests_support import World, write_world
from unibert.models.student import build_student
from unibert.models.teacher import load_teacher
from unibert.recipe import Architecture
from unibert.tokens.vocabulary import load_tokenizer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"))


class Hub(ThreadingHTTPServer):
    """`owner/NAME` for every folder given; everything else is unknown."""

    def __init__(self, folders: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders = folders
        self.asked: list[tuple[str, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        words = path.strip("/").split("/")
        if words[:2] == ["api", "models"]:
            words = words[2:]
        folder = self.server.folders.get("/".join(words[:2]))
        if folder is None:
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if words[2:3] == ["resolve"]:
            file = folder / words[4]
            if not file.is_file():
                return self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            content = file.read_bytes()
            etag = hashlib.sha1(content).hexdigest()
            return self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": "0123456789" * 4})
        names = [{"rfilename": file.name} for file in folder.iterdir()]
        tree = [{"type": "file", "path": file.name, "size": 1, "oid": "0"} for file in folder.iterdir()]
        info = {"id": "/".join(words[:2]), "sha": "0123456789" * 4, "private": False, "tags": [], "siblings": names}
        self.send(200, json.dumps(tree if "tree" in words else info).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


SCRIPT = """
import sys
import torch
from unibert.errors import DataError
from unibert.models.teacher import check_same_tokenizer, load_teacher
from unibert.tokens.vocabulary import load_tokenizer
from pathlib import Path
for name in sys.argv[2:]:
    try:
        teacher = load_teacher(name)
        check_same_tokenizer(name, teacher, load_tokenizer(Path(sys.argv[1])))
        print(type(teacher).__name__, float(sum(p.double().sum() for p in teacher.parameters())))
    except DataError as error:
        print(str(error).splitlines()[0])
"""


@pytest.fixture
def hub(tmp_path: Path, world: World) -> Iterator[Hub]:
    tokenizer = load_tokenizer(world.tokenizer)
    shape = Architecture(layers=2, hidden=16, heads=2, feed_forward=24, max_positions=40)
    folders = {f"owner/{name}": tmp_path / name for name in ("whole", "many", "pickled", "alone")}
    for folder in folders.values():
        model = build_student(shape, len(tokenizer), tokenizer.pad_token_id, seed=5)
        model.save_pretrained(folder, max_shard_size="9KB" if folder.name == "many" else "1GB")
        tokenizer.save_pretrained(folder)
    weights = tmp_path / "pickled" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "alone" / file).unlink(missing_ok=True)
    server = Hub(folders)
    yield server
    server.shutdown()
    server.server_close()


def ask(hub: Hub | None, world: World, cache: Path, *names: str, **environment: str) -> list[str]:
    """In a process of its own: the hub's address is read when its library is imported."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    address = f"http://127.0.0.1:{hub.server_port}" if hub else "http://127.0.0.1:9"
    kept |= {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-c", SCRIPT, str(world.tokenizer), *names]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_teacher_of_the_hub(hub: Hub, world: World, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    names = ("whole", "many", "pickled", "alone", "none")
    whole, many, pickled, alone, none = ask(hub, world, cache, *(f"owner/{name}" for name in names))
    name, total = whole.split()
    assert name == "BertForMaskedLM"
    expected = load_teacher(tmp_path / "whole")
    assert float(total) == float(sum(p.double().sum() for p in expected.parameters()))
    assert many == whole
    assert "pickled: cannot be loaded" in pickled
    assert "alone: " in alone
    assert "tokenizer" in alone
    assert "none: cannot be loaded" in none
    # Nobody is asked to convert what is pickled.
    assert {method for method, _ in hub.asked} <= {"GET", "HEAD"}
    assert not any("/commits/" in path or "/discussions" in path for _, path in hub.asked)
    # The second time, without a network.
    assert ask(None, world, cache, "owner/whole", HF_HUB_OFFLINE="1") == [whole]
