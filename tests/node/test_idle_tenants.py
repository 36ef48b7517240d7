"""Ten thousand tenants cost an idle service nothing: neither more statements nor more pages."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from duly.loop import Loop
from duly.node.loop_table import UPKEEP
from duly.store.maintenance.due_work import READ_DUE_WORK
from tests.support.query_plans import explained
from tests.support.reused_connections import asking
from tests.support.service import Service, eventually

pytestmark = pytest.mark.fresh_database

StartService = Callable[..., Awaitable[Service]]
TENANTS = 10_000
# A few pages more for the depth of larger indexes.
MORE_PAGES = 10
# A look at all tables reads the indexes of all loops.
MORE_PAGES_OF_A_LOOK = 40
# Some loops make more rounds than they are asked for, and some read more in one of many rounds.
SLACK = 50
LEAST_LOOPS = 14
FILL = (
    "insert into tenants (name, retention_days) select 'tenant-' || n, 3 from generate_series(2, {n}) n",
    """
    insert into api_keys (key_id, tenant_id, name, digest, scopes, created_by)
    select lpad(tenant_id::text, 16, '0'), tenant_id, 'key', sha256(name::bytea), '{{jobs:read}}', 'test' from tenants
    """,
    """
    insert into limits (tenant_id, scope, name, rate_count, rate_seconds, tokens, refilled_at)
    select tenant_id, 0, '', 100, 1, 100, now() from tenants
    """,
    """
    insert into schedules (tenant_id, name, cron, timezone, submission, overlap, catch_up, paused, next_run_at)
    select tenant_id, 'nightly', '0 3 * * *', 'UTC', '{{"type": "echo"}}', 0, 0, false, now() + interval '1 day'
    from tenants
    """,
    "analyze",
)

Statement = tuple[str, tuple[Any, ...]]


@contextmanager
def recorded_by_loop() -> Iterator[dict[str, list[Statement]]]:
    """Records the statements of each loop, with their arguments."""
    seen: dict[str, list[Statement]] = {}
    patch = pytest.MonkeyPatch()
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        original = getattr(asyncpg.Connection, name)

        def run(self: Any, query: str, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            task = asyncio.current_task()
            if task is not None and task.get_name().startswith("loop:"):
                seen.setdefault(task.get_name().removeprefix("loop:"), []).append((query, args))
            return original(self, query, *args, **kwargs)

        patch.setattr(asyncpg.Connection, name, run)
    try:
        yield seen
    finally:
        patch.undo()


async def rounds_of(service: Service) -> dict[str, list[Statement]]:
    """Returns the statements of two rounds or more of each loop that does not wait for work."""
    found: dict[str, list[Statement]] = {}
    for loop in service.node.loops:
        until = loop.rounds + 2

        async def passed(loop: Loop = loop, until: int = until) -> bool:
            loop.wake()
            return loop.rounds >= until

        if loop.rounds > 0:
            with recorded_by_loop() as seen:
                await eventually(passed)
            found[loop.name] = seen.get(loop.name, [])
    with recorded_by_loop() as seen:  # its loop reads only what is due
        await asyncio.create_task(service.node.gauges.step(), name="loop:gauges")
    found["gauges"] = seen["gauges"]
    found["lookout"] = await _of_a_complete_look(service)
    return found


async def _of_a_complete_look(service: Service) -> list[Statement]:
    """Returns the statements of a look at all tables, which an idle service makes rarely."""
    with recorded_by_loop() as seen:

        async def looked_at_all() -> bool:
            service.node.lookout._last = None
            await asyncio.create_task(service.node.lookout.step(), name="loop:lookout")
            return any(query == READ_DUE_WORK for query, _ in seen.get("lookout", []))

        await eventually(looked_at_all)
    return seen["lookout"]


async def pages_of(service: Service, rounds: dict[str, list[Statement]]) -> dict[str, int]:
    """Returns the pages that each statement touches; none is committed."""
    pages = {}
    async with asking(service.database_url) as connection:
        for query, arguments in (each for statements in rounds.values() for each in statements):
            if not re.match(r"\s*(with|select|insert|update|delete)\b", query):
                continue
            undone = connection.transaction()
            await undone.start()
            top = await explained(connection, query, *arguments, analyze=True)
            await undone.rollback()
            pages[query] = int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])
    return pages


async def test_ten_thousand_tenants_cost_an_idle_service_nothing(start_service: StartService) -> None:
    service = await start_service()
    await eventually(lambda: _have_begun(service))
    few, pages_with_few = await _measured(service)
    for statement in FILL:
        await service.sql(statement.format(n=TENANTS))
    many, pages_with_many = await _measured(service)

    counts = [sum(map(len, rounds.values())) for rounds in (few, many)]
    assert counts[1] < 2 * counts[0] + SLACK
    grown = {
        query: (pages_with_few.get(query), pages)
        for query, pages in pages_with_many.items()
        if pages > pages_with_few.get(query, 0) + (MORE_PAGES_OF_A_LOOK if query == READ_DUE_WORK else MORE_PAGES)
    }
    assert grown == {}


async def _have_begun(service: Service) -> bool:
    begun = {loop.name for loop in service.node.loops if loop.rounds > 0}
    return len(begun) >= LEAST_LOOPS and begun >= UPKEEP


async def _measured(service: Service) -> tuple[dict[str, list[Statement]], dict[str, int]]:
    rounds = await rounds_of(service)
    return rounds, await pages_of(service, rounds)
