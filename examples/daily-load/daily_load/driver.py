"""Submits jobs at the times of a plan, and follows all of them to their ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any
from uuid import uuid4

from daily_load.handlers import compensation
from duly.client import AsyncClient, JobRequest, TooManyRequests, Unavailable, Unreachable

JOB_TYPE = "settle-flight"
# Jobs that become due within a tick are submitted together, as a backend does that collects what arrives.
TICK_SECONDS = 0.05
_END_SECONDS = 120.0


@dataclass(slots=True)
class Submitted:
    """Job of a plan: when it was due, and what its result must be."""

    phase: str
    due: float
    euros: int


@dataclass(slots=True)
class Ledger:
    """Jobs that were submitted, and their ends as the stream of all jobs showed them."""

    submitted: dict[str, Submitted] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    refused: int = 0
    _euros: dict[str, int] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note_end(self, frame: dict[str, Any]) -> None:
        """Notes the end of a job."""
        job_id = frame["jobId"]
        if job_id in self.ended:
            self.faults.append(f"job {job_id} ended twice")
        if frame["type"] != "job_completed":
            self.faults.append(f"job {job_id} is {frame['type']}: {frame['error']}")
        else:
            self._euros[job_id] = frame["result"]["euros"]
        self.ended[job_id] = time.monotonic()
        self._news.set()

    async def all_ended(self, *, seconds: float = _END_SECONDS) -> None:
        """Waits until all submitted jobs have ended; those that have not after this time are faults."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self.ended) < len(self.submitted):
                    self._news.clear()
                    await self._news.wait()

    def wrong(self) -> list[str]:
        """Returns the jobs without an end, without a submission, or with a wrong result."""
        missing = self.submitted.keys() ^ self.ended.keys()
        found = self.faults + [f"job {job_id} was not both submitted and ended" for job_id in missing]
        for job_id, euros in self._euros.items():
            job = self.submitted.get(job_id)
            if job and job.euros != euros:
                found.append(f"job {job_id} settled {euros} euros, not {job.euros}")
        return found

    @property
    def euros(self) -> int:
        """Sum of all settlements."""
        return sum(self._euros.values())


@asynccontextmanager
async def following(client: AsyncClient) -> AsyncIterator[Ledger]:
    """Yields a ledger that notes the ends of all jobs from now on."""
    ledger, open_now = Ledger(), asyncio.Event()
    follower = asyncio.create_task(_follow(client, ledger, open_now))
    while not open_now.is_set():
        # The stream begins when it is opened: a job of another type shows that it is open.
        await client.submit("echo")
        with suppress(TimeoutError):
            await asyncio.wait_for(open_now.wait(), 0.1)
    try:
        yield ledger
    finally:
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower


async def _follow(client: AsyncClient, ledger: Ledger, open_now: asyncio.Event) -> None:
    async with aclosing(client.stream_all(types=[JOB_TYPE, "echo"])) as frames:
        async for frame in frames:
            open_now.set()
            if frame["type"] in {"job_completed", "job_failed", "job_cancelled"} and _is_ours(frame):
                ledger.note_end(frame)


def _is_ours(frame: dict[str, Any]) -> bool:
    return frame["type"] != "job_completed" or "euros" in (frame["result"] or {})


async def drive(
    client: AsyncClient,
    ledger: Ledger,
    plan: Iterable[tuple[float, str]],
    jobs: Iterator[dict[str, Any]],
    *,
    end_seconds: float = _END_SECONDS,
) -> None:
    """Submits the jobs of a plan at their times, however slow the service is, and waits for their ends."""
    start = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for tick, due in groupby(plan, key=lambda arrival: int(arrival[0] / TICK_SECONDS)):
            await asyncio.sleep(start + (tick + 1) * TICK_SECONDS - time.monotonic())
            tasks.create_task(_submit(client, ledger, [(start + at, phase) for at, phase in due], jobs))
    await ledger.all_ended(seconds=end_seconds)


async def capacity(client: AsyncClient, ledger: Ledger, jobs: Iterator[dict[str, Any]], *, count: int) -> float:
    """Returns the jobs per second that the machine submits, runs and follows, from several batches at once."""
    start = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(_submit(client, ledger, [(start, "capacity")] * (count // 4), jobs))
    await ledger.all_ended()
    return count / (time.monotonic() - start)


async def _submit(
    client: AsyncClient, ledger: Ledger, due: list[tuple[float, str]], jobs: Iterator[dict[str, Any]]
) -> None:
    flights = list(islice(jobs, len(due)))
    job_ids = await _accepted(client, ledger, [{"type": JOB_TYPE, "parameters": flight} for flight in flights])
    for job_id, (at, phase), flight in zip(job_ids, due, flights, strict=True):
        euros = compensation(flight["miles"], flight["arrivalDelay"])
        ledger.submitted[job_id] = Submitted(phase, at, euros)


async def _accepted(client: AsyncClient, ledger: Ledger, jobs: list[JobRequest]) -> list[str]:
    """Submits a batch until it is accepted. Returns the IDs of its jobs."""
    # A repetition with the same key is the same batch, also if it was recorded and the answer was lost.
    key = str(uuid4())
    while True:
        try:
            return (await client.submit_many(jobs, idempotency_key=key))["jobIds"]
        except (TooManyRequests, Unavailable) as error:
            pause = error.retry_after_seconds or 1
        except Unreachable:
            pause = 1
        ledger.refused += 1
        await asyncio.sleep(pause)
