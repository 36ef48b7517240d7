"""Environments of Python with packages that are not among ours, at their locked versions."""

import hashlib
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.node_packages import missing

_BOUND_SECONDS: Final = 250.0


def locked_python(config: pytest.Config, locked: Path, interpreter: Path = Path(sys.executable)) -> Path:
    """Returns the interpreter of an environment with the packages of `requirements.txt` in `locked`.

    It is kept in pytest's cache, in a folder named after the lock.
    """
    lock = (locked / "requirements.txt").read_bytes()
    kept = config.cache.mkdir("python-environments") / hashlib.sha256(lock).hexdigest()[:16]
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(dir=kept.parent) as making:
            _install(Path(making), locked, interpreter)
            # Another worker of the same run may have created the same folder already.
            with suppress(OSError):
                Path(making, "environment").rename(kept)
    return kept / "bin" / "python"


def _install(making: Path, locked: Path, interpreter: Path) -> None:
    uv, environment = str(Path(sys.executable).with_name("uv")), str(making / "environment")
    for command in (
        ("venv", "--quiet", "--relocatable", "--python", str(interpreter), environment),
        (
            "pip",
            "install",
            "--quiet",
            "--python",
            environment,
            "--require-hashes",
            "-r",
            str(locked / "requirements.txt"),
        ),
    ):
        done = subprocess.run([uv, *command], check=False, capture_output=True, text=True, timeout=_BOUND_SECONDS)
        if done.returncode:
            wanted = f"The packages of tests/support/{locked.name}/requirements.txt"
            missing("pypi", f"{wanted} could not be installed from the package index:\n{done.stderr}")
