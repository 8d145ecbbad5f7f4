"""The one exception that users are meant to see: what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UniBertError(Exception):
    """A problem with the user's input or surroundings, told without a traceback.

    Args:
        message: what is wrong and where (file, line, key).
        fix: what the user can do about it, as an imperative sentence.
    """

    exit_code = 1

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  Fix: {self.fix}" if self.fix else self.message


class RecipeError(UniBertError):
    """A recipe that cannot be read: misspelt key, impossible value, bad TOML."""

    exit_code = 2


class DataError(UniBertError):
    """An input file that is missing, empty, damaged or of the wrong shape."""


class RunMismatch(UniBertError):
    """A run folder that already holds the run of another recipe."""


class Interrupted(UniBertError):
    """The user (or the system) asked to stop; everything finished so far is on disk."""

    exit_code = 130


def first_line(error: BaseException | None) -> str:
    """What another library's error says, in one line; its kind, where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely stands for, capitals or not; None where none is near."""
    by_small_letters = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), by_small_letters, n=1, cutoff=0.5)
    return by_small_letters[found[0]] if found else None


def check_names(option: str, asked: Iterable[str], known: Sequence[str], place: str) -> None:
    """Refuse a name that is not known.

    Args:
        option: the option that it was given to.
        asked: the names.
        known: those that there are.
        place: where they are looked for, in words.

    Raises:
        RecipeError: tells the nearest name, or all that there are.
    """
    for name in asked:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {near}?" if near else f"There is {', '.join(known) or 'none'}."
            raise RecipeError(f"{option} {name}: not in {place}", hint)
