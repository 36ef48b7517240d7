"""A file system that fills under the database: what is refused says so, and nothing that was accepted is lost."""

import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support import handlers as signals
from tests.support.invariants import violations
from tests.support.postgres_servers import Server, open_folder
from tests.support.response_checks import refused
from tests.support.service import Service, eventually, running_service

SIZE = "96m"
LARGE = 150_000  # random bytes of parameters: more than the free space of pages


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a file system of its own that is small; Postgres may write there."""
    folder = open_folder()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=777", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("no file system can be mounted here: that needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
async def url_on_small_disk(embedded_server_18: Server, small_disk: Path) -> AsyncIterator[str]:
    """Returns a migrated database with its tables on a small disk; the server's log is elsewhere."""
    place = small_disk / "tables"
    place.mkdir()
    data = embedded_server_18.url_of("x").partition("host=")[2].partition("&")[0]
    shutil.chown(place, os.stat(data).st_uid, os.stat(data).st_gid)  # noqa: PTH116  # a folder of the server's user
    connection = await asyncpg.connect(embedded_server_18.url_of("postgres"))
    await connection.execute(f"create tablespace small location '{place}'")
    await connection.execute("create database on_small_disk tablespace small")
    database = Database(embedded_server_18.url_of("on_small_disk"))
    await migrate(database)
    await database.close()
    try:
        yield embedded_server_18.url_of("on_small_disk")
    finally:
        await connection.execute("drop database on_small_disk with (force)")
        await connection.execute("drop tablespace small")
        await connection.close()


def fill(disk: Path) -> Path:
    """Takes all that is free. Returns the file to remove."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    return filler


async def test_while_the_disk_is_full_it_is_said_so_and_afterwards_nothing_is_missing(
    url_on_small_disk: str, small_disk: Path
) -> None:
    signals.forget()
    async with running_service(url_on_small_disk) as service:
        running = (await service.submit("wait-for-gate", {"name": "full"}))["jobId"]
        await service.until(running, lambda view: view["status"] == "running")
        filler = fill(small_disk)

        large = {"type": "echo", "parameters": {"text": secrets.token_urlsafe(LARGE)}}
        error = refused(await service.client.post("/api/v1/jobs", json=large), 503, "DATABASE_DISK_FULL")
        assert "No space left on device" in error["details"]["reason"]
        why = refused(await service.client.get("/readyz"), 503, "NOT_READY")
        assert why["details"]["cause"] == "DATABASE_DISK_FULL"
        signals.gate("full").set()  # what ends meanwhile is recorded when there is room, if not before

        filler.unlink()
        await eventually(lambda: _ready(service))
        assert (await service.ended(running))["status"] == "completed"
        accepted = await service.client.post("/api/v1/jobs", json=large)
        assert accepted.status_code == 202, accepted.text
        assert (await service.ended(accepted.json()["jobId"]))["status"] == "completed"
    assert await violations(url_on_small_disk) == []


async def _ready(service: Service) -> bool:
    return (await service.client.get("/readyz")).status_code == 200
