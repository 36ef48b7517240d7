"""TypeScript client, built from this repository, for calls in Node.js and in a page of Chromium."""

import asyncio
import hashlib
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client.behaviours.callers import Caller, LineCaller, calling_program
from tests.support.browser import Browser
from tests.support.client_site import PROGRAMS, Site
from tests.support.node_packages import NODE, node_20, node_packages, program
from tests.typescript_types import PACKAGE

# Ends the lines to a client.
_LAST: Final = b"last"
_SOURCES: Final = ("src", "test", "scripts", "*.json", "README.md", "LICENSE")


def built_package(config: pytest.Config) -> Path:
    """Returns a copy of the package with its development packages and `dist/`, built once for its sources."""
    node_20()
    packages = node_packages(config, PACKAGE)
    files = sorted(file for name in _SOURCES for file in _files(PACKAGE, name))
    digest = hashlib.sha256(b"".join(str(file.relative_to(PACKAGE)).encode() + file.read_bytes() for file in files))
    kept = config.cache.mkdir("typescript-client") / digest.hexdigest()[:16]
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(dir=kept.parent) as making:
            made = Path(making, "package")
            for file in files:
                copy = made / file.relative_to(PACKAGE)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
            (made / "node_modules").symlink_to(packages)
            # Its types are checked by a test.
            build = ("tsc", "-p", "tsconfig.build.json", "--noCheck")
            run_package(*build, "--emitDeclarationOnly", cwd=made)
            run_package(*build, "--declaration", "false", "--removeComments", cwd=made)
            # Another worker of the same run may have built the same already.
            with suppress(OSError):
                made.rename(kept)
    return kept


def run_package(name: str, *arguments: str, cwd: Path) -> str:
    """Runs a command of the package's development packages, which must succeed, and returns its output."""
    return _run(str(cwd / "node_modules" / ".bin" / name), *arguments, cwd=cwd)


def npm(*arguments: str, cwd: Path) -> str:
    """Runs npm, which must succeed, and returns its output."""
    return _run(program("npm", NODE), *arguments, cwd=cwd)


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _files(folder: Path, name: str) -> list[Path]:
    found = folder / name
    return [file for file in found.rglob("*") if file.is_file()] if found.is_dir() else list(folder.glob(name))


class Clients:
    """Opens clients of the package, in an environment of JavaScript."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @asynccontextmanager
    async def open(self, url: str, api_key: str | None) -> AsyncIterator[Caller]:
        """Opens a client of the service at this URL, with the site between them."""
        self.site.target = url
        options = {"url": self.site.url, **({"apiKey": api_key} if api_key else {})}
        async with self._opened(options) as caller:
            yield caller

    async def forget_clients(self) -> None:
        """Ends what clients of earlier tests still do, such as to connect a stream again."""

    def _opened(self, options: dict[str, Any]) -> Any:
        raise NotImplementedError


class ClientsInNode(Clients):
    def __init__(self, site: Site) -> None:
        super().__init__(site)

    def _opened(self, options: dict[str, Any]) -> Any:
        return calling_program([node_20(), str(PROGRAMS / "node.mjs"), str(self.site.dist), json.dumps(options)])


class ClientsInPage(Clients):
    """Clients in the page of a site."""

    def __init__(self, site: Site, browser: Browser) -> None:
        super().__init__(site)
        self._browser = browser
        self._numbers = itertools.count()
        self._callers: dict[int, LineCaller] = {}

    async def forget_clients(self) -> None:
        """Reloads the page, which ends its clients."""
        await self._browser.open(f"{self.site.url}/page.html")
        await self._browser.until("return typeof receive === 'function'")

    @asynccontextmanager
    async def _opened(self, options: dict[str, Any]) -> AsyncIterator[Caller]:
        number = next(self._numbers)
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        await self._browser.run("openClient(arguments[0], arguments[1])", number, options)
        self._callers[number] = LineCaller(lines.put_nowait)
        closed = asyncio.Event()
        tasks = [asyncio.create_task(self._send(number, lines)), asyncio.create_task(self._receive(closed))]
        try:
            yield self._callers[number]
        finally:
            # Not in the middle of a command, which the browser would run nevertheless, later.
            closed.set()
            lines.put_nowait(_LAST)
            await asyncio.gather(*tasks)

    async def _send(self, number: int, lines: asyncio.Queue[bytes]) -> None:
        while (line := await lines.get()) is not _LAST:
            await self._browser.run("receive(arguments[0], arguments[1])", number, line.decode())

    async def _receive(self, closed: asyncio.Event) -> None:
        while not closed.is_set():
            for number, line in await self._browser.run("return outbox.splice(0)"):
                self._callers[number].note(line.encode())
            await asyncio.sleep(0.02)
