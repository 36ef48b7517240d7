"""The number of queues that a tenant uses is limited, for every way of submitting."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import asyncpg
import httpx
import orjson
import pytest

from duly.api.batches import batch_ndjson
from duly.domain.ids import new_job_id
from duly.lifecycle.submit import queue_limit
from tests.support.handlers import gate, has_entered
from tests.support.lease_worker import claim_one
from tests.support.lease_worker import post as post_for_lease
from tests.support.response_checks import refused
from tests.support.service import Service, eventually
from tests.support.websocket_client import Socket, socket_to

StartService = Callable[..., Awaitable[Service]]
CODE = "QUEUE_LIMIT_REACHED"
NDJSON = {"Content-Type": "application/x-ndjson"}
STILL = ("api", "dispatcher")
# Age of a name that no node writes or remembers any more.
OLD = "update queue_names set used_at = now() - interval '61 minutes'"


async def post(service: Service, queue: str, **members: Any) -> httpx.Response:
    return await service.client.post("/api/v1/jobs", json={"type": "echo", "queue": queue, **members})


async def fill(service: Service, *queues: str) -> None:
    for queue in queues:
        assert (await post(service, queue)).status_code == 202


async def names(service: Service) -> list[str]:
    return [row[0] for row in await service.sql("select queue from queue_names order by queue")]


async def recorded(service: Service) -> int:
    return await service.total("select count(*) from jobs")


# Ways of submitting


async def put(service: Service) -> httpx.Response:
    return await service.client.put(f"/api/v1/jobs/{new_job_id()}", json={"type": "echo", "queue": "c"})


async def batch(service: Service) -> httpx.Response:
    jobs = [{"type": "echo", "queue": queue} for queue in ("a", "c", "b")]
    return await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs})


async def lines(service: Service) -> httpx.Response:
    body = b'{"type":"echo","queue":"a"}\n{"type":"echo","queue":"c"}\n'
    return await service.client.post("/api/v1/jobs/batch", content=body, headers=NDJSON)


async def schedule_run(service: Service) -> httpx.Response:
    body = {"name": "nightly", "cron": "0 0 1 1 *", "submission": {"type": "echo", "queue": "c"}}
    assert (await service.client.post("/api/v1/schedules", json=body)).status_code == 201
    return await service.client.post("/api/v1/schedules/nightly/run")


@pytest.mark.parametrize("way", [lambda service: post(service, "c"), put, batch, lines, schedule_run])
async def test_a_submission_that_would_open_a_queue_too_many_is_refused(
    start_service: StartService, way: Callable[[Service], Awaitable[httpx.Response]]
) -> None:
    service = await start_service(roles=STILL, max_queues_per_tenant=2)
    await fill(service, "a", "b")
    error = refused(await way(service), 409, CODE)
    assert error["message"] == 'Queue limit reached: "c" would be a new queue (2 of 2 in use).'
    assert error["details"]["retryable"] is False
    assert (await recorded(service), await names(service)) == (2, ["a", "b"])
    await fill(service, "a", "b")


async def test_a_socket_is_told_so_and_stays_open(start_service: StartService) -> None:
    service = await start_service(roles=STILL, max_queues_per_tenant=1)
    async with socket_to(service) as socket:
        responses = [await submit_by(socket, queue) for queue in ("a", "b", "a")]
    assert [response["type"] for response in responses] == ["job_accepted", "error", "job_accepted"]
    assert responses[1]["error"]["code"] == CODE


async def submit_by(socket: Socket, queue: str) -> dict[str, Any]:
    """Returns the response to a submission, and passes over frames of other jobs."""
    await socket.send("submit_job", ref=queue, job={"type": "echo", "queue": queue})
    while (received := await socket.receive()).get("ref") != queue:
        pass
    return received


async def test_of_a_batch_all_new_queues_are_opened_or_none(start_service: StartService) -> None:
    service = await start_service(roles=STILL, max_queues_per_tenant=3)
    await fill(service, "a")
    jobs = [{"type": "echo", "queue": queue} for queue in ("a", "x", "y", "z")]
    error = refused(await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs}), 409, CODE)
    assert error["message"] == 'Queue limit reached: "x" and 2 more would be new queues (1 of 3 in use).'
    assert (await recorded(service), await names(service)) == (1, ["a"])
    assert (await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs[:3]})).status_code == 202
    assert await names(service) == ["a", "x", "y"]


async def test_lines_for_many_queues_are_refused_while_they_arrive(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_ndjson, "MOST_QUEUES", 20)
    service = await start_service(roles=STILL, max_queues_per_tenant=30)
    body = b"".join(b'{"type":"echo","queue":"q%d"}\n' % n for n in range(2_000)) + b"not JSON\n"
    refused(await service.client.post("/api/v1/jobs/batch", content=body, headers=NDJSON), 409, CODE)
    assert await recorded(service) == 0


async def test_a_handler_gets_an_error_for_a_child_job_in_a_queue_too_many(start_service: StartService) -> None:
    handlers = ("tests.support.handlers", "tests.support.parent_handlers")
    service = await start_service(handlers=handlers, max_queues_per_tenant=2)
    children = [{"type": "echo", "queue": queue} for queue in ("a", "b")]
    view = await service.run("parent", {"jobs": children}, maxAttempts=1)
    assert view["status"] == "failed"
    assert 'Queue limit reached: "b" would be a new queue (2 of 2 in use).' in view["error"]["message"]
    assert await names(service) == ["a", "default"]


async def test_a_worker_over_http_gets_the_error_too(start_service: StartService) -> None:
    service = await start_service(roles=STILL, max_queues_per_tenant=2)
    await fill(service, "default")
    lease = await claim_one(service, queues=["default"])
    jobs = {"jobs": [{"type": "echo", "queue": queue} for queue in ("a", "b")]}
    refused(await post_for_lease(service, lease, "jobs", jobs), 409, CODE)
    assert await recorded(service) == 1
    await post_for_lease(service, lease, "complete")


async def test_a_due_schedule_shows_the_error_and_others_are_run(start_service: StartService) -> None:
    service = await start_service(roles=STILL, max_queues_per_tenant=2)
    await fill(service, "a")
    for queue in ("a", "b", "c"):
        submission = {"type": "echo", "queue": queue}
        body = {"name": queue, "cron": "0 0 1 1 *", "submission": submission}
        assert (await service.client.post("/api/v1/schedules", json=body)).status_code == 201
    await service.sql("update schedules set next_run_at = now()")
    await service.node.scheduler.step()
    shown = {item["name"]: item for item in (await service.client.get("/api/v1/schedules")).json()["items"]}
    assert [shown[name]["lastJob"] is not None for name in ("a", "b", "c")] == [True, True, False]
    assert shown["c"]["lastError"]["code"] == CODE


async def test_the_job_that_follows_a_batch_is_refused(start_service: StartService) -> None:
    service = await start_service(max_queues_per_tenant=1)
    body = {"jobs": [{"type": "echo"}], "then": {"type": "echo", "queue": "c"}}
    accepted = (await service.client.post("/api/v1/jobs/batch", json=body)).json()

    async def then_error() -> Any:
        return (await service.client.get(f"/api/v1/batches/{accepted['batchId']}")).json()["thenError"]

    assert (await eventually(then_error))["code"] == CODE
    assert await recorded(service) == 1


async def test_a_submission_by_sql_becomes_a_job_that_has_failed(
    start_service: StartService, database_url: str
) -> None:
    service = await start_service(max_queues_per_tenant=1)
    shop = await asyncpg.connect(database_url)
    try:
        ids = [
            str(await shop.fetchval("select duly.submit('echo', '{}', $1)", orjson.dumps({"queue": queue}).decode()))
            for queue in ("a", "b", "a")
        ]
    finally:
        await shop.close()
    ends = [await service.ended(job_id) for job_id in ids]
    assert [end["status"] for end in ends] == ["completed", "failed", "completed"]
    assert 'Queue limit reached: "b"' in ends[1]["error"]["details"]["reason"]


# Which queues are in use


async def test_the_limit_is_of_each_tenant_over_all_nodes(start_service: StartService) -> None:
    first, second = [await start_service(roles=STILL, max_queues_per_tenant=2) for _ in range(2)]
    await fill(first, "a")
    await fill(second, "a", "b")
    refused(await post(first, "c"), 409, CODE)
    await fill(first, "b")
    await first.sql("insert into queue_names (tenant_id, queue) select 2, 'x' || n from generate_series(1, 9) n")
    refused(await post(first, "c"), 409, CODE)
    await first.sql("update tenants set max_queues = 3 where tenant_id = 1")
    await fill(first, "c")
    refused(await post(second, "d"), 409, CODE)


async def test_many_new_queues_at_once_stay_within_the_limit_of_a_node(start_service: StartService) -> None:
    service = await start_service(roles=STILL, max_queues_per_tenant=8)
    responses = await asyncio.gather(*(post(service, f"q{n % 12}") for n in range(36)))
    assert sorted({response.status_code for response in responses}) == [202, 409]
    assert len(await names(service)) == 8
    assert await recorded(service) == 24


async def test_a_known_queue_is_not_looked_up_again_before_its_time(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(roles=STILL)
    await fill(service, "a")

    async def look_up(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a known queue was looked up")

    with monkeypatch.context() as patched:
        patched.setattr(service.node.queue_limit, "_look_up", look_up)
        await fill(service, "a")
        assert (await batch_of(service, "a", "a")).status_code == 202
    await service.sql(OLD)
    monkeypatch.setattr(service.node.queue_limit, "_forget_at", 0.0)
    await fill(service, "a")
    [[fresh]] = await service.sql("select used_at > now() - interval '1 minute' from queue_names")
    assert fresh
    assert service.node.queue_limit._forget_at > 0
    assert queue_limit.REMEMBERED_SECONDS == 600


async def batch_of(service: Service, *queues: str) -> httpx.Response:
    jobs = [{"type": "echo", "queue": queue} for queue in queues]
    return await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs})


async def test_a_queue_is_in_use_while_it_has_an_unfinished_job_and_for_a_while_after(
    start_service: StartService,
) -> None:
    service = await start_service(roles=(*STILL, "worker"), max_queues_per_tenant=5)
    await service.run("echo", queue="idle")
    held = (await service.submit("wait-for-gate", {"name": "held"}, queue="running"))["jobId"]
    await has_entered("held").wait()
    await service.client.post("/api/v1/queues/ready/pause")
    await fill(service, "ready")
    assert (await post(service, "scheduled", delaySeconds=600)).status_code == 202
    assert (await post(service, "blocked", dependsOn=[held])).status_code == 202
    await service.node.sweeper.run_housekeeping(retention_days=30)
    assert len(await names(service)) == 5
    refused(await post(service, "new"), 409, CODE)
    await service.sql(OLD)
    await service.node.sweeper.run_housekeeping(retention_days=30)
    assert await names(service) == ["blocked", "ready", "running", "scheduled"]
    await fill(service, "new")
    refused(await post(service, "newer"), 409, CODE)
    gate("held").set()
    await service.ended(held)
