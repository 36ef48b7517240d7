"""Program that `benchmark_run` starts: the benchmark, whose services are forked from a process with all imports.

Importing takes longer than measuring a row of the smallest size.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import benchmarks.__main__
from benchmarks import processes
from benchmarks.contestants import DULY
from tests.support.forked_commands import ForkedProcess, fork_server


class Forked(ForkedProcess):
    """Forked process with the members of `subprocess.Popen` that the benchmark uses."""

    args: Sequence[str] = ()

    def wait(self, timeout: float | None = None) -> int:
        try:
            return super().wait(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0) from None


def launch(
    afresh: Any, command: Sequence[str], *, environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes] | Forked":
    """Forks `duly`, and starts any other program with `afresh`."""
    if command[0] != str(DULY):
        started: subprocess.Popen[bytes] = afresh(command, environment=environment, log=log)
        return started
    log.write_bytes(b"")  # the port of an earlier service on this database is not this one's
    server = fork_server()
    forked = Forked(server, server.start(command[1:], environment=environment, stdout=log, stderr=log).pid)
    forked.args = command
    return forked


if __name__ == "__main__":
    setattr(processes, "launch", partial(launch, processes.launch))  # noqa: B010
    sys.exit(benchmarks.__main__.main(sys.argv[1:]))
