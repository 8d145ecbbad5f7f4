"""The one exception that users are meant to see: what is wrong, where, and how to mend it."""

from __future__ import annotations


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
