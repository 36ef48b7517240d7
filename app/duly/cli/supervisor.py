"""Supervisor of several processes behind one socket: starts them, replaces one that dies, forwards the shutdown."""

import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import structlog
from prometheus_client.multiprocess import mark_process_dead

from duly.cli.lean_imports import import_server
from duly.cli.startup import Keeper, Startup
from duly.embedded.server import EmbeddedServer
from duly.telemetry.structured_logs import configure_logs

log = structlog.stdlib.get_logger("duly.parent")

LOOK_SECONDS = 1.0
LAST_LOOK_SECONDS = 0.1
# A process that dies sooner than this after its start is replaced in a later round.
HASTE_SECONDS = 2.0


class _Child:
    """Child process with a pipe, whose end of file means that the other side has died."""

    def __init__(self, startup: Startup, listening: socket.socket) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawning.Pipe()
        self.started_at = time.monotonic()
        self.process: SpawnProcess = spawning.Process(target=_run, args=(startup, listening, theirs))
        # A terminal sends Ctrl-C to all processes: the children ignore it and are stopped by the parent. Until a child
        # ignores it, it inherits that the signal is blocked; the parent, which blocks it meanwhile, receives it then.
        resource_tracker.ensure_running()  # whose start would unblock the signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        self.ready = False

    def look(self) -> None:
        """Records whether the process has reported that it is ready."""
        try:
            if self.pipe.poll():
                self.ready = self.pipe.recv() == "ready"
        except EOFError:
            pass


def _run(startup: Startup, listening: socket.socket, pipe: Connection) -> None:
    """Runs the child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    code = import_server()(startup, listening, announce=lambda: pipe.send("ready"), parent=pipe.fileno())
    os._exit(code)  # threads of handlers that never end must not keep the process alive


def serve_many(
    startup: Startup, listening: socket.socket, *, announce: Callable[[], None], server: EmbeddedServer | None
) -> int:
    """Runs `processes` server processes until a stop signal. Returns the exit code."""
    configure_logs(startup.settings.log_format, startup.settings.log_level)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: stopping.append(caught))
    folder = tempfile.mkdtemp(prefix="duly-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read by each child: /metrics returns the sum over all of them
    try:
        return _Parent(startup, listening, server, stopping).run(announce)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Parent:
    """Parent process. `stopping` receives each stop signal; a second one ends the children without a drain."""

    def __init__(
        self, startup: Startup, listening: socket.socket, server: EmbeddedServer | None, stopping: list[int]
    ) -> None:
        self._listening = listening
        self._stopping = stopping
        self._keeper = Keeper(server) if server else None
        # The first process migrates; the others wait for it.
        silent = self._startup = replace(startup, reports=False)
        self._children = [_Child(startup, listening)]
        self._children += [_Child(silent, listening) for _ in range(startup.settings.processes - 1)]

    def run(self, announce: Callable[[], None]) -> int:
        announced = False
        while not self._stopping:
            living = [child for child in self._children if child.process.exitcode is None]
            wait([waited for child in living for waited in (child.process.sentinel, child.pipe)], LOOK_SECONDS)
            for child in self._children:
                child.look()
            if not announced and all(child.ready for child in self._children):
                announced = True
                announce()
            if not self._stopping and not self._replace_dead(announced=announced):
                self._end()
                return 1
            if self._keeper is not None:
                self._keeper.look_if_due()
        return self._end()

    def _replace_dead(self, *, announced: bool) -> bool:
        """Returns False if a process died before the service was ready: it logged why, and another would die too."""
        for place, child in enumerate(self._children):
            if child.process.exitcode is None:
                continue
            if not announced:
                return False
            if time.monotonic() - child.started_at < HASTE_SECONDS:
                continue  # replaced in a later round, so that a shutdown need not wait
            log.error("server process died and is replaced", action="process_died", code=child.process.exitcode)
            mark_process_dead(child.process.pid)  # type: ignore[no-untyped-call]  # the library's has no annotations
            self._children[place] = _Child(self._startup, self._listening)
        return True

    def _end(self) -> int:
        """Stops the children and waits as long as a drain may take. Returns the exit code."""
        for child in self._children:
            if child.process.exitcode is None:
                child.process.terminate()
        deadline = time.monotonic() + self._startup.settings.shutdown_grace_seconds + 30
        while living := [child.process for child in self._children if child.process.exitcode is None]:
            wait([process.sentinel for process in living], LAST_LOOK_SECONDS)
            if len(self._stopping) > 1 or time.monotonic() > deadline:
                for process in living:
                    process.kill()
        # A child that SIGTERM ended had not begun to serve: it stops in good order from then on.
        return int(any(child.process.exitcode not in {0, -signal.SIGTERM} for child in self._children))
