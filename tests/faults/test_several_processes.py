"""Several processes: behind one socket, and split by role over one database."""

import asyncio
import os
import signal
import time

import httpx
import psutil
import pytest

from duly.lifecycle.read.wait import LOOK_SECONDS
from tests.support.durations import shortest
from tests.support.service import NO_TLS, eventually
from tests.support.service_process import Command, Gates, Processes, ServiceProcess, gone, lose_node
from tests.support.webhook_receiver import Receiver

# The behavior of a process does not depend on the server's version.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

SLOTS = 7


async def _nodes(service: ServiceProcess) -> set[str]:
    """The names of all nodes that answer, each over a connection of its own."""

    async def ask() -> str | None:
        async with httpx.AsyncClient(base_url=service.url, timeout=60, verify=NO_TLS) as client:
            answer = await client.get("/readyz")
        return str(answer.json()["node"]) if answer.status_code == 200 else None

    return {node for node in await asyncio.gather(*(ask() for _ in range(24))) if node is not None}


async def _until_nodes(service: ServiceProcess, count: int) -> set[str]:
    seen: set[str] = set()

    async def look() -> bool:
        seen.update(await _nodes(service))
        return len(seen) >= count

    await eventually(look)
    return seen


async def _until_metric(service: ServiceProcess, name: str, value: float) -> None:
    async def look() -> bool:
        return (await service.metrics()).get(name) == value

    await eventually(look, seconds=240)  # where counting takes long, gauges are read seldom


def _pid(node: str) -> int:
    return int(node.rsplit("-", 1)[1])


