"""Store of a peer's jobs for one round: a new database on the server of the run, or a new Redis server."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import asyncpg

from benchmarks.contestants import clean_environment
from benchmarks.peers.catalog import Peer, Store
from benchmarks.processes import ContestantFailed, started
from benchmarks.run_context import RunContext

POLL_SECONDS = 0.005
RESPONSE_SECONDS = 10.0
REDIS_READY = r"port=(\d+)[\s\S]*Ready to accept connections"


@dataclass(frozen=True, slots=True)
class OpenStore:
    """`pid`: process of the server; `settle`: prepares it for a measurement after jobs were stored."""

    name: str
    url: str
    pid: int
    settle: Callable[[], None]
    unfinished: Callable[[float], "Unfinished"]

    def wait_until_empty(self, within_seconds: float) -> int:
        """Returns the time of the first query without an unfinished job, in nanoseconds of the monotonic clock.

        Raises ContestantFailed if there are still unfinished jobs when the time has elapsed.
        """
        left, asked_at = self.unfinished(within_seconds)
        if left:
            raise ContestantFailed(
                f"{left} jobs are unfinished in {self.name} {within_seconds:g} s after the last start"
            )
        return asked_at


class Unfinished(NamedTuple):
    """Number of unfinished jobs and the time of the query, so that the time of the response does not count."""

    left: int
    asked_at: int


@contextlib.contextmanager
def store_of(peer: Peer, context: RunContext, template: str | None = None) -> Iterator[OpenStore]:
    """Yields an empty store, which is dropped after the block: in Postgres, a copy of `template` if given.

    Raises ContestantFailed if there is no such server.
    """
    if peer.store is Store.REDIS:
        with _redis(peer) as store:
            yield store
        return
    database = context.create(template)
    try:
        yield postgres_store(peer, context, database)
    finally:
        context.drop(database)


def postgres_store(peer: Peer, context: RunContext, database: str) -> OpenStore:
    """Returns a database on the server of the run as a store."""
    url = context.server.url(database)

    def settle() -> None:
        context.server.execute(database, "analyze")
        context.server.execute(database, "checkpoint")

    def unfinished(within_seconds: float) -> Unfinished:
        try:
            return asyncio.run(_poll_postgres(url, peer.unfinished, within_seconds))
        except asyncpg.PostgresError as error:
            raise ContestantFailed(f"the query for unfinished jobs failed: {error}") from error

    return OpenStore("Postgres", url, context.server.pid, settle, unfinished)


async def _poll_postgres(url: str, question: str, within_seconds: float) -> Unfinished:
    connection = await asyncpg.connect(url)
    try:
        until = time.perf_counter() + within_seconds
        while True:
            asked_at = time.monotonic_ns()
            left = int(await connection.fetchval(question) or 0)
            if not left or time.perf_counter() >= until:
                return Unfinished(left, asked_at)
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await connection.close()


@contextlib.contextmanager
def _redis(peer: Peer) -> Iterator[OpenStore]:
    """Yields a server with its default settings: periodic snapshots to disk, no append-only file."""
    program = shutil.which("redis-server")
    if program is None:
        raise ContestantFailed("redis-server is not on PATH (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="duly-benchmark-redis-") as name:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", name]
        log = Path(name) / "log"
        with started(command, environment=clean_environment(), log=log, ready=REDIS_READY) as server:

            def unfinished(within_seconds: float) -> Unfinished:
                return _poll_redis(port, peer.unfinished, within_seconds)

            yield OpenStore("Redis", f"redis://127.0.0.1:{port}/0", server.pid, lambda: None, unfinished)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _poll_redis(port: int, script: str, within_seconds: float) -> Unfinished:
    with socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_SECONDS) as connection:
        responses = connection.makefile("rb")
        until = time.perf_counter() + within_seconds
        while True:
            asked_at = time.monotonic_ns()
            connection.sendall(redis_command("EVAL", script, "0"))
            left = redis_integer(responses.readline())
            if not left or time.perf_counter() >= until:
                return Unfinished(left, asked_at)
            time.sleep(POLL_SECONDS)


def redis_command(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def redis_integer(response: bytes) -> int:
    """Returns an integer reply. Raises ContestantFailed for any other reply, which is an error."""
    if not response.startswith(b":"):
        raise ContestantFailed(f"Redis replied {response.decode(errors='replace').strip() or 'nothing'}")
    return int(response[1:])
