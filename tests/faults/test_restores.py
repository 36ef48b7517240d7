"""A backup that was taken under load is restored: everything accepted until then ends, and streams go on rightly."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from duly.cli.prepare_database import prepare
from duly.store.postgres.database import Database
from tests.support import handlers as signals
from tests.support.invariants import violations
from tests.support.lease_worker import claim_one, post
from tests.support.restored_servers import COUNTED, BackedUp, backed_up_server
from tests.support.service import Service, eventually, running_service
from tests.support.tenant_stream import IN_ORDER, Frame, following_all, in_order, take
from tests.support.webhook_receiver import Receiver, running_receiver

HANDLERS = ("tests.support.handlers", "tests.support.step_handlers")
# Of the service that was lost: its lease ends at once, instead of after its time.
LOSE_NODES = "update nodes set heartbeat_at = now() - interval '1 hour' where node_id <> $1"
SIGNAL = "approval"
# Jobs that wait for a time would hold up the test.
NO_LATER = "update scheduled set run_at = now() where reason in (0, 1)"
UNFINISHED = (
    "select from ready union all select from running union all select from scheduled union all select from blocked"
)


@dataclass
class Seen:
    """Observations of clients of the service that was lost."""

    receiver: Receiver
    backups: BackedUp
    jobs: dict[str, str] = field(default_factory=dict)
    lease: dict[str, Any] = field(default_factory=dict)
    kept: Frame | None = None
    lost: Frame | None = None
    lost_sequence: int = 0


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[Service]:
    """Runs a service as `duly serve` does, whose first step is to prepare the database."""
    database = Database(url)
    await prepare(database, migrates=True)
    await database.close()
    async with running_service(url, handlers=HANDLERS) as service:
        await service.sql(LOSE_NODES, service.node.node_id)
        yield service


@pytest.fixture(scope="module")
def backups() -> Iterator[BackedUp]:
    with backed_up_server() as server:
        yield server


async def fill(service: Service, seen: Seen) -> None:
    """Leaves a job in each state."""
    told = {"callbackUrl": seen.receiver.url}
    await service.run("echo")
    await service.run("fail")
    running = await service.submit("wait-for-gate", concurrencyKey="customer", **told)
    await signals.has_entered("default").wait()
    jobs = {
        "running": running,
        "keyed": await service.submit("echo", concurrencyKey="customer"),
        "dependent": await service.submit("echo", dependsOn=[running["jobId"]], **told),
        "delayed": await service.submit("echo", delaySeconds=3600),
        "retried": await service.submit("retry-after", {"after": 3600}),
        "parked": await service.submit("approved"),
        "leased": await _leased(service, seen),
    }
    seen.jobs = {name: job["jobId"] for name, job in jobs.items()}
    await service.until(seen.jobs["parked"], lambda view: view["waitingFor"] == "signal")
    await service.until(seen.jobs["retried"], lambda view: view["waitingFor"] == "retry")
    schedule = {"name": "yearly", "cron": "0 0 1 1 *", "submission": {"type": "echo"}}
    assert (await service.client.post("/api/v1/schedules", json=schedule)).status_code == 201


async def _leased(service: Service, seen: Seen) -> dict[str, Any]:
    assert (await service.client.put("/api/v1/job-types/elsewhere", json={})).status_code == 201
    job = await service.submit("elsewhere")
    seen.lease = await claim_one(service, "elsewhere", leaseSeconds=3600)
    return job


@asynccontextmanager
async def load(service: Service) -> AsyncIterator[list[str]]:
    """Submits jobs for the block. The list has those that were accepted."""
    accepted: list[str] = []

    async def submit() -> None:
        while True:
            accepted.append((await service.submit("echo", {"n": len(accepted)}))["jobId"])

    task = asyncio.create_task(submit())
    try:
        yield accepted
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(scope="module")
async def seen(backups: BackedUp) -> AsyncIterator[Seen]:
    """A service that was backed up under load, went on, and is gone."""
    signals.forget()
    async with running_receiver() as receiver:
        receiver.statuses = [503]
        seen = Seen(receiver, backups)
        async with serving(backups.url) as service:
            async with following_all(service) as frames:
                begin = await anext(frames)
            await fill(service, seen)
            async with load(service) as accepted:
                await _more(accepted)
                await backups.back_up()
                await _more(accepted)
            await _idle(service)
            await backups.mark("kept")
            signals.gate("default").set()
            seen.lost_sequence = (await service.ended(seen.jobs["running"]))["sequence"]
            lost = await service.run("progress", {"steps": 5})
            async with following_all(service, last_event_id=begin.id) as frames:
                told = await take(frames, 20)
                seen.kept = told[-1]
                while told[-1].place != (lost["jobId"], lost["sequence"]):
                    told = await take(frames, 1)
                seen.lost = told[-1]
            await backups.mark("after all")
        receiver.statuses = [204]
        yield seen


async def _more(accepted: list[str]) -> None:
    wanted = len(accepted) + 10

    async def look() -> bool:
        return len(accepted) >= wanted

    await eventually(look)


async def _idle(service: Service) -> None:
    """Waits until the load has ended, apart from the job at the gate and the lease."""

    async def look() -> bool:
        [[ready, running]] = await service.sql("select (select count(*) from ready), (select count(*) from running)")
        return bool(ready == 0 and running == 2)

    await eventually(look)


Restored = Callable[[BackedUp], AbstractContextManager[str]]
WAYS: dict[str, Restored] = {
    "to an earlier time": lambda backups: backups.restored_to("kept"),
    "to the end of the archive": lambda backups: backups.restored_to("after all"),
    "from a snapshot of the volume": lambda backups: backups.restored_from_snapshot(),
    "from a dump, on a server that counts lower": lambda backups: backups.restored_from_dump(),
    "from a dump, on a server that counts higher": lambda backups: backups.restored_from_dump(transactions=4 * COUNTED),
}


@pytest.mark.parametrize("restored", WAYS.values(), ids=WAYS.keys())
async def test_what_was_accepted_ends_and_streams_go_on_from_every_position(seen: Seen, restored: Restored) -> None:
    signals.forget()
    signals.gate("default").set()
    with restored(seen.backups) as url:
        assert await violations(url) == []
        before, hits = await recorded(url), seen.receiver.hits
        assert seen.kept is not None and seen.lost is not None
        async with (
            serving(url) as service,
            following_all(service, last_event_id=seen.kept.id) as from_kept,
            following_all(service, last_event_id=seen.lost.id) as from_lost,
            following_job(service, seen) as of_job,
        ):
            await _finish_all(service, seen, hits=hits)
            new = await service.run("echo", {"new": True})
            after = await in_order(service)
            assert after[: len(before)] == before
            assert await _until(from_kept, new["jobId"]) == after[after.index(seen.kept.place) + 1 :]
            rest = after.index(seen.lost.place) + 1 if seen.lost.place in after else len(before)
            assert await _until(from_lost, new["jobId"]) == after[rest:]
            assert (await of_job)[-1] == "job_completed"
        assert await violations(url) == []


async def recorded(url: str) -> list[tuple[str, int]]:
    """Returns all events of a ledger that no service runs on, in the order of the stream."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(IN_ORDER)
    await connection.close()
    return [(row[0], row[1]) for row in rows]


