"""Processes of `python -m duly` for tests, forked from one that has imported the service: see `fork_server`."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_SECONDS = 180.0


class ForkedProcess:
    """Forked process with the interface of `subprocess.Popen`."""

    def __init__(self, fork_server: "ForkServer", pid: int) -> None:
        self._fork_server = fork_server
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        return self._fork_server.codes.get(self.pid)

    def poll(self) -> int | None:
        self._fork_server.read_reports(seconds=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code, negative for a signal.

        Raises:
            TimeoutError: the process has not ended in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.returncode) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"process {self.pid} has not ended within {timeout} s")
            self._fork_server.read_reports(seconds=left)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Process from which commands are forked; it ends with this one."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        assert self._program.stdin is not None and self._program.stdout is not None
        self._orders, self._answers = self._program.stdin, self._program.stdout
        self._read = b""
        self._started: list[int] = []
        self.codes: dict[int, int] = {}

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
        stdin: Path = Path(os.devnull),
        folder: Path = ROOT,
    ) -> ForkedProcess:
        """Starts `python -m duly` with these arguments in a new session."""
        files = {"stdin": str(stdin), "stdout": str(stdout), "stderr": str(stderr), "folder": str(folder)}
        order = {"arguments": list(arguments), "environment": dict(environment), **files}
        stdout.touch()
        stderr.touch()
        self._orders.write(json.dumps(order).encode() + b"\n")
        deadline = time.monotonic() + START_SECONDS
        while not self._started:
            assert time.monotonic() < deadline, "the program that forks has not answered"
            self.read_reports(seconds=1)
        return ForkedProcess(self, self._started.pop())

    def read_reports(self, *, seconds: float | None) -> None:
        """Reads the reports of the program, waiting up to `seconds` for one; None: without a limit."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return
        piece = os.read(self._answers.fileno(), 65_536)
        assert piece, "the program that forks has ended"
        *lines, self._read = (self._read + piece).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "started" in told:
                self.codes.pop(told["started"], None)  # process ids are reused
                self._started.append(told["started"])
            else:
                self.codes[told["ended"]] = told["code"]

    def close(self) -> None:
        self._orders.close()
        with suppress(subprocess.TimeoutExpired):
            self._program.wait(10)
        self._answers.close()


@cache
def fork_server() -> ForkServer:
    """Returns the fork server of this process, started on first use."""
    made = ForkServer()
    atexit.register(made.close)
    return made


def run_forked(
    arguments: Sequence[str], *, environment: Mapping[str, str], stdin: str = "", seconds: float = 120
) -> "subprocess.CompletedProcess[str]":
    """Runs a command of `duly` and waits for its end."""
    with tempfile.TemporaryDirectory() as folder:
        source, out, err = [Path(folder) / name for name in ("in", "out", "err")]
        source.write_text(stdin)
        process = fork_server().start(arguments, environment=environment, stdin=source, stdout=out, stderr=err)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(list(arguments), code, out.read_text(), err.read_text())
