"""The database goes away and comes back, in every way it can: accepted jobs end once, and no response is a 500."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from duly.lifecycle.read.wait import LOOK_SECONDS
from duly.store.postgres import database
from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support import handlers as signals
from tests.support.invariants import violations
from tests.support.lease_worker import claim, claim_one, post
from tests.support.postgres_servers import open_folder
from tests.support.service import BOUND_SECONDS, Service, ServiceClient, eventually, running_service
from tests.support.service_process import Gates, Processes, pid_lives
from tests.support.stoppable_server import OwnServer, own_server

# A restart of the database takes seconds on a slow machine; no lease ends meanwhile.
LEASE_SECONDS = 90.0
SHORT_LEASE_SECONDS = 18.0
MANY = 50
TERMINAL = {"JobCompleted", "JobFailed", "JobCancelled"}


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
async def own_url(own: OwnServer) -> AsyncIterator[str]:
    """A new database on the test's own server; at the end every promise must hold in it."""
    signals.forget()
    url = own.server.url_of("faults")
    await _on_postgres(own, "create database faults")
    database = Database(url)
    await migrate(database)
    await database.close()
    yield url
    await own.start()
    found = await violations(url)
    await _on_postgres(own, "drop database faults with (force)")
    assert not found, found


async def _on_postgres(own: OwnServer, statement: str) -> None:
    connection = await asyncpg.connect(own.server.url_of("postgres"))
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def served(own_url: str) -> AsyncIterator[Service]:
    async with running_service(own_url, lease_seconds=LEASE_SECONDS) as service:
        yield service


@pytest.fixture
async def briefly_leased(own_url: str) -> AsyncIterator[Service]:
    async with running_service(own_url, lease_seconds=SHORT_LEASE_SECONDS) as service:
        yield service


