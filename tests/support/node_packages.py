"""Programs of other languages, if installed, and npm packages at their locked versions."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import pytest

NODE: Final = "Node.js 18 or newer is not on this machine: apt-get install nodejs npm, or https://nodejs.org"
# Required by the published EventSource clients and the tools for OpenAPI.
NODE_20: Final = "Node.js 20.18 or newer is not on this machine: https://nodejs.org"
_LOCKED: Final = Path(__file__).parent / "node"
_OLDEST_FOR_CLIENTS: Final = (20, 18)
# A registry that does not respond fails the test instead of blocking it.
_IMPATIENT: Final = ("--fetch-timeout=60000", "--fetch-retries=3", "--fetch-retry-mintimeout=1000")


def program(file: str, otherwise: str, *, name: str | None = None) -> str:
    """Returns the path of `file`.

    Without it, the test is skipped, or fails if `TESTS_REQUIRE` contains it or `name` (`node,npm,chromium`).
    """
    found = shutil.which(file)
    if found is None:
        missing(name or file, otherwise)
    return found


def missing(name: str, otherwise: str) -> NoReturn:
    """Skips the test, or fails it if `TESTS_REQUIRE` contains this name."""
    if name in os.environ.get("TESTS_REQUIRE", "").split(","):
        pytest.fail(otherwise)
    pytest.skip(otherwise)


def node() -> str:
    return program("node", NODE)


def node_20() -> str:
    """Returns a Node.js that is new enough for the packages in `eventsource/` and `openapi/`."""
    found = node()
    done = subprocess.run([found, "--version"], check=True, capture_output=True, text=True, timeout=120)
    version = tuple(int(part) for part in done.stdout.strip().removeprefix("v").split(".")[:2])
    if version < _OLDEST_FOR_CLIENTS:
        missing("node20", NODE_20)
    return found


def node_packages(config: pytest.Config, locked: Path = _LOCKED) -> Path:
    """Installs the packages of the lock in `locked` with npm, which verifies them, and returns their folder.

    They are kept in pytest's cache, in a folder named after the lock.
    """
    lock = (locked / "package-lock.json").read_bytes()
    # ECMAScript modules are resolved only in folders of this name.
    kept = config.cache.mkdir("node-packages") / hashlib.sha256(lock).hexdigest()[:16] / "node_modules"
    if not kept.is_dir():
        _install(kept, locked)
    return kept


def _install(kept: Path, locked: Path) -> None:
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as making:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(locked / name, making)
        done = subprocess.run(
            [program("npm", NODE), "ci", "--ignore-scripts", "--no-audit", "--no-fund", *_IMPATIENT],
            cwd=making,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,  # for a busy machine; a registry that is silent ends it sooner
        )
        if done.returncode:
            missing("npm", f"npm could not install the packages of {locked.name}/ from its registry:\n{done.stderr}")
        # Another worker of the same run may have created the same folder already.
        with suppress(OSError):
            Path(making, "node_modules").rename(kept)
