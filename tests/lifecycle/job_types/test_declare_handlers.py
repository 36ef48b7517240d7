"""Job types of handlers are declared when a worker starts."""

from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from duly import Handlers
from duly.domain.retry import fixed
from duly.handlers.registry import Registry
from duly.handlers.serialization import ResultInvalid
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.job_types.declare_handlers import START_SECONDS, HandlerDeclarer
from duly.lifecycle.job_types.known_types import KnownTypes, check_result
from duly.store.postgres.database import Database
from duly.store.queue.declared_types import forget_unused_types, read_types_version
from tests.support.service import Service, eventually, running_service

PATH = "/api/v1/job-types"
HANDLERS = "tests.support.handlers"


class Order(BaseModel):
    seat: int


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def registry(model: Any = Order, **options: Any) -> Registry:
    """Returns the registry of one release, in which the type `order` has these parameters."""
    handlers = Handlers()

    async def order(parameters: Any) -> Order:
        """Reserves a seat."""
        return Order(seat=1)

    order.__annotations__["parameters"] = model
    handlers.register("order", **options)(order)
    return Registry(handlers)


def declarer(database: Database, types: Registry) -> HandlerDeclarer:
    return HandlerDeclarer(database, Wakeups(), types)


async def version(database: Database) -> int:
    async with database.connection() as connection:
        return await read_types_version(connection)


def of_types(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Returns the lines about this job type, without those of a service in the background."""
    return [entry for entry in logs if entry.get("job_type") == "order"]


async def test_the_types_of_handlers_are_declared_with_their_options_once(database: Database) -> None:
    types = registry(timeout=60, max_attempts=2, retry=fixed(3), queue="orders")
    before = await version(database)
    await declarer(database, types).declare()
    after = await version(database)
    assert after == before + 1
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    found = known.get(1, "order")
    assert (found.timeout_seconds, found.max_attempts, found.retry, found.queue) == (60, 2, fixed(3), "orders")

    with capture_logs() as logs:
        await declarer(database, types).declare()
    assert await version(database) == after
    assert logs == []
    rows = "select xmin::text from declared_types where type = 'order'"
    async with database.connection() as connection:
        written = await connection.fetchval(rows)
        await declarer(database, types).declare()
        assert await connection.fetchval(rows) == written


async def test_a_changed_handler_changes_its_declaration(database: Database) -> None:
    await declarer(database, registry()).declare()
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    await known.step()
    await declarer(database, registry(max_attempts=9)).declare()
    await known.step()
    assert known.get(1, "order").max_attempts == 9


async def test_a_change_that_waiting_jobs_do_not_fit_is_declared_with_a_warning(start_service: Any) -> None:
    service: Service = await start_service(roles=("api", "sweeper"))
    await declarer(service.node.database, registry(dict[str, int])).declare()
    await service.node.job_types.step()
    for parameters in ({"seat": 1}, {"row": 1}, {}):
        await service.submit("order", parameters)
    changed = declarer(service.node.database, registry())
    await changed.declare()
    with capture_logs() as logs:
        assert await changed.step() == START_SECONDS
        assert of_types(logs) == []
        while await changed.step() == 0:
            pass
    [warning] = of_types(logs)
    assert (warning["log_level"], warning["action"]) == ("warning", "waiting_jobs_do_not_fit")
    assert (warning["jobs"], warning["examined"]) == (2, 3)


async def test_a_type_without_handler_is_forgotten_after_thirty_days_unless_jobs_wait(database: Database) -> None:
    await declarer(database, registry()).declare()

    async def forgotten(*, age_days: int, job_types: str = "{}") -> list[str]:
        async with database.connection() as connection:
            await connection.execute("update declared_types set seen_at = now() - $1 * interval '1 day'", age_days)
            await connection.execute(
                "insert into nodes (node_id, name, version, roles, job_types) "
                "values (gen_random_uuid(), 'n', '1', '{worker}', $1::text::text[])",
                job_types,
            )
            found = await forget_unused_types(connection, days=30)
            await connection.execute("delete from nodes")
        return found

    assert await forgotten(age_days=29) == []
    assert await forgotten(age_days=40, job_types="{order}") == []
    assert await forgotten(age_days=40) == ["order"]


async def test_a_node_without_handlers_accepts_and_lists_types_of_workers(database_url: str) -> None:
    async with running_service(database_url, roles=("api", "sweeper"), handlers=()) as api:
        unknown = await api.client.post("/api/v1/jobs", json={"type": "progress", "parameters": {"steps": 2}})
        assert unknown.status_code == 422
        async with running_service(database_url, roles=("worker",), handlers=(HANDLERS,)) as worker:

            async def known() -> bool:
                return (await api.client.get(f"{PATH}/progress")).status_code == 200

            await eventually(known)
            shown = (await api.client.get(f"{PATH}/progress")).json()
            assert (shown["declaredBy"], shown["isolation"], shown["workers"]) == ("handler", "task", 1)
            assert shown["parametersSchema"] == worker.node.registry["progress"].parameters.json_schema()
            await eventually(lambda: _accepted(api))
            assert (await api.run("progress", {"steps": 2}))["result"] == "done"
            refused = await api.client.post("/api/v1/jobs", json={"type": "progress", "parameters": {"steps": "x"}})
            assert refused.json()["error"]["details"]["errors"][0]["path"] == "parameters.steps"
        job_id = (await api.submit("progress", {"steps": 2}))["jobId"]
        why = (await api.client.get(f"/api/v1/jobs/{job_id}/why")).json()
        assert why["cause"] == "NO_WORKER"


async def _accepted(service: Service) -> bool:
    body = {"type": "progress", "parameters": {"steps": 0}}
    return (await service.client.post("/api/v1/jobs", json=body)).status_code == 202


async def test_a_result_over_http_is_checked_by_the_model_or_the_schema(database: Database) -> None:
    types = registry()
    check_result(types["order"], '{"seat": 3}')
    await declarer(database, types).declare()
    known = KnownTypes(Registry([]), database)
    await known.load([1])
    check_result(known.get(1, "order"), '{"seat": 3}')
    for job_type in (types["order"], known.get(1, "order")):
        for text in ('{"seat": "x"}', "{}", "null"):
            with pytest.raises(ResultInvalid, match="the result does not fit the declared type: result"):
                check_result(job_type, text)


async def test_an_operator_deletes_a_type_of_handlers_that_no_live_worker_has(start_service: Any) -> None:
    service: Service = await start_service(roles=("api",), handlers=())
    await declarer(service.node.database, registry()).declare()
    inserted = """
        insert into nodes (node_id, name, version, roles, job_types)
        values (gen_random_uuid(), 'live', '1', '{worker}', '{order}')
    """
    await service.sql(inserted)
    refused = await service.client.delete(f"{PATH}/order")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "JOB_TYPE_HAS_HANDLER")
    await service.sql("delete from nodes where name = 'live'")
    assert (await service.client.delete(f"{PATH}/order")).status_code == 204
    assert (await service.client.get(f"{PATH}/order")).status_code == 404
