"""The start of a command: what it loads, and what reaches a terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment

# Each takes longer to import than all that `--help` needs. Typer itself reads the options of a command by pydantic.
HEAVY = {"asyncpg", "fastapi", "httpx", "matplotlib", "numpy", "rich", "sqlalchemy", "structlog"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [("--help", HEAVY | {"pydantic"}), ("submit --help", HEAVY), ("keys create --help", HEAVY)],
)
def test_help_loads_no_heavy_package(arguments: str, heavy: set[str]) -> None:
    program = (
        "import atexit, sys; from duly.__main__ import main; "
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)); main()"
    )
    command = [sys.executable, "-c", program, *arguments.split()]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment())
    assert "Usage: " in done.stdout
    assert "typer" in done.stderr.split() and heavy & set(done.stderr.split()) == set()


def test_a_service_starts_without_a_warning(started: tuple[str, str, Path]) -> None:
    _, until_ready, written = started
    assert until_ready == ""
    assert "Warning" not in written.read_text()  # errors of a slow machine may be logged later


# Each loads other packages.
@pytest.mark.parametrize(
    "command", ["queues list", "top --once", "types --lang py", "outbox-ddl sqlite", "relay --help", "secrets new-key"]
)
def test_a_command_shows_no_warning_of_a_library(url: str, command: str) -> None:
    assert stderr_of(command, DULY_URL=url) == ""


@pytest.mark.parametrize("command", ["doctor", "tenants list"])
async def test_a_command_on_the_database_shows_no_warning_of_a_library(database_url: str, command: str) -> None:
    assert stderr_of(command, DULY_DATABASE_URL=database_url) == ""


def stderr_of(command: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-m", "duly", *command.split()],
        capture_output=True,
        text=True,
        check=True,
        env=environment(**settings),
    )
    assert done.stdout
    return done.stderr
