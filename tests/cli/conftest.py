"""A real service for the commands to speak to, and the `duly` command as its users run it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.forked_commands import run_forked
from tests.support.postgres_servers import place_of_servers

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "duly"]


def environment(**settings: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DULY_")} | settings


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets processes that are started in it be interrupted.

    A shell lets its background jobs ignore SIGINT, which their children inherit.
    """
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.fixture(scope="session")
def started() -> Iterator[tuple[str, str, Path]]:
    """The URL of a service, what it wrote to standard error until it was ready, warnings of libraries included, and the
    file with what it has written since.
    """
    with tempfile.TemporaryDirectory(prefix="duly-test-", dir=place_of_servers()) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        written = Path(folder) / "written"
        with written.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-W", "always", *COMMAND[1:], "serve", "--port", "0", "--data-dir", folder],
                env=environment(DULY_LOG_LEVEL="error"),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        with process.stdout as output:
            try:
                yield output.readline().split()[-1], written.read_text(), written
            finally:
                process.terminate()
                process.wait(60)


@pytest.fixture(scope="session")
def url(started: tuple[str, str, Path]) -> str:
    return started[0]


@pytest.fixture
def duly(url: str) -> Run:
    """Runs a command to its end, by default against the service."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return run_forked(arguments, environment=environment(**({"DULY_URL": url} | settings)), stdin=stdin)

    return run
