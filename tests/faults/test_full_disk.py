"""A file system that fills under the database: what is refused says so, and nothing that was accepted is lost."""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import pytest

from duly.store.postgres.database import Database
from duly.store.schema.migrations import migrate
from tests.support import handlers as signals
from tests.support.invariants import violations
from tests.support.postgres_servers import Server, open_folder
from tests.support.response_checks import refused
from tests.support.service import Service, eventually, running_service
from tests.support.small_file_system import PAGE_BYTES, mounted_tmpfs

SIZE = "96m"
LARGE = 150_000  # random bytes of parameters: more than the free space of pages


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a file system of its own that is small; Postgres may write there."""
    folder = open_folder()
    try:
        with mounted_tmpfs(folder, size=SIZE) as mounted:
            if not mounted:
                pytest.skip("no file system can be mounted here: that needs root and the right to mount")
            yield folder
    finally:
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


def fill(disk: Path) -> None:
    """Takes all that is free, in a file of its own. Postgres may take a part of it meanwhile."""
    with tempfile.NamedTemporaryFile("wb", prefix="filler-", dir=disk, delete=False) as file:
        while blocks := os.statvfs(disk).f_bavail:
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size + blocks * PAGE_BYTES)
                return


async def test_while_the_disk_is_full_it_is_said_so_and_afterwards_nothing_is_missing(
    url_on_small_disk: str, small_disk: Path
) -> None:
    signals.forget()
    async with running_service(url_on_small_disk) as service:
        running = (await service.submit("wait-for-gate", {"name": "full"}))["jobId"]
        await service.until(running, lambda view: view["status"] == "running")
        fill(small_disk)

        large = {"type": "echo", "parameters": {"text": secrets.token_urlsafe(LARGE)}}
        answer = await eventually(lambda: _refusal_of(service, large, small_disk))
        error = refused(answer, 503, "DATABASE_DISK_FULL")
        # The second where a connection was refused because its session could write no file.
        reasons = ("No space left on device", "The disk of the database is full.")
        assert any(reason in error["details"]["reason"] for reason in reasons)
        why = refused(await eventually(lambda: _not_ready(service, small_disk)), 503, "NOT_READY")
        assert why["details"]["cause"] == "DATABASE_DISK_FULL"
        signals.gate("full").set()  # what ends meanwhile is recorded when there is room, if not before

        for filler in small_disk.glob("filler-*"):
            filler.unlink()
        await eventually(service.is_ready)
        assert (await service.ended(running))["status"] == "completed"
        accepted = await service.client.post("/api/v1/jobs", json=large)
        assert accepted.status_code == 202, accepted.text
        assert (await service.ended(accepted.json()["jobId"]))["status"] == "completed"
    assert await violations(url_on_small_disk) == []


async def _refusal_of(service: Service, submission: object, disk: Path) -> httpx.Response | None:
    """Returns the refusal. Postgres may find room that it had not given back yet: it is taken again."""
    answer = await service.client.post("/api/v1/jobs", json=submission)
    if answer.status_code == 503:
        return answer
    fill(disk)
    return None


async def _not_ready(service: Service, disk: Path) -> httpx.Response | None:
    """Returns the refusal. Postgres gives back the space of a file that it could not write whole: it is taken again."""
    fill(disk)
    answer = await service.client.get("/readyz")
    return answer if answer.status_code == 503 else None
