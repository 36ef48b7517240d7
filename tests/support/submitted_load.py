"""Client that submits jobs all the time while the database of their service fails over."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.service import Service, eventually

# Of a slow machine with other tests on it; about one second on an idle one.
CLAIMS_AGAIN_SECONDS = 60.0


@dataclass
class Load:
    """Client that submits jobs all the time, and records those that were accepted."""

    service: Service
    accepted: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    async def submit(self) -> None:
        while True:
            answer = await self.service.client.post(
                "/api/v1/jobs", json={"type": "progress", "parameters": {"steps": 2}}
            )
            self.statuses[answer.status_code] += 1
            if answer.status_code == 202:
                self.accepted.append(answer.json()["jobId"])
            else:
                self.refusals[answer.json()["error"]["code"]] += 1
                assert int(answer.headers["Retry-After"]) >= 1
            await asyncio.sleep(0.01)

    async def more(self, count: int, *, seconds: float = CLAIMS_AGAIN_SECONDS) -> None:
        """Waits until as many more jobs have been accepted."""
        wanted = len(self.accepted) + count

        async def reached() -> bool:
            return len(self.accepted) >= wanted

        await eventually(reached, seconds=seconds)


@asynccontextmanager
async def loaded(service: Service) -> AsyncIterator[Load]:
    load = Load(service)
    task = asyncio.create_task(load.submit())
    try:
        yield load
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled() or task.exception() is None, task.exception()


async def runs_a_job(service: Service, *, seconds: float = CLAIMS_AGAIN_SECONDS) -> float:
    """Waits until a new job has been accepted, claimed and completed. Returns how long that took."""
    began = time.monotonic()

    async def completed() -> bool:
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers={"Prefer": "wait=5"})
        assert answer.status_code in {200, 202, 503}, answer.text
        return answer.status_code == 200

    await eventually(completed, seconds=seconds)
    return time.monotonic() - began
