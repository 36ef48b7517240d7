"""The backend as a process of its own on this machine."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Self

START_SECONDS = 120
STOP_SECONDS = 10


class Backend:
    """Backend at `url`: a context manager that starts it, waits until it responds, and stops it."""

    def __init__(self, url: str, variables: Mapping[str, str]) -> None:
        self.url = url
        self._variables = os.environ | dict(variables)

    def __enter__(self) -> Self:
        options = ["--port", self.url.rpartition(":")[2], "--log-level", "error"]
        # Without a limit, uvicorn waits for the end of all event streams before it stops.
        options += ["--timeout-graceful-shutdown", "2"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "web_backend.app:app", *options],
            env=self._variables,
            process_group=0,  # so that Ctrl-C reaches the example only, which then stops the backend
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._responds():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise SystemExit(f"The backend did not start at {self.url}.")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _responds(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False
