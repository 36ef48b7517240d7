"""`duly serve --reload`: exchanges the handlers of the running service when their source changes."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from duly.domain.counted_noun import counted_noun
from duly.handlers.exceptions import HandlerError
from duly.handlers.reloading import HandlerSource
from duly.node import Node
from duly.node.handler_exchange import exchange_handlers
from duly.store.postgres.database import DatabaseError

log = structlog.stdlib.get_logger("duly.reload")

LOOK_SECONDS = 0.1
# An editor that does not replace a file at once has written it after this time.
SETTLE_SECONDS = 0.05
# Looking at many files must not take more than this part of the time.
MOST_OF_THE_TIME = 0.05
NAMED_FILES = 3


class Reloader:
    """Looks for changed files of handlers ten times a second; `step` is run by a loop.

    Files are compared by time and size instead of watched by the kernel, which does not report changes on network file
    systems and on folders mounted into containers.
    """

    def __init__(self, node: Node, source: HandlerSource) -> None:
        self._node = node
        self._source = source

    async def step(self) -> float:
        """Looks once, and reloads if there are changes. Returns the seconds until the next look."""
        began = time.perf_counter()
        changed = await asyncio.to_thread(self._source.changed)
        if changed:
            await self._reload(changed)
            return 0.0
        pause = SETTLE_SECONDS if self._source.noticed else LOOK_SECONDS
        return max(pause, (time.perf_counter() - began) / MOST_OF_THE_TIME)

    async def _reload(self, changed: Sequence[Path]) -> None:
        files = [str(path) for path in changed]
        try:
            # In the thread of the event loop, as at the start: modules may expect the main thread.
            registry = self._source.reload(changed)
        except HandlerError as error:
            message = f"handlers not reloaded: {error}; the previous ones keep running"
            log.warning(message, action="handlers_not_reloaded", error=str(error), files=files)
            return
        try:
            done = await exchange_handlers(self._node, registry)
        except (DatabaseError, HandlerError) as error:
            message = f"handlers reloaded, but not all of their types and schedules are declared: {error}"
            log.warning(message, action="handlers_not_declared", error=str(error), files=files)
            return
        log.info(
            _sentence(files, done.interrupted, added=done.added, removed=done.removed),
            action="handlers_reloaded",
            files=files,
            **done._asdict(),
        )


def _sentence(files: Sequence[str], interrupted: int, *, added: Sequence[str], removed: Sequence[str]) -> str:
    """Returns what was reloaded, and what changed with it, in one line."""
    more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
    parts = [f"handlers reloaded: {', '.join(files[:NAMED_FILES])}{more}"]
    if added:
        parts.append(f"added {', '.join(added)}")
    if removed:
        parts.append(f"removed {', '.join(removed)}")
    if interrupted:
        parts.append(f"interrupted and requeued {counted_noun(interrupted, 'attempt')}")
    return "; ".join(parts)
