"""Stopping: a service finishes what its clients wait for, requeues what it cannot finish, and ends."""

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from duly.domain.events import EventKind
from tests.support.durations import shortest
from tests.support.sent_requests import read_by_server
from tests.support.service import BOUND_SECONDS, NO_TLS, eventually
from tests.support.service_process import Gates, Processes, ServiceProcess, gone

# The behavior of a process does not depend on the server's version.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

# Well under a second, on a slow machine.
SOON = 1.5


async def _until_draining(service: ServiceProcess) -> None:
    """Returns once `/readyz` is 503 and says why. Before, a slow machine may give another reason."""

    async def look() -> bool:
        answer = await service.readyz()
        return answer.status_code == 503 and answer.json()["error"]["details"]["reason"] == "draining"

    await eventually(look)


def _frames(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def _in_flight(service: ServiceProcess, gates: Gates) -> tuple[list[asyncio.Task[httpx.Response]], str]:
    """A submission that waits, a long poll and a stream, all of jobs that run until their gates open, and all read by
    the service.
    """
    job_id = (await service.submit("until-open", gates.of("polled")))["jobId"]
    await gates.has_begun("polled")
    submission = {"type": "until-open", "parameters": gates.of("preferred")}
    waits = {"Prefer": "wait=60"}
    submitting = asyncio.create_task(service.client.post("/api/v1/jobs", json=submission, headers=waits))
    await gates.has_begun("preferred")
    polling = await read_by_server(service.client, f"/api/v1/jobs/{job_id}", params={"wait": 60})
    streaming = await read_by_server(service.client, f"/api/v1/jobs/{job_id}/events/stream")
    return [submitting, polling, streaming], job_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_running_jobs_end_within_the_grace_and_whoever_waits_for_them_is_answered(
    database_url: str, processes: Processes, gates: Gates, number: int
) -> None:
    service = await processes.serve(database_url, DULY_SHUTDOWN_GRACE_SECONDS="300")
    tasks, job_id = await _in_flight(service, gates)
    service.command.signal(number)
    await _until_draining(service)
    refused = await service.client.post("/api/v1/jobs", json={"type": "quick"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "DRAINING")
    assert refused.headers["Retry-After"]
    assert (await service.client.get("/healthz")).status_code == 200

    gates.open("polled", "preferred")
    submitted, polled, streamed = await asyncio.gather(*tasks)
    assert (submitted.status_code, submitted.json()["status"]) == (200, "completed")
    assert (polled.status_code, polled.json()["status"]) == (200, "completed")
    assert [frame["type"] for frame in _frames(streamed.text)] == ["job_submitted", "job_started", "job_completed"]
    assert await service.command.ended() == 0
    assert [attempt for attempt, _ in gates.begun("polled")] == [1]
    assert polled.json()["jobId"] == job_id


async def test_what_does_not_end_in_time_goes_back_uncharged_and_nobody_is_left_hanging(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    service = await processes.serve(database_url, DULY_SHUTDOWN_GRACE_SECONDS="0.5")
    tasks, job_id = await _in_flight(service, gates)
    assert await service.stop() == 0
    submitted, polled, streamed = await asyncio.gather(*tasks)
    assert (submitted.status_code, submitted.json()["status"]) == (202, "pending")
    assert polled.status_code == 200
    assert [frame["type"] for frame in _frames(streamed.text)][:2] == ["job_submitted", "job_started"]
    assert "retry: " in streamed.text
    await gates.was_cancelled("polled")

    gates.open("polled", "preferred")
    after = await processes.serve(database_url)
    view = await after.ended(job_id)
    assert (view["status"], view["attempt"]) == ("completed", 1)
    assert await after.event_types(job_id) == [
        "JobSubmitted",
        "JobStarted",
        "JobRequeued",
        "JobStarted",
        "JobCompleted",
    ]


async def test_a_second_signal_ends_it_at_once(database_url: str, processes: Processes, gates: Gates) -> None:
    service = await processes.serve(database_url, DULY_SHUTDOWN_GRACE_SECONDS="600")
    await service.submit("until-open", gates.of("long"))
    await gates.has_begun("long")
    service.command.signal(signal.SIGTERM)
    await _until_draining(service)
    service.command.signal(signal.SIGINT)
    assert await service.command.ended() == -signal.SIGKILL


async def test_a_thread_that_never_ends_does_not_keep_the_process(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    service = await processes.serve(database_url, DULY_SHUTDOWN_GRACE_SECONDS="0.2")
    job_id = (await service.submit("thread-until-open", gates.of("stuck")))["jobId"]
    await gates.has_begun("stuck")
    assert await service.stop() == 0
    [[places]] = await service.sql("select count(*) from ready where job_id = $1", job_id)
    assert places == 1


async def test_with_nothing_running_it_is_gone_in_well_under_a_second_whatever_connections_are_open(
    database_url: str, processes: Processes
) -> None:
    async def stopped() -> float:
        return await _stopped_beside_connections(await processes.serve(database_url))

    assert await shortest(stopped, below=SOON) < SOON


async def _stopped_beside_connections(service: ServiceProcess) -> float:
    """Stops a service to which connections are open. Returns how long that took."""
    async with httpx.AsyncClient(base_url=service.url, timeout=BOUND_SECONDS, verify=NO_TLS) as kept_alive:
        await asyncio.gather(*(kept_alive.get("/healthz") for _ in range(5)))
        port = int(service.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
            assert (await kept_alive.get("/healthz")).status_code == 200
            began = time.monotonic()
            assert await service.stop() == 0
            return time.monotonic() - began


@pytest.mark.parametrize("to", ["its group", "each process"])
async def test_a_signal_to_all_processes_lets_those_of_handlers_end_within_the_grace_or_gives_them_back(
    database_url: str, processes: Processes, gates: Gates, to: str
) -> None:
    """Sends the signal as systemd and a terminal do."""
    # On a slow machine, a job may not end within a short grace.
    for grace in ("2", "10", "40"):
        if await _ends_one_and_gives_back_the_other(database_url, processes, gates, to=to, grace=grace):
            return
    raise AssertionError("the job that could end was given back as well")


async def _has_logged(service: ServiceProcess, action: str) -> bool:
    return f'"{action}"' in service.command.stderr


async def _ends_one_and_gives_back_the_other(
    database_url: str, processes: Processes, gates: Gates, *, to: str, grace: str
) -> bool:
    """Stops a service whose handlers run in processes: one may end, and one never does. Returns whether the first was
    let end; the second must have been given back.
    """
    service = await processes.serve(database_url, DULY_SHUTDOWN_GRACE_SECONDS=grace)
    await service.submit("quick-process")  # more than one process may be up
    ending, staying = f"ends-{grace}", f"stays-{grace}"
    ends = (await service.submit("process-until-open", gates.of(ending)))["jobId"]
    await gates.has_begun(ending)
    stays = (await service.submit("process-until-open", gates.of(staying)))["jobId"]
    await gates.has_begun(staying)
    everybody = service.command.descendants()
    if to == "its group":
        os.killpg(os.getpgid(service.command.pid), signal.SIGTERM)
    else:
        service.command.signal(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for process in everybody:
                with suppress(psutil.NoSuchProcess):  # an idle one may have ended by now
                    process.send_signal(number)
    await eventually(lambda: _has_logged(service, "node_draining"))
    gates.open(ending)
    assert await service.command.ended() == 0
    await gone(everybody)

    [*_, last] = await service.sql("select kind, attempt from events where job_id = $1 order by sequence", ends)
    assert tuple(last) in {(EventKind.COMPLETED, 1), (EventKind.REQUEUED, 0)}
    rows = await service.sql("select kind, attempt from events where job_id = $1 order by sequence", stays)
    assert rows[-1] == (EventKind.REQUEUED, 0)
    gates.open(staying)
    after = await processes.serve(database_url)
    view = await after.ended(stays)
    assert (view["status"], view["attempt"]) == ("completed", 1)
    assert await after.stop() == 0
    return bool(last[0] == EventKind.COMPLETED)
