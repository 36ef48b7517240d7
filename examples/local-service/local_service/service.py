"""Starts, stops and kills the service."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from duly.embedded.server import embedded_server
from local_service.ports import free_port

DATABASE_VARIABLE = "EXAMPLES_DATABASE_URL"
_READY = "Duly is ready on "
_START_SECONDS = 120.0
_STOP_SECONDS = 40.0


class LocalService:
    """Service in a process group of its own. `url` stays the same when it is started again."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, *, database_url: str) -> None:
        self.url = ""
        self.database_url = database_url
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process ID of the service."""
        assert self._process is not None, "the service was never started"
        return self._process.pid

    def start(self) -> None:
        """Starts the service and waits until it is ready.

        Raises:
            RuntimeError: the service ended, or was not ready in time; the message has the end of its log.
        """
        port = self.url.rsplit(":", 1)[-1] or str(free_port())
        shown = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._command, "--port", port],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # so that Ctrl-C reaches the example only, which then stops the service
            )
        self.url = self._address(after=shown)

    def stop(self) -> None:
        """Stops the service as a deployment does: running jobs return to their queue."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kills all processes of the service at once, as a loss of the machine does."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        if number == signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _address(self, *, after: int) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            text = self.log.read_bytes()[after:].decode("utf-8", errors="replace")
            for line in text.splitlines(keepends=True):
                if line.startswith(_READY) and line.endswith("\n"):
                    return line.split()[-1]
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("The service did not start:\n" + "\n".join(text.splitlines()[-15:]))
            time.sleep(0.02)


@contextmanager
def running(*handlers: str, processes: int = 1, slots: int = 100, **settings: str) -> Iterator[LocalService]:
    """Runs a service until the block ends, with an empty database.

    Args:
        handlers: modules with handlers.
        processes: number of server processes.
        slots: number of jobs that run at once in each process.
        settings: further environment variables of the service, such as `DULY_LEASE_SECONDS="5"`. `{database_url}` in
            them is the URL of the database. `DULY_PORT` is the port; without it, a free one is chosen.

    Raises:
        RuntimeError: the service did not start.
    """
    # An example that is terminated stops its service too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="duly-example-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user if the example runs as root
        given = os.environ.get(DATABASE_VARIABLE)
        # The same embedded server that the service uses: it outlives a killed service.
        with nullcontext() if given else embedded_server(folder) as server:
            url = given or (server.url if server else "")
            command = [sys.executable, "-m", "duly", "serve"]
            command += ["--processes", str(processes), "--slots", str(slots)]
            command += [argument for module in handlers for argument in ("--handlers", module)]
            command += ["--migrate"] if given else []
            environment = _environment(folder, database_url=given)
            environment |= {name: value.replace("{database_url}", url) for name, value in settings.items()}
            service = LocalService(command, environment, folder / "service.log", database_url=url)
            service.url = f"http://127.0.0.1:{settings['DULY_PORT']}" if "DULY_PORT" in settings else ""
            try:
                service.start()
                yield service
            finally:
                service.stop()


def _environment(folder: Path, *, database_url: str | None) -> dict[str, str]:
    """Returns the environment without the settings of the user's own service."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    ours = {"DULY_DATA_DIR": str(folder), "DULY_LOG_LEVEL": "warning", "PYTHONUNBUFFERED": "1"}
    if database_url:
        ours["DULY_DATABASE_URL"] = database_url
        ours |= {name: value for name, value in os.environ.items() if name == "DULY_SECRET_KEYS"}
    return outer | ours
