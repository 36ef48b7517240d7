"""Jobs one after another, and when whoever follows them is told of each one's end: by a webhook, or on streams.

Runs in a process of its own (`python -m benchmarks.told PLAN`) and prints one line of JSON. When a job ended is read
from the database: its clock and that of `time.time()` are the same machine's.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

from benchmarks.lives import Receiver
from benchmarks.receiver import JOB
from benchmarks.submissions import SINGLE_PATH, submission
from benchmarks.wire import Message, post, split_message

WARM_UPS = 5
WAIT_SECONDS = 10.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.06
# Time enough for those who follow a job to connect before it begins.
DELAY_SECONDS = 0.15
ENDED = b"event: job_completed\n"


@dataclass(frozen=True, slots=True)
class ToldPlan:
    """So many jobs to `port`; with `stream_ports` their streams there are followed, without there is a callback."""

    port: int
    jobs: int
    stream_ports: tuple[int, ...] = ()


@dataclass(slots=True)
class Told:
    """When each job's end was heard of, by the wall clock: of a webhook one time, of streams one each."""

    heard: dict[str, list[float]] = field(default_factory=dict)


class Webhooks:
    """The receiver; one webhook at a time is waited for."""

    def __init__(self) -> None:
        self.next: asyncio.Future[tuple[str, float]] | None = None

    def reported(self, message: Message) -> None:
        now = time.time()
        found = JOB.search(message.body)
        if found and self.next and not self.next.done():
            self.next.set_result((found[1].decode(), now))


async def submit(port: int, job: Mapping[str, object]) -> str:
    """The id of the accepted job."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post(SINGLE_PATH, json.dumps(job).encode()))
    received = b""
    while (answer := split_message(received)) is None:
        more = await reader.read(65_536)
        if not more:
            raise ConnectionError("the service closed the connection")
        received += more
    writer.close()
    if answer.status != 202:
        raise ConnectionError(f"POST {SINGLE_PATH} answered {answer.status}")
    accepted: dict[str, Any] = json.loads(answer.body)
    return str(accepted["jobId"])


async def end_on_stream(port: int, job_id: str) -> float:
    """When the stream of this job told of its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"{SINGLE_PATH}/{job_id}/events/stream"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode())
    received = b""
    while ENDED not in received:
        more = await reader.read(65_536)
        if not more:
            raise ConnectionError("the stream ended before the job did")
        received += more
    now = time.time()
    writer.close()
    return now


async def by_webhook(plan: ToldPlan) -> Told:
    loop, webhooks, told = asyncio.get_running_loop(), Webhooks(), Told()
    server = await loop.create_server(lambda: Receiver(webhooks), "127.0.0.1", 0)
    callback_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks"
    pauses = random.Random(7)
    for index in range(WARM_UPS + plan.jobs):
        await asyncio.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
        webhooks.next = loop.create_future()
        async with asyncio.timeout(WAIT_SECONDS):
            submitted = await submit(plan.port, submission(index, callback_url=callback_url))
            job_id, at = await webhooks.next
        if job_id != submitted:
            raise ConnectionError(f"a webhook tells of job {job_id} where {submitted} was submitted")
        if index >= WARM_UPS:
            told.heard[job_id] = [at]
    server.close()
    return told


async def by_stream(plan: ToldPlan) -> Told:
    told = Told()
    for index in range(WARM_UPS + plan.jobs):
        async with asyncio.timeout(WAIT_SECONDS):
            job_id = await submit(plan.port, submission(index) | {"delaySeconds": DELAY_SECONDS})
            ends = await asyncio.gather(*(end_on_stream(port, job_id) for port in plan.stream_ports))
        if index >= WARM_UPS:
            told.heard[job_id] = ends
    return told


async def run(plan: ToldPlan) -> Told:
    return await (by_stream(plan) if plan.stream_ports else by_webhook(plan))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(ToldPlan(**json.loads(sys.argv[1])))))))
