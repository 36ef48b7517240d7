"""`/api/v1/queues`: state of each queue."""

import time
from typing import Any

import pytest

from duly.api.queues.queues import QueueBody, QueuePage
from duly.store.read import queue_stats
from tests.support import handlers as test_handlers
from tests.support.parked_jobs import parked_job
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service, eventually

PATH = "/api/v1/queues"
LATER = "2100-01-01T00:00:00.000Z"


async def _queue(contract: Service, name: str) -> dict[str, Any]:
    response = await contract.client.get(f"{PATH}/{name}")
    assert response.status_code == 200, response.text
    QueueBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


async def _names(contract: Service) -> list[str]:
    response = await contract.client.get(PATH, params={"limit": 200})
    QueuePage.model_validate_json(response.content, strict=True)
    page = response.json()
    assert page["nextCursor"] is None
    return [item["queue"] for item in page["items"]]


def _without_rates(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in {"inPerSecond", "outPerSecond"}}


EMPTY = {
    "depth": 0,
    "scheduled": 0,
    "parked": 0,
    "held": 0,
    "blocked": 0,
    "running": 0,
    "oldestAgeSeconds": None,
    "paused": False,
    "pausedAt": None,
    "limits": {"concurrency": None, "rate": None},
}


async def test_a_queue_that_no_job_is_in_shows_zeros(contract: Service) -> None:
    assert await _queue(contract, "never/used:before") == {
        "queue": "never/used:before",
        "inPerSecond": 0.0,
        "outPerSecond": 0.0,
        **EMPTY,
    }
    assert "never/used:before" not in await _names(contract)


async def test_what_cannot_be_a_name_of_a_queue_is_not_found(contract: Service) -> None:
    for name in ("%20", "-begins-with-a-dash", "x" * 129, "a%00b", "gr%C3%BCn"):
        refused(await contract.client.get(f"{PATH}/{name}"), 404, "NOT_FOUND")


async def test_a_queue_shows_what_waits_and_what_runs(contract: Service) -> None:
    test_handlers.gate("stands")
    running = await contract.submit("wait-for-gate", {"name": "stands"}, queue="stands")
    await test_handlers.has_entered("stands").wait()
    for _ in range(3):
        await contract.submit("echo", queue="stands", runAt=LATER)
    assert _without_rates(await _queue(contract, "stands")) == {
        "queue": "stands",
        **EMPTY,
        "scheduled": 3,
        "running": 1,
    }

    test_handlers.gate("stands").set()
    await contract.ended(running["jobId"])
    assert (await _queue(contract, "stands"))["running"] == 0


async def test_a_queue_shows_its_limits(contract: Service) -> None:
    limits = {"concurrency": 3, "rate": {"count": 10, "seconds": 60}}
    await contract.client.put(f"{PATH}/shows-limits/limits", json=limits)
    assert (await _queue(contract, "shows-limits"))["limits"] == limits
    await contract.client.delete(f"{PATH}/shows-limits/limits")
    assert (await _queue(contract, "shows-limits"))["limits"] == EMPTY["limits"]


async def test_parked_and_held_jobs_count_apart_from_scheduled_ones(contract: Service) -> None:
    await contract.submit("echo", queue="apart", runAt=LATER)
    parked = [await parked_job(contract, "go", queue="apart") for _ in range(2)]
    raising = {"name": "apart", "succeed_on": 9}
    held = (await contract.submit("raise", raising, queue="apart", maxAttempts=1, onExhausted="hold"))["jobId"]
    await contract.until(held, lambda view: view["waitingFor"] == "held")
    shown = await _queue(contract, "apart")
    assert (shown["scheduled"], shown["parked"], shown["held"], shown["depth"]) == (1, 2, 1, 0)
    for job_id in parked:  # rows of a test's own, which no handler has parked
        await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_what_may_start_counts_with_the_age_of_the_oldest(contract: Service) -> None:
    job_id = (await contract.submit("echo", queue="deep", runAt=LATER))["jobId"]
    try:
        await contract.sql("update jobs set created_at = now() - interval '90 s', run_at = null where queue = 'deep'")
        await contract.sql(MOVE_TO_READY, "deep", "nobody-runs-this")
        shown = await _queue(contract, "deep")
        await contract.sql("update jobs set run_at = now() - interval '30 s' where queue = 'deep'")
        later = await _queue(contract, "deep")
    finally:
        await contract.sql("update jobs set type = 'echo' where queue = 'deep'")
        await contract.sql("update ready set type = 'echo' where queue = 'deep'")
    assert (shown["depth"], shown["scheduled"]) == (1, 0)
    assert 90 <= shown["oldestAgeSeconds"] < 110
    assert 30 <= later["oldestAgeSeconds"] < 50  # before that time it could not have started
    await contract.ended(job_id)


# A lane whose type no worker knows stays as it is.
MOVE_TO_READY = """
with gone as (delete from scheduled where queue = $1 returning *),
renamed as (update jobs set type = $2 where queue = $1)
insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                   callback_events, queue, type)
select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, queue, $2
from gone
"""


async def test_jobs_that_wait_for_others_count_as_blocked(contract: Service) -> None:
    parent = (await contract.submit("echo", queue="chain", runAt=LATER))["jobId"]
    child = (await contract.submit("echo", queue="chain", dependsOn=[parent]))["jobId"]
    shown = await _queue(contract, "chain")
    assert (shown["scheduled"], shown["blocked"], shown["depth"]) == (1, 1, 0)

    await contract.client.post(f"/api/v1/jobs/{parent}/cancel")
    assert (await contract.ended(child))["status"] == "failed"
    assert (await _queue(contract, "chain"))["blocked"] == 0


