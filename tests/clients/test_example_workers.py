"""The workers of `examples/workers`, each in its language: they run jobs, and no fault of theirs loses one."""

import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from tests.support.node_packages import node_20
from tests.support.reused_connections import asking
from tests.support.service import Service, eventually
from tests.support.typescript_client import built_package, run_package

EXAMPLES = Path(__file__).parents[2] / "examples" / "workers"
StartService = Callable[..., Awaitable[Service]]
# A slow machine may stop a worker for seconds. Tests end the leases of workers that are gone themselves.
LEASE_SECONDS = 20
LONG_LEASE_SECONDS = 240
JOBS = 1_000


class Language(NamedTuple):
    """Language of a worker: its programs and its command."""

    programs: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


LANGUAGES = {
    "python": Language((), ("python3", "python/worker.py")),
    "bash": Language(("curl", "jq"), ("bash", "bash/worker.sh")),
    "go": Language(("go",)),
    "typescript": Language(),
}


def _compiled_typescript(config: pytest.Config, folder: Path) -> list[str]:
    node = node_20()
    shutil.copytree(EXAMPLES / "typescript", folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(built_package(config) / "node_modules")
    run_package("tsc", cwd=folder)
    return [node, str(folder / "build" / "worker.js")]


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Returns the command of a worker."""
    language = LANGUAGES[request.param]
    if missing := [program for program in language.programs if shutil.which(program) is None]:
        pytest.skip(f"{missing[0]} is not installed; see .ci/run")
    if request.param == "go":
        folder = tmp_path_factory.mktemp("go")
        build = ["go", "build", "-o", str(folder / "worker"), str(EXAMPLES / "go" / "worker.go")]
        # Go keeps what it compiles by the hash of its sources; most of it is the standard library.
        cache = request.config.cache.mkdir("go-build")
        subprocess.run(build, check=True, env=os.environ | {"GOCACHE": str(cache), "GO111MODULE": "off"})
        return [str(folder / "worker")]
    if request.param == "typescript":
        return _compiled_typescript(request.config, tmp_path_factory.mktemp("typescript"))
    program, *arguments = language.command
    return [program, *(str(EXAMPLES / argument) for argument in arguments)]


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """Returns a service without handlers that knows the job types of the workers."""
    running = await start_service(roles=("api", "sweeper"), handlers=())
    for job_type in ("render", "mail"):
        declared = {"description": "A job of the example workers.", "maxAttempts": 5, "timeoutSeconds": 600}
        answer = await running.client.put(f"/api/v1/job-types/{job_type}", json=declared)
        assert answer.status_code in {200, 201}, answer.text
    return running


@contextmanager
def working(
    service: Service, command: list[str], *, lease_seconds: int = LEASE_SECONDS
) -> "Iterator[subprocess.Popen[bytes]]":
    """Runs a worker for the block."""
    settings = {"DULY_URL": service.url, "LEASE_SECONDS": str(lease_seconds)}
    worker = subprocess.Popen(command, env=os.environ | settings, start_new_session=True)
    try:
        yield worker
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


async def reached(service: Service, job_id: str, page: int) -> dict[str, Any]:
    """Returns the job once its worker has reported this page."""

    def rendered(view: dict[str, Any]) -> bool:
        return bool((view["progress"] or 0) * view["parameters"]["pages"] >= 100 * page)

    return await service.until(job_id, rendered)


async def test_a_worker_runs_a_thousand_jobs_with_progress_and_children(service: Service, command: list[str]) -> None:
    jobs = [
        {"type": "render", "parameters": {"pages": 2}} if n % 20 == 0 else {"type": "mail", "parameters": {"n": n}}
        for n in range(JOBS)
    ]
    batch = (await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs})).json()

    async def ended() -> dict[str, Any] | None:
        view: dict[str, Any] = (await service.client.get(f"/api/v1/batches/{batch['batchId']}")).json()
        return view if view["completedAt"] else None

    with working(service, command, lease_seconds=60):
        view = await eventually(ended, seconds=300)
        assert (view["completed"], view["failed"]) == (JOBS, 0)
        rendered = await service.job(batch["jobIds"][0])
        assert [each["eventType"] for each in await service.events(rendered["jobId"])] == [
            *("JobSubmitted", "JobStarted", "JobProgressed", "JobProgressed", "JobCompleted"),
        ]
        child = await service.ended(rendered["result"]["mail"])
        assert child["parentId"] == rendered["jobId"]
        assert child["result"] == {"sent": True, "token": f"duly-{child['jobId']}"}


async def test_a_cancelled_job_is_stopped_by_its_worker(service: Service, command: list[str]) -> None:
    job = await service.submit("render", {"pages": 10_000, "seconds": 0.02})
    with working(service, command):
        await reached(service, job["jobId"], 2)
        assert (await service.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")).status_code == 202
        assert (await service.ended(job["jobId"]))["status"] == "cancelled"
        following = await service.run("mail")  # the worker goes on
        assert following["status"] == "completed"


async def test_the_job_of_a_killed_worker_continues_from_its_checkpoint(service: Service, command: list[str]) -> None:
    job = await service.submit("render", {"pages": 40, "seconds": 0.05})
    with working(service, command):
        await reached(service, job["jobId"], 3)
    await end_lease(service, job["jobId"])
    with working(service, command, lease_seconds=LONG_LEASE_SECONDS):
        ended = await service.ended(job["jobId"])
        assert (ended["status"], ended["attempt"], ended["result"]["pages"]) == ("completed", 2, 40)
        events = await service.events(job["jobId"])
        reports = sum(event["eventType"] == "JobProgressed" for event in events)
        assert reports <= 42  # at most one page was rendered twice
        await service.ended(ended["result"]["mail"])


async def test_a_worker_that_was_suspended_in_a_job_changes_nothing_and_goes_on(
    service: Service, command: list[str]
) -> None:
    job = await service.submit("render", {"pages": 30, "seconds": 0.05})
    with working(service, command) as suspended:
        await reached(service, job["jobId"], 3)
        os.killpg(suspended.pid, signal.SIGSTOP)
        await ended_without(service, suspended, command, job["jobId"], refused="heartbeat")


async def test_the_result_of_a_worker_that_was_suspended_before_it_is_refused(
    service: Service, command: list[str]
) -> None:
    job = await service.submit("render", {"pages": 1})
    with working(service, command) as suspended:
        async with asking(service.database_url) as connection, connection.transaction():
            await connection.execute("lock table batches in share mode")
            await eventually(lambda: is_held(service))  # the request before the result: its child job
            os.killpg(suspended.pid, signal.SIGSTOP)
        await ended_without(service, suspended, command, job["jobId"], refused="complete")


async def is_held(service: Service) -> bool:
    return bool(await service.sql("select from pg_locks where not granted and relation = 'batches'::regclass"))


async def ended_without(
    service: Service, suspended: "subprocess.Popen[bytes]", command: list[str], job_id: str, *, refused: str
) -> None:
    """Runs the job of a suspended worker by another one; then resumes it, and expects that its request is refused."""
    lines: list[bytes] = []
    service.node.access.write = lines.append
    await end_lease(service, job_id)
    with working(service, command, lease_seconds=LONG_LEASE_SECONDS):
        ended = await service.ended(job_id)
        await service.ended(ended["result"]["mail"])
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    before, jobs = await service.events(job_id), await all_jobs(service)
    os.killpg(suspended.pid, signal.SIGCONT)

    async def is_refused() -> bool:
        return (f"/api/v1/leases/{{leaseId}}/{refused}", 409, "LEASE_LOST") in map(request_of, lines_of(lines))

    await eventually(is_refused)
    assert await all_jobs(service) == jobs
    assert await service.events(job_id) == before
    following = await service.run("mail")  # by the worker that had lost its lease
    assert following["status"] == "completed"
    assert suspended.poll() is None


def lines_of(pieces: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in b"".join(pieces).splitlines()]


def request_of(line: dict[str, Any]) -> tuple[str, int, str | None]:
    return line["route"], line["status"], line["code"]


async def all_jobs(service: Service) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await service.client.get("/api/v1/jobs")).json()["items"]
    return items


async def end_lease(service: Service, job_id: str) -> None:
    """Ends the lease of a worker that is gone, which has the length that it asked for."""
    over = "update leases set expires_at = now() where job_id = $1 returning lease_seconds"
    assert [tuple(row) for row in await service.sql(over, job_id)] == [(LEASE_SECONDS,)]
