"""A rolling upgrade: nodes of the release before go on working after the migration, until they are replaced."""

import asyncio
from pathlib import Path

import pytest

from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support.earlier_release import begin_earlier, tree_of
from tests.support.invariants import violations
from tests.support.service import eventually
from tests.support.service_process import Processes, ServiceProcess
from tests.support.webhook_receiver import running_receiver

# To be moved on with each release.
PREVIOUS = "10540a6"
# The last commit before revision 0004, which the releases after it have to put up with.
BEFORE_0004 = "88d9bf3~1"
ENDED = "select count(*) from events where kind >= 10"
RUN_TWICE = "select job_id from events where kind in (1, 4) group by job_id having count(*) > 1"


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


@pytest.mark.parametrize("commit", [PREVIOUS, BEFORE_0004])
async def test_an_earlier_release_under_load_goes_on_after_the_migration(
    commit: str, empty_database_url: str, processes: Processes, tmp_path: Path
) -> None:
    tree = tree_of(commit, tmp_path / "earlier")
    async with running_receiver() as receiver:
        command = begin_earlier(processes, tree, empty_database_url, "--migrate")
        earlier = await processes.ready(command, empty_database_url)
        load = Load(earlier, receiver.url)
        await load.more(20)
        database = Database(empty_database_url)
        await migrate(database)
        await database.close()
        await load.more(20)
        newer = await processes.serve(empty_database_url)
        await load.more(20)
        accepted = await load.stop()

        async def all_recorded() -> bool:
            [[ended]] = await earlier.sql(ENDED)
            return bool(ended == len(accepted))

        await eventually(all_recorded)
        assert await earlier.sql(RUN_TWICE) == []

        async def all_told() -> bool:
            return receiver.hits >= len(accepted)

        await eventually(all_told)
        assert (await newer.readyz()).status_code == (await earlier.readyz()).status_code == 200
    assert await violations(empty_database_url) == []
