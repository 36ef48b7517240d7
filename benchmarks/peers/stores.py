"""Where the jobs of a peer lie for one round: a new database of the run's server, or a Redis of the round's own."""

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
from benchmarks.ground import Ground
from benchmarks.peers.catalog import Peer, Store
from benchmarks.processes import ContestantFailed, started

POLL_SECONDS = 0.005
ANSWER_SECONDS = 10.0
REDIS_READY = r"port=(\d+)[\s\S]*Ready to accept connections"


@dataclass(frozen=True, slots=True)
class OpenStore:
    """`pid` is the server's; `settle` prepares it for a measurement after jobs were stored."""

    name: str
    url: str
    pid: int
    settle: Callable[[], None]
    unfinished: Callable[[float], "Seen"]

    def wait_until_empty(self, within_seconds: float) -> int:
        """When the store was asked and had nothing unfinished, in nanoseconds of the monotonic clock.

        Raises ContestantFailed where it still shows something when the time is over.
        """
        left, asked_at = self.unfinished(within_seconds)
        if left:
            raise ContestantFailed(
                f"{self.name} shows {left} jobs unfinished {within_seconds:g} s after the last start"
            )
        return asked_at


class Seen(NamedTuple):
    """How many jobs were unfinished when the store was asked: how long it takes to answer is not the peer's time."""

    left: int
    asked_at: int


@contextlib.contextmanager
def store_of(peer: Peer, ground: Ground) -> Iterator[OpenStore]:
    """An empty store, dropped after the block. Raises ContestantFailed where there is no such store here."""
    with _redis(peer) if peer.store is Store.REDIS else _postgres(peer, ground) as store:
        yield store


@contextlib.contextmanager
def _postgres(peer: Peer, ground: Ground) -> Iterator[OpenStore]:
    database = ground.create()
    url = ground.server.url(database)

    def settle() -> None:
        ground.server.execute(database, "analyze")
        ground.server.execute(database, "checkpoint")

    def unfinished(within_seconds: float) -> Seen:
        try:
            return asyncio.run(_poll_postgres(url, peer.unfinished, within_seconds))
        except asyncpg.PostgresError as error:
            raise ContestantFailed(f"Postgres does not tell what is unfinished: {error}") from error

    try:
        yield OpenStore("Postgres", url, ground.server.pid, settle, unfinished)
    finally:
        ground.drop(database)


async def _poll_postgres(url: str, question: str, within_seconds: float) -> Seen:
    connection = await asyncpg.connect(url)
    try:
        until = time.perf_counter() + within_seconds
        while True:
            asked_at = time.monotonic_ns()
            left = int(await connection.fetchval(question) or 0)
            if not left or time.perf_counter() >= until:
                return Seen(left, asked_at)
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await connection.close()


@contextlib.contextmanager
def _redis(peer: Peer) -> Iterator[OpenStore]:
    """A server with the settings it comes with: snapshots to disk now and then, no append-only file."""
    program = shutil.which("redis-server")
    if program is None:
        raise ContestantFailed("redis-server is not on PATH (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="duly-benchmark-redis-") as name:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", name]
        log = Path(name) / "log"
        with started(command, environment=clean_environment(), log=log, ready=REDIS_READY) as server:

            def unfinished(within_seconds: float) -> Seen:
                return _poll_redis(port, peer.unfinished, within_seconds)

            yield OpenStore("Redis", f"redis://127.0.0.1:{port}/0", server.pid, lambda: None, unfinished)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _poll_redis(port: int, script: str, within_seconds: float) -> Seen:
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        answers = connection.makefile("rb")
        until = time.perf_counter() + within_seconds
        while True:
            asked_at = time.monotonic_ns()
            connection.sendall(redis_command("EVAL", script, "0"))
            left = redis_integer(answers.readline())
            if not left or time.perf_counter() >= until:
                return Seen(left, asked_at)
            time.sleep(POLL_SECONDS)


def redis_command(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def redis_integer(answer: bytes) -> int:
    """Raises ContestantFailed for any other answer, which is an error."""
    if not answer.startswith(b":"):
        raise ContestantFailed(f"Redis answered {answer.decode(errors='replace').strip() or 'nothing'}")
    return int(answer[1:])
