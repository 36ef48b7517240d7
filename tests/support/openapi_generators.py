"""Published generators and linters at their locked versions, run on the document of a running service."""

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from tests.support.locked_python import locked_python
from tests.support.node_packages import node_packages

LOCKED: Final = Path(__file__).parent / "openapi"
BOUND_SECONDS: Final = 300.0
# Without telemetry and without a check for newer versions.
QUIET: Final = {"CI": "true", "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def commands(config: pytest.Config) -> Path:
    """Returns the folder with the commands of the npm packages."""
    return node_packages(config, LOCKED) / ".bin"


def python_of_generator(config: pytest.Config) -> Path:
    """Returns the interpreter of an environment with openapi-python-client, whose dependencies conflict with ours."""
    return locked_python(config, LOCKED)


async def run(*command: str | Path, cwd: Path) -> str:
    """Runs a program, which must succeed, and returns its output."""
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=os.environ | QUIET,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            printed, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    text = printed.decode(errors="replace")
    assert running.returncode == 0, text[-6000:]
    return text
