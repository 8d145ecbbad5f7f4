"""Which models a path stands for, and whether a model's folder is fit to be handed to others."""

from __future__ import annotations

import itertools
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError

MODEL_FOLDER = "model"
WEIGHTS = "model.safetensors"
_NEEDED = ("README.md", "config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
_WELCOME = ("added_tokens.json", "special_tokens_map.json", "vocab.txt")
_MEMBERS = "students"
_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


@dataclass(frozen=True)
class ModelFolder:
    """A model that can be loaded by anyone who has `transformers`."""

    folder: Path
    files: tuple[str, ...]
    """Names of the files that belong to it, sorted."""
    left_out: tuple[str, ...]
    """Names of what else lies there."""


def find_models(place: Path, member: str | None = None) -> dict[str, Path]:
    """The folders of the models that `place` stands for, by the member's name; a single model is called "".

    Args:
        place: a model's folder; the folder of a run (`RUN`, `RUN/student`, `RUN/teacher`), which stands for its
            student; or that of a family's run (`RUN`, `RUN/students`), which stands for all members.
        member: of a family only this one, under the name "".

    Raises:
        DataError: nothing of the kind there, a run that is not finished, no such member.
    """
    if not place.is_dir():
        raise DataError(f"{place}: no such folder", "Name a model's folder or the folder of a finished run.")
    single = next((path for path in (place, place / "student") if _is_run_of_one(path)), None)
    family = next((path for path in (place, place / _MEMBERS) if _members(path)), None)
    found: dict[str, Path]
    if (place / "config.json").exists():
        found, family = {"": place}, None
    elif single is not None and family is not None:
        raise DataError(f"{place}: holds a student and a family", f"Name {single} or {family}.")
    elif family is not None:
        found = {path.name: path / MODEL_FOLDER for path in _members(family)}
    elif single is not None:
        found = {"": single / MODEL_FOLDER}
    else:
        raise DataError(f"{place}: holds neither a model nor a run", "Name the folder of a model or of a run.")
    if member is not None:
        if family is None or member not in found:
            known = ", ".join(found) if family is not None else "a single model"
            raise DataError(
                f"{place}: has no member {member!r}; there is {known}", "Correct --member, or leave it out."
            )
        found = {"": found[member]}
    for folder in found.values():
        _check_finished(folder, is_run=folder != place)
    return found


def _is_run_of_one(folder: Path) -> bool:
    """Whether a folder is that of a single student's run, or of one member of a family."""
    if folder.name == _MEMBERS:
        return False
    return (folder / MODEL_FOLDER).is_dir() or (folder / "log.jsonl").exists()


def _members(folder: Path) -> list[Path]:
    """The folders of a family's members."""
    if folder.name != _MEMBERS or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_run_of_one(path))


def _check_finished(folder: Path, is_run: bool) -> None:
    """Where a run made the model, it has to be finished, and the weights have to be the ones it made."""
    from unibert.pretrain.finish import SUMMARY_FILE, is_finished

    run = folder.parent
    if not is_run and not (folder.name == MODEL_FOLDER and (run / SUMMARY_FILE).exists()):
        return  # a model that was put somewhere else
    if not is_finished(run):
        raise DataError(
            f"{run}: this run is not finished, or {folder} is not the model that it made",
            "Run `unibert pretrain` with its recipe: it goes on from where it stopped.",
        )


def check_model(folder: Path) -> ModelFolder:
    """Load the model and its tokenizer, read its card, look for pickles.

    Raises:
        DataError: names the file and what is wrong with it.
    """
    from unibert.pretrain.card_metadata import card_problems

    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise DataError(
            f"{folder}: {', '.join(missing)} missing", "Name the model's folder that `unibert pretrain` wrote."
        )
    for name in names:
        if is_pickle(folder / name):
            raise DataError(
                f"{folder / name}: a pickle, which can run any program on the machine that loads it",
                "Delete it: the weights are in model.safetensors.",
            )
    try:
        problems = card_problems((folder / "README.md").read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        problems = [f"it is not UTF-8 ({error})"]
    if problems:
        raise DataError(
            f"{folder / 'README.md'}: the hub would refuse this card: {'; '.join(problems)}",
            "Correct it; the metadata stands between the two lines of --- at its top.",
        )
    _load(folder)
    files = tuple(name for name in names if name in _NEEDED or name in _WELCOME)
    return ModelFolder(folder, files, tuple(name for name in names if name not in files))


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, or an archive of them such as `torch.save` writes, by its content or its name."""
    if path.suffix in _PICKLES:
        return True
    with path.open("rb") as stream:
        start = stream.read(2)
        if start[:1] == b"\x80":
            stream.seek(0)
            try:
                # A safetensors file may begin with these bytes too, but does not go on as a pickle does.
                return sum(1 for _ in itertools.islice(pickletools.genops(stream), 50)) > 1
            except (ValueError, EOFError):
                return False
    if start != b"PK":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith((".pkl", ".pickle")) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _load(folder: Path) -> None:
    """Load the folder as a user would, and see that nothing of it is made up."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from unibert.tasks.encoder import quiet_transformers

    fix = "Train it to its end with `unibert pretrain`, or copy the folder again."
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
            model, loading = AutoModelForMaskedLM.from_pretrained(
                str(folder),
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
            )
    except Exception as error:  # every kind of damage raises its own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{folder}: cannot be loaded with transformers ({line})", fix) from error
    made_up = sorted(loading["missing_keys"])
    if made_up:
        raise DataError(
            f"{folder / WEIGHTS}: lacks {', '.join(made_up[:3])}{' ...' if len(made_up) > 3 else ''}: not a whole "
            "masked language model",
            fix,
        )
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{folder / WEIGHTS}: {name} holds numbers that are not finite", fix)
    _check_tokenizer(folder, model, tokenizer)


def _check_tokenizer(folder: Path, model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise DataError(
            f"{folder}: the tokenizer has {len(tokenizer):,} pieces, the model {rows:,} rows",
            "Put the tokenizer there that the model was trained with.",
        )
    if tokenizer.mask_token is None or tokenizer.pad_token is None:
        raise DataError(
            f"{folder}: the tokenizer names no mask or padding piece",
            "Put the tokenizer.json and tokenizer_config.json there that the model was trained with.",
        )
