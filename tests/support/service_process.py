"""Service as a process: `python -m duly` with the environment of the test; it always ends with the test."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import psutil

from tests.support.forked_commands import ROOT, ForkedProcess, fork_server
from tests.support.service import BOUND_SECONDS, NO_TLS, SECRET_KEYS, ServiceClient, eventually

READY_SECONDS = 120.0
END_SECONDS = 120.0
# Bound of a graceful stop after the test: one whose job never ends is killed then.
STOP_SECONDS = 20.0
# A slow machine may stop a process for seconds. Tests end the leases of dead processes themselves.
LEASE_SECONDS = 15
READY = re.compile(r"Duly is ready on (http://\S+)\n")  # the whole line


AnyProcess: TypeAlias = "subprocess.Popen[bytes] | ForkedProcess"
Start: TypeAlias = Callable[[Sequence[str], Path, dict[str, str]], AnyProcess]


@dataclass
class Command:
    """Running command of `duly`, with its output in files."""

    popen: AnyProcess
    files: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def stdout(self) -> str:
        return self._written(".out")

    @property
    def stderr(self) -> str:
        return self._written(".err")

    def _written(self, suffix: str) -> str:
        """Returns what the command has written: whole lines, since it may be writing the next one."""
        has_ended = self.popen.poll() is not None
        written = self.files.with_suffix(suffix).read_bytes()
        return (written if has_ended else written[: written.rfind(b"\n") + 1]).decode()

    async def ended(self, *, seconds: float = END_SECONDS) -> int:
        """Returns the exit code; fails if the command does not end in time."""
        await eventually(self._polled, seconds=seconds)
        code = self.popen.returncode
        assert code is not None
        return code

    async def _polled(self) -> bool:
        return self.popen.poll() is not None

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def descendants(self) -> list[psutil.Process]:
        """Returns all descendants; empty after the end of the process."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    async def address(self) -> str:
        """Returns the URL that the service prints; fails if it ends before."""
        found = await eventually(self._ready, seconds=READY_SECONDS)
        assert isinstance(found, re.Match), f"it ended with {self.popen.returncode}: {self.stderr}"
        return str(found[1])

    async def _ready(self) -> Any:
        return READY.search(self.stdout) or self.popen.poll() is not None


@dataclass
class ServiceProcess(ServiceClient):
    """Running service in its own process, with a client."""

    command: Command

    async def readyz(self) -> httpx.Response:
        return await self.client.get("/readyz")

    async def metrics(self) -> dict[str, float]:
        """Returns the samples of `/metrics` by name and labels."""
        text = (await self.client.get("/metrics")).text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def kill(self) -> None:
        """Kills this process alone with SIGKILL."""
        self.command.signal(signal.SIGKILL)
        self.command.popen.wait()

    async def lose(self) -> None:
        """Kills this process alone with SIGKILL. Its lease ends at once, instead of after its time."""
        self.kill()
        await lose_node(self, self.command.pid)

    async def stop(self) -> int:
        self.command.signal(signal.SIGTERM)
        return await self.command.ended()


async def lose_node(service: ServiceClient, pid: int) -> None:
    """Ends the lease of a process that is dead, instead of waiting for its time."""
    over = "update nodes set heartbeat_at = now() - $2 * interval '1 second' where name like $1"
    await service.sql(over, f"%-{pid}", LEASE_SECONDS)


