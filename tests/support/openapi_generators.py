"""Published generators and linters at their locked versions, run on the document of a running service."""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.node_packages import missing, node_packages

LOCKED: Final = Path(__file__).parent / "openapi"
PYPI: Final = "The packages of tests/support/openapi/requirements.txt could not be installed from the package index"
BOUND_SECONDS: Final = 100.0
# Without telemetry and without a check for newer versions.
QUIET: Final = {"CI": "true", "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def commands(config: pytest.Config) -> Path:
    """Returns the folder with the commands of the npm packages."""
    return node_packages(config, LOCKED) / ".bin"


def python_of_generator(config: pytest.Config) -> Path:
    """Returns the interpreter of an environment with openapi-python-client, whose dependencies conflict with ours.

    It is kept in pytest's cache, in a folder named after the lock.
    """
    lock = (LOCKED / "requirements.txt").read_bytes()
    kept = config.cache.mkdir("python-environments") / hashlib.sha256(lock).hexdigest()[:16]
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(dir=kept.parent) as making:
            _install(Path(making))
            # Another worker of the same run may have created the same folder already.
            with suppress(OSError):
                Path(making, "environment").rename(kept)
    return kept / "bin" / "python"


def _install(making: Path) -> None:
    uv, environment = str(Path(sys.executable).with_name("uv")), str(making / "environment")
    requirements = ("--require-hashes", "-r", str(LOCKED / "requirements.txt"))
    for command in (
        ("venv", "--quiet", "--relocatable", "--python", sys.executable, environment),
        ("pip", "install", "--quiet", "--python", environment, *requirements),
    ):
        done = subprocess.run([uv, *command], check=False, capture_output=True, text=True, timeout=BOUND_SECONDS)
        if done.returncode:
            missing("pypi", f"{PYPI}:\n{done.stderr}")


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
