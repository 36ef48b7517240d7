"""The service as a child process of the demo."""

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
# The first start creates the database and the font cache of matplotlib, which can take long on a small machine.
_START_SECONDS = 90.0
_STOP_SECONDS = 40.0
_KEPT_SETTINGS = frozenset({"DULY_DEMO_OUTPUT", "DULY_LOG_FORMAT", "DULY_SHUTDOWN_GRACE_SECONDS"})
_SHOWN_LINES = 15


class ServiceFailed(Exception):
    """Failure to start the service. `output` contains its last lines on standard error."""

    def __init__(self, message: str, *, output: str) -> None:
        super().__init__(message)
        self.output = output


@contextmanager
def running(*, data_dir: Path, output: Path) -> Iterator[str]:
    """Yields the URL of a service with its own database, and stops it when the block ends."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command, without external input
            [sys.executable, "-m", "duly", *COMMAND],
            env=_environment(os.environ, data_dir=data_dir, output=output),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,  # so that Ctrl-C reaches the demo only, which then stops the service
        )
        try:
            yield _address(process, errors=errors)
        finally:
            _stop(process)


def _environment(outer: Mapping[str, str], *, data_dir: Path, output: Path) -> dict[str, str]:
    """Returns the environment without the settings of the user's own service, whose database the demo must not use."""
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
    """Reads all output, so that a full pipe never blocks the service."""
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
