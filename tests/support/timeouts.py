"""Timeouts of attempts, which end when a test says so."""

import asyncio
from uuid import UUID

from tests.support.service import Service


async def time_out(service: Service, job_id: str) -> None:
    """Ends the time of a job's attempt, as if its timeout had passed."""
    attempt = service.node.worker.pool._attempts[UUID(job_id)]
    assert attempt.deadline <= asyncio.get_running_loop().time() + attempt.claimed.timeout_seconds
    attempt.deadline = attempt.recorded_deadline = asyncio.get_running_loop().time()
    await service.node.worker.pool.watch()
