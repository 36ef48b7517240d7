"""Steps and waits of handlers in processes: requests to their node."""

from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

import pytest

from duly.domain.job import WaitReason
from tests.support.service import Service, eventually, running_service

SIGNAL = f"select from scheduled where job_id = $1 and reason = {WaitReason.SIGNAL:d}"


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, handlers=("tests.support.step_handlers",)) as service:
        yield service


async def parked(service: Service, job_id: str) -> bool:
    return bool(await service.sql(SIGNAL, UUID(job_id)))


async def test_steps_and_waits_work_in_a_process(service: Service) -> None:
    view = await service.run("seats-process", {"name": "process", "steps": 4, "breaks": [1, 2]})
    assert (view["status"], view["attempt"]) == ("completed", 3)
    assert view["result"] == [{"row": "A", "number": number} for number in range(4)]
    for type_ in ("approved-process", "approved-async-process"):
        job_id = (await service.submit(type_, {"seconds": 0.01, "name": type_}))["jobId"]
        await eventually(partial(parked, service, job_id))
        await service.client.post(f"/api/v1/jobs/{job_id}/signals/approval", json={"choice": "yes"})
        view = await service.ended(job_id)
        assert view["result"] == {"choice": "yes", "attempt": 1, "counted": 1}
