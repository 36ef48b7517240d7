"""Waiting for the database during a start: repeats what it did not answer, for a bounded time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog

from duly.store.postgres.database import DatabaseError, DatabaseOutage

log = structlog.stdlib.get_logger("duly.serve")

Answer = TypeVar("Answer")

RETRY_SECONDS = 0.5


class StartStopped(Exception):
    """A stop signal came while the start waited for the database."""


class DatabaseWait:
    """Repeats steps of a start until the database answers.

    Args:
        seconds: total time for all steps; 0 tries each once.
        stopping: ends the waiting.
    """

    def __init__(self, seconds: float, stopping: asyncio.Event) -> None:
        self._until = time.monotonic() + seconds
        self._stopping = stopping
        self._logged = ""

    async def retried(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Returns the result of the step.

        Raises:
            DatabaseError: the database did not answer in time, or refuses what a repetition cannot change.
            StartStopped: a stop signal came first.
        """
        while True:
            try:
                return await step()
            except DatabaseError as error:
                left = self._until - time.monotonic()
                if not _passes(error) or left <= 0:
                    raise
                self._log(error, left)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(RETRY_SECONDS, left)):
                    await self._stopping.wait()
                raise StartStopped

    def _log(self, error: DatabaseError, left: float) -> None:
        """Logs an error once, until another one takes its place."""
        if error.line == self._logged:
            return
        self._logged = error.line
        log.warning(
            f"{error.line}; trying again for up to {left:.0f} s (DULY_DATABASE_WAIT_SECONDS)",
            action="database_awaited",
            code=error.error_class.code,
        )


def _passes(error: DatabaseError) -> bool:
    return isinstance(error, DatabaseOutage) and error.error_class.passes
