"""Checkpoints from a child process: joins their parts; of several that wait, keeps the newest."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from duly.handlers.checkpoint_text import CheckpointText

# Size of a part in characters: escaped to at most a dozen bytes each, it fits a datagram.
PART = 4_500


def parts_of(text: str) -> Iterator[tuple[int, bool, str]]:
    """Yields a checkpoint as messages: number of the part, whether it is the last, and its characters."""
    starts = range(0, max(len(text), 1), PART)
    for number, start in enumerate(starts):
        yield number, number == len(starts) - 1, text[start : start + PART]


class ChildCheckpoints:
    """Checkpoints of one attempt."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._newest: str | None = None
        self._keeping = False

    def hear(self, number: int, last: bool, part: str) -> bool:  # noqa: FBT001  # as it is sent
        """Adds a part. Returns True if a checkpoint is complete and none is being recorded: then call `keep`."""
        if number == 0:
            self._parts.clear()
        if number != len(self._parts):  # the rest of one whose process was killed
            return False
        self._parts.append(part)
        if not last:
            return False
        self._newest = "".join(self._parts)
        self._parts.clear()
        wanted, self._keeping = not self._keeping, True
        return wanted

    async def keep(self, record: Callable[[object], Awaitable[None]]) -> None:
        """Records the newest checkpoint, until none has arrived meanwhile."""
        while (text := self._newest) is not None:
            self._newest = None
            with suppress(Exception):  # a checkpoint that cannot be recorded does not fail the attempt
                await record(CheckpointText(text))
        self._keeping = False