async def _finish_all(service: Service, seen: Seen, *, hits: int) -> None:
    """Lets every job end, and waits until all have, and until more webhooks were sent than `hits`."""
    complete = await post(service, seen.lease, "complete", {"result": 1})
    assert complete.status_code == 200, complete.text
    sent = await service.client.post(f"/api/v1/jobs/{seen.jobs['parked']}/signals/{SIGNAL}", json={"choice": "yes"})
    assert sent.status_code in {200, 202}, sent.text

    async def ended() -> bool:
        await service.sql(NO_LATER)
        return await service.sql(UNFINISHED) == []

    await eventually(ended)
    statuses = {name: (await service.job(job_id))["status"] for name, job_id in seen.jobs.items()}
    assert set(statuses.values()) == {"completed"}, statuses
    await service.sql("update deliveries set due_at = now()")
    await eventually(lambda: _delivered(service))
    assert seen.receiver.hits > hits
    assert (await service.client.get("/api/v1/schedules/yearly")).json()["nextRunAt"]


async def _delivered(service: Service) -> bool:
    return await service.sql("select from deliveries") == []


async def _until(frames: Any, job_id: str) -> list[tuple[str, int]]:
    """Returns the events of the stream, up to the end of this job."""
    told: list[tuple[str, int]] = []
    while True:
        [frame] = await take(frames, 1)
        told.append(frame.place)
        if frame.place[0] == job_id and frame.event == "job_completed":
            return told


@asynccontextmanager
async def following_job(service: Service, seen: Seen) -> AsyncIterator["asyncio.Task[list[str]]"]:
    """Follows the job at the gate after the last event that its client saw of it, which the restore may have lost."""

    async def follow() -> list[str]:
        path, headers = f"/api/v1/jobs/{seen.jobs['running']}/events/stream", {"Last-Event-ID": str(seen.lost_sequence)}
        async with asyncio.timeout(60), service.client.stream("GET", path, headers=headers) as answer:
            if answer.status_code == 204:
                return ["job_completed"]
            assert answer.status_code == 200
            lines = [line async for line in answer.aiter_lines()]
        return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]

    task = asyncio.create_task(follow())
    try:
        yield task
    finally:
        task.cancel()
