"""What is measured of an encoder so far, so that a stopped measurement goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unibert.files import make_folder


class Journal:
    """Parts of a measurement, a JSON line each, in a file that is removed when the whole is written.

    Args:
        path: of the file.
        identity: fingerprint of what decides the parts; those of another one are not read.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._parts: dict[str, Any] = {}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        if not lines or lines[0] != identity:
            make_folder(path.parent)
            path.write_text(identity + "\n", encoding="utf-8")
            return
        for line in lines[1:]:
            try:
                part = json.loads(line)
            except ValueError:  # the last one, of a killed process
                continue
            self._parts[part["name"]] = part["value"]

    def get(self, name: str) -> Any:
        """What was written under a name; None if nothing was."""
        return self._parts.get(name)

    def put(self, name: str, value: Mapping[str, Any] | list[Any]) -> None:
        """Keep a part."""
        self._parts[name] = value
        with self._path.open("a", encoding="utf-8") as stream:
            # A line that a killed process left half written ends here.
            stream.write("\n" + json.dumps({"name": name, "value": value}, ensure_ascii=False))

    def close(self) -> None:
        """The whole is written: the parts are needed no more."""
        self._path.unlink(missing_ok=True)
