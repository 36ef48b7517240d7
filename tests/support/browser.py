"""Headless Chromium, controlled over W3C WebDriver, and a relay between it and a service."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.support.node_packages import program
from tests.support.service import NO_TLS, eventually

CHROMIUM: Final = "Chromium and its driver are not on this machine: apt-get install chromium chromium-driver"
_SERVES: Final = re.compile(rb"successfully on port (\d+)")
_ARGUMENTS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--no-proxy-server"),
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # foreign names that resolve to this machine
)


class Browser:
    """Browser window."""

    def __init__(self, client: httpx.AsyncClient, session: str) -> None:
        self._client = client
        self._session = session

    async def open(self, url: str) -> None:
        await self._post("url", {"url": url})

    async def run(self, script: str, *arguments: Any) -> Any:
        """Runs the body of a function and returns its result; waits for a promise."""
        return await self._post("execute/sync", {"script": script, "args": arguments})

    async def until(self, script: str, *arguments: Any) -> Any:
        """Runs the body of a function repeatedly until its result is true, with a time limit."""
        return await eventually(lambda: self.run(script, *arguments))

    async def _post(self, command: str, body: dict[str, Any]) -> Any:
        answer = await self._client.post(f"/session/{self._session}/{command}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Starts a browser with its own profile.

    Without Chromium on this machine, the test is skipped, or fails if `TESTS_REQUIRE` names chromium.
    """
    driver, binary = program("chromedriver", CHROMIUM, name="chromium"), program("chromium", CHROMIUM)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            *(driver, "--port=0"), env=os.environ | {"HOME": home, "TMPDIR": home}, stdout=asyncio.subprocess.PIPE
        )
        try:
            base = f"http://127.0.0.1:{await _port_of(process)}"
            async with (
                httpx.AsyncClient(base_url=base, timeout=60, verify=NO_TLS, trust_env=False) as client,
                _session(client, binary) as browser,
            ):
                yield browser
        finally:
            process.terminate()
            await process.wait()


async def _port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        async for line in process.stdout:
            if (found := _SERVES.search(line)) is not None:
                return int(found[1])
    raise AssertionError("chromedriver ended before it served")


@asynccontextmanager
async def _session(client: httpx.AsyncClient, binary: str) -> AsyncIterator[Browser]:
    options = {"binary": binary, "args": _ARGUMENTS}
    wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
    answer = await client.post("/session", json=wanted)
    assert answer.status_code == 200, answer.text
    session = answer.json()["value"]["sessionId"]
    try:
        yield Browser(client, session)
    finally:
        await client.delete(f"/session/{session}")


@dataclass
class Relay:
    """Relays connections to the service at `target` and cuts them on request; refuses them without a target."""

    url: str
    target: str | None
    taken: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """Ends all connections at once, even in the middle of a message."""
        for writer in self._writers:
            writer.transport.abort()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.target is None:
            writer.transport.abort()
            return
        self.taken += 1
        url = httpx.URL(self.target)
        with suppress(OSError):
            there, back = await asyncio.open_connection(url.host, url.port)
            self._writers |= {writer, back}
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        self._writers -= {writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_relay(target: str) -> AsyncIterator[Relay]:
    relay = Relay("", target)
    server = await asyncio.start_server(relay.pass_on, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        relay.cut()
        server.close()
