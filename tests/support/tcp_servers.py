"""TCP servers of tests, which leave no connection and no task behind."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from itertools import count
from zlib import crc32

CLOSING_SECONDS = 1.0
PORTS = range(20_000, 32_000)


# Of each worker of a run, so that two of them never choose the same port.
PORTS_OF_A_WORKER = 1_000


@cache
def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    # Another run on this machine has others, if possible.
    run = crc32(os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex()).encode())
    begin, offset = run + worker * PORTS_OF_A_WORKER, secrets.randbelow(PORTS_OF_A_WORKER)
    return (PORTS[(begin + (offset + number) % PORTS_OF_A_WORKER) % len(PORTS)] for number in count())


def free_port() -> int:
    """Returns a loopback port that is free now, and that this process has not returned for long: another of its
    programs may be about to listen there, or about to be started again.

    It is below those that the system gives to connections and to servers that choose none: those are taken again
    before a program has started that listens on the port.
    """
    for port in _ports():
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError  # there is always a next one


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(serve: Serve) -> AsyncIterator[str]:
    """Runs a server on a free loopback port, and yields its URL. At the end, connections that it serves are closed."""
    tasks: set[asyncio.Task[None]] = set()
    stopping = False

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            if not stopping:
                raise
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await writer.wait_closed()  # a loop that ends now would leave the socket open
            tasks.discard(task)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        stopping = True
        server.close()
        serving = list(tasks)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
