"""Child process that reads and prints lines; every wait for a line has a time limit."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, ContestantFailed, last_error_line

MARK = re.compile(r"(started|sent) (\d+) (\d+)$")
LARGEST_READ = 65_536
KILL_SECONDS = 10.0


@dataclass(slots=True)
class LineProcess:
    """Process and its output that was not yet read."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    _received: bytes = field(default=b"")

    @property
    def pid(self) -> int:
        return self.process.pid

    def send_line(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            os.write(self.process.stdin.fileno(), f"{line}\n".encode())
        except BrokenPipeError as error:
            raise ContestantFailed(f"{self.name} ended: {last_error_line(self.log)}") from error

    def line(self, within_seconds: float) -> str | None:
        """Returns the next line, or None if none arrives in time. Raises ContestantFailed if the process has ended."""
        assert self.process.stdout is not None
        until = time.perf_counter() + within_seconds
        while b"\n" not in self._received:
            left = max(0.0, until - time.perf_counter())
            if not select.select([self.process.stdout], [], [], left)[0]:
                return None
            more = os.read(self.process.stdout.fileno(), LARGEST_READ)
            if not more:
                raise ContestantFailed(f"{self.name} ended: {last_error_line(self.log)}")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace").rstrip()

    def read_mark(self, word: str, *, within_seconds: float) -> tuple[int, int] | None:
        """Returns index and nanoseconds of the next such line and skips other output; None if none arrives in time."""
        until = time.perf_counter() + within_seconds
        while (line := self.line(until - time.perf_counter())) is not None:
            if (found := MARK.fullmatch(line)) and found[1] == word:
                return int(found[2]), int(found[3])
        return None

    def outcome(self, *, within_seconds: float) -> dict[str, Any]:
        """Returns the result that a task prints at its end. Raises ContestantFailed if it does not arrive in time."""
        until = time.perf_counter() + within_seconds
        while (line := self.line(until - time.perf_counter())) is not None:
            if line.startswith('{"jobs"'):
                outcome: dict[str, Any] = json.loads(line)
                return outcome
        raise ContestantFailed(f"{self.name} did not end within {within_seconds:g} s: {last_error_line(self.log)}")

    def wait(self, *, within_seconds: float) -> None:
        """Waits for the end of the process. Raises ContestantFailed if it fails or does not end in time."""
        try:
            code = self.process.wait(within_seconds)
        except subprocess.TimeoutExpired as error:
            raise ContestantFailed(f"{self.name} did not end within {within_seconds:g} s") from error
        if code != 0:
            raise ContestantFailed(f"{self.name} ended with {code}: {last_error_line(self.log)}")


@contextlib.contextmanager
def run_line_process(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path
) -> Iterator[LineProcess]:
    """Runs the process for the length of the block and writes its stderr to the log.

    At the end, its process group is killed: no output is needed any longer, and some peers stop slowly.
    """
    process = _begun(name, command, environment=environment, log=log)
    try:
        yield LineProcess(name, process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(KILL_SECONDS)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _begun(name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as errors:
        try:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise ContestantFailed(f"{name} could not be started: {error}") from error
