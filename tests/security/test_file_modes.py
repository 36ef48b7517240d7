"""Files of the service: what it writes is its own user's with any umask, and the rest may be read-only."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from pathlib import Path

import httpx
import pytest

from tests.support.service import NO_TLS, eventually
from tests.support.service_process import Processes, starting_processes

NOBODY = 65534
OTHERS = 0o077
NO_UMASK = ("/bin/sh", "-c", 'umask 000; exec "$@"', "sh")
# A file system of its own, which can be written to below a read-only root.
SHARED = Path("/dev/shm")  # noqa: S108  # folders of the tests' own


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write to."""
    with tempfile.TemporaryDirectory(prefix="duly-modes-", dir=SHARED if SHARED.is_dir() else None) as name:
        Path(name).chmod(0o777)
        yield Path(name)


def without_umask(arguments: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return _begun(NO_UMASK, arguments, files, environment)


def confined(arguments: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return _begun([*NO_UMASK, *_confined()], arguments, files, environment, cwd="/")


def _begun(
    wrapper: Sequence[str], arguments: Sequence[str], files: Path, environment: dict[str, str], cwd: str | None = None
) -> "subprocess.Popen[bytes]":
    made = {"DULY_SECRET_KEYS", "DULY_WEBHOOK_SECRET"}  # by the service itself
    environment = {name: value for name, value in environment.items() if name not in made}
    with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
        return subprocess.Popen(
            [*wrapper, sys.executable, "-m", "duly", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=cwd,
        )


@cache
def _confined() -> tuple[str, ...]:
    """Returns the command that runs another as user 65534, with a read-only root where the machine allows it.

    Nothing for a user who has no rights anyway.
    """
    if os.geteuid() != 0:
        return ()
    drop = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs", "--")
    mounted = ("unshare", "--mount", "--", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh")
    if shutil.which("setpriv") is None or not _can_run((*drop, sys.executable, "-c", "import duly.node")):
        pytest.skip("as root, this needs setpriv and a Python that every user may run")
    return (*mounted, *drop) if shutil.which("unshare") and _can_run((*mounted, "true")) else drop


def _can_run(command: Sequence[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True, cwd="/").returncode == 0


def modes_below(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


async def test_without_a_umask_keys_and_their_folder_are_the_owner_s(
    database_url: str, processes: Processes, open_folder: Path
) -> None:
    data = open_folder / "data"
    variables = {"DULY_DATABASE_URL": database_url, "DULY_DATA_DIR": str(data)}
    command = processes.run_as(without_umask, "serve", "--port", "0", **variables)
    await command.address()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    modes = modes_below(data)
    assert modes == {"secret-keys": 0o600, "webhook-secret": 0o600}


async def test_the_service_runs_without_rights_where_only_its_data_folder_can_be_written(
    processes: Processes, open_folder: Path
) -> None:
    data, temporary = open_folder / "data", open_folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o777)
    variables = {"DULY_DATA_DIR": str(data), "HOME": "/", "TMPDIR": str(temporary)}
    command = processes.run_as(confined, "serve", "--port", "0", **variables)
    async with httpx.AsyncClient(base_url=await command.address(), timeout=60, verify=NO_TLS) as client:
        lines = b'{"type":"echo","parameters":1}\n' * 3
        headers = {"Content-Type": "application/x-ndjson"}
        batch = (await client.post("/api/v1/jobs/batch", content=lines, headers=headers)).json()

        async def completed() -> bool:
            view = (await client.get(f"/api/v1/batches/{batch['batchId']}")).json()
            return bool(view["completed"] == 3)

        assert await eventually(completed)
    check_modes_with_the_embedded_database(data)
    command.signal(signal.SIGTERM)
    assert await command.ended() == 0, command.stderr
    assert list(temporary.iterdir()) == []


def check_modes_with_the_embedded_database(data: Path) -> None:
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "postgres").stat().st_mode) == 0o700
    assert stat.S_ISSOCK((data / "postgres" / ".s.PGSQL.5432").stat().st_mode)
    outside = {name: mode for name, mode in modes_below(data).items() if not name.startswith("postgres/")}
    assert {name for name, mode in outside.items() if mode & OTHERS} == set()
    assert outside.keys() >= {"locks", "secret-keys", "webhook-secret"}
