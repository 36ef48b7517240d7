"""Runs the service as a child process for the length of the demo."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO

COMMAND = ("serve", "--port", "0", "--handlers", "duly.demo.report")
_READY = "Duly is ready on "
# A first start makes the database and, with matplotlib's font cache, may take a while on a small machine.
_START_SECONDS = 90.0
_STOP_SECONDS = 40.0
_KEPT_SETTINGS = frozenset({"DULY_DEMO_OUTPUT", "DULY_LOG_FORMAT", "DULY_SHUTDOWN_GRACE_SECONDS"})
_SHOWN_LINES = 15


class ServiceFailed(Exception):
    """The service did not start; `output` holds the last lines that it wrote to standard error."""

    def __init__(self, message: str, *, output: str) -> None:
        super().__init__(message)
        self.output = output


@contextmanager
def running(*, data_dir: Path, output: Path) -> Iterator[str]:
    """The address of a service on a database of its own; it is stopped when the block ends, however it ends."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command, no text from outside in it
            [sys.executable, "-m", "duly", *COMMAND],
            env=_environment(os.environ, data_dir=data_dir, output=output),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,  # so that Ctrl-C reaches the demo alone, which then stops it in order
        )
        try:
            yield _address(process, errors=errors)
        finally:
            _stop(process)


def _environment(outer: Mapping[str, str], *, data_dir: Path, output: Path) -> dict[str, str]:
    """The environment without the settings of a service of the user's own, whose database the demo must not touch."""
    kept = {name: value for name, value in outer.items() if not name.startswith("DULY_") or name in _KEPT_SETTINGS}
    return (
        {"MPLCONFIGDIR": str(data_dir / "matplotlib"), "DULY_LOG_LEVEL": "warning"}
        | kept
        | {
            "DULY_DATA_DIR": str(data_dir),
            "DULY_DEMO_OUTPUT": str(output),
            "DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        }
    )


def _address(process: subprocess.Popen[str], *, errors: IO[bytes]) -> str:
    lines: queue.Queue[str | None] = queue.Queue()
    Thread(target=_read_into, args=(process.stdout, lines), name="service's output", daemon=True).start()
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise ServiceFailed(
                f"the service was not ready within {_START_SECONDS:g} s", output=_tail(errors)
            ) from None
        if line is None:
            raise ServiceFailed(f"the service ended with exit code {process.wait()}", output=_tail(errors))
        if line.startswith(_READY):
            return line.split()[-1]


def _read_into(output: IO[str], lines: queue.Queue[str | None]) -> None:
    """Read to the end, so that a full pipe never holds the service up."""
    with output:
        for line in output:
            lines.put(line)
    lines.put(None)


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_SHOWN_LINES:])


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
