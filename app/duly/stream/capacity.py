"""Limit of the streams that a process keeps open."""

from collections.abc import Iterator
from contextlib import contextmanager


class StreamCapacity:
    """Counts the open streams of one process."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Takes a place while the block runs. Yields False if there was none."""
        if self.taken >= self._places:
            yield False
            return
        self.taken += 1
        try:
            yield True
        finally:
            self.taken -= 1
