"""Limit on the number of queues that a tenant uses.

A node remembers the names that it has seen, so a submission to a known queue costs one look into a set. Nodes that add
names at the same moment may together exceed the limit by these few.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from duly.domain.job import NewJob
from duly.errors import QueueLimitReached
from duly.lifecycle.submit.insert import insert_jobs
from duly.lifecycle.submit.insert_tied import InsertResult
from duly.store.postgres.database import Connection, Database
from duly.store.queue.queue_names import FRESH_MINUTES, add_names, count_names, find_names, touch_names

# After this time, all names are looked up again.
REMEMBERED_SECONDS = FRESH_MINUTES * 60.0


@dataclass(slots=True)
class _KnownNames:
    """Names of one tenant that are in the database. Their number is bounded by the limit."""

    names: set[str] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class QueueLimit:
    """Queues that the tenants of this process use. `most` applies to tenants without a limit of their own."""

    def __init__(self, database: Database, *, most: int) -> None:
        self._database = database
        self._most = most
        self._tenants: dict[int, _KnownNames] = {}
        self._forget_at = time.monotonic() + REMEMBERED_SECONDS

    def knows(self, tenant_id: int, queue: str) -> bool:
        """Returns True if the tenant is known to use the queue."""
        if time.monotonic() > self._forget_at:
            self._tenants.clear()
            self._forget_at = time.monotonic() + REMEMBERED_SECONDS
        known = self._tenants.get(tenant_id)
        return known is not None and queue in known.names

    async def admit(self, tenant_id: int, queues: Collection[str]) -> None:
        """Admits submissions to these queues, or to none of them.

        Raises:
            QueueLimitReached: the tenant would use more queues than it may.
        """
        for error in (await self._admitted(tenant_id, queues, together=True)).values():
            raise error

    async def refusals(self, jobs: Sequence[NewJob]) -> dict[tuple[int, str], QueueLimitReached]:
        """Returns, by tenant and queue, the errors of those jobs that would open too many queues."""
        queues: dict[int, set[str]] = {}
        for job in jobs:
            queues.setdefault(job.tenant_id, set()).add(job.queue)
        return {
            (tenant_id, queue): error
            for tenant_id, names in queues.items()
            for queue, error in (await self._admitted(tenant_id, names, together=False)).items()
        }

    async def _admitted(
        self, tenant_id: int, queues: Collection[str], *, together: bool
    ) -> dict[str, QueueLimitReached]:
        """Admits these queues as far as there is room; `together`: all or none. Returns the errors of the others."""
        unknown = {queue for queue in queues if not self.knows(tenant_id, queue)}
        if not unknown:
            return {}
        known = self._tenants.setdefault(tenant_id, _KnownNames())
        async with known.turn:
            unknown -= known.names  # other submissions may have looked them up meanwhile
            refused = await self._look_up(tenant_id, unknown, together=together) if unknown else {}
            known.names |= unknown - refused.keys()
        return refused

    async def _look_up(self, tenant_id: int, queues: set[str], *, together: bool) -> dict[str, QueueLimitReached]:
        """Finds names in the database, and adds missing ones. Returns the errors of those without room."""
        async with self._database.connection() as connection:
            found = await find_names(connection, tenant_id, queues)
            if found.stale:
                await touch_names(connection, tenant_id, found.stale)
            if not (new := sorted(queues - found.known)):
                return {}
            used, most = await count_names(connection, tenant_id, most=self._most)
            room = max(most - used, 0)
            if together and room < len(new):
                room = 0
            if room:
                await add_names(connection, tenant_id, new[:room])
            others = len(new) - 1 if together else 0
            return {queue: QueueLimitReached.of(queue, others=others, used=used, most=most) for queue in new[room:]}


async def insert_within_limit(
    connection: Connection, jobs: Sequence[NewJob], *, limit: QueueLimit
) -> list[InsertResult]:
    """Inserts new jobs as `insert_jobs` does. Jobs that would open too many queues are refused."""
    refused = await limit.refusals(jobs)
    if not refused:
        return await insert_jobs(connection, jobs)
    allowed = [job for job in jobs if (job.tenant_id, job.queue) not in refused]
    inserted = iter(await insert_jobs(connection, allowed))
    return [refused.get((job.tenant_id, job.queue)) or next(inserted) for job in jobs]
