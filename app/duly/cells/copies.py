"""Copies of the configuration: cell 0 has it, and the other cells have what they need of it.

A copy is by content, so it may be repeated and interrupted. It runs after each change, before the answer, and in a loop
for cells that were away; an advisory lock of the cell puts copies of several processes in order, and cell 0 is read
while it is held, so an older state never replaces a newer one.
"""

from typing import NamedTuple

import structlog

from duly.lifecycle.claim.set_flow_control import FlowController
from duly.store.cells.configuration import COPIED, IN_UTC, copy_table, read_digests, report_key_uses
from duly.store.cells.endpoints import (
    read_all_endpoints,
    read_endpoints_digest,
    report_disabled,
    write_all_endpoints,
)
from duly.store.cells.restrictions import read_restrictions
from duly.store.postgres.advisory_locks import COPYING, holding
from duly.store.postgres.database import Connection, Database
from duly.store.queue.limits import FlowLimits, Scope

log = structlog.stdlib.get_logger("duly.cells")

ENDPOINTS = "endpoints"
PAUSES, LIMITS = "queues", "limits of starts"


class Copied(NamedTuple):
    """Names of the tables that a copy has changed, in the other cell and in cell 0."""

    changed: frozenset[str] = frozenset()
    reported: frozenset[str] = frozenset()


async def copy_configuration(home: Database, cell: Database, flow: FlowController | None = None) -> Copied:
    """Copies the configuration of cell 0 to another cell.

    Args:
        home: the database of cell 0.
        cell: that of the other cell.
        flow: writes the pauses and limits of the other cell; None: they are not copied.

    Raises:
        DatabaseError: one of the two does not answer, or refuses.
        RecordBusy: another copy to this cell takes long.
    """
    async with cell.connection() as locking, holding(locking, COPYING):
        copied = await _copy_tables(home, cell)
        restrictions = await _copy_restrictions(home, cell, flow) if flow is not None else set()
    return copied._replace(changed=copied.changed | restrictions)


async def _copy_tables(home: Database, cell: Database) -> Copied:
    async with (
        home.connection() as source,
        cell.connection() as target,
        source.transaction(),
        target.transaction(),
    ):
        for connection in (source, target):
            await connection.execute(IN_UTC)
        reported = {ENDPOINTS} if await report_disabled(source, target) else set()
        await report_key_uses(source, target)
        wanted, present = await read_digests(source), await read_digests(target)
        different = [table for table in COPIED if wanted[table.name] != present[table.name]]
        changed = {table.name for table in different if await copy_table(table, source, target)}
        if await _copy_endpoints(source, target):
            changed.add(ENDPOINTS)
    return Copied(frozenset(changed), frozenset(reported))


async def _copy_endpoints(source: Connection, target: Connection) -> int:
    if await read_endpoints_digest(source) == await read_endpoints_digest(target):
        return 0
    return await write_all_endpoints(target, await read_all_endpoints(source))


async def _copy_restrictions(home: Database, cell: Database, flow: FlowController) -> set[str]:
    """Pauses, resumes and limits in the other cell what differs; the wait for earlier starts is part of each change."""
    async with home.connection() as connection:
        wanted = await read_restrictions(connection)
    async with cell.connection() as connection:
        present = await read_restrictions(connection)
    for tenant_id, queue in sorted(wanted.paused - present.paused):
        await flow.pause(tenant_id, queue)
    for tenant_id, queue in sorted(present.paused - wanted.paused):
        await flow.resume(tenant_id, queue)
    limits = {
        key for key in wanted.limits.keys() | present.limits.keys() if _differ(key, wanted.limits, present.limits)
    }
    for tenant_id, scope, name in sorted(limits):
        if (chosen := wanted.limits.get((tenant_id, scope, name))) is not None:
            await flow.limit(tenant_id, scope, name, chosen)
        else:
            await flow.unlimit(tenant_id, scope, name)
    return {name for name, differs in ((PAUSES, wanted.paused != present.paused), (LIMITS, limits)) if differs}


_Limits = dict[tuple[int, Scope, str], FlowLimits]


def _differ(key: tuple[int, Scope, str], first: _Limits, second: _Limits) -> bool:
    return first.get(key) != second.get(key)
