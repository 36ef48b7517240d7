"""Services that are killed at a chosen fault point, one at a time: see `fault_points`."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.forked_commands import ROOT
from tests.support.service import SECRET_KEYS, eventually

# Bound of each wait, which only ends a hang: a busy machine may take a minute for the imports.
BOUND_SECONDS = 240.0


@dataclass
class FaultPointService:
    """Service in its own process with a chosen fault point."""

    pid: int
    log: Path
    notes: Path
    _ended: asyncio.Future[int]

    @property
    def passed(self) -> list[str]:
        """Returns the points that the service has passed, each with the number of the pass."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    async def ended(self) -> int:
        """Returns the exit code, negative for a signal."""
        return await asyncio.wait_for(asyncio.shield(self._ended), BOUND_SECONDS)

    def stop(self) -> None:
        """Requests a graceful shutdown."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    async def passes(self, place: str) -> None:
        """Waits until the service has passed a point whose name contains this, or has ended."""

        async def look() -> bool:
            return not self.alive or any(place in point for point in self.passed)

        await eventually(look, seconds=BOUND_SECONDS)


@dataclass
class FaultPointServices:
    """Process from which the services are forked."""

    program: asyncio.subprocess.Process
    folder: Path
    started: int = 0
    under_way: FaultPointService | None = None

    async def start(self, database_url: str, *, dies_at: str = "", **variables: str) -> FaultPointService:
        """Starts the next service with these settings. The previous one must have ended."""
        self.started += 1
        log, notes = (self.folder / f"service-{self.started}.{name}" for name in ("log", "notes"))
        environment = {
            "DULY_DATABASE_URL": database_url,
            "DULY_WEBHOOK_SECRET": "whsec_dGVzdA==",
            "DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "DULY_SHUTDOWN_GRACE_SECONDS": "5",
            "FAULT_POINT": dies_at,
            "FAULT_NOTES": str(notes),
            **variables,
        }
        self._say({"environment": environment, "log": str(log)})
        pid = int(await self._line())
        ended = asyncio.ensure_future(self._exit_code())
        self.under_way = FaultPointService(pid, log, notes, ended)
        return self.under_way

    def _say(self, order: dict[str, object]) -> None:
        assert self.program.stdin is not None
        self.program.stdin.write(json.dumps(order).encode() + b"\n")

    async def _line(self) -> bytes:
        assert self.program.stdout is not None
        line = await asyncio.wait_for(self.program.stdout.readline(), BOUND_SECONDS)
        assert line, "the program that forks services has ended"
        return line

    async def _exit_code(self) -> int:
        assert self.program.stdout is not None
        return int(await self.program.stdout.readline())


@asynccontextmanager
async def fault_point_services(folder: Path) -> AsyncIterator[FaultPointServices]:
    """Yields the parent process; ends all services after the block."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    with (folder / "program.err").open("wb") as errors:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.fault_point_program"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=variables | {"FAULT_KEYS": SECRET_KEYS},
        )
    services = FaultPointServices(program, folder)
    try:
        await services._line()  # its imports are complete
        yield services
    finally:
        if services.under_way is not None and services.under_way.alive:
            os.kill(services.under_way.pid, signal.SIGKILL)
            await services.under_way.ended()
        assert program.stdin is not None
        program.stdin.close()
        await program.wait()
