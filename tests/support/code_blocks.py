"""Runs the blocks of a page in order, like a reader who pastes one after the other.

- `python`: a block whose first line names a file (`# shop/jobs.py`) is written to that file and imported. Others run in
  one module for the page; tests that they define run afterwards.
- `sh`, `bash`, `console`: run in one bash for the page. A line with `duly serve` starts the service in the background.
  A page that sends requests and has no such line gets a service without handlers. The output is compared with the
  output that a `console` block shows.
- `json` directly below one of these: the output has these members.
- `sql`: planned by the database, or parsed if it cannot be planned.
"""

import ast
import asyncio
import importlib
import inspect
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any, Final

from tests.support.forked_commands import ForkedProcess, fork_server
from tests.support.markdown_blocks import ROOT, Block
from tests.support.reused_connections import asking
from tests.support.service import SECRET_KEYS
from tests.support.service_process import Processes, ServiceProcess, starting_processes
from tests.support.shell_session import SECONDS, Ran, Shell, running_shell
from tests.support.shell_steps import SERVE, SHELLS, BlockFailed, Step, parted, steps
from tests.support.shown_output import Mismatch, compare, compare_json
from tests.support.tcp_servers import free_port

RUN: Final = SHELLS | {"python", "sql"}
_ADDRESS: Final = re.compile(r"\b(127\.0\.0\.1|localhost):8000\b")
_REQUEST: Final = re.compile(
    _ADDRESS.pattern + r"|^(\$ )?duly (submit|watch|status|why|logs|list|cancel|retry|top|queues|schedules) ",
    re.MULTILINE,
)
_ERROR: Final = 400


def compiled(source: str, name: str) -> CodeType:
    """Compiles a block; `await` is allowed outside of a function.

    Raises:
        SyntaxError: the block is not Python.
    """
    code: CodeType = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