async def test_two_processes_serve_behind_one_socket_and_a_killed_one_is_replaced(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    service = await processes.serve(database_url, "--processes", "2", "--slots", str(SLOTS))
    nodes = await _until_nodes(service, 2)
    assert len(nodes) == 2
    for view in [await service.run("quick") for _ in range(10)]:
        assert view["status"] == "completed"
    await _until_metric(service, "duly_jobs_accepted_total", 10)
    await _until_metric(service, "duly_worker_slots", 2 * SLOTS)

    job_id = (await service.submit("until-open", gates.of("shared")))["jobId"]
    [(_, runs_on)] = await gates.has_begun("shared")
    assert runs_on in {_pid(node) for node in nodes}
    running = psutil.Process(runs_on)
    running.kill()
    await gone([running])
    await lose_node(service, runs_on)
    await gates.has_begun("shared", times=2)
    replaced = await _until_nodes(service, 2) - nodes
    gates.open("shared")
    assert (await service.ended(job_id))["status"] == "completed"
    await eventually(lambda: _has_other(service, nodes, replaced))
    # The figures of the dead one count no more.
    await _until_metric(service, "duly_worker_slots", 2 * SLOTS)
    await _until_metric(service, 'duly_queue_running{queue="default"}', 0)

    all_of_them = service.command.descendants()
    assert await service.stop() == 0
    await gone(all_of_them)
    assert service.command.stdout.splitlines() == [f"Duly is ready on {service.url}"]


async def _has_other(service: ServiceProcess, before: set[str], replaced: set[str]) -> bool:
    replaced |= await _nodes(service) - before
    return bool(replaced)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("type_", ["until-open", "process-until-open"])
async def test_a_signal_that_reaches_all_processes_still_lets_jobs_end(
    database_url: str, processes: Processes, gates: Gates, number: int, type_: str
) -> None:
    """A terminal sends Ctrl-C to all, systemd SIGTERM; the parent passes the end on as well."""
    service = await processes.serve(database_url, "--processes", "2", DULY_SHUTDOWN_GRACE_SECONDS="300")
    job_id = (await service.submit(type_, gates.of("last")))["jobId"]
    [(_, pid)] = await gates.has_begun("last")
    runs_on = pid if type_ == "until-open" else psutil.Process(pid).ppid()
    os.killpg(service.command.pid, number)
    await _one_has_gone(service.command, exclude=runs_on)
    assert psutil.pid_exists(runs_on)
    gates.open("last")
    assert await service.command.ended() == 0, service.command.stderr
    assert "Traceback" not in service.command.stderr
    [[kinds]] = await service.sql("select array_agg(kind order by sequence) from events where job_id = $1", job_id)
    assert kinds == [1, 10]


async def _one_has_gone(command: Command, *, exclude: int) -> None:
    """Returns once the idle process has drained and left."""

    async def look() -> bool:
        return not any(_serves(child, exclude=exclude) for child in command.descendants())

    await eventually(look)


def _serves(child: psutil.Process, *, exclude: int | None = None) -> bool:
    """Returns whether a child serves: it is neither the excluded one, nor a child of that, nor the resource tracker."""
    try:
        if child.status() == psutil.STATUS_ZOMBIE or (exclude is not None and exclude in {child.pid, child.ppid()}):
            return False
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False


async def test_a_signal_before_its_processes_serve_ends_it_in_good_order(
    database_url: str, processes: Processes
) -> None:
    command = processes.begin(database_url, "--processes", "2")

    async def both_started() -> bool:
        return sum(map(_serves, command.descendants())) == 2

    await eventually(both_started)
    command.signal(signal.SIGTERM)
    assert await command.ended() == 0, command.stderr


async def test_a_second_signal_to_the_parent_ends_all_at_once(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    service = await processes.serve(database_url, "--processes", "2", DULY_SHUTDOWN_GRACE_SECONDS="600")
    await service.submit("until-open", gates.of("long"))
    [(_, runs_on)] = await gates.has_begun("long")
    children = service.command.descendants()
    service.command.signal(signal.SIGTERM)
    await _one_has_gone(service.command, exclude=runs_on)
    service.command.signal(signal.SIGTERM)
    assert await service.command.ended() != 0
    await gone(children)


async def test_when_the_parent_is_killed_its_processes_end_by_themselves(
    database_url: str, processes: Processes, gates: Gates
) -> None:
    service = await processes.serve(database_url, "--processes", "2", DULY_SHUTDOWN_GRACE_SECONDS="0.2")
    job_id = (await service.submit("until-open", gates.of("orphaned")))["jobId"]
    await gates.has_begun("orphaned")
    processes.note_descendants()
    children = service.command.descendants()
    service.kill()
    await gone(children)
    # They gave back what they ran, at once and uncharged.
    [[attempt]] = await service.sql("select attempt from ready where job_id = $1", job_id)
    assert attempt == 0


async def test_roles_split_over_processes_work_together(
    database_url: str, processes: Processes, gates: Gates, receiver: Receiver
) -> None:
    lease = {"DULY_LEASE_SECONDS": "90"}  # nothing below may be owed to a heartbeat, which is a third of it
    roles = ("--role", "worker", "--role", "dispatcher", "--role", "sweeper")
    commands = (processes.begin(database_url, "--role", "api", **lease), processes.begin(database_url, *roles, **lease))
    api, worker = [await processes.ready(command, database_url) for command in commands]

    view = await api.run("quick", callbackUrl=receiver.url)
    assert (view["status"], view["result"]) == ("completed", worker.command.pid)
    assert (await receiver.next()).headers["webhook-id"]
    assert (await api.run("breaks"))["attempt"] == 2
    delayed = await api.run("quick", delaySeconds=0.2)
    assert delayed["status"] == "completed"

    # A worker answers for itself, and takes no submissions: that is what `api` is for.
    assert await eventually(worker.is_ready)
    assert "duly_jobs_accepted_total" in await worker.metrics()
    assert (await worker.client.post("/api/v1/jobs", json={"type": "quick"})).status_code == 404

    await _a_cancel_reaches_the_other_node_at_once(api, gates)
    await _a_long_poll_sees_what_ends_on_the_other_node(api, gates)


async def _a_cancel_reaches_the_other_node_at_once(api: ServiceProcess, gates: Gates) -> None:
    job_id = (await api.submit("until-open", gates.of("unwanted")))["jobId"]
    await gates.has_begun("unwanted")
    assert (await api.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    await gates.was_cancelled("unwanted", seconds=20)
    assert (await api.ended(job_id))["status"] == "cancelled"


async def _a_long_poll_sees_what_ends_on_the_other_node(api: ServiceProcess, gates: Gates) -> None:
    names = iter(range(100))

    async def seen() -> float:
        name = f"polled-{next(names)}"
        job_id = (await api.submit("until-open", gates.of(name)))["jobId"]
        await gates.has_begun(name)
        view = await api.until(job_id, lambda view: view["status"] == "running")
        known = {"If-None-Match": f'"{view["sequence"]}"'}
        polling = asyncio.create_task(api.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 30}, headers=known))
        gates.open(name)
        began = time.monotonic()
        assert (await polling).json()["status"] == "completed"
        return time.monotonic() - began

    # Without a wake-up, each would take longer.
    assert await shortest(seen, below=LOOK_SECONDS / 2) < LOOK_SECONDS / 2
