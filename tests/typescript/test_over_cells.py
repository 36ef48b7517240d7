"""The TypeScript client and a service with two cells: lives of jobs, batches, lists, and streams across a restart."""

import asyncio
from contextlib import aclosing
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from duly.domain.cells import cell_of
from tests.client.behaviours import following, jobs
from tests.client.behaviours.jobs import submitted
from tests.client.behaviours.stage import Stage, TestedClient, staged
from tests.client.behaviours.table import Behaviour, name_of
from tests.support import handlers as test_handlers
from tests.support.cells import cell_database, running_cells
from tests.support.database_pool import TestDatabases
from tests.support.typescript_client import Clients
from tests.support.webhook_receiver import Receiver

pytestmark = pytest.mark.parametrize("environment", ["Node.js"], indirect=True, scope="module")
CELLS = 2


async def jobs_of_both_cells_run(stage: Stage) -> None:
    ids = [await submitted(stage.caller, "plain", {"n": n}, concurrencyKey=f"key-{n}") for n in range(8)]
    assert {cell_of(UUID(job_id), CELLS) for job_id in ids} == set(range(CELLS))
    for n, job_id in enumerate(ids):
        job = await stage.caller.call("wait", jobId=job_id, timeout=60)
        assert (job["status"], job["result"]) == ("completed", {"thread": True, "n": n})
        assert await stage.caller.call("get", jobId=job_id) == job


async def the_stream_of_all_jobs_continues_in_both_cells_across_a_restart(stage: Stage) -> None:
    frames: list[Any] = []
    stream = stage.caller.items("streamAll", labels={"followed": "yes"})
    first = asyncio.create_task(anext(stream))
    # The stream begins now: a job that is submitted before it is open is not on it.
    while not first.done():
        await submitted(stage.caller, "plain", labels={"followed": "yes"})
        await asyncio.wait([first], timeout=0.2)
    frames.append(await first)
    async with asyncio.timeout(60), aclosing(stream):
        await stage.restart()
        keys = [f"key-{n}" for n in range(8)]
        later = [await submitted(stage.caller, "plain", concurrencyKey=key, labels={"followed": "yes"}) for key in keys]
        assert {cell_of(UUID(job_id), CELLS) for job_id in later} == set(range(CELLS))
        missing = set(later)
        while missing:
            frames.append(await anext(stream))
            if frames[-1]["type"] == "job_completed":
                missing.discard(frames[-1]["jobId"])
    seen = [(frame["jobId"], frame["sequence"]) for frame in frames]
    assert len(set(seen)) == len(seen)
    for job_id in later:
        sequences = [sequence for job, sequence in seen if job == job_id]
        assert sequences == list(range(len(sequences)))
    # The order between the cells may be another one.
    again = stage.caller.items("streamAll", lastEventId=frames[0]["id"], labels={"followed": "yes"})
    missed = set(seen[1:])
    async with asyncio.timeout(60), aclosing(again):
        while missed:
            frame = await anext(again)
            missed.discard((frame["jobId"], frame["sequence"]))


BEHAVIOURS: tuple[Behaviour, ...] = (
    jobs_of_both_cells_run,
    the_stream_of_all_jobs_continues_in_both_cells_across_a_restart,
    jobs.a_batch_is_submitted_as_a_whole,
    jobs.a_list_yields_each_match_once_over_all_pages,
    following.a_stream_continues_across_a_restart_without_gap_or_repetition,
)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=name_of)
async def test_the_client_behaves_over_two_cells(
    clients: Clients, behaviour: Behaviour, databases: TestDatabases, receiver: Receiver
) -> None:
    test_handlers.forget()
    tested = TestedClient("typescript", clients.open)
    async with (
        databases.cells(CELLS) as url,
        cell_database(url, CELLS) as cells,
        staged(tested, partial(running_cells, cells), receiver) as stage,
    ):
        await behaviour(stage)
