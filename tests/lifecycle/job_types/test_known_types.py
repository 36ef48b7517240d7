"""Declared types that a node has read, and how they change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.domain.declared_type import EVERY_TENANT, DeclaredType
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Unavailable
from duly.handlers.registry import Registry
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.job_types import known_types
from duly.lifecycle.job_types.known_types import KnownTypes, check_parameters
from duly.store.postgres.database import Database
from duly.store.queue.declared_types import declare_type, raise_types_version, read_declared_types
from tests.support.service import Service


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def test_requests_that_need_the_types_at_once_share_one_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Any] = []

    async def counted(connection: Any, tenant_ids: Any) -> Any:
        reads.append(tenant_ids)
        return await read_declared_types(connection, tenant_ids)

    monkeypatch.setattr(known_types, "read_declared_types", counted)
    known = KnownTypes(Registry([]), database)

    await asyncio.gather(*(known.load([1]) for _ in range(100)))

    assert known.has_loaded(1)
    assert len(reads) == 1


async def test_submissions_of_the_default_tenant_find_its_types_loaded(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    service = await start_service(roles=("api",))

    assert service.node.job_types.has_loaded(DEFAULT_TENANT)


async def declare(database: Database, tenant_id: int, *names: str, schema: str = "{}") -> None:
    async with database.connection() as connection, connection.transaction():
        for name in names:
            await declare_type(connection, tenant_id, DeclaredType(name, parameters_schema=schema))
        await raise_types_version(connection)


async def test_a_tenant_that_is_read_while_the_version_changes_is_read_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    await declare(database, 2, "order")

    async def read_beside_another(connection: Any, tenant_ids: Any) -> Any:
        records = await read_declared_types(connection, tenant_ids)
        if not known.has_loaded(2):
            known._keep({2}, [])  # as read before the declaration
        return records

    monkeypatch.setattr(known_types, "read_declared_types", read_beside_another)
    await known.step()
    assert known.find(2, "order") is not None


async def test_an_earlier_read_of_the_types_does_not_replace_a_later_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    await declare(database, 1, "order")
    has_read, may_end = asyncio.Event(), asyncio.Event()

    async def read_late(connection: Any, tenant_ids: Any) -> Any:
        records = await read_declared_types(connection, tenant_ids)
        if not has_read.is_set():
            has_read.set()
            await may_end.wait()
        return records

    monkeypatch.setattr(known_types, "read_declared_types", read_late)
    earlier = asyncio.create_task(known.step())
    await has_read.wait()
    await declare(database, 1, "invoice")
    later = asyncio.create_task(known.step())
    await asyncio.wait([later], timeout=0.5)  # it may wait for the other
    may_end.set()
    await asyncio.gather(earlier, later)
    assert known.find(1, "invoice") is not None


async def test_types_that_have_not_changed_stay_compiled(database: Database) -> None:
    await declare(database, 1, "same", "changed")
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    same, changed = known.get(1, "same"), known.get(1, "changed")
    await declare(database, 1, "changed", schema='{"type": "object"}')
    await known.step()
    assert known.get(1, "same") is same
    assert known.get(1, "changed") is not changed


async def test_tenants_make_room_for_others_and_are_read_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_types, "MOST_KEPT", 10)
    for tenant_id in (1, 2):
        await declare(database, tenant_id, "order")
    known = KnownTypes(Registry([]), database)
    for _ in range(2):
        await known.load([1])
        await known.load([2])
        assert (known.has_loaded(1), known.has_loaded(2)) == (True, True)
    await declare(database, 2, "large", schema='{"description": "more than ten characters"}')
    known = KnownTypes(Registry([]), database)
    for tenant_id in (1, 2, 1):
        await known.load([tenant_id])
        assert known.has_loaded(tenant_id)
        assert known.find(tenant_id, "order") is not None
    with pytest.raises(Unavailable):
        known.find(2, "order")


async def test_a_schema_that_cannot_be_used_accepts_anything(database: Database) -> None:
    await declare(database, 1, "order", schema='{"pattern": "(?=a)"}')
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    with capture_logs() as logs:
        for _ in range(2):
            check_parameters(known.get(1, "order"), "b", '"b"')
    assert [entry["action"] for entry in logs] == ["schema_unusable"]


async def test_a_handler_precedes_a_declaration_of_a_tenant(database: Database) -> None:
    await declare(database, 1, "order", schema='{"type": "string"}')
    await declare(database, EVERY_TENANT, "order", schema='{"type": "integer"}')
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    check_parameters(known.get(1, "order"), 3, "3")
    with pytest.raises(ParametersInvalid):
        check_parameters(known.get(1, "order"), "x", '"x"')