def _refuses(answer: httpx.Response, code: str) -> dict[str, Any]:
    """An answer 503 in the one shape of errors, with a time to come back."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"code", "message", "details"}
    assert (error["code"], error["details"]["retryable"]) == (code, True)
    return error


async def _one_end(service: ServiceClient, job_id: str) -> list[str]:
    await service.ended(job_id)
    types = await service.event_types(job_id)
    assert sum(name in TERMINAL for name in types) == 1
    return types


async def test_while_it_is_away_requests_are_refused_and_running_jobs_go_on(own: OwnServer, served: Service) -> None:
    running = (await served.submit("wait-for-gate", {"name": "long"}))["jobId"]
    ending = (await served.submit("wait-for-gate", {"name": "short"}))["jobId"]
    await signals.has_entered("long").wait()
    await signals.has_entered("short").wait()
    await own.stop()

    answers = [
        await served.client.post("/api/v1/jobs", json={"type": "echo"}),
        await served.client.get(f"/api/v1/jobs/{running}"),
        await served.client.get("/api/v1/jobs"),
        await served.client.get(f"/api/v1/jobs/{running}/events"),
        await served.client.post(f"/api/v1/jobs/{running}/cancel"),
    ]
    for answer in answers:
        _refuses(answer, "DATABASE_UNAVAILABLE")
    not_ready = _refuses(await served.client.get("/readyz"), "NOT_READY")
    assert "database" in not_ready["details"]["reason"]
    assert (await served.client.get("/healthz")).status_code == 200
    assert (await served.client.get("/metrics")).status_code == 200
    signals.gate("short").set()  # it ends while its end cannot be recorded

    await own.start()
    await eventually(served.is_ready)
    signals.gate("long").set()
    for job_id in (running, ending):
        assert await _one_end(served, job_id) == ["JobSubmitted", "JobStarted", "JobCompleted"]
    assert signals.calls == {"long": [1], "short": [1]}
    assert (await served.run("echo", 5))["result"] == 5


async def test_a_client_that_waits_for_an_accepted_job_is_not_told_of_the_outage(
    own: OwnServer, served: Service
) -> None:
    waiting = asyncio.create_task(
        served.client.post("/api/v1/jobs", json={"type": "wait-for-gate"}, headers={"Prefer": "wait=60"})
    )
    await signals.has_entered("default").wait()
    await own.stop()
    _refuses(await served.client.get("/readyz"), "NOT_READY")
    signals.gate("default").set()  # its end wakes the waiting clients while the database cannot be read
    await asyncio.sleep(LOOK_SECONDS)  # and so does the look that comes without a hint
    await own.start()
    answer = await waiting
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


async def test_a_stream_stays_open_and_goes_on_when_it_is_back(own: OwnServer, served: Service) -> None:
    job_id = (await served.submit("wait-for-gate"))["jobId"]
    types: list[str] = []
    async with (
        asyncio.timeout(60),
        served.client.stream("GET", f"/api/v1/jobs/{job_id}/events/stream") as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                types.append(json.loads(line[6:])["type"])
            if types[-1:] == ["job_started"]:
                await own.stop()
                served.node.hub.changed([UUID(job_id)])  # wakes the stream, which finds nothing to read from
                _refuses(await served.client.get("/readyz"), "NOT_READY")
                await own.start()
                signals.gate("default").set()
                types.append("(away)")
    assert types == ["job_submitted", "job_started", "(away)", "job_completed"]


async def _runs_again_after(service: Service, job_id: str) -> None:
    """Its first attempt was stopped, and a second one ended it."""
    signals.gate("default").set()
    types = await _one_end(service, job_id)
    assert signals.calls["default"][0] == 1
    assert len(signals.calls["default"]) == 2
    assert types[-1] == "JobCompleted"


async def test_what_runs_is_stopped_before_its_lease_is_over_and_runs_again(
    own: OwnServer, briefly_leased: Service
) -> None:
    job_id = (await briefly_leased.submit("wait-for-gate"))["jobId"]
    await signals.has_entered("default").wait()
    await own.stop()
    assert await _stopped_after_renewal(briefly_leased) < SHORT_LEASE_SECONDS
    await own.start()
    await _runs_again_after(briefly_leased, job_id)


async def test_so_it_is_where_the_database_hangs_instead_of_breaking_off(
    own: OwnServer, briefly_leased: Service
) -> None:
    job_id = (await briefly_leased.submit("wait-for-gate"))["jobId"]
    await signals.has_entered("default").wait()
    with own.frozen():
        assert await _stopped_after_renewal(briefly_leased) < SHORT_LEASE_SECONDS
    await _runs_again_after(briefly_leased, job_id)


async def test_a_submission_is_refused_in_time_where_the_database_hangs(
    own: OwnServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 2.0)
    async with running_service(own_url) as service:
        await eventually(lambda: _completes_a_job(service))
        with own.frozen():
            answer = await service.client.post("/api/v1/jobs", json={"type": "echo"})
            _refuses(answer, "DATABASE_UNAVAILABLE")
        await eventually(lambda: _completes_a_job(service))


async def _completes_a_job(service: Service) -> bool:
    """Returns whether a new job is accepted and ends. On a slow machine, a statement may exceed its time limit."""
    answer = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers={"Prefer": "wait=10"})
    assert answer.status_code in {200, 202, 503}, answer.text
    return answer.status_code == 200


async def _stopped_after_renewal(service: Service) -> float:
    """Waits until all attempts were stopped. Returns the seconds since their lease was renewed last."""

    async def stopped() -> bool:
        return not service.node.worker.pool._attempts

    await eventually(stopped)
    return time.monotonic() - service.node.heartbeat._renewed_at


async def test_storms_of_broken_connections_lose_nothing(served: Service) -> None:
    storm = asyncio.create_task(_storm(served.database_url))
    accepted: list[str] = []
    refused = 0
    number = 0
    while number < 200 or len(accepted) <= 100:  # on a slow machine, most may be refused while the storm lasts
        number += 1
        answer = await served.client.post("/api/v1/jobs", json={"type": "progress", "parameters": {"steps": 3}})
        assert answer.status_code in {202, 503}, answer.text
        if answer.status_code == 202:
            accepted.append(answer.json()["jobId"])
            read = await served.client.get(f"/api/v1/jobs/{accepted[number // 2 % len(accepted)]}")
            assert read.status_code in {200, 503}, read.text
        else:
            _refuses(answer, "DATABASE_UNAVAILABLE")
            refused += 1
        await asyncio.sleep(0.005)  # spreads the submissions over the storm
    assert await asyncio.wait_for(storm, BOUND_SECONDS) > MANY
    await eventually(served.is_ready)
    for job_id in accepted:
        await _one_end(served, job_id)


async def _storm(url: str) -> int:
    """Breaks all connections of Duly, twenty times and until it has broken many. Returns how many it broke."""
    connection = await asyncpg.connect(url)
    broken = rounds = 0
    while rounds < 20 or broken <= MANY:
        rounds += 1
        broken += await connection.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.1)
    await connection.close()
    return broken


async def test_a_stale_connection_refuses_nobody(served: Service) -> None:
    """Checks that a reader does not fail on each pooled connection in turn after all of them were closed."""
    await asyncio.gather(*(served.client.get("/api/v1/jobs") for _ in range(20)))
    connection = await asyncpg.connect(served.database_url)
    await connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid()"  # and waits until each has gone
    )
    await connection.close()
    for _ in range(30):
        assert (await served.client.get("/api/v1/jobs")).status_code == 200


async def test_behind_a_transaction_pooler_everything_works_without_listening(own_url: str) -> None:
    async with running_service(own_url, transaction_pooling=True) as service:
        assert "notify" not in {loop.name for loop in service.node.loops}
        # A pooler hands each statement to any connection: nothing may be prepared or set for a session.
        assert (await service.run("progress", {"steps": 2}))["result"] == "done"
        job_id = (await service.submit("wait-for-gate"))["jobId"]
        await signals.has_entered("default").wait()
        assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
        assert (await service.ended(job_id))["status"] == "cancelled"
        assert (await service.run("retry-after", {"after": 0.05}))["attempt"] == 2
        assert await service.sql("select 1 from pg_stat_activity where application_name = 'duly'") == []


async def test_an_embedded_server_that_is_killed_under_a_service_is_started_again(
    processes: Processes, gates: Gates, request: pytest.FixtureRequest
) -> None:
    folder = open_folder()
    request.addfinalizer(lambda: shutil.rmtree(folder))
    service = await processes.serve("", "--data-dir", str(folder), DULY_LEASE_SECONDS=f"{LEASE_SECONDS:.0f}")
    job_id = (await service.submit("until-open", gates.of("through")))["jobId"]
    await gates.has_begun("through")
    postmaster = int((folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    os.kill(postmaster, signal.SIGKILL)

    async def revived() -> bool:
        return not pid_lives(postmaster) and await service.is_ready()

    await eventually(revived)
    gates.open("through")
    assert await _one_end(service, job_id) == ["JobSubmitted", "JobStarted", "JobCompleted"]
    assert (await service.run("quick"))["status"] == "completed"
    assert await service.stop() == 0
    assert not (folder / "postgres" / "postmaster.pid").exists()


async def test_a_service_that_is_told_to_end_ends_though_its_database_hangs(
    own: OwnServer, own_url: str, processes: Processes
) -> None:
    service = await processes.serve(own_url, DULY_LEASE_SECONDS="15")
    assert (await service.run("quick"))["status"] == "completed"
    with own.frozen():
        service.command.signal(signal.SIGTERM)
        assert await service.command.ended() == 0


async def test_workers_over_http_keep_their_leases_over_a_restart(own: OwnServer, own_url: str) -> None:
    async with running_service(own_url, roles=("api", "sweeper")) as service:
        ids = [(await service.submit("echo"))["jobId"] for _ in range(2)]
        leases = [await claim_one(service, leaseSeconds=seconds) for seconds in (60, 5)]
        waiting = asyncio.create_task(claim(service, "price", waitSeconds=60))

        async def parked() -> bool:
            return len(service.node.leases.polls) == 1

        await eventually(parked)
        await own.stop()
        for verb in ("heartbeat", "complete"):
            _refuses(await post(service, leases[0], verb), "DATABASE_UNAVAILABLE")
        await own.start()
        await eventually(service.is_ready)
        await service.sql("update leases set expires_at = now() where lease_seconds = 5")  # as after a long outage

        assert (await post(service, leases[0], "heartbeat", {"progress": 50})).status_code == 200
        assert (await post(service, leases[0], "complete")).status_code == 200
        again = await claim_one(service, waitSeconds=60)
        assert (again["job"]["jobId"], again["attempt"]) == (ids[1], 2)
        assert (await post(service, leases[1], "complete")).status_code == 409
        assert (await post(service, again, "complete")).status_code == 200
        priced = await service.submit("price", {"amount": 1})
        [lease] = await waiting
        assert lease["job"]["jobId"] == priced["jobId"]
        assert (await post(service, lease, "complete")).status_code == 200
        for job_id in (*ids, priced["jobId"]):
            await _one_end(service, job_id)


async def test_a_service_that_starts_before_its_database_waits_for_it(
    own: OwnServer, own_url: str, processes: Processes
) -> None:
    await own.stop()
    command = processes.begin(own_url)

    async def waits() -> bool:
        return '"database_awaited"' in command.stderr

    await eventually(waits)
    await own.start()
    service = await processes.ready(command, own_url)
    assert (await service.run("quick"))["status"] == "completed"
