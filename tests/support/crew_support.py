"""What the processes of a crew do in tests; here, because a new process has to find it by name."""

import os
import signal

from unibert.errors import DataError


def prepare(number, folder):
    """Writes each item's double into a file; -1 kills, -2 raises, -3 raises what cannot be sent."""

    def do(item, advance):
        advance(item)
        if item == -1:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == -2:
            raise DataError("the item is wrong", "Mend it.")
        if item == -3:
            raise Odd("nobody knows this elsewhere", 1)
        (folder / str(item)).write_text(f"{2 * item} {number}")

    return do


class Odd(Exception):
    def __init__(self, text, number):
        super().__init__(text)


def prepare_nothing(number):
    os._exit(7)
