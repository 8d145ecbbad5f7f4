"""Recipes as TOML files: read, override, check, write.

A key that does not exist is an error that names the file, the line and the nearest key that does, so a typo never
trains the default for a week.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from unibert.errors import RecipeError, nearest
from unibert.recipe import Recipe
from unibert.settings import Settings


def load_recipe(path: Path | str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a TOML recipe, apply `a.b=value` overrides, validate.

    Args:
        path: the TOML file.
        overrides: `key.path=value`; the value is read as TOML, and as a string where that fails.

    Raises:
        RecipeError: names the file, the line and the nearest known key.
    """
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe", "See the folder recipes/ for examples.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})", "Give a TOML file in UTF-8.") from None
    try:
        tree = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}", "Correct that line; text values need quotes.") from None
    overrides = list(overrides)
    if not tree and not overrides:
        raise RecipeError(f"{path}: the file is empty, not a recipe", "See the folder recipes/ for examples.")
    tree.setdefault("name", path.stem)
    overridden: set[tuple[str, ...]] = set()
    for override in overrides:
        overridden.add(_apply_override(tree, override))
    return _validate(tree, path, source, overridden)


def _apply_override(tree: dict[str, Any], override: str) -> tuple[str, ...]:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise RecipeError(f"--set {override}: not of the form key=value", "Write for example --set pretrain.steps=10.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    node: Any = tree
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise RecipeError(f"--set {override}: {name} is a value, not a table", "Name the key itself.")
    node[last] = value
    return (*parents, last)


def _validate(tree: Mapping[str, Any], path: Path, source: str, overridden: set[tuple[str, ...]]) -> Recipe:
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problems = []
        found = [(_keys_of(item["loc"]), item) for item in error.errors()]
        for keys, item in found:
            told = any(other is not item and there[: len(keys)] == keys for there, other in found)
            if item["type"] == "literal_error" and isinstance(item["input"], dict) and told:
                continue  # A table where a name or a shape may stand: the shape's own error says what is wrong with it.
            if any(keys[: len(override)] == override for override in overridden):
                where = f"--set {'.'.join(keys)}"
            else:
                line = _line_of(source, keys)
                where = f"{path}:{line}: {'.'.join(keys)}" if line else f"{path}: {'.'.join(keys) or 'recipe'}"
            problems.append(f"{where}: {_reason(item, tree, keys)}")
        raise RecipeError("\n".join(problems), "See `unibert recipe show` for every key and its default.") from None


def _keys_of(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The TOML key path of a pydantic location, without union branches and positions in lists."""
    branch = "Architecture"  # how pydantic calls a member of a union
    return tuple(part for part in location if isinstance(part, str) and part != branch and "[" not in part)


def _reason(item: Any, tree: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    if item["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        near = nearest(keys[-1], known)
        hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key; {hint}"
    message = item["msg"].removeprefix("Value error, ")
    shown = json.dumps(item.get("input"), default=str, ensure_ascii=False)
    if item["type"] in ("value_error", "missing") or len(shown) > 80:
        return message
    return f"{message} (it is {shown})"


def _known_keys(keys: tuple[str, ...]) -> list[str]:
    """The keys of the settings node at `keys`."""
    node: type[BaseModel] | None = Recipe
    for key in keys:
        if node is None or key not in node.model_fields:
            continue  # an entry of a table with free names, such as benchmark.data.NAME: its class is known already
        node = _settings_class(node.model_fields[key].annotation)
    return list(node.model_fields) if node else []


def _settings_class(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside an annotation such as `Pretrain | None`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _settings_class(inner)
        if found:
            return found
    return None


def _line_of(source: str, keys: tuple[str, ...]) -> int | None:
    """The line on which `keys` is set in a TOML text; the nearest parent table's line if the key is not found."""
    table: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    for number, line in enumerate(source.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        assignment = re.match(r"\s*([\w.\-\"']+)\s*=", line)
        if header and not assignment:
            table = _split_key(header.group(1))
            here = table
        elif assignment:
            here = table + _split_key(assignment.group(1))
        else:
            continue
        if here == keys[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


def _split_key(text: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in text.split("."))


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML, every key with its description as a comment; `load_recipe` reads it back."""
    lines: list[str] = []
    _write_table(recipe, (), lines)
    return "\n".join(lines) + "\n"


def _write_table(node: Settings, path: tuple[str, ...], lines: list[str]) -> None:
    if path:
        lines += ["", f"[{'.'.join(path)}]"]
    tables: list[tuple[str, Any]] = []
    for name, field in type(node).model_fields.items():
        value = getattr(node, name)
        # A table with free names of settings; one of plain values (options for sbatch) is written as a value.
        named = isinstance(value, dict) and any(isinstance(inner, Settings) for inner in value.values())
        if isinstance(value, Settings) or named:
            tables.append((name, value))
            continue
        for comment in (field.description or "").splitlines():
            lines.append(f"# {comment.strip()}")
        if value is None:
            lines.append(f"# {name} is unset")
        elif value != {}:
            lines.append(f"{name} = {_toml_value(value)}")
    for name, value in tables:
        if isinstance(value, Settings):
            _write_table(value, (*path, name), lines)
        else:
            for key, inner in value.items():
                _write_table(inner, (*path, name, key), lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_value(key)} = {_toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
