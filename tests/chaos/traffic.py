"""Traffic of a chaos run: submissions that are repeated until they are answered, a worker over HTTP, and a receiver."""

import asyncio
import itertools
import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from duly.webhooks.signature import verify_hex, verify_standard
from tests.chaos.facts import ENDPOINT_EVENTS, SCHEDULE_SECONDS, Accepted, Told
from tests.chaos.handlers import note
from tests.support.service import NO_TLS

SECRET = "whsec_Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3M="
TYPES = ("chaos-plain",) * 6 + ("chaos-flaky", "chaos-thread", "chaos-steps", "chaos-leased", "chaos-long")
CONCURRENCY_KEYS = 4
SCHEDULE = "/api/v1/schedules/chaos"
REQUEST_SECONDS = 10.0
ANSWER_SECONDS = 900.0
# Submissions without an answer at one time, so that a slow machine is not overwhelmed.
MOST_OPEN = 24
PAUSE_SECONDS = 0.1


@dataclass
class Nodes:
    """Addresses of the API nodes, which stay the same over restarts, and one client for all."""

    urls: Sequence[str]
    client: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(
            timeout=httpx.Timeout(REQUEST_SECONDS, pool=None), limits=httpx.Limits(max_connections=64), verify=NO_TLS
        )
    )

    async def request(
        self, method: str, path: str, *, seconds: float = ANSWER_SECONDS, **options: Any
    ) -> httpx.Response:
        """Returns the first final response of any node, asking one after another."""
        async with asyncio.timeout(seconds):
            for url in self._in_turn():
                with suppress(httpx.TransportError):
                    answer = await self.client.request(method, url + path, **options)
                    if not _asks_for_a_retry(answer):
                        return answer
                await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _in_turn(self) -> Iterator[str]:
        first = random.randrange(len(self.urls))  # noqa: S311  # load
        return itertools.islice(itertools.cycle(self.urls), first, None)


def _asks_for_a_retry(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 or answer.status_code == 429 or b'"IDEMPOTENCY_IN_FLIGHT"' in answer.content


@dataclass
class Producer:
    """Submits jobs of all kinds, each under an idempotency key until it is answered."""

    nodes: Nodes
    receiver_url: str
    random: random.Random
    types: Sequence[str] = TYPES
    accepted: list[Accepted] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    open: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_OPEN))

    async def run(self, stop: asyncio.Event, *, per_second: float) -> None:
        """Submits at most at this rate until `stop`, and returns when all submissions have been answered."""
        async with asyncio.TaskGroup() as submissions:
            while not stop.is_set():
                await self.open.acquire()
                batch = self.random.random() < 0.01
                task = submissions.create_task(self._submit_batch() if batch else self._submit())
                task.add_done_callback(lambda _: self.open.release())
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1 / per_second)

    async def _submit(self) -> None:
        kind, key = self.random.choice(self.types), uuid.uuid4().hex
        body: dict[str, Any] = {"type": kind, "parameters": {}}
        callback = self.random.random() < 0.5
        if callback:
            body |= {"callbackUrl": f"{self.receiver_url}/callback", "callbackSecret": SECRET}
        exclusive = f"key-{self.random.randrange(CONCURRENCY_KEYS)}" if self.random.random() < 0.1 else None
        if exclusive is not None:
            body["concurrencyKey"] = exclusive
        times = 2 if self.random.random() < 0.1 else 1  # of which one may be refused while the other is in progress
        headers = {"Idempotency-Key": key}
        submissions = [self.nodes.request("POST", "/api/v1/jobs", json=body, headers=headers) for _ in range(times)]
        for answer in await asyncio.gather(*submissions):
            if answer.status_code == 202:
                self.accepted.append(Accepted(answer.json()["jobId"], key, callback, exclusive))
            else:
                self.refused.append(answer.text)

    async def _submit_batch(self) -> None:
        key = uuid.uuid4().hex
        then = {"type": "chaos-then", "parameters": {"of": key}}
        body = {"jobs": [{"type": "chaos-plain"}] * 5, "then": then, "name": key}
        answer = await self.nodes.request("POST", "/api/v1/jobs/batch", json=body, headers={"Idempotency-Key": key})
        if answer.status_code != 202:
            self.refused.append(answer.text)
            return
        made = answer.json()
        self.batches.append(made["batchId"])
        self.accepted += [Accepted(job_id, f"{key}-{n}") for n, job_id in enumerate(made["jobIds"])]


async def declare(nodes: Nodes, receiver_url: str) -> None:
    """Declares the job type of workers over HTTP, an endpoint for all jobs, and a schedule that catches up."""
    endpoint = {"url": f"{receiver_url}/endpoint", "events": list(ENDPOINT_EVENTS.values()), "secret": SECRET}
    submission = {"type": "chaos-scheduled", "parameters": {}}
    schedule = {"cron": f"*/{SCHEDULE_SECONDS} * * * * *", "catchUp": "all", "submission": submission}
    for method, path, body in (
        ("PUT", "/api/v1/job-types/chaos-leased", {"maxAttempts": 20}),
        ("POST", "/api/v1/webhooks", endpoint),
        ("PUT", SCHEDULE, schedule),
    ):
        answer = await nodes.request(method, path, json=body)
        assert answer.status_code < 300, answer.text


async def work_over_http(nodes: Nodes, stop: asyncio.Event, chance: random.Random, *, lines: str) -> None:
    """Claims jobs, completes most, and abandons some, whose leases then expire. Never ends a lease twice by itself."""
    claim = {"types": ["chaos-leased"], "max": 5, "waitSeconds": 1, "leaseSeconds": 5}
    while not stop.is_set():
        answer = await nodes.request("POST", "/api/v1/leases", json=claim)
        for lease in answer.json().get("leases", []):
            nonce = uuid.uuid4().hex
            note(lease["job"]["jobId"], "begin", nonce, file=lines)
            if chance.random() < 0.9:
                path = f"/api/v1/leases/{lease['leaseId']}/complete"
                await nodes.request("POST", path, json={"result": {"nonce": nonce}})


@dataclass
class ChaosReceiver:
    """Receiver of webhooks, which refuses all for a while when it flaps."""

    told: list[Told] = field(default_factory=list)
    flapping: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                headers = dict(_header(line) for line in head.decode().split("\r\n")[1:-2])
                body = await reader.readexactly(int(headers["content-length"]))
                told = _told(headers, body)
                self.told.append(told._replace(to_endpoint=b" /endpoint " in head))
                status = b"503 No" if self.flapping else b"204 No Content"
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
                await writer.drain()


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def _told(headers: dict[str, str], body: bytes) -> Told:
    members = orjson.loads(body)
    try:
        verify_standard(SECRET, headers, body)
        verify_hex(SECRET, headers["x-webhook-signature"], body)
        verified = True
    except ValueError:
        verified = False
    return Told(headers["webhook-id"], members["jobId"], members["type"], members["sequence"], body.decode(), verified)
