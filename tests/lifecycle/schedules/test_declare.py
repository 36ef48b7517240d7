"""Schedules that code declares are recorded when a worker starts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from duly import Handlers
from duly.domain.audit import Actor
from duly.domain.database_clock import DatabaseClock
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Registry
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.schedules.manage import delete_schedule
from duly.node.job_type_parts import JobTypeParts
from duly.settings import Settings
from duly.store.postgres.database import Database
from duly.store.queue.schedules import read_schedule
from tests.support.service import KEYRING, Service

PATH = "/api/v1/schedules"


class Order(BaseModel):
    seat: int = 1


def registry(cron: str = "0 3 * * *", **options: Any) -> Registry:
    """Returns the registry of one release, with a schedule of the type `order`."""
    handlers = Handlers()

    @handlers.register("order")
    @handlers.schedule(cron, **{"timezone": "Europe/Berlin", **options})
    async def order(parameters: Order) -> None:
        """Reserves a seat."""

    return Registry(handlers, schedules=handlers.schedules())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def declare(database: Database, types: Registry, *, node: str = "node-1") -> None:
    parts = JobTypeParts(Settings(), database, types, Wakeups(), keyring=KEYRING, clock=DatabaseClock(), node=node)
    await parts.declare()


async def found(database: Database, name: str = "order") -> Any:
    async with database.connection() as connection:
        return await read_schedule(connection, (1, name))


async def audited(database: Database) -> list[tuple[str, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch("select action, actor from audit where tenant_id = 1 order by id")
    return [(row[0], row[1]) for row in rows]


async def test_a_schedule_of_code_is_created_with_its_options(database: Database) -> None:
    await declare(database, registry(parameters=Order(seat=7), overlap="skip", priority=5, labels={"from": "code"}))
    schedule = await found(database)
    assert (schedule.recurrence.cron, schedule.recurrence.timezone) == ("0 3 * * *", "Europe/Berlin")
    assert schedule.recurrence.overlap.name == "SKIP"
    assert '"parameters":{"seat":7}' in schedule.recurrence.submission
    assert '"priority":5' in schedule.recurrence.submission
    assert schedule.declared
    assert schedule.next_run_at is not None
    assert await audited(database) == [("schedule.created", "worker:node-1")]


async def test_a_restart_changes_nothing(database: Database) -> None:
    secret = {"callback_url": "https://example.com", "callback_secret": "very secret"}
    await declare(database, registry(**secret))
    before = await found(database)
    await declare(database, registry(**secret))
    assert await found(database) == before
    assert len(await audited(database)) == 1
    await declare(database, registry(**secret | {"callback_secret": "another secret"}))
    assert len(await audited(database)) == 2


async def test_several_nodes_that_start_at_once_create_it_once(database: Database) -> None:
    await asyncio.gather(*(declare(database, registry(), node=f"node-{n}") for n in range(8)))
    assert [action for action, _ in await audited(database)] == ["schedule.created"]


async def test_another_cron_recomputes_the_next_run_and_keeps_the_last_one(database: Database) -> None:
    await declare(database, registry())
    async with database.connection() as connection:
        await connection.execute("update schedules set last_run_at = now(), last_job_id = gen_random_uuid()")
    before = await found(database)
    await declare(database, registry("30 4 * * *", parameters={"seat": 2}), node="node-2")
    after = await found(database)
    assert after.next_run_at.minute == 30
    assert (after.last_run_at, after.last_job_id) == (before.last_run_at, before.last_job_id)
    assert (await audited(database))[-1] == ("schedule.changed", "worker:node-2")
    await declare(database, registry("30 4 * * *", parameters={"seat": 3}))
    assert (await found(database)).next_run_at == after.next_run_at


async def test_a_pause_of_an_operator_survives_a_deploy(database: Database) -> None:
    await declare(database, registry())
    async with database.connection() as connection:
        await connection.execute("update schedules set paused = true, next_run_at = null")
    for cron in ("0 3 * * *", "0 4 * * *"):
        await declare(database, registry(cron))
        schedule = await found(database)
        assert (schedule.recurrence.cron, schedule.recurrence.paused, schedule.next_run_at) == (cron, True, None)


async def test_a_schedule_that_the_code_no_longer_declares_stays(database: Database) -> None:
    await declare(database, registry())
    await declare(database, Registry([]))
    assert (await found(database)).next_run_at is not None
    await delete_schedule(database, (1, "order"), by=Actor("test"))
    await declare(database, registry())
    assert await found(database) is not None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cron": "61 * * * *"}, 'schedule "order": cron: has "61" for its minute'),
        ({"timezone": "Mars"}, 'schedule "order": timezone: '),
        ({"parameters": {"seat": "x"}}, 'schedule "order": submission.parameters.seat: '),
        ({"priority": 101}, 'schedule "order": priority: '),
        ({"parameters": object()}, 'schedule "order": not JSON'),
    ],
)
async def test_an_invalid_schedule_keeps_the_worker_from_starting(
    database: Database, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(HandlerError) as refused:
        await declare(database, registry(**options))
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"overlap": "never"}, "overlap='never' must be allow or skip"),
        ({"catch_up": "some"}, "catch_up='some' must be none, last or all"),
        ({"name": "a/b"}, "'a/b' is not a valid name of a schedule"),
        ({"prio": 5}, "schedule \"order\" has no option 'prio'"),
    ],
)
def test_an_unknown_option_is_refused_when_handlers_are_loaded(options: dict[str, Any], says: str) -> None:
    with pytest.raises(HandlerError) as refused:
        registry(**options)
    assert says in str(refused.value)


def test_a_schedule_needs_a_registered_handler_and_a_name_of_its_own() -> None:
    handlers = Handlers()

    @handlers.schedule("@daily")
    async def forgotten() -> None: ...

    with pytest.raises(HandlerError, match="has a schedule and no job type"):
        handlers.schedules()
    handlers.register("forgotten")(forgotten)
    handlers.schedule("@hourly")(forgotten)
    with pytest.raises(HandlerError, match='two schedules called "forgotten"'):
        Registry(handlers, schedules=handlers.schedules())


async def test_a_service_shows_schedules_of_code_with_the_workers_that_declare_them(
    start_service: Callable[..., Any],
) -> None:
    service: Service = await start_service()
    await declare(service.node.database, registry())
    shown = (await service.client.get(f"{PATH}/order")).json()
    assert (shown["declaredBy"], shown["workers"]) == ("handler", 0)
    await service.sql("update nodes set schedules = '{order}'")
    [listed] = (await service.client.get(PATH)).json()["items"]
    assert (listed["name"], listed["workers"]) == ("order", 1)
