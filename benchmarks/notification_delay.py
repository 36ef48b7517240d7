"""Time from a job's terminal event to its webhook, or to the event on streams; one job at a time.

Runs in its own process (`python -m benchmarks.notification_delay PLAN`) and prints one line of JSON. The time of the
terminal event is read from the database, whose clock is the same as that of `time.time()` on one machine.
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

from benchmarks.end_to_end import Receiver
from benchmarks.http_messages import Message, post, split_message
from benchmarks.submissions import SINGLE_PATH, submission
from benchmarks.webhook_receiver import JOB

WARM_UPS = 5
WAIT_SECONDS = 60.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.06
# Time for followers of a job to connect before it begins.
DELAY_SECONDS = 0.1
ENDED = b"event: job_completed\n"


@dataclass(frozen=True, slots=True)
class NotificationPlan:
    """Plan to submit `jobs` to `port` and follow their streams on `stream_ports`; without these, by a callback."""

    port: int
    jobs: int
    stream_ports: tuple[int, ...] = ()


@dataclass(slots=True)
class NotificationTimes:
    """Wall-clock times at which the end of each job was received: one for a webhook, one for each stream."""

    received_at: dict[str, list[float]] = field(default_factory=dict)


class Webhooks:
    """Webhook receiver that waits for one webhook at a time."""

    def __init__(self) -> None:
        self.next: asyncio.Future[tuple[str, float]] | None = None

    def on_webhook(self, message: Message) -> None:
        now = time.time()
        found = JOB.search(message.body)
        if found and self.next and not self.next.done():
            self.next.set_result((found[1].decode(), now))


async def submit(port: int, job: Mapping[str, object]) -> str:
    """Submits a job and returns its id."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post(SINGLE_PATH, json.dumps(job).encode()))
    received = b""
    while (response := split_message(received)) is None:
        more = await reader.read(65_536)
        if not more:
            raise ConnectionError("the service closed the connection")
        received += more
    writer.close()
    if response.status != 202:
        raise ConnectionError(f"POST {SINGLE_PATH} responded with {response.status}")
    accepted: dict[str, Any] = json.loads(response.body)
    return str(accepted["jobId"])


async def end_on_stream(port: int, job_id: str) -> float:
    """Returns the time at which the stream of a job delivered its terminal event."""
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


async def by_webhook(plan: NotificationPlan) -> NotificationTimes:
    loop, webhooks, times = asyncio.get_running_loop(), Webhooks(), NotificationTimes()
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
            raise ConnectionError(f"received a webhook of job {job_id} instead of {submitted}")
        if index >= WARM_UPS:
            times.received_at[job_id] = [at]
    server.close()
    return times


async def by_stream(plan: NotificationPlan) -> NotificationTimes:
    times = NotificationTimes()
    for index in range(WARM_UPS + plan.jobs):
        async with asyncio.timeout(WAIT_SECONDS):
            job_id = await submit(plan.port, submission(index) | {"delaySeconds": DELAY_SECONDS})
            ends = await asyncio.gather(*(end_on_stream(port, job_id) for port in plan.stream_ports))
        if index >= WARM_UPS:
            times.received_at[job_id] = ends
    return times


async def run(plan: NotificationPlan) -> NotificationTimes:
    return await (by_stream(plan) if plan.stream_ports else by_webhook(plan))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(NotificationPlan(**json.loads(sys.argv[1])))))))