@dataclass
class Page:
    """A page under way: its folder, its terminal, its service, its Python module."""

    blocks: Sequence[Block]
    folder: Path
    database_url: str
    processes: Processes
    shell: Shell
    service: ServiceProcess | None = None
    port: int = 0
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: str = ""

    async def run(self) -> None:
        """Runs the blocks in order.

        Raises:
            BlockFailed: a block does not do what the page says.
        """
        for block in self.blocks:
            if block.language == "json" and block.follows_block and not block.shown_output:
                self._compare_json(block)
            elif block.language != "json":
                self.printed = ""
            if block.runs and block.language in SHELLS:
                await self._run_shell(block)
            elif block.runs and block.language == "python":
                await self._run_python(block)
            elif block.runs and block.language == "sql":
                await self._plan(block)

    # Shells

    async def _run_shell(self, block: Block) -> None:
        if block.setup:
            await self._step(block, Step(block.line, block.setup), in_setup=True)
        for step in steps(block):
            printed = await self._step(block, step)
            self.printed += printed
            if step.shown and not block.shown_output:
                self._compare(block, step, printed)

    async def _step(self, block: Block, step: Step, *, in_setup: bool = False) -> str:
        """Runs a command, or several, and returns the output."""
        printed = ""
        for offset, part in parted(step.command):
            line = step.line + (0 if in_setup else offset)
            if serve := SERVE.match(part):
                await self._serve(f"{block.page}:{line}", serve["arguments"], serve["variables"])
                continue
            await self._ensure_service()
            try:
                ran = await self.shell.run(self._here(part) + "\n")
            except TimeoutError:
                raise BlockFailed(f"{block.page}:{line}", f"`{part}` does not end") from None
            failed = line if in_setup else line + (ran.failed_line or 1) - 1
            _check(f"{block.page}:{failed}", part, ran, shown=block.text)
            printed += ran.out
        return printed.replace(f":{self.port}", ":8000") if self.port else printed

    async def _ensure_service(self) -> None:
        """Starts a service without handlers on a page that speaks to one and did not start it."""
        if self.service is None and any(_REQUEST.search(block.text) for block in self.blocks if block.runs):
            await self._serve(self.blocks[0].page, "", "")

    async def _serve(self, place: str, arguments: str, variables: str) -> None:
        """Starts the service as the page does, in place of the one before and on the same port."""
        if self.service is not None:
            await self.service.stop()
        port = self.port or free_port()  # one that stays free while the service is started again
        exported = {name: text for name, text in (await self.shell.variables()).items() if name.startswith("DULY_")}
        given = dict(pair.split("=", 1) for pair in shlex.split(variables))
        command = self.processes.run_as(
            self._start, "serve", *shlex.split(arguments), **(exported | given | {"DULY_PORT": str(port)})
        )
        try:
            self.service = await self.processes.ready(command, self.database_url)
        except AssertionError as error:
            raise BlockFailed(place, f"duly serve{arguments}: {error}") from error
        self.port = int(self.service.url.rsplit(":", 1)[1])
        await self.shell.run(f"export DULY_URL=http://127.0.0.1:{self.port}")

    def _start(self, arguments: Sequence[str], files: Path, environment: dict[str, str]) -> ForkedProcess:
        out, err = files.with_suffix(".out"), files.with_suffix(".err")
        return fork_server().start(arguments, environment=environment, stdout=out, stderr=err, folder=self.folder)

    def _here(self, text: str) -> str:
        """Replaces port 8000, where a reader's service listens, by the port of this page's service."""
        return _ADDRESS.sub(rf"\1:{self.port}", text) if self.port else text

    @staticmethod
    def _compare(block: Block, step: Step, printed: str) -> None:
        try:
            compare(step.shown, printed)
        except Mismatch as error:
            raise BlockFailed(f"{block.page}:{step.line}", f"`{step.command}` prints something else: {error}") from None

    def _compare_json(self, block: Block) -> None:
        if not self.printed.strip():
            return
        try:
            compare_json(block.text, self.printed)
        except Mismatch as error:
            raise BlockFailed(block.place, f"the block above prints something else: {error}") from None

    # Python

    async def _run_python(self, block: Block) -> None:
        await self._ensure_service()
        source = self._here(block.text)
        if block.title:
            await self._within(block, asyncio.to_thread(self._import, block, source))
        else:
            await self._within(block, asyncio.to_thread(self._execute, block, source))

    @staticmethod
    async def _within(block: Block, running: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await running
        except Exception as error:
            raise BlockFailed(block.place, f"{type(error).__name__}: {error}") from error

    def _import(self, block: Block, source: str) -> None:
        if block.setup:
            self._evaluate(compiled(self._here(block.setup), f"{block.page} (setup)"))
        title = str(block.title)
        file = self.folder / title
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            opened.write(source)
        name = ".".join(Path(title).with_suffix("").parts)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        importlib.import_module(name)

    def _execute(self, block: Block, source: str) -> None:
        before = dict(self.names)
        if block.setup:
            self._evaluate(compiled(self._here(block.setup), f"{block.page} (setup)"))
        # So that a traceback names the page and its line.
        self._evaluate(compiled("\n" * (block.line - 1) + source, block.page))
        for name, value in list(self.names.items()):
            if name.startswith("test_") and before.get(name) is not value:
                made = value()
                if inspect.iscoroutine(made):
                    asyncio.run(made)

    def _evaluate(self, code: CodeType) -> None:
        made = eval(code, self.names)  # noqa: S307  # the documentation's own code
        if inspect.iscoroutine(made):
            asyncio.run(made)

    # SQL

    async def _plan(self, block: Block) -> None:
        async with asking(self.database_url) as connection:
            for statement in filter(None, map(str.strip, block.text.split(";\n"))):
                bare = statement.rstrip(";")
                plans = re.match(r"(select|insert|update|delete|with)\b", bare, re.IGNORECASE)
                # A block that is never entered: it is parsed, and changes nothing.
                parse = f"do $_$ begin if false then {bare}; end if; end $_$"
                try:
                    await connection.execute(f"explain {bare}" if plans else parse)
                except Exception as error:
                    raise BlockFailed(block.place, f"{bare}\n{error}") from error


def _check(place: str, command: str, ran: Ran, *, shown: str) -> None:
    if ran.code != 0:
        failed = "\n".join(command.splitlines()[(ran.failed_line or 1) - 1 :][:5])
        raise BlockFailed(place, f"`{failed}` failed: {ran}")
    for request in ran.requests:
        announced = request.status and re.search(rf"\b{request.status}\b", shown)
        if (request.status >= _ERROR or request.status == 0) and not announced:
            raise BlockFailed(place, f"curl {request.arguments}: status {request.status} is not shown: {ran}")


@asynccontextmanager
async def reading(blocks: Sequence[Block], folder: Path, database_url: str) -> AsyncIterator[Page]:
    """Prepares a page in an empty folder; its service and its shell end with the context."""
    here, files, logs = folder / "page", folder / "session", folder / "services"
    here.mkdir()
    logs.mkdir()
    variables = {
        "CLONE": str(ROOT),
        "DULY_DATABASE_URL": database_url,
        "DULY_PORT": "0",
        "DULY_SECRET_KEYS": SECRET_KEYS,
        "DULY_SHUTDOWN_GRACE_SECONDS": "0.2",
        "PYTHONPATH": str(here),
    }
    async with starting_processes(logs) as processes, running_shell(here, files, variables) as shell:
        with _imports_from(here):
            yield Page(blocks, here, database_url, processes, shell)


@contextmanager
def _imports_from(folder: Path) -> Iterator[None]:
    """Imports modules from this folder, and forgets them at the end: other pages have modules of the same name."""
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__spec__", None) is None:  # made by a setup
                del sys.modules[name]
                continue
            places = [getattr(sys.modules[name], "__file__", None), *getattr(sys.modules[name], "__path__", ())]
            if any(str(place).startswith(str(folder)) for place in places):
                del sys.modules[name]
