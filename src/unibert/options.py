"""What several commands take apart alike."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def listed(option: str, given: Sequence[str] | None) -> list[str]:
    """The names of an option that may be given again, and hold several with commas between; empty where it was not.

    Raises:
        typer.BadParameter: it was given and names nothing, which would be taken for everything.
    """
    found: list[str] = []
    for text in given or ():
        names = [name for part in text.split(",") if (name := part.strip())]
        if not names:
            raise typer.BadParameter(f"{text!r} names nothing; leave the option out for all", param_hint=option)
        found += names
    return found
