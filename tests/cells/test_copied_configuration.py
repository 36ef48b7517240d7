"""The configuration of cell 0 becomes that of the other cells, and what is a cell's own stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from duly.cells.copies import Copied, copy_configuration
from duly.domain.audit import Actor
from duly.domain.declared_type import DeclaredType
from duly.domain.ids import new_job_id
from duly.domain.key_scope import ALL_SCOPES, KeyScope
from duly.domain.tenant import TenantLimits
from duly.lifecycle.access.keys import KeyManager, create_key, revoke
from duly.lifecycle.access.tenants import create_tenant, update_tenant
from duly.lifecycle.claim.set_flow_control import FlowController
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.access.api_keys import KeyRights, find_keys, note_used
from duly.store.access.version import read_access_version
from duly.store.cells.configuration import COPIED, PAGE, read_digests
from duly.store.ledger.retention_holds import Hold, add_hold, delete_hold
from duly.store.postgres.database import Database
from duly.store.queue.declared_types import declare_handler_types, declare_type, read_declared_types, read_types_version
from duly.store.queue.flow_control import read_control
from duly.store.queue.limits import FlowLimits, Rate, Scope, read_limits
from duly.store.schema.tables import metadata
from duly.store.submit.submission_limits import SubmissionLimits, read_submission_limits, save_submission_limits
from duly.store.webhooks.endpoints import (
    Keys,
    Subscription,
    delete_endpoint,
    insert_endpoint,
    read_endpoint,
    update_endpoint,
)
from duly.store.webhooks.receivers import disable_endpoint
from tests.support.database_pool import TestDatabases

# Columns of copied tables that are a cell's own.
OWN_COLUMNS = {
    "api_keys": {"last_used_at"},
    "declared_types": {"seen_at"},
    "limits": {"concurrency", "tokens", "refilled_at"},
}
WRITTEN_IN_EACH = {"endpoints", "receivers", "queues"}
OWN_TABLES = {
    *("jobs", "events", "job_logs", "lease_ends", "steps", "signals"),
    *("ready", "scheduled", "blocked", "running", "leases", "checkpoints", "set_aside", "inbox", "nodes"),
    *("idempotency", "unique_keys", "concurrency", "dependencies", "endings", "batches", "batch_tallies"),
    *("deliveries", "delivery_attempts", "messages", "replays", "secret_keys"),
    *("control", "queue_names", "breakers", "schedules", "schedule_runs", "stream_tickets", "minute_figures"),
    *("epochs", "contractions", "audit", "submitters", "cell_record"),
}

BY = Actor("test")
MANAGER = KeyManager(BY, ALL_SCOPES)


class Pair:
    """Databases of cell 0 and of another cell."""

    def __init__(self, home: Database, cell: Database) -> None:
        self.home, self.cell = home, cell
        self.flow = FlowController(cell, Wakeups())

    async def copy(self) -> Copied:
        return await copy_configuration(self.home, self.cell, self.flow)

    async def in_cell(self, statement: str, *arguments: Any) -> Any:
        async with self.cell.connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def at_home(self, statement: str, *arguments: Any) -> Any:
        async with self.home.connection() as connection:
            return await connection.fetchval(statement, *arguments)


@pytest.fixture
async def pair(databases: TestDatabases) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(databases.lent()) for _ in range(2)]
        home, cell = (Database(url, connections=3) for url in urls)
        yield Pair(home, cell)
        await home.close()
        await cell.close()


RIGHTS = KeyRights("worker", frozenset({KeyScope.WORKER}), types=["echo"], expires_at=datetime(2199, 1, 1, tzinfo=UTC))


async def test_tenants_and_keys_are_copied_with_their_ids(pair: Pair) -> None:
    tenant = await create_tenant(pair.home, "acme", TenantLimits(submit_rate=2.5, retention_days=7), by=BY)
    made = await create_key(pair.home, tenant.tenant_id, RIGHTS, by=MANAGER)
    assert (await pair.copy()).changed == {"tenants", "api_keys"}
    async with pair.cell.connection() as connection:
        found = (await find_keys(connection, [made.record.key_id]))[made.record.key_id]
    assert (found.tenant, found.tenant_id, found.rights) == ("acme", tenant.tenant_id, RIGHTS)
    assert await pair.in_cell("select submit_rate from tenants where name = 'acme'") == 2.5
    assert await pair.copy() == Copied()


async def test_a_changed_limit_of_a_tenant_and_a_revoked_key_raise_the_version(pair: Pair) -> None:
    tenant = await create_tenant(pair.home, "acme", TenantLimits(), by=BY)
    made = await create_key(pair.home, tenant.tenant_id, RIGHTS, by=MANAGER)
    await pair.copy()
    async with pair.cell.connection() as connection:
        before, _ = await read_access_version(connection)
    await revoke(pair.home, tenant.tenant_id, made.record.key_id, by=MANAGER)
    await update_tenant(pair.home, "acme", {"max_keys": 3}, by=BY)
    await pair.copy()
    async with pair.cell.connection() as connection:
        after, _ = await read_access_version(connection)
        assert await find_keys(connection, [made.record.key_id]) == {}
    assert after > before
    assert await pair.in_cell("select max_keys from tenants where name = 'acme'") == 3


async def test_the_last_use_of_a_key_is_a_cells_own_and_the_newest_is_reported(pair: Pair) -> None:
    made = await create_key(pair.home, 1, RIGHTS, by=MANAGER)
    await pair.copy()
    async with pair.cell.connection() as connection:
        await note_used(connection, [made.record.key_id])
    used = await pair.in_cell("select last_used_at from api_keys")
    await pair.copy()
    assert await pair.at_home("select last_used_at from api_keys") == used
    await pair.at_home("update api_keys set last_used_at = now() - interval '1 day', name = 'other'")
    await pair.copy()
    assert await pair.in_cell("select last_used_at from api_keys") == used


async def test_declared_types_of_tenants_are_copied_and_those_of_handlers_stay(pair: Pair) -> None:
    declared = DeclaredType("report", parameters_schema='{ "type":  "object" }', queue="reports")
    async with pair.home.connection() as connection:
        await declare_type(connection, 1, declared)
        await declare_handler_types(connection, [DeclaredType("of-home")])
    async with pair.cell.connection() as connection:
        await declare_type(connection, 1, DeclaredType("gone"))
        await declare_handler_types(connection, [DeclaredType("of-cell")])
        before = await read_types_version(connection)
    assert (await pair.copy()).changed == {"declared_types"}
    async with pair.cell.connection() as connection:
        assert [each.declared for each in await read_declared_types(connection, [1])] == [declared]
        assert [each.declared.type for each in await read_declared_types(connection, [0])] == ["of-cell"]
        assert await read_types_version(connection) > before
    assert await pair.copy() == Copied()


async def test_submission_limits_are_copied_without_their_tokens(pair: Pair) -> None:
    limits = SubmissionLimits(Rate(600, 60.0), 1_000, {"slow": 10})
    async with pair.home.connection() as connection:
        await save_submission_limits(connection, 1, limits)
    await pair.in_cell("insert into limits (tenant_id, scope, name, tokens) values (1, 4, '', 5)")
    assert (await pair.copy()).changed == {"limits"}
    async with pair.cell.connection() as connection:
        assert await read_submission_limits(connection, [1]) == {1: limits}
    assert await pair.in_cell("select tokens from limits where scope = 4") == 5


async def test_holds_are_copied_and_released(pair: Pair) -> None:
    async with pair.home.connection() as connection:
        await add_hold(connection, Hold("case-7", "lawsuit", 1), created_by="test")
    await pair.copy()
    assert await pair.in_cell("select reason from retention_holds") == "lawsuit"
    async with pair.home.connection() as connection:
        await delete_hold(connection, "case-7")
    await pair.copy()
    assert await pair.in_cell("select count(*) from retention_holds") == 0


async def test_pauses_and_limits_of_starts_take_effect(pair: Pair) -> None:
    home = FlowController(pair.home, Wakeups())
    await home.pause(1, "slow")
    await home.limit(1, Scope.QUEUE, "mail", FlowLimits(2, Rate(10, 1.0)))
    await home.limit(1, Scope.TYPE, "echo", FlowLimits(3))
    await pair.flow.pause(1, "resumed at home")
    await pair.flow.limit(1, Scope.QUEUE, "unlimited at home", FlowLimits(1))
    assert (await pair.copy()).changed == {"queues", "limits of starts"}
    async with pair.cell.connection() as connection:
        control = await read_control(connection)
        assert await read_limits(connection, 1, Scope.QUEUE, "mail") == FlowLimits(2, Rate(10, 1.0))
    assert control.paused == {(1, "slow")}
    assert control.queues == {(1, "mail")}
    assert control.types == {(1, "echo")}
    assert await pair.in_cell("select refilled_at <= now() from limits where name = 'mail'")
    assert await pair.in_cell("select count(*) from audit") == 0
    assert await pair.copy() == Copied()


async def test_a_table_of_several_pages_is_copied_whole(pair: Pair) -> None:
    insert = """
    insert into api_keys (key_id, tenant_id, name, digest, scopes, created_by)
    select 'key' || n, 1, 'name', 'x', '{jobs:read}', 'test' from generate_series($1::int, $2::int) n
    """
    await pair.at_home(insert, 1, 2 * PAGE)
    await pair.in_cell(insert, 10 * PAGE, 13 * PAGE)
    await pair.copy()
    async with pair.home.connection() as home, pair.cell.connection() as cell:
        assert await read_digests(cell) == await read_digests(home)
    assert await pair.in_cell("select count(*) from api_keys") == 2 * PAGE
    await pair.at_home("delete from api_keys")
    await pair.copy()
    assert await pair.in_cell("select count(*) from api_keys") == 0


async def test_digests_do_not_depend_on_the_time_zone_of_the_server(pair: Pair) -> None:
    await pair.copy()
    name = await pair.in_cell("select current_database()")
    await pair.in_cell(f"alter database {name} set timezone = 'Asia/Kolkata'")
    other = Database(pair.cell._url, connections=3)
    try:
        assert await copy_configuration(pair.home, other) == Copied()
    finally:
        await other.close()


async def test_copies_of_several_processes_do_not_overtake_each_other(pair: Pair) -> None:
    """Each reads cell 0 while it holds the lock of the cell, so the last one to write has read last."""
    made = await create_key(pair.home, 1, RIGHTS, by=MANAGER)
    others = [Pair(pair.home, Database(pair.cell._url, connections=3)) for _ in range(3)]

    async def change(name: str, through: Pair) -> None:
        await pair.at_home("update api_keys set name = $1", name)
        await through.copy()

    try:
        await asyncio.gather(*(change(f"name {n}", each) for n, each in enumerate([pair, *others])))
        assert await pair.in_cell("select name from api_keys") == await pair.at_home("select name from api_keys")
    finally:
        for each in others:
            await each.cell.close()
    assert made.record.key_id


SUBSCRIPTION = Subscription("https://example.com/hook", 3, ("echo",), {"a": "b"}, "mine", limits=FlowLimits(2))
KEYS = Keys("sealed", None)


async def added_endpoint(pair: Pair) -> tuple[int, UUID]:
    key = (1, new_job_id())
    async with pair.home.connection() as connection, connection.transaction():
        await insert_endpoint(connection, key, SUBSCRIPTION, KEYS, most=10)
    return key


async def disabled_in(database: Database, key: tuple[int, UUID]) -> None:
    async with database.connection() as connection:
        await disable_endpoint(connection, *key, reason="gone", message_id=new_job_id(), body="{}")


async def test_endpoints_are_copied_and_deleted_with_their_receivers(pair: Pair) -> None:
    key = await added_endpoint(pair)
    assert (await pair.copy()).changed == {"endpoints"}
    async with pair.cell.connection() as cell, pair.home.connection() as home:
        assert await read_endpoint(cell, key) == await read_endpoint(home, key)
    assert await pair.copy() == Copied()
    async with pair.home.connection() as connection:
        await delete_endpoint(connection, key)
    await pair.copy()
    assert await pair.in_cell("select (select count(*) from endpoints) + (select count(*) from receivers)") == 0


async def test_failures_of_an_endpoint_are_a_cells_own(pair: Pair) -> None:
    key = await added_endpoint(pair)
    await pair.copy()
    await pair.in_cell("update receivers set failures = 4, failing_since = now(), state = 1, probe_at = now()")
    async with pair.home.connection() as connection:
        await update_endpoint(connection, key, Subscription("https://example.com/other", 1), KEYS, enables=False)
    assert (await pair.copy()).changed == {"endpoints"}
    async with pair.cell.connection() as connection:
        found = await read_endpoint(connection, key)
    assert found is not None
    assert (found.subscription.url, found.subscription.limits) == ("https://example.com/other", FlowLimits())
    assert (found.circuit.failures, found.circuit.is_open) == (4, True)


async def test_an_endpoint_that_one_cell_disables_is_disabled_in_all(pair: Pair) -> None:
    key = await added_endpoint(pair)
    await pair.copy()
    await disabled_in(pair.cell, key)
    assert (await pair.copy()).reported == {"endpoints"}
    for database in (pair.home, pair.cell):
        async with database.connection() as connection:
            found = await read_endpoint(connection, key)
        assert found is not None
        assert (found.disabled_at is not None, found.disabled_reason) == (True, "gone")
    assert await pair.copy() == Copied()


async def test_an_endpoint_enabled_again_is_enabled_in_all(pair: Pair) -> None:
    key = await added_endpoint(pair)
    await pair.copy()
    await disabled_in(pair.cell, key)
    await pair.copy()
    async with pair.home.connection() as connection:
        await update_endpoint(connection, key, SUBSCRIPTION, KEYS, enables=True)
    copied = await pair.copy()
    assert copied == Copied(frozenset({"endpoints"}))
    async with pair.cell.connection() as connection:
        found = await read_endpoint(connection, key)
    assert found is not None
    assert found.disabled_at is None


def test_every_table_is_copied_or_a_cells_own() -> None:
    """A new table or column must be put on one side."""
    copied = {table.name: {*table.key, *table.columns} for table in COPIED}
    for name, columns in copied.items():
        assert {column.name for column in metadata.tables[name].columns} - columns == OWN_COLUMNS.get(name, set()), name
    assert {*copied, *WRITTEN_IN_EACH, *OWN_TABLES} == set(metadata.tables)
    assert not {*copied, *WRITTEN_IN_EACH} & OWN_TABLES
