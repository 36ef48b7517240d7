"""The commands endpoints and deliveries, run as their users run them, against a service with a receiver."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from tests.cli.conftest import environment
from tests.cli.test_jobs_commands import error_of, fields_of
from tests.support.forked_commands import run_forked
from tests.support.registered_endpoints import nothing_waits, registered
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver

RunHere = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
def duly_here(service: Service) -> RunHere:
    """Runs a command to its end while the service runs in this process."""

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run_forked, arguments, environment=environment(DULY_URL=service.url))

    return run


async def test_endpoints_are_listed_tested_paused_and_resumed(
    service: Service, receiver: Receiver, duly_here: RunHere
) -> None:
    made = await registered(service, receiver.url, "job.completed")
    header, row = (await duly_here("endpoints", "list")).stdout.splitlines()
    assert header.split() == ["ENDPOINT", "STATUS", "CIRCUIT", "EVENTS", "URL"]
    assert row.split() == [made["webhookId"], "enabled", "closed", "job.completed", receiver.url]
    paused = await duly_here("endpoints", "pause", made["webhookId"])
    assert (fields_of(paused.stdout)["status"], paused.stderr) == ("paused", "")
    resumed = await duly_here("endpoints", "resume", made["webhookId"], "--json")
    assert json.loads(resumed.stdout)["status"] == "enabled"
    tested = fields_of((await duly_here("endpoints", "test", made["webhookId"])).stdout)
    await nothing_waits(service)
    shown = await duly_here("deliveries", "show", tested["delivery"])
    assert fields_of(shown.stdout)["event"] == "webhook.test" and "ATTEMPT" in shown.stdout


async def test_deliveries_are_listed_shown_and_repeated(
    service: Service, receiver: Receiver, duly_here: RunHere
) -> None:
    made = await registered(service, receiver.url, "job.completed")
    job_id = (await service.run("echo"))["jobId"]
    await nothing_waits(service)
    of_job = await duly_here("deliveries", "list", "--job", job_id, "--json")
    (listed,) = [json.loads(line) for line in of_job.stdout.splitlines()]
    to_endpoint = await duly_here("deliveries", "list", "--endpoint", made["webhookId"], "--status", "delivered")
    assert listed["deliveryId"] in to_endpoint.stdout and to_endpoint.stdout.splitlines()[0].startswith("DELIVERY")
    again = await duly_here("deliveries", "redeliver", listed["deliveryId"])
    assert (again.returncode, fields_of(again.stdout)["job"]) == (0, job_id)
    await nothing_waits(service)


@pytest.mark.parametrize("arguments", [(), ("--job", "a", "--endpoint", "b"), ("--job", "a", "--status", "failed")])
async def test_a_wrong_choice_of_deliveries_ends_with_2(duly_here: RunHere, arguments: tuple[str, ...]) -> None:
    assert "--" in error_of(await duly_here("deliveries", "list", *arguments), 2)
