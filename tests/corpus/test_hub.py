"""Data sets of the hub: against a hub on loopback, which has the few addresses that are needed."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"
FOLDERS = {"20231101.de": 2, "20231101.zh-yue": 1, "20231101.fi": 1, "extra": 1}


def table(text):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["7"], "url": ["u"], "title": ["T"], "text": [text]}), sink)
    return sink.getvalue().to_pybytes()


class Hub(ThreadingHTTPServer):
    """`owner/wiki` with a few configurations; every other data set is unknown."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"README.md": b"card"}
        for folder, number in FOLDERS.items():
            for part in range(number):
                self.files[f"{folder}/train-{part:05}-of-{number:05}.parquet"] = table(f"{folder} {part}")
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def downloads(self):
        return [path.split(f"{SHA}/")[1] for method, path in self.asked if method == "GET" and "/resolve/" in path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        if not path.startswith(("/api/datasets/owner/wiki", "/datasets/owner/wiki/resolve/")):
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such repository"})
        if path.startswith("/datasets/"):
            content = self.server.files[path.split("/resolve/")[1].partition("/")[2]]
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": SHA}
            return self.send(200, content, headers)
        if "/tree/" in path:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.server.files.items()
            ]
            return self.send(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
        siblings = [{"rfilename": name} for name in self.server.files]
        info = {"id": "owner/wiki", "sha": SHA, "private": False, "tags": [], "siblings": siblings}
        return self.send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def send(self, status, content, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


SCRIPT = """
import sys
from unibert.corpus.hub import hub_files
from unibert.corpus.texts import language_of_text, open_text
from unibert.errors import DataError
try:
    names, languages = sys.argv[1].split(), sys.argv[2].split() or None
    for path in hub_files(names, languages):
        print(language_of_text(path), path.name, *[sample.text for sample in open_text(path)])
except DataError as error:
    print(error)
"""


@pytest.fixture
def ask(tmp_path):
    """`hub_files` in a process of its own: the hub's address is read when its library is imported."""

    def run(server, names, languages="", **environment):
        address = f"http://127.0.0.1:{server.server_port}" if server else "http://127.0.0.1:9"
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()
        }
        kept |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1", **environment}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, names, languages], env=kept, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


GERMAN = ["de train-00000-of-00002.parquet 20231101.de 0", "de train-00001-of-00002.parquet 20231101.de 1"]
CANTONESE = "yue train-00000-of-00001.parquet 20231101.zh-yue 0"
FINNISH = "fi train-00000-of-00001.parquet 20231101.fi 0"


def test_a_configuration_is_downloaded_once_and_kept(hub, ask):
    assert ask(hub, "owner/wiki:20231101.de owner/wiki:20231101.zh-yue owner/wiki:20231101.de") == [*GERMAN, CANTONESE]
    assert sorted(hub.downloads) == sorted(name for name in hub.files if ".de/" in name or ".zh-yue/" in name)
    hub.asked.clear()
    assert ask(hub, "owner/wiki:20231101.de") == GERMAN
    assert hub.downloads == []


def test_without_a_network_the_cache_is_used(hub, ask):
    ask(hub, "owner/wiki:20231101.de")
    assert ask(None, "owner/wiki:20231101.de", HF_HUB_OFFLINE="1") == GERMAN
    for environment in ({"HF_HUB_OFFLINE": "1"}, {}):  # the second tries for a few seconds
        problem, fix = ask(None, "owner/wiki:20231101.fi", **environment)
        assert problem.startswith("owner/wiki:20231101.fi: cannot be downloaded from the Hugging Face hub")
        assert "network" in fix


def test_without_a_configuration_every_language_is_taken(hub, ask):
    assert ask(hub, "owner/wiki") == [*GERMAN, FINNISH, CANTONESE]
    assert not any("extra" in name for name in hub.downloads)


def test_without_a_configuration_only_the_languages_that_are_asked_for(hub, ask):
    assert ask(hub, "owner/wiki", "yue fi") == [FINNISH, CANTONESE]
    assert len(hub.downloads) == 2


@pytest.mark.parametrize(
    ("name", "problem", "fix"),
    [
        ("owner/other:x", "owner/other: no such data set", "Check the name"),
        ("owner/wiki:de", "no configuration 'de'", "20231101.de, 20231101.fi, 20231101.zh-yue, extra."),
        ("a/b/c:x", "a/b/c: not the name of a data set", "OWNER/NAME:CONFIGURATION"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(hub, ask, name, problem, fix):
    told = ask(hub, name)
    assert problem in told[0]
    assert fix in told[1]
