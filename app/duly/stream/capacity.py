"""Room: how many streams a process keeps open at once."""

from collections.abc import Iterator
from contextlib import contextmanager


class StreamCapacity:
    """One for a process."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Takes a place for as long as the block runs, which is told whether there was one."""
        if self.taken >= self._places:
            yield False
            return
        self.taken += 1
        try:
            yield True
        finally:
            self.taken -= 1
