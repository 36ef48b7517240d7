"""A rolling upgrade: nodes of the release before go on working after the migration, until they are replaced."""

import asyncio
from pathlib import Path

import pytest

from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support.earlier_release import begin_earlier, tree_of
from tests.support.invariants import violations
from tests.support.lease_worker import claim, post
from tests.support.service import eventually
from tests.support.service_process import Processes, ServiceProcess
from tests.support.tenant_stream import following_all, in_order, take
from tests.support.webhook_receiver import running_receiver

# To be moved on with each release. Its API nodes accept the types of their own handlers only.
PREVIOUS = "7ea863a"
# Another tree than this one only where this one is committed.
THE_ONE_BEFORE = "HEAD~1"
# The last commit before revision 0004, which the releases after it have to put up with. Its streams have no positions.
BEFORE_0004 = "88d9bf3~1"
ENDED = "select count(*) from events where kind >= 10"
# On a slow machine, an attempt may be released (6) or its lease may expire (4). Nothing else starts a job again (1).
STARTED_AGAIN = """
select job_id from (
    select job_id, kind, lag(kind) over (partition by job_id order by sequence) as previous from events
) e
where kind = 1 and previous not in (0, 4, 6)
"""


class Load:
    """Submits jobs with a callback, one after another, until stopped."""

    def __init__(self, service: ServiceProcess, callback: str) -> None:
        self._service = service
        self._callback = callback
        self._stopping = False
        self.accepted: list[str] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stopping:
            job = await self._service.submit("quick", callbackUrl=self._callback)
            self.accepted.append(job["jobId"])

    async def more(self, count: int) -> None:
        """Returns once this number of further jobs were accepted."""
        wanted = len(self.accepted) + count

        async def look() -> bool:
            return self._task.done() or len(self.accepted) >= wanted

        await eventually(look)

    async def stop(self) -> list[str]:
        self._stopping = True
        await self._task
        return self.accepted


@pytest.mark.parametrize("commit", [THE_ONE_BEFORE, PREVIOUS, BEFORE_0004])
async def test_an_earlier_release_under_load_goes_on_after_the_migration(
    commit: str, empty_database_url: str, processes: Processes, tmp_path: Path
) -> None:
    tree = tree_of(commit, tmp_path / "earlier")
    async with running_receiver() as receiver:
        command = begin_earlier(processes, tree, empty_database_url, "--migrate")
        earlier = await processes.ready(command, empty_database_url)
        begin = await _position(earlier) if commit != BEFORE_0004 else None
        load = Load(earlier, receiver.url)
        await load.more(20)
        database = Database(empty_database_url)
        await migrate(database)
        await database.close()
        await load.more(20)
        newer = await processes.serve(empty_database_url)
        middle = await _position(newer)
        await load.more(20)
        accepted = await load.stop()

        async def all_recorded() -> bool:
            [[ended]] = await earlier.sql(ENDED)
            return bool(ended == len(accepted))

        await eventually(all_recorded)
        assert await earlier.sql(STARTED_AGAIN) == []

        async def all_told() -> bool:
            return receiver.hits >= len(accepted)

        await eventually(all_told)
        assert await eventually(newer.is_ready) and await eventually(earlier.is_ready)
        if begin is not None:
            await _have_the_same_stream(newer, earlier, begin, middle)
    assert await violations(empty_database_url) == []


async def _have_the_same_stream(newer: ServiceProcess, earlier: ServiceProcess, *positions: str) -> None:
    """Checks that both nodes continue with the same events after positions that either has given."""
    recorded = await in_order(newer)
    for position, count in zip(positions, (len(recorded), 20), strict=True):
        events = await _events_since(position, newer, count)
        assert await _events_since(position, earlier, count) == events
        first = recorded.index(events[0])
        assert events == recorded[first : first + count]


async def _position(node: ServiceProcess) -> str:
    """Returns the present position of the stream of all jobs."""
    async with following_all(node) as frames:
        position = (await anext(frames)).id
    assert position is not None
    return position


async def _events_since(position: str, node: ServiceProcess, count: int) -> list[tuple[str, int]]:
    """Returns the next events after a position, which another node may have given."""
    async with following_all(node, last_event_id=position) as frames:
        return [frame.place for frame in await take(frames, count)]


OLD_HANDLERS = """
from duly import Handlers

handlers = Handlers()

async def returns_its_parameters(parameters: dict) -> dict:
    return parameters

for name in ("kept", "old-name", "removed"):
    handlers.register(name)(returns_its_parameters)
"""


async def worked_on_over_http(service: ServiceProcess, job_type: str, *, times: int) -> list[str]:
    """Submits jobs of a declared type, and completes them over HTTP."""
    declared = await service.client.put(f"/api/v1/job-types/{job_type}", json={})
    assert declared.status_code == 201
    jobs = await submitted(service, job_type, times=times)
    completed: set[str] = set()
    while completed != set(jobs):
        for lease in await claim(service, job_type, max=7):
            assert (await post(service, lease, "heartbeat", {"progress": 50})).status_code == 200
            assert (await post(service, lease, "complete")).status_code == 200
            completed.add(lease["job"]["jobId"])
    return jobs


async def submitted(service: ServiceProcess, *types: str, times: int) -> list[str]:
    return [(await service.submit(name, {"n": n}))["jobId"] for n in range(times) for name in types]


async def test_releases_with_new_renamed_and_removed_types_serve_side_by_side(
    empty_database_url: str, processes: Processes, tmp_path: Path
) -> None:
    tree = tree_of(PREVIOUS, tmp_path / "earlier")
    (tmp_path / "old_handlers.py").write_text(OLD_HANDLERS)
    database = Database(empty_database_url)
    await migrate(database)
    await database.close()
    # The earlier release starts on the schema of this one.
    command = begin_earlier(processes, tree, empty_database_url, handlers="old_handlers", path=tmp_path)
    roles = ("--role", "api", "--role", "sweeper", "--role", "dispatcher")
    api = await processes.serve(empty_database_url, *roles, DULY_HANDLERS="")
    await processes.serve(empty_database_url, "--role", "worker", DULY_HANDLERS="tests.support.renamed_type_handlers")
    earlier = await processes.ready(command, empty_database_url)

    async def declared() -> bool:
        return (await api.client.get("/api/v1/job-types/added")).status_code == 200

    await eventually(declared)
    both = await asyncio.gather(
        submitted(earlier, "kept", "old-name", "removed", times=30),
        submitted(api, "kept", "new-name", "added", times=30),
        worked_on_over_http(api, "in-another-language", times=30),
    )
    for job_id in [job_id for jobs in both for job_id in jobs]:
        assert (await api.ended(job_id))["status"] == "completed"
    assert await api.sql("select from events where kind = 11") == []

    left = [(await earlier.submit(name, {}, delaySeconds=3600))["jobId"] for name in ("old-name", "removed")]
    assert await earlier.stop() == 0
    await api.sql("update scheduled set run_at = now()")
    for job_id, name in zip(left, ("old-name", "removed"), strict=True):
        await api.until(job_id, lambda job: bool(job["waitingFor"] == "worker"))
        why = (await api.client.get(f"/api/v1/jobs/{job_id}/why")).json()
        assert (why["cause"], why["data"]) == ("NO_WORKER", {"type": name})
        assert name in why["message"]
    assert await violations(empty_database_url) == []
