"""Deadlines of equal length for many items, on one timer.

One timer for each item would cost more than the rest of a webhook post's bookkeeping.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """Calls `expire` with each item `seconds` after it was put in, unless it was taken out before."""

    def __init__(self, seconds: float, expire: Callable[[Item], None]) -> None:
        self._seconds = seconds
        self._expire = expire
        self._due_at: dict[Item, float] = {}  # all have the same length, so the oldest is due first
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: Item) -> None:
        """Starts the time of an item."""
        loop = asyncio.get_running_loop()
        self._due_at[item] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def take_out(self, item: Item) -> None:
        """Cancels the time of an item, if it is there."""
        self._due_at.pop(item, None)

    def oldest(self) -> Item:
        """Returns the item that is due first.

        Raises:
            StopIteration: there is none.
        """
        return next(iter(self._due_at))

    def __iter__(self) -> Iterator[Item]:
        """Iterates over the items, the oldest first."""
        return iter(self._due_at)

    def __len__(self) -> int:
        return len(self._due_at)

    def _look(self) -> None:
        """Expires the items that are due, and sets the timer for the next one."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = []
        for item, due_at in self._due_at.items():
            if due_at > now:
                break
            due.append(item)
        for item in due:
            self.take_out(item)
            self._expire(item)
        self._timer = loop.call_at(self._due_at[self.oldest()], self._look) if self._due_at else None

    def close(self) -> None:
        """Forgets all items, so that none expires."""
        self._due_at.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
