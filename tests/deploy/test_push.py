"""Uploading to a stand-in hub: what arrives, what is never sent twice, what is refused, what is told."""

import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from finish_support import FULL, finished_run
from hub_support import READER, WRITER, HubServer, hub
from tests_support import World, make_settings, write_world
from unibert.deploy.model_folder import find_models, is_pickle
from unibert.deploy.push import push
from unibert.errors import DataError, UniBertError

NAME = "someone/small"
FILES = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN, whose one student is finished."""
    folder = tmp_path_factory.mktemp("run")
    finished_run(folder / "student", world)
    return folder


@pytest.fixture(scope="module")
def family(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    shape = {"layers": 1, "hidden": 16, "heads": 2, "feed_forward": 24, "max_positions": 32}
    settings = make_settings(**FULL, students={"one": shape, "two": {**shape, "layers": 2}})
    for name in settings.members:
        finished_run(folder / "students" / name, world, settings.alone(name), name)
    (folder / "students" / "run.json").write_text("{}")
    (folder / "students" / "checkpoints").mkdir()
    return folder


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    """A model's folder by itself."""
    return Path(shutil.copytree(run / "student" / "model", tmp_path / "some-model"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in has no such storage
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between attempts
    with hub() as found:
        yield found


def send(server: HubServer, place: Path, to: str = NAME, token: str = WRITER, **more: Any) -> list[Any]:
    return push(place, to, endpoint=server.address, token=token, tell=lambda line: None, **more)


def sent(server: HubServer, name: str = NAME, branch: str = "main") -> dict[str, bytes]:
    return {p: data for p, data in server.repositories[name].branches[branch].items() if p != ".gitattributes"}


def test_what_arrives_is_what_is_there(server: HubServer, run: Path) -> None:
    [pushed] = send(server, run, message="First")
    arrived, folder = sent(server), run / "student" / "model"
    assert set(arrived) == FILES
    for name in FILES - {"README.md"}:
        assert arrived[name] == (folder / name).read_bytes()
    # The card's code loads the model from the hub; every other line is the same.
    here, there = (text.decode().splitlines() for text in ((folder / "README.md").read_bytes(), arrived["README.md"]))
    [(before, after)] = [(one, two) for one, two in zip(here, there, strict=True) if one != two]
    assert (before.split()[:3], after) == (["name", "=", '"."'], f'name = "{NAME}"')
    [commit] = server.repositories[NAME].commits
    assert (commit["message"], commit["oid"], pushed.changed) == ("First", pushed.commit, True)
    assert not server.repositories[NAME].private
    # Large files go to the storage for them.
    assert server.counts()["put"] == 1


def test_the_same_again_makes_no_new_commit(server: HubServer, run: Path) -> None:
    [first] = send(server, run)
    server.asked.clear()
    [second] = send(server, run / "student" / "model")
    assert (second.changed, second.commit) == (False, first.commit)
    assert len(server.repositories[NAME].commits) == 1
    assert {"put", "commit"}.isdisjoint(server.counts())


def test_only_what_has_changed_is_sent(server: HubServer, model: Path) -> None:
    send(server, model)
    card = (model / "README.md").read_text(encoding="utf-8")
    (model / "README.md").write_text(card + "\nA word of my own.\n", encoding="utf-8")
    server.asked.clear()
    [pushed] = send(server, model)
    assert pushed.changed
    assert set(server.repositories[NAME].commits[-1]["files"]) == {"README.md"}
    assert sent(server)["README.md"].endswith(b"A word of my own.\n")
    assert server.counts()["put"] == 0


def test_a_server_that_dies_while_the_weights_arrive(server: HubServer, run: Path) -> None:
    server.fails["put"] = 0
    with pytest.raises(UniBertError, match="the upload broke off") as caught:
        send(server, run)
    assert "same command again" in caught.value.fix
    assert server.counts()["put"] > 1  # the library tries some times
    assert not sent(server)
    assert not server.repositories[NAME].commits
    del server.fails["put"]
    [pushed] = send(server, run)
    assert pushed.changed
    assert set(sent(server)) == FILES


def test_what_arrived_before_a_break_is_not_sent_again(server: HubServer, run: Path) -> None:
    server.fails["commit"] = 0
    with pytest.raises(UniBertError, match="the upload broke off"):
        send(server, run)
    assert not sent(server)
    del server.fails["commit"]
    send(server, run)
    assert server.counts()["put"] == 1
    assert set(sent(server)) == FILES


def test_a_server_that_is_gone(run: Path, server: HubServer) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(UniBertError, match=r"someone/small: the upload broke off \(.*refused") as caught:
            push(run, NAME, endpoint=address, token=WRITER)
    assert "HF_ENDPOINT" in caught.value.fix


@pytest.mark.parametrize(
    ("token", "says", "fix"),
    [("expired", "does not accept the token", "hf auth login"), (READER, "may not write there", "right to write")],
)
def test_a_token_that_will_not_do(server: HubServer, run: Path, token: str, says: str, fix: str) -> None:
    with pytest.raises(UniBertError, match=says) as caught:
        send(server, run, token=token)
    assert fix in caught.value.fix
    assert not server.repositories
    send(server, run)
    with pytest.raises(UniBertError, match=says):
        send(server, run, token=token)
    assert len(server.repositories[NAME].commits) == 1


@pytest.mark.parametrize(
    ("what", "status", "says"),
    [
        ("create", 500, "answered 500"),
        ("create", 402, "answered 402"),
        ("batch", 503, "answered 503"),
        ("put", 500, "answered 500"),
        ("commit", 412, "answered 412"),
        ("commit", 413, "answered 413"),
        ("validate", 400, "Invalid metadata in README.md"),
    ],
)
def test_a_hub_that_refuses(server: HubServer, run: Path, what: str, status: int, says: str) -> None:
    server.fails[what] = status
    with pytest.raises(UniBertError, match=says) as caught:
        send(server, run)
    assert caught.value.fix
    assert not any(repository.commits for repository in server.repositories.values())


def test_without_a_token(server: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(UniBertError, match="no token") as caught:
        push(run, NAME, endpoint=server.address)
    assert "HF_TOKEN" in caught.value.fix
    assert not server.asked
    (tmp_path / "token").write_text(WRITER)
    assert push(run, NAME, endpoint=server.address)[0].changed


def test_private(server: HubServer, run: Path) -> None:
    send(server, run, private=True)
    assert server.repositories[NAME].private
    assert not send(server, run)[0].changed
    assert server.repositories[NAME].private


def test_what_is_meant_to_be_private_does_not_go_to_a_public_place(server: HubServer, model: Path) -> None:
    send(server, model)
    (model / "README.md").write_text("---\nlicense: other\n---\n# Secret\n")
    with pytest.raises(UniBertError, match="is public already; nothing was sent"):
        send(server, model, private=True)
    assert len(server.repositories[NAME].commits) == 1


def test_a_branch_of_its_own(server: HubServer, model: Path) -> None:
    send(server, model)
    (model / "README.md").write_text("---\nlicense: mit\n---\n# Another\n")
    for changed in (True, False):
        [pushed] = send(server, model, revision="next")
        assert pushed.changed is changed
    assert sent(server, branch="next")["README.md"].endswith(b"# Another\n")
    assert b"# Another" not in sent(server)["README.md"]
    assert [commit["branch"] for commit in server.repositories[NAME].commits] == ["main", "next"]


@pytest.mark.parametrize("below", ["", "students"])
def test_a_family_goes_to_a_name_for_each(server: HubServer, family: Path, below: str) -> None:
    send(server, family / below)
    assert set(server.repositories) == {f"{NAME}-one", f"{NAME}-two"}
    for name in ("one", "two"):
        weights = (family / "students" / name / "model" / "model.safetensors").read_bytes()
        assert sent(server, f"{NAME}-{name}")["model.safetensors"] == weights
        assert f'name = "{NAME}-{name}"' in sent(server, f"{NAME}-{name}")["README.md"].decode()


@pytest.mark.parametrize(("below", "member"), [("", "two"), ("students", "two"), ("students/two", None)])
def test_one_member_of_a_family(server: HubServer, family: Path, below: str, member: str | None) -> None:
    send(server, family / below, member=member)
    assert set(server.repositories) == {NAME}
    assert json.loads(sent(server)["config.json"])["num_hidden_layers"] == 2


def test_nothing_of_a_family_is_sent_if_one_member_will_not_do(server: HubServer, family: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(family, tmp_path / "copy"))
    (copy / "students" / "two" / "summary.json").unlink()
    with pytest.raises(DataError, match=r"students/two: this run is not finished"):
        send(server, copy)
    assert not server.asked
    send(server, copy, member="one")
    assert set(server.repositories) == {NAME}


@pytest.mark.parametrize("place", ["", "student", "student/model"])
def test_a_run_stands_for_its_student(run: Path, place: str) -> None:
    assert find_models(run / place) == {"": run / "student" / "model"}


def test_what_is_no_finished_model(run: Path, family: Path, world: World, tmp_path: Path) -> None:
    def fails(place: Path, says: str, member: str | None = None) -> None:
        with pytest.raises(DataError, match=says):
            find_models(place, member)

    fails(tmp_path / "nowhere", "no such folder")
    fails(tmp_path, "neither a model nor a run")
    fails(run / "student" / "log.jsonl", "no such folder")
    fails(run, "no member 'one'; there is a single model", "one")
    fails(family, "no member 'three'; there is one, two", "three")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.copytree(family / "students", copy / "students")
    fails(copy, "holds a student and a family")
    weights = copy / "student" / "model" / "model.safetensors"
    weights.write_bytes((family / "students" / "two" / "model" / "model.safetensors").read_bytes())
    for place in (copy / "student", copy / "student" / "model"):
        fails(place, "not the model that it made")
    (tmp_path / "begun" / "student").mkdir(parents=True)
    (tmp_path / "begun" / "student" / "log.jsonl").touch()
    fails(tmp_path / "begun", "not finished")


@pytest.mark.parametrize(
    "name", ["small", "a/b/c", "/small", "someone/", "some one/small", "someone/sm--all", "someone/.x", "é/x", ""]
)
def test_a_name_that_the_hub_does_not_allow(server: HubServer, run: Path, name: str) -> None:
    with pytest.raises(UniBertError, match="--to") as caught:
        send(server, run, name)
    assert "USER/NAME" in caught.value.fix
    assert not server.asked


def other_head(model: Path) -> None:
    AutoModelForTokenClassification.from_pretrained(model).save_pretrained(model)


def not_finite(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["bert.embeddings.LayerNorm.weight"][0] = torch.nan
    save_file(weights, model / "model.safetensors", {"format": "pt"})


def other_tokenizer(model: Path) -> None:
    tree = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    for number in range(200):
        tree["model"]["vocab"][f"more{number}"] = len(tree["model"]["vocab"])
    (model / "tokenizer.json").write_text(json.dumps(tree), encoding="utf-8")


def no_mask(model: Path) -> None:
    tree = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    del tree["mask_token"]
    (model / "tokenizer_config.json").write_text(json.dumps(tree), encoding="utf-8")


def cut(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda model: (model / "tokenizer.json").unlink(), "tokenizer.json missing"),
        (lambda model: (model / "README.md").unlink(), "README.md missing"),
        (lambda model: (model / "README.md").write_text("# Mine\n"), "no metadata"),
        (lambda model: (model / "README.md").write_text("---\nlanguage: Deutsch\nlicense: mit\n---\n"), "'Deutsch'"),
        (lambda model: (model / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xff"), "UTF-8"),
        (lambda model: (model / "config.json").write_text("{"), "cannot be loaded"),
        (lambda model: (model / "tokenizer.json").write_text("{}"), "cannot be loaded"),
        (lambda model: (model / "model.safetensors").write_bytes(b""), "cannot be loaded"),
        (cut, "cannot be loaded"),
        (other_head, "not a whole masked language model"),
        (not_finite, r"bert\.embeddings\.LayerNorm\.weight holds numbers that are not finite"),
        (other_tokenizer, "the tokenizer has"),
        (no_mask, "names no mask"),
        (lambda model: torch.save({"a": torch.ones(2)}, model / "extra.dat"), "extra.dat: a pickle"),
        (lambda model: (model / "notes.txt").write_bytes(pickle.dumps({"a": [1, 2]})), "notes.txt: a pickle"),
        (lambda model: (model / "pytorch_model.bin").write_bytes(b"anything"), "pytorch_model.bin: a pickle"),
    ],
)
def test_what_others_could_not_load_is_not_sent(server: HubServer, model: Path, damage: Any, says: str) -> None:
    damage(model)
    with pytest.raises(DataError, match=says) as caught:
        send(server, model)
    assert str(model) in caught.value.message
    assert caught.value.fix
    assert not server.asked


def test_what_begins_like_a_pickle_is_none(tmp_path: Path) -> None:
    """A safetensors file begins with the length of its header, which may be any number."""
    for length in (0x80 + (protocol << 8) for protocol in (2, 3, 4, 5)):
        header = json.dumps({"__metadata__": {"x": ""}})
        header = json.dumps({"__metadata__": {"x": "y" * (length - len(header))}})
        path = tmp_path / "model.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header.encode())
        assert path.read_bytes()[0] == 0x80
        assert not is_pickle(path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "archive.zip").write_bytes(b"PK but no archive")
    assert not is_pickle(tmp_path / "empty.txt")
    assert not is_pickle(tmp_path / "archive.zip")


def test_what_does_not_belong_to_the_model_is_left_out(server: HubServer, model: Path) -> None:
    (model / "notes.txt").write_text("mine")
    (model / "checkpoints").mkdir()
    (model / "checkpoints" / "state.json").write_text("{}")
    told: list[str] = []
    push(model, NAME, endpoint=server.address, token=WRITER, tell=told.append)
    assert set(sent(server)) == FILES
    assert "left out: checkpoints/state.json, notes.txt" in told[0]


def test_a_dry_run_sends_nothing_and_tells_every_file(
    server: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    told: list[str] = []
    assert push(run, NAME, private=True, revision="next", dry_run=True, tell=told.append) == []
    assert f"-> {NAME}, branch next, private" in told[0]
    size = (run / "student" / "model" / "model.safetensors").stat().st_size
    assert f"{size:,} bytes  model.safetensors" in told[0]
    assert all(name in told[0] for name in FILES)
    assert not server.asked


@pytest.mark.slow
def test_from_the_command_line_to_the_code_in_the_card(server: HubServer, run: Path, tmp_path: Path) -> None:
    """As two users would: one pushes, the other copies the code of the card, knowing nothing but the hub."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": WRITER,
    }
    command = [sys.executable, "-m", "unibert", "push", str(run), "--to", NAME, "--message", "From a shell"]
    out = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert out.returncode == 0, out.stderr
    assert re.search(rf"^{NAME}: uploaded, commit [0-9a-f]{{12}}$", out.stdout, re.MULTILINE)
    assert server.repositories[NAME].commits[0]["message"] == "From a shell"

    found = re.search(r"```python\n(.*?)```", sent(server)["README.md"].decode(), re.DOTALL)
    assert found
    code = 'import sys; sys.modules["unibert"] = None\n' + found[1]
    used = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**environment, "HF_TOKEN": ""}, cwd=tmp_path
    )
    assert used.returncode == 0, used.stderr
    assert len(used.stdout.splitlines()) == 4

    again = subprocess.run(command, capture_output=True, text=True, env={**environment, "HF_TOKEN": "expired"})
    assert again.returncode == 1
    assert "error: someone/small: the hub does not accept the token" in again.stderr
    assert "Traceback" not in again.stderr
