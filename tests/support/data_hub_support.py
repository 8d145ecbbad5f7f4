"""A hub of data sets on loopback: as much of the protocol as listing and downloading them takes, branches included."""

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

CONVERTED = "refs/convert/parquet"


class DataHub(ThreadingHTTPServer):
    """`datasets`: by name and branch, files by path."""

    daemon_threads = True

    def __init__(self, datasets):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.datasets = datasets
        self.asked = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def downloads(self):
        return [
            path.split("/resolve/")[1].partition("/")[2]
            for method, path in self.asked
            if method == "GET" and "/resolve/" in path
        ]

    def commit(self, name, branch):
        return hashlib.sha1(f"{name} {branch}".encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        for name, branches in self.server.datasets.items():
            if path.startswith(f"/datasets/{name}/resolve/"):
                return self.file(name, branches, path.split("/resolve/")[1])
            if path == f"/api/datasets/{name}" or path.startswith(f"/api/datasets/{name}/"):
                return self.listing(name, branches, path.removeprefix(f"/api/datasets/{name}").strip("/"))
        return self.send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def branch(self, name, branches, revision):
        return next((each for each in branches if revision in (each, self.server.commit(name, each))), None)

    def listing(self, name, branches, rest):
        what, _, revision = rest.partition("/")
        branch = self.branch(name, branches, revision if what in ("revision", "tree") and revision else "main")
        if branch is None:
            return self.send(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        files = branches[branch]
        if what == "tree":
            return self.send(
                200,
                [
                    {"type": "file", "path": path, "size": len(data or b""), "oid": _tag(data)}
                    for path, data in files.items()
                ],
            )
        siblings = [{"rfilename": path} for path in files]
        sha = self.server.commit(name, branch)
        return self.send(200, {"id": name, "sha": sha, "private": False, "tags": [], "siblings": siblings})

    def file(self, name, branches, rest):
        revision, _, path = rest.partition("/")
        branch = self.branch(name, branches, revision)
        content = branches[branch].get(path) if branch else None
        if content is None:
            time.sleep(1)  # after the other files: one that is under way would be given up with this one
            return self.send(404, {"error": "no such entry"}, {"X-Error-Code": "EntryNotFound"})
        return self.send(
            200, content, {"ETag": f'"{_tag(content)}"', "X-Repo-Commit": self.server.commit(name, branch)}
        )

    def send(self, status, content, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tag(content):
    return hashlib.sha1(content or b"").hexdigest()


@contextmanager
def data_hub(datasets):
    server = DataHub(datasets)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
