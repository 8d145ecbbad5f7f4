"""What is told of memory that does not suffice."""

from collections.abc import Callable

import pytest
import torch

from unibert.errors import UniBertError
from unibert.models.allocator import telling_of_want_of_memory


def _fail(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    "act",
    [
        lambda: torch.empty(1 << 56, dtype=torch.uint8),  # a plain RuntimeError
        _fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
        _fail(MemoryError()),
    ],
)
def test_want_of_memory_is_told_with_what_to_do(act: Callable[[], object]) -> None:
    with (
        pytest.raises(UniBertError, match="run: the memory does not suffice\n  Fix: Take less"),
        telling_of_want_of_memory("run", "Take less."),
    ):
        act()


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("allocate memory")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), telling_of_want_of_memory("run", "Take less."):
        raise error
