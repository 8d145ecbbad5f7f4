"""What is measured of an encoder so far, so that a stopped measurement goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unibert.files import fingerprint, make_folder


class Journal:
    """Parts of a measurement, a JSON line each, in a file that is removed when the whole is written.

    Each line holds its own fingerprint: one that is damaged is as if it were not there. The file is made with the
    first part.

    Args:
        path: of the file.
        identity: fingerprint of what decides the parts; those of another one are not read.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._parts: dict[str, Any] = {}
        # Not splitlines: JSON leaves separators such as U+2028 in a text as they are.
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
        self._is_ours = lines[:1] == [identity]
        for line in lines[1:] if self._is_ours else ():
            try:
                part = json.loads(line)
            except ValueError:  # the last one, of a killed process
                continue
            if isinstance(part, dict) and part.get("mark") == fingerprint([part.get("name"), part.get("value")]):
                self._parts[part["name"]] = part["value"]

    def get(self, name: str) -> Any:
        """What was written under a name; None if nothing was."""
        return self._parts.get(name)

    def put(self, name: str, value: Mapping[str, Any] | list[Any]) -> None:
        """Keep a part."""
        self._parts[name] = value
        if not self._is_ours:
            make_folder(self._path.parent)
            self._path.write_text(self._identity + "\n", encoding="utf-8")
            self._is_ours = True
        line = {"name": name, "value": value, "mark": fingerprint([name, value])}
        with self._path.open("a", encoding="utf-8") as stream:
            # A line that a killed process left half written ends here.
            stream.write("\n" + json.dumps(line, ensure_ascii=False))

    def close(self) -> None:
        """The whole is written: the parts are needed no more."""
        self._path.unlink(missing_ok=True)
