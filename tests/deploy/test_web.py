"""The page's server: its list of files, its headers, what it refuses, and how the verb starts and ends it."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests_support import heed_interrupts
from unibert.deploy.web import POLICY, ROOT, make_items, open_server, page_folder, serve
from unibert.deploy.web_assets import Library, read_pins
from unibert.deploy.web_models import find_web_model, find_web_models
from unibert.deploy_cli import web
from unibert.errors import DataError, RecipeError
from web_support import write_folder

LIBRARY = Library("1-ab", {"transformers.js": b"export {}" * 99, "onnxruntime.js": b"//", "onnxruntime.wasm": b"\0asm"})


@pytest.fixture
def exported(tmp_path) -> Path:
    return write_folder(tmp_path / "My model!")


@pytest.fixture
def server(exported):
    with open_server("127.0.0.1", 0, make_items(page_folder(), LIBRARY, [find_web_model(exported)])) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_every_file_is_served_as_what_it_is(server, exported) -> None:
    told = json.loads(ask(server, f"{ROOT}models.json")[2])
    (model,) = told["models"]
    assert (model["name"], model["ability"], model["precisions"]) == (
        "My model!",
        "fill",
        {"float32": "onnx/model.onnx"},
    )
    expected = {
        "": "text/html; charset=utf-8",
        "main.js": "text/javascript; charset=utf-8",
        "sw.js": "text/javascript; charset=utf-8",
        "style.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "models.json": "application/json; charset=utf-8",
        "library/1-ab/transformers.js": "text/javascript; charset=utf-8",
        "library/1-ab/onnxruntime.wasm": "application/wasm",
        f"models/{model['id']}/onnx/model.onnx": "application/octet-stream",
        f"models/{model['id']}/tokenizer.json": "application/json; charset=utf-8",
    }
    for path, kind in expected.items():
        status, headers, content = ask(server, ROOT + path)
        assert (status, headers["Content-Type"]) == (200, kind), path
        assert int(headers["Content-Length"]) == len(content)
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert ("immutable" in headers["Cache-Control"]) == path.startswith(("library/", "models/"))
        head_status, head, nothing = ask(server, ROOT + path, "HEAD")
        assert (head_status, head["Content-Length"], nothing) == (200, headers["Content-Length"], b"")
    assert content == (exported / "tokenizer.json").read_bytes()
    assert set(told["page"]) >= {"./", "main.js", "engine.js", "sw.js", "style.css"}
    assert not [name for name in told["page"] if name.startswith("package")]


def test_packed_files_are_the_same_and_as_long_as_the_page_is_told(server) -> None:
    told = json.loads(ask(server, f"{ROOT}models.json")[2])
    model = told["models"][0]
    files = {told["library"]["path"] + name: sizes for name, sizes in told["library"]["files"].items()}
    files |= {f"models/{model['id']}/{name}": sizes for name, sizes in model["files"].items()}
    for path, (size, download) in files.items():
        plain = ask(server, ROOT + path)[2]
        _, headers, content = ask(server, ROOT + path, **{"Accept-Encoding": "gzip, br"})
        assert (len(plain), len(content)) == (size, download), path
        assert (gzip.decompress(content) if headers.get("Content-Encoding") == "gzip" else content) == plain
    assert files["library/1-ab/transformers.js"][1] < 100
    assert "Content-Encoding" not in ask(server, f"{ROOT}models/{model['id']}/onnx/model.onnx")[1]


def test_the_page_is_found_from_the_root(server) -> None:
    for path in ("/", "/unibert", "/?x=1"):
        status, headers, _ = ask(server, path)
        assert (status, headers["Location"]) == (302, ROOT)
    assert server.address == f"http://127.0.0.1:{server.server_port}/unibert/"
    assert ask(server, f"{ROOT}?threads=2")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/unibert/../../etc/passwd",
        "/unibert/%2e%2e/%2e%2e/etc/passwd",
        "/unibert/models/../../etc/passwd",
        "//etc/passwd",
        "/unibert//etc/passwd",
        "/unibert/package-lock.json",
        "/unibert/package.json",
        "/unibert/models/",
        "/unibert/index.html/",
        "/unibert/..\\..\\x",
        "/unibert/\0",
        "http://elsewhere/unibert/",
    ],
)
def test_nothing_else_is_served(server, path) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.split()[1] in (b"404", b"400")
    assert b"root:" not in answer


def test_no_other_methods(server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, ROOT, method)[0] == 501


def test_a_model_that_changes_on_the_disk_is_not_mixed_with_the_old_one(server, exported) -> None:
    identity = json.loads(ask(server, f"{ROOT}models.json")[2])["models"][0]["id"]
    weights, tokenizer = (f"{ROOT}models/{identity}/{name}" for name in ("onnx/model.onnx", "tokenizer.json"))
    assert ask(server, weights)[0] == 200
    (exported / "onnx" / "model.onnx").write_bytes(b"weights of another model")
    status, headers, content = ask(server, weights)
    assert (status, headers["Cache-Control"]) == (410, "no-store") and b"start `unibert web` again" in content
    (exported / "tokenizer.json").unlink()
    for encoding in ("gzip", "identity"):
        assert ask(server, tokenizer, **{"Accept-Encoding": encoding})[0] == 410
    assert find_web_model(write_folder(exported.parent / "other" / "My model!")).identity != identity


def test_a_browser_that_breaks_off_is_no_error(server, capfd) -> None:
    for _ in range(3):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        connection.sendall(f"GET {ROOT} HTTP/1.1\r\n".encode())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
        connection.close()
    assert ask(server, ROOT)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_server_that_is_closed_answers_nobody(exported) -> None:
    found = open_server("127.0.0.1", 0, make_items(page_folder(), LIBRARY, [find_web_model(exported)]))
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", found.server_port, timeout=20)
    connection.request("GET", f"{ROOT}icon.svg")
    assert connection.getresponse().read()
    found.shutdown()
    thread.join()
    found.server_close()
    with pytest.raises((http.client.HTTPException, OSError)):  # not even on a connection that was kept open
        connection.request("GET", f"{ROOT}icon.svg")
        connection.getresponse()
    connection.close()


# --- which folders are taken ---


def test_each_model_has_its_place_and_a_name_of_its_own(tmp_path) -> None:
    folders = [
        write_folder(tmp_path / "a" / "model"),
        write_folder(tmp_path / "b" / "model", task="token-classification"),
        write_folder(tmp_path / "c" / "model", "embeddings", None),
        write_folder(tmp_path / "مثال", "encoder", None),
    ]
    (folders[2] / "onnx" / "model_quantized.onnx").write_bytes(b"int8")
    models = find_web_models(folders)
    assert [model.ability for model in models] == ["fill", "entities", "similarity", "similarity"]
    assert [model.name for model in models] == ["model", "model (2)", "model (3)", "مثال"]
    assert [model.precisions for model in models] == [["float32"], ["float32"], ["int8", "float32"], ["float32"]]
    assert len({model.identity for model in models}) == 4
    assert models[3].identity.startswith("model/")
    with pytest.raises(DataError, match="given twice"):
        find_web_models([folders[0], tmp_path / "a" / ".." / "a" / "model"])


def damage(folder: Path, how: str) -> Path:
    if how == "gone":
        return folder / "nowhere"
    if how == "no weights":
        (folder / "onnx" / "model.onnx").unlink()
    elif how.startswith("no "):
        (folder / how.removeprefix("no ")).unlink()
    elif how == "other tokenizer":
        (folder / "tokenizer.json").write_text("{ }")
    elif how == "other weights":
        (folder / "onnx" / "model.onnx").write_bytes(b"of another model")
    else:
        (folder / "unibert_export.json").write_text(how)
    return folder


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("gone", "no such folder"),
        ("no unibert_export.json", "not an exported model"),
        ("no tokenizer.json", r"tokenizer\.json missing"),
        ("no config.json", r"config\.json missing"),
        ("no weights", r"onnx/model\.onnx missing"),
        ("other tokenizer", "not the tokenizer that the model was exported with"),
        ("other weights", "not the file that was exported"),
        ("{", "not valid JSON"),
        ("[]", "not a record of schema 1"),
        ('{"schema": 2}', "not a record of schema 1"),
        ('{"schema": 1, "kind": "head", "task": "question-answering"}', "no part for"),
        ('{"schema": 1, "kind": "nothing"}', "no part for"),
        ('{"schema": 1}', "unibert_export.json: kind is missing"),
        ('{"schema": 1, "kind": "head", "bytes": []}', "unibert_export.json: bytes is missing or damaged"),
    ],
)
def test_folders_that_are_refused(exported, how, says) -> None:
    with pytest.raises(DataError, match=says) as error:
        find_web_model(damage(exported, how))
    assert error.value.fix


# --- where it listens ---


def test_a_port_in_use_is_told_with_one_that_is_free(server) -> None:
    with pytest.raises(DataError, match=f"port {server.server_port} of 127.0.0.1 is in use") as error:
        open_server("127.0.0.1", server.server_port, {})
    free = int(error.value.fix.split("--port ")[1].split(",")[0])
    assert free > server.server_port
    open_server("127.0.0.1", free, {}).server_close()


def test_hosts_and_ports_that_will_not_do() -> None:
    with pytest.raises(DataError, match=r"203\.0\.113\.7: cannot be listened on"):
        open_server("203.0.113.7", 0, {})
    with pytest.raises(DataError, match="cannot be listened on"):
        open_server("no such host.invalid", 0, {})
    with pytest.raises(DataError, match="cannot be listened on"):
        open_server("é..x", 0, {})
    with pytest.raises(RecipeError, match="no such port"):
        open_server("127.0.0.1", 70000, {})


def test_every_interface_is_named_by_an_address_that_can_be_opened() -> None:
    with open_server("0.0.0.0", 0, {}) as found:
        assert found.address.startswith("http://127.0.0.1:")


# --- the verb ---

app = typer.Typer()
app.command()(web)


def fake_node_modules(folder: Path) -> Path:
    """What npm would have filled, with nothing in it that works."""
    contents = {
        "dist/transformers.web.min.js": b'from"onnxruntime-web/webgpu" from"onnxruntime-common"',
        "dist/ort.wasm.bundle.min.mjs": b"",
        "dist/ort-wasm-simd-threaded.wasm": b"",
    }
    for pin in read_pins(page_folder()):
        for name, content in contents.items():
            (folder / pin.name / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / pin.name / name).write_bytes(content)
        (folder / pin.name / "package.json").write_text(json.dumps({"version": pin.version}))
    return folder


def test_everything_is_looked_at_before_the_start(exported, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    runner = CliRunner()
    assert runner.invoke(app, []).exit_code == 2
    assert runner.invoke(app, ["--fetch-assets", "--offline"]).exit_code == 2
    failed = runner.invoke(app, ["--model", str(tmp_path / "nowhere")])
    assert isinstance(failed.exception, DataError) and "no such folder" in failed.exception.message
    failed = runner.invoke(app, ["--model", str(exported), "--offline"])
    assert isinstance(failed.exception, DataError) and "--offline forbids" in failed.exception.message
    assert not (tmp_path / "empty").exists()


def test_ctrl_c_ends_it_quietly(exported, tmp_path) -> None:
    script = "import typer; from unibert.deploy_cli import web; app = typer.Typer(); app.command()(web); app()"
    assets = fake_node_modules(tmp_path / "node_modules")
    command = [sys.executable, "-c", script, "--model", str(exported), "--port", "0", "--assets", str(assets)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
        env={**os.environ, "UNIBERT_QUIET": "1"},
    )
    line = process.stdout.readline()
    address = line.split()[0]
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=20)
    connection.request("GET", ROOT)  # kept open: it does not delay the end
    assert connection.getresponse().status == 200
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (0, "", "")


def test_the_browser_is_opened_when_asked(exported, tmp_path, monkeypatch) -> None:
    opened = threading.Event()
    addresses = []
    monkeypatch.setattr("webbrowser.open", lambda address: (addresses.append(address), opened.set()))

    def listening(server) -> None:
        threading.Thread(target=lambda: (opened.wait(20), server.shutdown()), daemon=True).start()
        addresses.append(server.address)

    assets = fake_node_modules(tmp_path / "node_modules")
    serve([exported], port=0, open_browser=True, assets=assets, listening=listening)
    assert addresses == [addresses[0]] * 2
