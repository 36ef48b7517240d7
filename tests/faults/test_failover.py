"""A standby takes the place of its primary under load: nothing accepted is lost, and everything goes on by itself."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import psutil
import pytest

from duly.lifecycle.maintenance.accepted_jobs import compare_accepted
from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support import handlers as signals
from tests.support.invariants import violations
from tests.support.replicated_servers import ReplicatedServers, replicated_servers
from tests.support.service import Service, eventually, running_service
from tests.support.submitted_load import CLAIMS_AGAIN_SECONDS, loaded, runs_a_job
from tests.support.tenant_stream import following_all

LEASE_SECONDS = 12.0
# Everything that the server has recorded itself has numbers of its epoch.
COUNT_OLD_NUMBERS = """
select (select count(*) from events where occurred_at > '{since}' and tx < began)
       + (select count(*) from jobs where created_at > '{since}' and tx < began)
from epochs where server_started_at = pg_postmaster_start_time()
"""
ENDS = {"job_completed", "job_failed", "job_cancelled"}


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[ReplicatedServers]:
    async with replicated_servers() as pair:
        await _on(pair, "create database empty")
        await _migrate(pair.primary.url_of("empty"))
        yield pair


async def _on(pair: ReplicatedServers, statement: str) -> None:
    await pair.primary.sql(statement)


async def _migrate(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


@pytest.fixture
async def pair(servers: ReplicatedServers) -> AsyncIterator[ReplicatedServers]:
    """Primary and standby with a new database `failover`, in which every invariant must hold at the end."""
    signals.forget()
    await _on(servers, "create database failover template empty")
    await eventually(lambda: _has_received_all(servers), seconds=CLAIMS_AGAIN_SECONDS)
    yield servers
    await _on(servers, "alter system reset all")  # first: without a standby, a synchronous primary commits nothing
    await _on(servers, "select pg_reload_conf()")
    found = await violations(servers.primary.url_of("failover"))
    await _on(servers, "drop database failover with (force)")
    await servers.make_standby()
    assert not found, found


async def _follow_all(service: Service, seen: list[tuple[str, int, str]], begun: asyncio.Event) -> None:
    """Follows the stream of all jobs, and resumes it at its last position whenever it ends."""
    position: str | None = None
    while True:
        with suppress(TimeoutError):  # it has a time limit
            async with following_all(service, last_event_id=position) as frames:
                async for frame in frames:
                    position = frame.id or position
                    begun.set()
                    if frame.data is not None:
                        seen.append((frame.data["jobId"], frame.data["sequence"], frame.data["type"]))


async def _follow(service: Service, job_id: str) -> list[str]:
    path = f"/api/v1/jobs/{job_id}/events/stream"
    async with service.client.stream("GET", path) as answer:
        lines = [line async for line in answer.aiter_lines()]
    return [json.loads(line.removeprefix("data: "))["type"] for line in lines if line.startswith("data: ")]


async def _old_numbers(pair: ReplicatedServers) -> Any:
    """Returns how much the promoted server has recorded before its epoch began."""
    return await pair.primary.sql(COUNT_OLD_NUMBERS.format(since=pair.promoted_at), "failover")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["orderly", "disorderly"])
async def test_a_synchronous_standby_that_is_promoted_under_load_has_every_accepted_job(
    pair: ReplicatedServers, number: signal.Signals
) -> None:
    await pair.make_synchronous()
    seen: list[tuple[str, int, str]] = []
    follows_all = asyncio.Event()
    async with running_service(pair.url_of("failover"), lease_seconds=LEASE_SECONDS) as service:
        held = (await service.submit("wait-for-gate"))["jobId"]
        await signals.has_entered("default").wait()
        stream = asyncio.create_task(_follow(service, held))
        all_jobs = asyncio.create_task(_follow_all(service, seen, follows_all))
        await asyncio.wait_for(follows_all.wait(), CLAIMS_AGAIN_SECONDS)
        async with loaded(service) as load:
            await load.more(20)
            await pair.fail_over(number)
            await runs_a_job(service)
            await load.more(20)
            assert await _old_numbers(pair) == 0
        assert load.statuses.keys() <= {202, 503}
        assert await eventually(service.is_ready)
        signals.gate("default").set()
        for job_id in (held, *load.accepted):
            assert (await service.ended(job_id))["status"] == "completed"

        async def all_seen() -> bool:
            return {job_id for job_id, _, kind in seen if kind in ENDS} >= {held, *load.accepted}

        await eventually(all_seen, seconds=CLAIMS_AGAIN_SECONDS)
        all_jobs.cancel()
        assert (await asyncio.wait_for(stream, CLAIMS_AGAIN_SECONDS))[-1] == "job_completed"
        assert len(seen) == len({place[:2] for place in seen})  # nothing twice
        for job_id in load.accepted:
            sequences = [sequence for seen_id, sequence, _ in seen if seen_id == job_id]
            assert sequences == list(range(len(sequences)))


async def test_a_primary_whose_machine_falls_silent_does_not_hold_up_the_new_one(pair: ReplicatedServers) -> None:
    """Checks that neither open connections to a server that answers nothing nor new ones to it delay anything."""
    async with running_service(pair.url_of("failover"), lease_seconds=LEASE_SECONDS) as service:
        assert (await service.run("echo"))["status"] == "completed"
        with pair.primary.frozen():

            async def noticed() -> bool:
                return (await service.client.get("/readyz")).status_code == 503

            await eventually(noticed)
            await pair.promote()
            await runs_a_job(service)
            for _ in range(20):
                assert (await service.client.get("/api/v1/jobs")).status_code == 200
            await eventually(lambda: _only_the_new_one_is_used(pair))


async def _only_the_new_one_is_used(pair: ReplicatedServers) -> bool:
    """Returns whether the service has open sessions to the primary, and none to the server that was it before."""
    links = [link for link in psutil.Process().net_connections() if link.raddr and link.status == "ESTABLISHED"]
    ports = {link.raddr.port for link in links} & {pair.primary.port, pair.standby.port}
    return ports == {pair.primary.port}


async def test_connections_leave_a_primary_that_became_read_only(pair: ReplicatedServers) -> None:
    """Checks a demotion that breaks no connection, as some managed services do it."""
    async with running_service(pair.url_of("failover"), lease_seconds=LEASE_SECONDS) as service:
        running = (await service.submit("wait-for-gate"))["jobId"]
        await signals.has_entered("default").wait()
        await _on(pair, "alter system set default_transaction_read_only = on")
        await _on(pair, "select pg_reload_conf()")

        async def refused() -> bool:
            answer = await service.client.post("/api/v1/jobs", json={"type": "echo"})
            assert answer.status_code in {202, 503}, answer.text
            return answer.status_code == 503 and answer.json()["error"]["code"] == "DATABASE_READ_ONLY"

        await eventually(refused)
        not_ready = await service.client.get("/readyz")
        assert not_ready.status_code == 503
        await pair.promote()
        await runs_a_job(service)
        signals.gate("default").set()
        assert (await service.ended(running))["status"] == "completed"
        await eventually(lambda: _only_the_new_one_is_used(pair))


async def test_a_service_on_a_standby_alone_refuses_as_in_any_outage_until_it_is_promoted(
    pair: ReplicatedServers,
) -> None:
    """Checks a URL whose name still leads to the former primary, which is a standby now."""
    async with running_service(pair.primary.url_of("failover"), lease_seconds=LEASE_SECONDS) as service:
        job_id = (await service.run("echo"))["jobId"]
        await pair.fail_over(signal.SIGINT)
        former = pair.standby
        await pair.make_standby()
        assert former.port == pair.standby.port

        async def reads() -> bool:
            return (await service.client.get(f"/api/v1/jobs/{job_id}")).status_code == 200

        await eventually(reads)  # a standby serves reads
        for path, body in (
            ("/api/v1/jobs", {"type": "echo"}),
            ("/api/v1/jobs/batch", {"jobs": [{"type": "echo"}]}),
            (f"/api/v1/jobs/{job_id}/retry", {}),
        ):
            await eventually(partial(_is_refused_as_read_only, service, path, body))

        async def not_ready() -> bool:
            answer = await service.client.get("/readyz")
            assert answer.status_code == 503
            return "read-only" in answer.text

        await eventually(not_ready)
        await pair.fail_over(signal.SIGINT)  # no connection to the standby breaks
        await runs_a_job(service)
        assert await _old_numbers(pair) == 0


async def _is_refused_as_read_only(service: Service, path: str, body: dict[str, Any]) -> bool:
    """Sends a request that writes, and expects the response of an outage. On a slow machine, it may also name a
    timeout.
    """
    answer = await service.client.post(path, json=body)
    assert (answer.status_code, answer.headers.get("Retry-After", "0") >= "1") == (503, True), answer.text
    return bool(answer.json()["error"]["code"] == "DATABASE_READ_ONLY")


async def test_what_an_asynchronous_standby_had_not_received_is_named_exactly(
    pair: ReplicatedServers,
) -> None:
    url = pair.url_of("failover")
    async with running_service(url, lease_seconds=LEASE_SECONDS) as service:
        kept = [await service.run("echo") for _ in range(3)]
        started = (await service.submit("wait-for-gate"))["jobId"]
        await signals.has_entered("default").wait()
        await eventually(lambda: _has_received_all(pair), seconds=CLAIMS_AGAIN_SECONDS)
        await pair.stop_replication()
        lost = [await service.submit("echo") for _ in range(5)]
        signals.gate("default").set()
        ended = await service.ended(started)
        known = {UUID(job["jobId"]): job.get("sequence", 0) for job in (*kept, *lost, ended)}
        await pair.fail_over(signal.SIGKILL)
        await runs_a_job(service)
        signals.gate("default").set()
        again = await service.ended(started)  # by another attempt, since its end was lost
        assert again["status"] == "completed"

    database = Database(url)
    found = await compare_accepted(database, known)
    await database.close()
    assert found.lost == sorted(UUID(job["jobId"]) for job in lost)
    # The second end has a sequence of its own, so nothing of that job is missing now.
    assert again["sequence"] >= ended["sequence"]
    assert not found.rolled_back


async def _has_received_all(pair: ReplicatedServers) -> bool:
    return bool(await pair.primary.sql("select bool_and(replay_lsn >= pg_current_wal_lsn()) from pg_stat_replication"))
