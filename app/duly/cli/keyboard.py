"""Keys that are pressed while a command draws on a terminal."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Returns the keys pressed within so many seconds, as soon as there is one.
Keys = Callable[[float], str]


@contextmanager
def pressed_keys() -> Iterator[Keys]:
    """Reads single keys of the terminal on standard input without showing them, and restores its settings.

    Without such a terminal, and on Windows, no key is ever pressed.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield _wait
        return
    import termios  # noqa: PLC0415  # not on Windows
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)  # Ctrl-C still interrupts
        yield lambda seconds: _read(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read(descriptor: int, seconds: float) -> str:
    if not select.select([descriptor], [], [], seconds)[0]:
        return ""
    read = os.read(descriptor, 64)
    if not read:  # the end of a terminal: not pressed again and again
        time.sleep(seconds)
    return read.decode("ascii", "replace")


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""
