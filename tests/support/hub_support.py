"""A hub on loopback: a real HTTP server with as much of the hub's protocol as uploading and loading a model takes.

It holds repositories with commits, files and large files; it can be told to refuse, to answer with an error or to die,
and remembers what it was asked.
"""

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

WRITER, READER = "token-of-a-writer", "token-of-a-reader"
LARGE = 20_000
"""Files of this many bytes or more go the way of large files."""


@dataclass
class Repository:
    private: bool = False
    commits: list[dict] = field(default_factory=list)
    """Oldest first: `files`, `message`, `branch`, `oid`."""
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {".gitattributes": b"x"}})
    heads: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.fails: dict[str, int] = {}
        """What is asked (`create`, `preupload`, `batch`, `put`, `commit`, ...): answered with this status; 0 dies."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def counts(self) -> Counter:
        return Counter(what for what, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/api/models/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/large/([0-9a-f]{64})", "put"),
        ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/.*)?", "tree"),
        ("GET, HEAD", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def do_POST(self):
        self._route()

    do_PUT = do_GET = do_HEAD = do_POST

    def _route(self):
        path = urlsplit(self.path).path
        matches = (
            (what, re.fullmatch(pattern, path)) for methods, pattern, what in self.ROUTES if self.command in methods
        )
        what, found = next(((what, found) for what, found in matches if found), ("", None))
        if found is None:
            return self.answer(404, {"error": f"no such place: {self.command} {path}"})
        self.server.asked.append((what, path))
        status = self.server.fails.get(what)
        if status == 0:
            # As a machine that loses its power: half of the request is read, and nothing is ever said.
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            self.close_connection = True
            self.connection.close()
            return None
        body = self._body()
        if status is not None:
            return self.answer(status, {"error": f"the test wants {status}"})
        writes = self.command != "GET" and self.command != "HEAD"
        if what not in ("put", "validate") and writes:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token == READER:
                return self.answer(403, {"error": "this token may only read"})
            if token != WRITER:
                return self.answer(401, {"error": "Invalid credentials"})
        return getattr(self, what)(body, *(unquote(part) if part else part for part in found.groups()))

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, value=None, content=None, **headers):
        data = content if content is not None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def create(self, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            told = {"error": "You already created this model repo", "url": f"{self.server.address}/{name}"}
            return self.answer(409, told)
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.server.repositories[name] = Repository(private)
        return self.answer(200, {"url": f"{self.server.address}/{name}", "name": name})

    def validate(self, body):
        content = json.loads(body)["content"]
        head = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        wrong = [code for code in re.findall(r"^- '?([\w-]+)'?$", _list(head[1], "language"), re.M) if not _known(code)]
        errors = [{"message": f'"language" with value "{code}" is not valid.'} for code in wrong]
        return self.answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def branch(self, body, name, branch):
        repository = self.server.repositories[name]
        if branch in repository.branches:
            return self.answer(409, {"error": "Reference already exists"})
        repository.branches[branch] = dict(repository.branches["main"])
        repository.heads[branch] = repository.heads["main"]
        return self.answer(200, {})

    def info(self, body, name, revision):
        repository = self.server.repositories.get(name)
        if repository is None:
            return self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        revision = revision or "main"
        if revision not in repository.branches:
            return self.answer(404, {"error": "Revision not found"}, X_Error_Code="RevisionNotFound")
        files = [{"rfilename": path} for path in repository.branches[revision]]
        return self.answer(
            200,
            {"id": name, "modelId": name, "sha": repository.heads[revision], "private": repository.private}
            | {"siblings": files, "tags": [], "downloads": 0},
        )

    def preupload(self, body, name, revision):
        there = self.server.repositories[name].branches[revision]
        files = []
        for file in json.loads(body)["files"]:
            large = file["size"] >= LARGE
            content = there.get(file["path"])
            oid = None
            if content is not None:
                git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
                oid = hashlib.sha256(content).hexdigest() if large else git
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return self.answer(200, {"files": files})

    def batch(self, body, name):
        objects = []
        for entry in json.loads(body)["objects"]:
            found = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.server.large:
                found["actions"] = {"upload": {"href": f"{self.server.address}/large/{entry['oid']}", "header": {}}}
            objects.append(found)
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def put(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            return self.answer(400, {"error": "other bytes than announced"})
        self.server.large[oid] = body
        return self.answer(200, {})

    def commit(self, body, name, revision):
        lines = [json.loads(line) for line in body.splitlines()]
        repository = self.server.repositories[name]
        files = dict(repository.branches[revision])
        changed = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changed[value["path"]] = self.server.large[value["oid"]]
            else:
                return self.answer(400, {"error": f"unknown key {line['key']}"})
        oid = hashlib.sha1(f"{len(repository.commits)} {name}".encode()).hexdigest()
        repository.branches[revision] = files | changed
        repository.heads[revision] = oid
        summary = lines[0]["value"]["summary"]
        repository.commits.append({"files": changed, "message": summary, "branch": revision, "oid": oid})
        address = f"{self.server.address}/{name}/commit/{oid}"
        return self.answer(200, {"commitUrl": address, "commitOid": oid, "pullRequestUrl": None, "success": True})

    def tree(self, body, name, revision):
        files = self.server.repositories[name].branches[revision]
        return self.answer(
            200, [{"type": "file", "path": path, "size": len(data), "oid": _etag(data)} for path, data in files.items()]
        )

    def resolve(self, body, name, revision, path):
        repository = self.server.repositories.get(name, Repository())
        branch = next((key for key, oid in repository.heads.items() if revision in (key, oid)), "main")
        content = repository.branches[branch].get(path)
        if content is None:
            return self.answer(404, {"error": "no such entry"}, X_Error_Code="EntryNotFound")
        return self.answer(200, content=content, X_Repo_Commit=repository.heads[branch], ETag=f'"{_etag(content)}"')

    def log_message(self, *_):
        pass


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _list(text: str, key: str) -> str:
    found = re.search(rf"^{key}:\n((?:- .*\n?)+)", text, re.MULTILINE)
    return found[1] if found else ""


def _known(code: str) -> bool:
    return bool(re.fullmatch(r"[a-z]{2,3}", code)) or code in ("multilingual", "code")


@contextmanager
def hub():
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
