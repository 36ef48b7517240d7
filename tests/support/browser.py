"""Headless Chromium, controlled over W3C WebDriver, and a relay between it and a service."""

import asyncio
import os
import re
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.support.node_packages import program
from tests.support.service import NO_TLS, eventually
from tests.support.tcp_servers import free_port

CHROMIUM: Final = "Chromium and its driver are not on this machine: apt-get install chromium chromium-driver"
PORTS_TRIED: Final = 5
# Of a start, and of a command; they only end a hang.
BOUND_SECONDS: Final = 180
_SERVES: Final = re.compile(rb"successfully on port (\d+)")
_KEYS: Final = {"TAB": "\ue004", "ENTER": "\ue007", "ESCAPE": "\ue00c", "SPACE": " "}
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

    async def resize(self, width: int, height: int) -> None:
        """Sets the size of the window."""
        await self._post("window/rect", {"width": width, "height": height})

    async def run(self, script: str, *arguments: Any) -> Any:
        """Runs the body of a function and returns its result; waits for a promise."""
        return await self._post("execute/sync", {"script": script, "args": arguments})

    async def until(self, script: str, *arguments: Any) -> Any:
        """Runs the body of a function repeatedly until its result is true, with a time limit."""
        return await eventually(lambda: self.run(script, *arguments))

    async def press(self, *keys: str) -> None:
        """Presses keys one after the other, as a person at a keyboard: characters, or `TAB`, `ENTER`, `ESCAPE`."""
        actions = [{"type": kind, "value": _KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        await self._post("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    async def screenshot(self) -> bytes:
        """Returns the window as PNG."""
        answer = await self._client.get(f"/session/{self._session}/screenshot")
        assert answer.status_code == 200, answer.text
        return b64decode(answer.json()["value"])

    async def console(self) -> list[str]:
        """Returns the errors and warnings of the console since the last call: failed requests and scripts, and
        violations of the content security policy.
        """
        entries = await self._post("se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in {"SEVERE", "WARNING"}]

    async def cookies(self) -> list[dict[str, Any]]:
        """Returns the cookies of the page, with those that its scripts cannot read."""
        answer = await self._client.get(f"/session/{self._session}/cookie")
        assert answer.status_code == 200, answer.text
        cookies: list[dict[str, Any]] = answer.json()["value"]
        return cookies

    async def devtools(self, command: str, **parameters: Any) -> Any:
        """Runs a command of the DevTools protocol, such as `Emulation.setEmulatedMedia`."""
        return await self._post("goog/cdp/execute", {"cmd": command, "params": parameters})

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
        environment = os.environ | {"HOME": home, "TMPDIR": home, "TZ": "UTC"}
        process, base = await _started(driver, environment)
        try:
            async with (
                httpx.AsyncClient(base_url=base, timeout=BOUND_SECONDS, verify=NO_TLS, trust_env=False) as client,
                _session(client, binary) as browser,
            ):
                yield browser
        finally:
            process.terminate()
            await process.wait()


async def _started(driver: str, environment: dict[str, str]) -> tuple[asyncio.subprocess.Process, str]:
    """Starts the driver. Returns it, and its URL. It ends at once if its port is taken on any address; then another
    port is tried.
    """
    for _ in range(PORTS_TRIED):
        process = await asyncio.create_subprocess_exec(
            driver, f"--port={free_port()}", env=environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            if (port := await _port_of(process)) is not None:
                return process, f"http://127.0.0.1:{port}"
        except BaseException:
            process.kill()
            raise
        await process.wait()
    raise AssertionError(f"chromedriver ended before it served, on {PORTS_TRIED} ports")


async def _port_of(process: asyncio.subprocess.Process) -> int | None:
    """Returns the port that the driver names once it serves; None if it has ended."""
    assert process.stdout is not None
    async with asyncio.timeout(BOUND_SECONDS):
        async for line in process.stdout:
            if (found := _SERVES.search(line)) is not None:
                return int(found[1])
    return None


@asynccontextmanager
async def _session(client: httpx.AsyncClient, binary: str) -> AsyncIterator[Browser]:
    options = {"binary": binary, "args": _ARGUMENTS}
    logs = {"browser": "ALL"}
    bounds = {"script": BOUND_SECONDS * 1000}
    chrome = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs, "timeouts": bounds}
    answer = await client.post("/session", json={"capabilities": {"alwaysMatch": chrome}})
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

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes = b"") -> None:
        """Relays a connection, of which `head` has been read."""
        if self.target is None:
            writer.transport.abort()
            return
        self.taken += 1
        url = httpx.URL(self.target)
        opened = {writer}
        self._writers |= opened
        try:
            with suppress(OSError):
                there, back = await asyncio.open_connection(url.host, url.port)
                opened.add(back)
                self._writers.add(back)
                if writer.transport.is_closing():  # it was cut meanwhile
                    return
                back.write(head)
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            self._writers -= opened
            for each in opened:  # also if the service does not accept connections
                each.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_relay(target: str) -> AsyncIterator[Relay]:
    relay = Relay("", target)
    async with listening(relay):
        yield relay


@asynccontextmanager
async def listening(relay: Relay) -> AsyncIterator[None]:
    """Serves a relay on a free port."""
    server = await asyncio.start_server(relay.pass_on, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        relay.cut()
        server.close()
