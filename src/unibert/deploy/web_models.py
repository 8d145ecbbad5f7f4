"""Exported folders as the page in the browser sees them: what they can do, which files they have, what is refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.deploy.session import FLOAT_FILE, QUANTISED_FILES, read_record
from unibert.errors import DataError
from unibert.files import sha256_of_file

PRECISIONS: Mapping[str, str] = {"int8": QUANTISED_FILES["int8"], "float32": FLOAT_FILE}
"""Name: the file that holds it. The first that is there is the one that the page takes unless told otherwise."""
_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
_ABILITIES = {
    ("head", "fill-mask"): "fill",
    ("head", "token-classification"): "entities",
    ("embeddings", None): "similarity",
    ("encoder", None): "similarity",
}
"""Kind and task of an exported folder: the part of the page that uses it."""


@dataclass(frozen=True)
class Stamp:
    """A file as it was when the server was started."""

    path: Path
    size: int
    """In bytes."""
    modified: int
    """Nanoseconds since 1970."""

    def is_current(self) -> bool:
        """Whether the file is still the same one."""
        try:
            return self == stamp(self.path)
        except OSError:
            return False


@dataclass(frozen=True)
class WebModel:
    """A model on the page."""

    name: str
    """Short: the exported folder's name."""
    ability: str
    """`fill`, `entities` or `similarity`."""
    kind: str
    """`encoder`, `embeddings` or `head`."""
    files: Mapping[str, Stamp]
    """By their paths in the folder, with slashes."""
    identity: str
    """Part of the addresses of its files: a readable name, and digits that change with any file."""

    @property
    def precisions(self) -> list[str]:
        """Which of `int8` and `float32` there is, the one to begin with first."""
        return [name for name, path in PRECISIONS.items() if path in self.files]

    def described(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {
            "name": self.name,
            "id": self.identity,
            "ability": self.ability,
            "kind": self.kind,
            "precisions": {name: PRECISIONS[name] for name in self.precisions},
        }


def stamp(path: Path) -> Stamp:
    """Size and time of a file."""
    found = path.stat()
    return Stamp(path, found.st_size, found.st_mtime_ns)


def find_web_models(folders: Sequence[Path]) -> list[WebModel]:
    """The models in exported folders, each under a name of its own.

    Raises:
        DataError: see `find_web_model`; or the same folder twice.
    """
    found: list[WebModel] = []
    places = [folder.expanduser().resolve() for folder in folders]
    for number, folder in enumerate(places):
        if folder in places[:number]:
            raise DataError(f"{folders[number]}: given twice", "Leave out one --model.")
        model = find_web_model(folder)
        same = sum(other.name == model.name or other.name.startswith(f"{model.name} (") for other in found)
        found.append(_renamed(model, f"{model.name} ({same + 1})") if same else model)
    return found


def find_web_model(folder: Path) -> WebModel:
    """The model in one exported folder.

    Raises:
        DataError: no such folder, one that `unibert export` did not write, a file missing, a task that the page has
            no part for, or a tokenizer or weights that are not those of the export.
    """
    record = read_record(folder)
    again = "Export the model again: unibert export."
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    precisions = [path for path in PRECISIONS.values() if (folder / path).is_file()]
    if not precisions:
        missing.append(FLOAT_FILE)
    if missing:
        raise DataError(f"{folder}: {', '.join(missing)} missing", again)
    kind, task = record.get("kind"), record.get("task")
    ability = _ABILITIES.get((str(kind), str(task) if kind == "head" else None))
    if ability is None:
        raise DataError(
            f"{folder}: its head is for {task or kind}, which the page has no part for",
            "Give a head for fill-mask or token-classification, or export with --for embeddings.",
        )
    if record.get("tokenizer_sha256") != sha256_of_file(folder / "tokenizer.json"):
        raise DataError(f"{folder / 'tokenizer.json'}: not the tokenizer that the model was exported with", again)
    sizes = record.get("bytes")
    for path in precisions:
        if isinstance(sizes, dict) and path in sizes and sizes[path] != (folder / path).stat().st_size:
            raise DataError(f"{folder / path}: not the file that was exported into this folder", again)
    files = {name: stamp(folder / name) for name in (*_NEEDED, *precisions)}
    name = folder.name or "model"
    return WebModel(name, ability, str(kind), files, _identity(name, files))


def _renamed(model: WebModel, name: str) -> WebModel:
    return WebModel(name, model.ability, model.kind, model.files, _identity(name, model.files))


def _identity(name: str, files: Mapping[str, Stamp]) -> str:
    """`readable/0123456789abcdef`: of the form that transformers.js takes for the id of a model."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:48].rstrip("-") or "model"
    stamps = repr([(path, found.size, found.modified) for path, found in sorted(files.items())])
    return f"{readable}/{hashlib.sha256(f'{name} {stamps}'.encode()).hexdigest()[:16]}"