async def test_queues_are_listed_by_name_with_the_default_one_always(contract: Service) -> None:
    for name in ("listed-b", "listed-a"):
        await contract.submit("echo", queue=name, runAt=LATER)
    await contract.sql("insert into queues (tenant_id, queue, paused_at) values (1, 'listed-paused', now())")
    await contract.sql("insert into limits (tenant_id, scope, name, concurrency) values (1, 1, 'listed-limited', 1)")
    await contract.sql("insert into limits (tenant_id, scope, name, concurrency) values (1, 2, 'a-type', 1)")

    names = await _names(contract)
    assert names == sorted(names)
    wanted = {"default", "listed-a", "listed-b", "listed-paused", "listed-limited"}
    assert wanted <= set(names)
    assert "a-type" not in names

    pages: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await contract.client.get(PATH, params={"limit": 2, **cursor})).json()
        pages += [item["queue"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert pages == names


async def test_a_paused_queue_says_so_and_since_when(contract: Service) -> None:
    await contract.sql(
        "insert into queues (tenant_id, queue, paused_at) values (1, 'resting', '2026-01-27T10:00:00.5Z') "
        "on conflict (tenant_id, queue) do update set paused_at = excluded.paused_at"
    )
    shown = await _queue(contract, "resting")
    assert (shown["paused"], shown["pausedAt"]) == (True, "2026-01-27T10:00:00.500Z")

    await contract.sql("update queues set paused_at = null where queue = 'resting'")
    shown = await _queue(contract, "resting")
    assert (shown["paused"], shown["pausedAt"]) == (False, None)


async def test_rates_of_all_nodes_that_live_are_added_up(contract: Service) -> None:
    for _ in range(5):
        await contract.run("echo", queue="brisk")

    async def counted() -> dict[str, Any] | None:  # an end is counted after it can be read
        await contract.beat()
        shown = await _queue(contract, "brisk")
        return shown if shown["inPerSecond"] == shown["outPerSecond"] > 0 else None

    mine = await eventually(counted)
    waiting = await contract.submit("echo", queue="in-vain", runAt=LATER)
    await contract.client.post(f"/api/v1/jobs/{waiting['jobId']}/cancel")
    await contract.beat()
    in_vain = await _queue(contract, "in-vain")
    assert in_vain["inPerSecond"] == in_vain["outPerSecond"] > 0
    assert "brisk" in await _names(contract)  # it is empty now, but was busy

    await contract.sql_in_one(OTHER_NODE, "0 s", '{"brisk": [10, 2.5], "elsewhere": [1, 1]}')
    await contract.sql_in_one(OTHER_NODE, "1 hour", '{"brisk": [100, 100]}')
    try:
        both = await _queue(contract, "brisk")
        assert "elsewhere" in await _names(contract)
    finally:
        await contract.sql("delete from nodes where name = 'another'")
    # This node's own falls while time passes.
    assert 10 < both["inPerSecond"] <= mine["inPerSecond"] + 10
    assert 2.5 < both["outPerSecond"] <= mine["outPerSecond"] + 2.5


OTHER_NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at, rates)
values (gen_random_uuid(), 'another', '0', '{api}', '{}', now() - $1::text::interval, $2::text::json)
"""


async def test_long_queues_are_counted_nearly_and_short_ones_beside_them_exactly(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_stats, "COUNTED_IN_ALL", 500)
    monkeypatch.setattr(queue_stats, "COUNTED_IN_A_LANE", 100)
    await contract.sql_in_one(FILL, "crowded", 3_000)
    await contract.sql_in_one(FILL, "sparse", 7)
    try:
        crowded, sparse = await _queue(contract, "crowded"), await _queue(contract, "sparse")
    finally:
        await contract.sql("delete from ready where type = 'nobody-runs-this'")  # these jobs were never recorded
    assert crowded["depth"] == 3_000
    assert sparse["depth"] == 7


FILL = """
insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                   callback_events, queue, type)
select 1, gen_random_uuid(), 0, 0, 60, 0, 0, 0, 0, $1, 'nobody-runs-this' from generate_series(1, $2)
"""


async def test_what_is_no_query_of_the_queues_is_refused(contract: Service) -> None:
    for query, path in (({"limit": 0}, "limit"), ({"cursor": "x"}, "cursor"), ({"queue": "a"}, "queue")):
        assert invalid_paths(await contract.client.get(PATH, params=query)) == [path], query
    assert invalid_paths(await contract.client.get(f"{PATH}/default?verbose=1")) == ["verbose"]


async def test_a_queue_that_is_empty_and_quiet_for_a_minute_is_no_longer_listed(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await contract.submit("echo", queue="fleeting", runAt=LATER))["jobId"]
    assert "fleeting" in await _names(contract)
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await contract.beat()
    assert "fleeting" in await _names(contract)

    for node in contract.nodes:
        monkeypatch.setattr(node.metrics.rates, "_clock", lambda: time.monotonic() + 61)

    async def gone() -> bool:  # the heartbeat of the node may write what it read before
        await contract.beat()
        return "fleeting" not in await _names(contract)

    await eventually(gone)
