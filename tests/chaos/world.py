"""World of a chaos run: its services, which may be started by other programs, its database and its receiver."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Final

from duly.settings import Settings
from tests.chaos.database import ChaosDatabase, Proxy
from tests.chaos.facts import Moment
from tests.chaos.traffic import ChaosReceiver
from tests.support.forked_commands import ROOT
from tests.support.service import eventually
from tests.support.service_process import READY, Command, Processes

LEASE_SECONDS: Final[float] = Settings.model_fields["lease_seconds"].default
GRACE_SECONDS = 1
STARTS = 20
# On a slow machine, a start that waits for a stalled database takes minutes.
READY_SECONDS = 300.0


@dataclass(frozen=True)
class Program:
    """Way to start `duly`: arguments of Python, folders of packages that go before the installed ones, environment."""

    arguments: tuple[str, ...] = ("-m", "duly")
    packages: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def start(self, arguments: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Starts it as `Processes.run_as` requires."""
        packages = {"PYTHONPATH": os.pathsep.join(map(str, (*self.packages, ROOT)))}
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, *self.arguments, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env=environment | packages | dict(self.environment),
                start_new_session=True,
            )


@dataclass
class Member:
    """Service of the run. `lock` is held by the fault that harms it; None as its program means a forked process."""

    name: str
    port: int
    roles: tuple[str, ...]
    proxy: Proxy
    program: Program | None = None
    command: Command | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> Command:
        assert self.command is not None, f"{self.name} was not started"
        return self.command


@dataclass
class World:
    """Services, database and receiver that faults may harm.

    Attributes:
        usual: program of the services outside of faults; None: forked processes, which start sooner.
        previous: folder with the tree of the previous commit; None without the history.
    """

    database: ChaosDatabase
    processes: Processes
    members: list[Member]
    receiver: ChaosReceiver
    lines: Path
    random: random.Random
    usual: Program | None = None
    previous: Path | None = None
    kills: int = 0
    moments: list[Moment] = field(default_factory=list)
    restarting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note(self, what: str) -> None:
        self.moments.append(Moment(what, datetime.now(UTC)))

    def begin(self, member: Member, program: Program | None = None) -> None:
        """Starts a service, by its usual program or another, without waiting for it."""
        member.program = program or self.usual
        arguments = ["serve", "--port", str(member.port)]
        arguments += [argument for role in member.roles for argument in ("--role", role)]
        environment = {
            "DULY_DATABASE_URL": member.proxy.url,
            "DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "DULY_WEBHOOK_RETRY_SECONDS": ",".join(["1"] * 100),
            "DULY_HANDLERS": "tests.chaos.handlers",
            "DULY_LEASE_SECONDS": str(LEASE_SECONDS),
            "DULY_SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
            "CHAOS_LINES": str(self.lines),
        }
        if member.program is None:
            member.command = self.processes.run(*arguments, **environment)
        else:
            member.command = self.processes.run_as(member.program.start, *arguments, **environment)

    async def ready(self, member: Member) -> None:
        """Waits until a service is ready, and starts it again if it gave up meanwhile."""
        for _ in range(STARTS):
            command = member.running

            async def decided(command: Command = command) -> bool:
                return command.popen.poll() is not None or READY.search(command.stdout) is not None

            await eventually(decided, seconds=READY_SECONDS)
            if command.popen.returncode is None:
                return
            print(f"      {member.name} ended with {command.popen.returncode}: {command.stderr[-500:]}", flush=True)
            self.begin(member)
        raise AssertionError(f"{member.name} did not start {STARTS} times in a row")

    @asynccontextmanager
    async def one_member(self, *, role: str = "") -> AsyncIterator[Member]:
        """Yields a service that no other fault harms meanwhile; afterwards it is ready, in its usual form."""
        members = [each for each in self.members if not role or role in each.roles]
        member = self.random.choice([each for each in members if not each.lock.locked()] or members)
        async with member.lock:
            yield member
            if member.program is not self.usual and member.running.popen.poll() is None:
                await self.stop(member)
            if member.running.popen.poll() is not None:
                self.begin(member)
            await self.ready(member)

    async def stop(self, member: Member) -> None:
        """Stops a service in order."""
        member.running.signal(15)
        await member.running.ended(seconds=READY_SECONDS)

    async def kill(self, member: Member) -> None:
        self.processes.note_descendants()
        member.running.signal(SIGKILL)
        await member.running.ended()
        self.kills += 1

    async def all_ready(self) -> None:
        """Waits for each service that no fault is harming."""
        for member in self.members:
            async with member.lock:
                await self.ready(member)
