"""Machines whose clocks differ by hours: the database clock orders and ages everything."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.domain.database_clock import DatabaseClock
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
StartService = Callable[..., Awaitable[Service]]
HOUR = 3600.0
# A node's estimate of the clock is as exact as its heartbeat was quick; times of different nodes deviate by up to this.
APART, EXACT_SECONDS = "select pg_sleep(0.1)", 0.05


class Off:
    """A machine clock that is off by a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return time.time() + self.seconds


async def with_clocks(start_service: StartService, *offsets: float, **settings: Any) -> list[Service]:
    """Returns nodes whose clocks are off, after a quick heartbeat of each."""
    nodes = [await start_service(clock=clock_off(offset), **settings) for offset in offsets]
    for node in nodes:
        await eventually(partial(quick_heartbeat, node))
    return nodes


async def quick_heartbeat(service: Service) -> bool:
    began = time.monotonic()
    await service.beat()
    return time.monotonic() - began < EXACT_SECONDS


def clock_off(seconds: float) -> DatabaseClock:
    return DatabaseClock(wall=Off(seconds))


async def listed(service: Service) -> list[str]:
    answer = await service.client.get("/api/v1/jobs", params={"limit": "200"})
    assert answer.status_code == 200, answer.text
    return [job["jobId"] for job in answer.json()["items"]]


def seconds_from_now(text: str) -> float:
    return abs((datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds())


async def test_lists_are_in_the_order_of_submission_whatever_the_clocks_of_the_nodes(
    start_service: StartService,
) -> None:
    nodes = await with_clocks(start_service, HOUR, -HOUR, 0, 30 * 24 * HOUR, roles=("api",))
    one = {"type": "echo", "parameters": 1}
    lines, ndjson = b'{"type":"echo"}\n{"type":"echo"}\n', {"Content-Type": "application/x-ndjson"}
    job_ids = []
    for _ in range(3):
        for node in nodes:
            await node.sql(APART)
            job_ids.append((await node.submit("echo"))["jobId"])
            for body in ({"json": {"jobs": [one, one]}}, {"content": lines, "headers": ndjson}):
                job_ids += (await node.client.post("/api/v1/jobs/batch", **body)).json()["jobIds"]
    for node in nodes:
        assert await listed(node) == job_ids[::-1]
    assert job_ids == sorted(job_ids)


async def test_a_queue_is_worked_off_in_the_order_of_submission_whatever_the_clocks_of_the_nodes(
    start_service: StartService,
) -> None:
    ahead, behind = await with_clocks(start_service, HOUR, -HOUR, roles=("api",))
    job_ids = []
    for node in (ahead, behind) * 5:
        await node.sql(APART)
        job_ids.append((await node.submit("echo"))["jobId"])
    worker = await start_service(roles=("worker",), worker_slots=1)

    async def started() -> list[Any]:
        rows = await worker.sql("select job_id::text from events where kind = 10 order by occurred_at, tx")
        return rows if len(rows) == len(job_ids) else []

    assert [row[0] for row in await eventually(started)] == job_ids


async def test_an_id_of_the_present_is_taken_and_one_of_the_nodes_own_time_is_not(start_service: StartService) -> None:
    node = await start_service(clock=clock_off(30 * 24 * HOUR))
    for clock, status in ((DatabaseClock(), 202), (clock_off(30 * 24 * HOUR), 422)):
        answer = await node.client.put(f"/api/v1/jobs/{clock.ids.new()}", json={"type": "echo"})
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("off", [HOUR, -HOUR])
async def test_ages_and_times_are_the_databases(start_service: StartService, receiver: Receiver, off: float) -> None:
    node = await start_service(clock=clock_off(off))
    later = await node.client.get(f"/api/v1/jobs/{(await node.submit('echo', delaySeconds=600))['jobId']}")
    assert later.headers["Retry-After"] == "1"

    due = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    assert (await node.run("echo", 1, runAt=due))["status"] == "completed"

    said = await node.run("context")
    answer = await node.client.get(f"/api/v1/jobs/{said['jobId']}/logs")
    assert answer.json()["items"]
    assert all(seconds_from_now(line["at"]) < 60 for line in answer.json()["items"])

    await node.run("echo", 1, callbackUrl=receiver.url)
    assert abs(int((await receiver.next()).headers["webhook-timestamp"]) - time.time()) < 60

    webhook = {"url": receiver.url, "events": ["webhook.test"]}
    webhook_id = (await node.client.post("/api/v1/webhooks", json=webhook)).json()["webhookId"]
    await node.client.post(f"/api/v1/webhooks/{webhook_id}/test")
    assert seconds_from_now(json.loads((await receiver.next()).body)["timestamp"]) < 60
    since = {"since": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
    assert (await node.client.post(f"/api/v1/webhooks/{webhook_id}/replay", json=since)).status_code == 202


@pytest.mark.parametrize("off", [HOUR, -HOUR])
async def test_a_date_to_try_again_at_is_read_by_a_clock_that_is_right(
    start_service: StartService, receiver: Receiver, off: float
) -> None:
    node = await start_service(clock=clock_off(off), webhook_retry_seconds=(1.0, 1.0))
    at = datetime.now(UTC) + timedelta(seconds=1800)
    receiver.statuses, receiver.answer_headers = [503], {"Retry-After": format_datetime(at, usegmt=True)}
    await node.run("echo", 1, callbackUrl=receiver.url)
    await receiver.next()

    async def settled() -> Any:
        return await node.sql("select from delivery_attempts")

    await eventually(settled)
    [[seconds]] = await node.sql("select extract(epoch from due_at - now())::float8 from deliveries")
    assert 1700 < seconds <= 1800 * 1.25


async def test_the_offset_is_a_gauge_and_a_warning_from_the_start_and_follows_the_clock(
    start_service: StartService,
) -> None:
    off = Off(2 * HOUR)
    with capture_logs() as lines:
        node = await start_service(clock=DatabaseClock(wall=off))
        await eventually(partial(quick_heartbeat, node))

        async def gauge() -> float:
            text = (await node.client.get("/metrics")).text
            [value] = [line.split()[1] for line in text.splitlines() if line.startswith("duly_clock_offset_seconds ")]
            return float(value)

        assert await gauge() == pytest.approx(2 * HOUR, abs=1.5)
        await node.node.heartbeat.step()
        off.seconds = 0.0
        await node.node.heartbeat.step()
    assert await gauge() == pytest.approx(0, abs=1.5)
    assert [line["action"] for line in lines if line["action"].startswith("clock")] == ["clock_differs", "clock_agrees"]
