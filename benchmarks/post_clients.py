"""Posts webhooks with one of several HTTP clients: 64 concurrently on keep-alive connections, each newly signed.

Runs in its own process (`python -m benchmarks.post_clients CLIENT PLAN`), in an environment with that client, and
prints one line of JSON. All clients send the same requests; their checks differ.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

import uvloop

from benchmarks.http_messages import split_message
from benchmarks.stats import percentile
from benchmarks.submissions import SECRET

NO_CONTENT = 204
# Length of the body without its text.
TEXT_AROUND = 37
# Sends one request and returns the status of the response.
Post: TypeAlias = Callable[[str, bytes, dict[str, str]], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class PostPlan:
    """Plan of one load: requests are counted for `seconds` after `warm_up`; the body has `body_bytes`."""

    port: int
    concurrent: int = 64
    body_bytes: int = 300
    seconds: float = 4.0
    warm_up: float = 0.5


@dataclass(slots=True)
class PostOutcome:
    """`rate`: responses per second; `wrong`: responses other than 204, and requests without a response."""

    rate: float
    p50_ms: float
    p99_ms: float
    wrong: int
    cores: float


@asynccontextmanager
async def by_httpx(plan: PostPlan) -> AsyncIterator[Post]:
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=plan.concurrent, max_keepalive_connections=plan.concurrent)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(url, content=body, headers=headers)).status_code

        yield post


@asynccontextmanager
async def by_httpx_on_aiohttp(plan: PostPlan) -> AsyncIterator[Post]:
    import httpx  # noqa: PLC0415
    import httpx_aiohttp  # type: ignore[import-not-found] # noqa: PLC0415

    limits = httpx.Limits(max_connections=plan.concurrent, max_keepalive_connections=plan.concurrent)
    transport = httpx_aiohttp.AiohttpTransport(limits=limits, trust_env=False)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(url, content=body, headers=headers)).status_code

        yield post


@asynccontextmanager
async def by_aiohttp(plan: PostPlan) -> AsyncIterator[Post]:
    import aiohttp  # type: ignore[import-not-found] # noqa: PLC0415

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=plan.concurrent)) as session:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()
                return cast("int", response.status)

        yield post


@asynccontextmanager
async def by_duly(plan: PostPlan) -> AsyncIterator[Post]:
    """Yields the guarded client with all guards enabled and access to the loopback network only."""
    from duly.domain.egress_policy import EgressPolicy, parse_networks  # noqa: PLC0415
    from duly.outbound import OutboundClient  # noqa: PLC0415

    egress = EgressPolicy(parse_networks("127.0.0.0/8"))
    async with OutboundClient(egress=egress, connections_per_host=plan.concurrent) as client:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(url, content=body, headers=headers)).status

        yield post


class Bare(asyncio.Protocol):
    """Connection that writes and waits for a response, without any guard."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._received = b""

    def exchange(self, request: bytes) -> asyncio.Future[int]:
        self._response: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._response

    def data_received(self, data: bytes) -> None:
        self._received += data
        if (message := split_message(self._received)) is not None:
            self._received = message.rest
            self._response.set_result(message.status)


@asynccontextmanager
async def by_hand(plan: PostPlan) -> AsyncIterator[Post]:
    loop = asyncio.get_running_loop()
    idle = [(await loop.create_connection(Bare, "127.0.0.1", plan.port))[1] for _ in range(plan.concurrent)]

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"POST {url[url.index('/', 8) :]} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        request = f"{start}{lines}content-length: {len(body)}\r\n\r\n".encode() + body
        connection = idle.pop()
        status = await connection.exchange(request)
        idle.append(connection)
        return status

    yield post
    for connection in idle:
        connection.transport.close()


CLIENTS = {
    "duly": by_duly,
    "httpx": by_httpx,
    "httpx-aiohttp": by_httpx_on_aiohttp,
    "aiohttp": by_aiohttp,
    "by-hand": by_hand,
}


def signed(number: int, body: bytes) -> dict[str, str]:
    """Returns the headers of a webhook."""
    identity, moment, key = f"msg_{number:024d}", int(time.time()), SECRET.encode()
    signature = hmac.digest(key, f"{identity}.{moment}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "user-agent": "benchmark/1",
        "webhook-id": identity,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
        "x-webhook-signature": f"sha256={hmac.digest(key, body, hashlib.sha256).hex()}",
    }


class Posting:
    """Closed loop: each caller sends its next request after the response to the last."""

    def __init__(self, plan: PostPlan) -> None:
        self._plan = plan
        self._url = f"http://127.0.0.1:{plan.port}/webhooks"
        text = "x" * (plan.body_bytes - TEXT_AROUND)
        self._body = json.dumps({"type": "job.completed", "text": text}).encode()
        self._counts_from = self._stops_at = self._last_at = float("inf")
        self._numbers = self._wrong = 0
        self._latencies: list[float] = []

    async def run(self, post: Post) -> PostOutcome:
        plan = self._plan
        # One-time work of a client, such as connecting, happens before the measurement.
        await asyncio.gather(*(self._post(post) for _ in range(plan.concurrent)))
        processor, began = time.process_time(), time.perf_counter()
        self._counts_from = began + plan.warm_up
        self._stops_at = self._last_at = self._counts_from + plan.seconds
        await asyncio.gather(*(self._call(post) for _ in range(plan.concurrent)))
        return PostOutcome(
            rate=len(self._latencies) / (max(self._last_at, self._stops_at) - self._counts_from),
            p50_ms=percentile(self._latencies, 0.5) * 1e3,
            p99_ms=percentile(self._latencies, 0.99) * 1e3,
            wrong=self._wrong,
            cores=(time.process_time() - processor) / (time.perf_counter() - began),
        )

    async def _call(self, post: Post) -> None:
        while not (self._latencies or self._wrong) or time.perf_counter() < self._stops_at:
            await self._post(post)

    async def _post(self, post: Post) -> None:
        self._numbers += 1
        began = time.perf_counter()
        try:
            status = await post(self._url, self._body, signed(self._numbers, self._body))
        except Exception:  # noqa: BLE001  # each client has errors of its own
            status = 0
        ended = time.perf_counter()
        self._wrong += status != NO_CONTENT
        if status == NO_CONTENT and self._counts_from <= ended and (ended <= self._stops_at or not self._latencies):
            self._latencies.append(ended - began)
            self._last_at = ended


async def run(client: str, plan: PostPlan) -> PostOutcome:
    async with CLIENTS[client](plan) as post:
        return await Posting(plan).run(post)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(sys.argv[1], PostPlan(**json.loads(sys.argv[2])))))))
