"""Clients that hold connections without sending a complete request, and reopen them when they are closed.

Runs in its own process (`python -m benchmarks.hostile_clients PLAN`) and prints one line of JSON.
"""

import asyncio
import json
import random
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass

import uvloop

from benchmarks.open_loop import allow_files

# Spread over time: the generator shares the machine with the measured service.
AGAIN_SECONDS = (2.0, 8.0)
DRIP_SECONDS = 1.0
FLOOD_BYTES = 64 << 20
SILENT, HALF_HEADS, SLOW_BODIES, HEADER_LINES = "silent", "half_heads", "slow_bodies", "header_lines"
_HALF_HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Ty"
_SLOW_BODY = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)
_FIRST_LINES = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_LINES = b"X-Line: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 1024


@dataclass(frozen=True, slots=True)
class HostilePlan:
    """Plan to hold `connections` of one kind for `seconds`."""

    port: int
    kind: str
    connections: int
    seconds: float


@dataclass(slots=True)
class HostileOutcome:
    """`opened`: number of connections; `sent`: number of bytes."""

    opened: int = 0
    sent: int = 0


async def run(plan: HostilePlan) -> HostileOutcome:
    outcome = HostileOutcome()
    with suppress(TimeoutError):
        async with asyncio.timeout(plan.seconds), asyncio.TaskGroup() as group:
            for _ in range(plan.connections):
                group.create_task(_hold_on(plan, outcome))
    return outcome


async def _hold_on(plan: HostilePlan, outcome: HostileOutcome) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
            outcome.opened += 1
            try:
                await _annoy(plan.kind, reader, writer, outcome)
            finally:
                writer.transport.abort()
        await asyncio.sleep(random.uniform(*AGAIN_SECONDS))


async def _annoy(
    kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outcome: HostileOutcome
) -> None:
    closed = asyncio.ensure_future(reader.read(-1))
    try:
        if kind == HALF_HEADS:
            outcome.sent += await _send(writer, _HALF_HEAD)
        elif kind == SLOW_BODIES:
            outcome.sent += await _send(writer, _SLOW_BODY)
            while not closed.done():
                outcome.sent += await _send(writer, b" ")
                await asyncio.wait([closed], timeout=DRIP_SECONDS)
        elif kind == HEADER_LINES:
            left = FLOOD_BYTES - await _send(writer, _FIRST_LINES)
            while left > 0 and not closed.done():
                outcome.sent += await _send(writer, _LINES)
                left -= len(_LINES)
        await closed
    finally:
        closed.cancel()


async def _send(writer: asyncio.StreamWriter, piece: bytes) -> int:
    writer.write(piece)
    await writer.drain()
    return len(piece)


if __name__ == "__main__":
    plan = HostilePlan(**json.loads(sys.argv[1]))
    allow_files(plan.connections)
    print(json.dumps(asdict(uvloop.run(run(plan)))))
