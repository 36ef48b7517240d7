"""Workers over HTTP: claim no-op jobs and complete them together, on some connections, until none is left.

Runs in a process of its own: `python -m benchmarks.lease_workers PLAN`, with the plan as JSON.
"""

import asyncio
import json
import sys
from dataclasses import dataclass

import orjson

CLAIM, COMPLETE = "/api/v1/leases", "/api/v1/leases/complete"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """Plan of the workers: `at_once` is the number of jobs in a claim; they stop after `jobs` jobs."""

    port: int
    connections: int
    at_once: int
    jobs: int


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, path: str, body: bytes) -> bytes:
        """Sends a request and returns the body of its response. Raises RuntimeError for a status other than 200."""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        answer = await self._reader.readexactly(length)
        if lines[0].split()[1] != "200":
            raise RuntimeError(f"{path}: {lines[0]} {answer[:200]!r}")
        return answer


async def work(plan: WorkerPlan) -> int:
    """Returns the number of completed jobs."""
    completed = 0
    claim = orjson.dumps({"types": ["noop"], "max": plan.at_once, "waitSeconds": 1, "leaseSeconds": 60})

    async def run() -> None:
        nonlocal completed
        connection = Connection(*await asyncio.open_connection("127.0.0.1", plan.port, limit=1 << 24))
        while completed < plan.jobs:
            leases = orjson.loads(await connection.post(CLAIM, claim))["leases"]
            ends = [
                {"leaseId": lease["leaseId"], "result": {"index": lease["job"]["parameters"]["index"]}}
                for lease in leases
            ]
            if ends:
                await connection.post(COMPLETE, orjson.dumps({"leases": ends}))
            completed += len(ends)

    await asyncio.gather(*(run() for _ in range(plan.connections)))
    return completed


if __name__ == "__main__":
    print(json.dumps({"completed": asyncio.run(work(WorkerPlan(**json.loads(sys.argv[1]))))}))