@dataclass
class Processes:
    """Commands and services of a test; `ended` stops those that are left."""

    folder: Path
    stack: AsyncExitStack
    commands: list[Command] = field(default_factory=list)
    orphans: list[psutil.Process] = field(default_factory=list)

    def run(self, *arguments: str, **variables: str) -> Command:
        """Starts `python -m duly`, forked from a process with all imports.

        It has these arguments and variables, and no other settings of Duly.
        """
        return self._run(self._forked, arguments, variables)

    def run_afresh(self, *arguments: str, **variables: str) -> Command:
        """Starts `python -m duly` as a shell does, which takes a second longer."""
        return self._run(self._started, arguments, variables)

    def run_as(self, start: Start, *arguments: str, **variables: str) -> Command:
        """Starts `python -m duly` with the given function."""
        return self._run(start, arguments, variables)

    def _run(self, start: Start, arguments: Sequence[str], variables: dict[str, str]) -> Command:
        files = self.folder / f"command-{len(self.commands)}"
        self.commands.append(Command(start(arguments, files, self._environment() | variables), files))
        return self.commands[-1]

    @staticmethod
    def _forked(arguments: Sequence[str], files: Path, environment: dict[str, str]) -> ForkedProcess:
        out, err = files.with_suffix(".out"), files.with_suffix(".err")
        return fork_server().start(arguments, environment=environment, stdout=out, stderr=err)

    @staticmethod
    def _started(arguments: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "duly", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles every library
        secrets = {"DULY_WEBHOOK_SECRET": "whsec_dGVzdA==", "DULY_SECRET_KEYS": SECRET_KEYS}
        return kept | secrets | {"DULY_LOG_FORMAT": "json"}

    def begin(self, database_url: str, *arguments: str, **variables: str) -> Command:
        """Starts a service with the handlers for processes without waiting for it."""
        chosen = {
            "DULY_HANDLERS": "tests.support.process_handlers",
            "DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "DULY_LEASE_SECONDS": str(LEASE_SECONDS),
            "DULY_SHUTDOWN_GRACE_SECONDS": "5",
            **({"DULY_DATABASE_URL": database_url} if database_url else {}),
        }
        return self.run("serve", "--port", "0", *arguments, **(chosen | variables))

    async def serve(self, database_url: str, *arguments: str, **variables: str) -> ServiceProcess:
        """Starts a service and waits until it is ready."""
        return await self.ready(self.begin(database_url, *arguments, **variables), database_url)

    async def ready(self, command: Command, database_url: str) -> ServiceProcess:
        url = await command.address()
        client = await self.stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=BOUND_SECONDS, verify=NO_TLS)
        )
        return ServiceProcess(url, database_url, client, command)

    def note_descendants(self) -> None:
        """Records the children of a process before it is killed, since they cannot be found afterwards."""
        self.orphans += [child for command in self.commands for child in command.descendants()]

    async def end(self) -> None:
        """Stops all processes, gracefully at first, because an embedded server is stopped by its last user."""
        self.note_descendants()
        for command in self.commands:
            if command.popen.poll() is None:
                command.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for command in self.commands:
            try:
                await command.ended(seconds=max(0.1, deadline - time.monotonic()))
            except TimeoutError:
                command.signal(signal.SIGKILL)
                command.popen.wait()
        for stray in self.orphans:
            with suppress(psutil.NoSuchProcess):
                stray.kill()


@asynccontextmanager
async def starting_processes(folder: Path) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        processes = Processes(folder, stack)
        try:
            yield processes
        finally:
            await processes.end()


@dataclass(frozen=True)
class Gates:
    """Files by which handlers in other processes signal their start and are released."""

    folder: Path

    def of(self, name: str) -> dict[str, str]:
        """Returns the parameters of a job whose gate has this name."""
        return {"folder": str(self.folder), "name": name}

    def open(self, *names: str) -> None:
        for name in names:
            (self.folder / f"{name}.open").touch()

    def begun(self, name: str) -> list[tuple[int, int]]:
        """Returns attempt and process id of each start."""
        try:
            text = (self.folder / f"{name}.begun").read_text()
        except FileNotFoundError:
            return []
        return [(int(line.split()[0]), int(line.split()[1])) for line in text.splitlines()]

    async def has_begun(self, name: str, *, times: int = 1, seconds: float = BOUND_SECONDS) -> list[tuple[int, int]]:
        async def look() -> list[tuple[int, int]]:
            begun = self.begun(name)
            return begun if len(begun) >= times else []

        found: list[tuple[int, int]] = await eventually(look, seconds=seconds)
        return found

    async def was_cancelled(self, name: str, *, seconds: float = BOUND_SECONDS) -> None:
        async def look() -> bool:
            return (self.folder / f"{name}.cancelled").exists()

        await eventually(look, seconds=seconds)


async def gone(processes: list[psutil.Process], *, seconds: float = BOUND_SECONDS) -> None:
    """Waits until all of these processes have ended; fails if one continues to run."""

    async def look() -> bool:
        return not any(map(lives, processes))

    try:
        await eventually(look, seconds=seconds)
    except TimeoutError:
        raise AssertionError(f"still alive: {list(filter(lives, processes))}") from None


def lives(process: psutil.Process) -> bool:
    """Returns whether the process runs: it has neither ended, reaped or not, nor left its id to another one."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_lives(pid: int) -> bool:
    """Returns whether a process with this id runs; it may end at any moment."""
    try:
        return lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
