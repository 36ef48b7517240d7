from datetime import UTC, datetime

import pytest

from duly.domain.ids import IdBlock, new_job_id
from duly.domain.job import NewJob
from duly.lifecycle.submit.batch_spool import CHUNK_JOBS, JobSpool


def job(index: int, parameters: str = "{}") -> NewJob:
    return NewJob(1, new_job_id(), "report", "default", index % 10, parameters, 60.0, 3)


async def chunks_of(spool: JobSpool) -> list[list[tuple[int, NewJob]]]:
    return [chunk async for chunk in spool.chunks()]


@pytest.mark.parametrize("count", [0, 1, CHUNK_JOBS, CHUNK_JOBS + 1, 2 * CHUNK_JOBS + 3])
async def test_all_jobs_come_back_in_order_as_often_as_they_are_read(count: int) -> None:
    jobs = [job(index) for index in range(count)]
    async with JobSpool() as spool:
        for index, each in enumerate(jobs):
            if spool.full:
                await spool.write()
            spool.add(index, each)
        first, second = await chunks_of(spool), await chunks_of(spool)
    assert first == second
    assert [placed for chunk in first for placed in chunk] == list(enumerate(jobs))
    assert all(len(chunk) <= CHUNK_JOBS for chunk in first)


async def test_one_chunk_is_not_written_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    async with JobSpool() as spool:
        monkeypatch.setattr(spool, "write", None)
        for index in range(CHUNK_JOBS):
            assert not spool.full
            spool.add(index, job(index))
        assert [len(chunk) for chunk in await chunks_of(spool)] == [CHUNK_JOBS]


def test_a_job_in_a_batch_differs_in_its_id_and_its_batch_alone() -> None:
    given = job(3)._replace(run_at=datetime.now(UTC), labels='{"a":"b"}', correlation_id="c", callback_events=3)
    batch_id, block = new_job_id(), IdBlock(new_job_id())
    made = given.in_batch(batch_id, block[7])
    assert type(made) is NewJob
    assert made == given._replace(job_id=block[7], batch_id=batch_id)
