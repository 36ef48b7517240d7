"""Readiness: rehearses a submission, since an earlier result does not prove that one would be recorded now."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection, Database, DatabaseError, DatabaseOutage
from duly.store.postgres.error_classes import DISK_FULL, NO_ANSWER, PARTITION_MISSING
from duly.store.schema.revisions import DatabaseNewer
from duly.store.submit.rehearsal import Rehearsed, rehearse_submission

# Shortest interval of rehearsals, which take turns with submissions: at most four a second, however many requests.
GAP_SECONDS = 0.25
# Time limit of a request; the rehearsal continues for later ones.
ANSWER_SECONDS = 2.0
REHEARSAL_SECONDS = 10.0


class NotServing(NamedTuple):
    """Reason why a submission would not be recorded, and the remedy."""

    code: str
    reason: str
    remedy: str


Use = Callable[[], AbstractAsyncContextManager[Connection]]


class Readiness:
    """Rehearses submissions on the connection that records them.

    Args:
        use: opens that connection for one user at a time.
        new_id: returns a new id.
    """

    def __init__(self, database: Database, use: Use, *, new_id: Callable[[], UUID]) -> None:
        self._database = database
        self._use = use
        self._new_id = new_id
        self._ended_at = float("-inf")
        self._disk_was_full = False
        self._rehearsing: asyncio.Task[NotServing | None] | None = None

    def note(self, error: DatabaseError) -> None:
        """Notes an error of the database: after a full disk, only a large rehearsal proves anything."""
        self._disk_was_full |= error.error_class.code == DISK_FULL.code

    async def check(self) -> NotServing | None:
        """Returns why this process cannot record submissions now, or None if it can. Takes at most two seconds."""
        rehearsing = self._rehearsing
        if rehearsing is None or rehearsing.done():
            rehearsing = self._rehearsing = asyncio.create_task(self._rehearse(), name="readiness")
        done, _ = await asyncio.wait([rehearsing], timeout=ANSWER_SECONDS)
        return rehearsing.result() if done else _of(DatabaseOutage("", NO_ANSWER))

    def close(self) -> None:
        """Cancels a rehearsal in progress."""
        if self._rehearsing is not None:
            self._rehearsing.cancel()

    async def _rehearse(self) -> NotServing | None:
        await asyncio.sleep(self._ended_at + GAP_SECONDS - time.monotonic())
        try:
            return await self._verdict()
        finally:
            self._ended_at = time.monotonic()

    async def _verdict(self) -> NotServing | None:
        """Rehearses once. Creates missing partitions, if that is all that is missing, and rehearses again."""
        try:
            async with asyncio.timeout(REHEARSAL_SECONDS):
                found = await self._found()
                if found.partitions and not found.revisions:
                    await self._database.make_partitions()
                    found = await self._found()
        except DatabaseNewer:
            return None  # a rolling upgrade: older nodes serve until they are replaced
        except DatabaseError as error:
            return _of(error)
        except TimeoutError:
            return _of(DatabaseOutage("", NO_ANSWER))
        self._disk_was_full = False
        return _lacking(found) if found.revisions or found.partitions else None

    async def _found(self) -> Rehearsed:
        try:
            return await self._rehearsed()
        except DatabaseOutage:  # the connection may have broken while it was idle
            return await self._rehearsed()

    async def _rehearsed(self) -> Rehearsed:
        async with self._use() as connection:
            return await rehearse_submission(connection, self._new_id(), large=self._disk_was_full)


def _of(error: DatabaseError) -> NotServing:
    error_class = error.error_class
    text = f" {error.words}" if error.words else ""
    return NotServing(
        error_class.code, f"{error_class.message.removesuffix('.')}{':' if text else ''}{text}", error_class.remedy
    )


def _lacking(found: Rehearsed) -> NotServing:
    if found.revisions:
        reason = f"The database's migrations are behind: {', '.join(found.revisions)}"
        return NotServing("DATABASE_SCHEMA_OUTDATED", reason, "run `duly migrate`")
    reason = f"The database lacks the partitions of today or tomorrow: {', '.join(found.partitions)}"
    return NotServing(PARTITION_MISSING.code, reason, PARTITION_MISSING.remedy)
