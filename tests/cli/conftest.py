"""A real service for the commands to speak to, and the `duly` command as its users run it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forked_commands import run_forked
from tests.support.postgres_servers import place_of_servers

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "duly"]


def environment(**settings: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DULY_")} | settings


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="duly-test-", dir=place_of_servers()) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--data-dir", folder],
            env=environment(DULY_LOG_LEVEL="error"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as output:
            try:
                yield output.readline().split()[-1]
            finally:
                process.terminate()
                process.wait(60)


@pytest.fixture
def duly(url: str) -> Run:
    """Runs a command to its end, by default against the service."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return run_forked(arguments, environment=environment(**({"DULY_URL": url} | settings)), stdin=stdin)

    return run
