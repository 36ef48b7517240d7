"""`duly outbox-ddl` and `duly relay`, also killed at any moment."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.forked_commands import run_forked
from tests.support.service import Service, eventually

ROWS, KILLS = 300, 8


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """SQLite database with the table that `duly outbox-ddl` prints."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(run_forked(["outbox-ddl", "sqlite"], environment={}).stdout)
    return path


def relay(shop: Path, url: str, *flags: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    environment = clean | {"DULY_RELAY_SOURCE": f"sqlite:///{shop}", "DULY_URL": url}
    return subprocess.Popen(
        [sys.executable, "-m", "duly", "relay", "--batch", "20", *flags],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(shop: Path, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(shop, timeout=60) as connection:
        return connection.execute(statement).fetchall()


async def submitted(shop: Path, count: int, running: subprocess.Popen[str]) -> None:
    """Waits until more than this number of rows are ticked off, or the relay has ended."""

    async def so_many() -> bool:
        [(found,)] = rows(shop, "select count(*) from duly_outbox where job_id is not null")
        return found > count or running.poll() is not None

    await eventually(so_many)


async def ended(running: subprocess.Popen[str]) -> str:
    """Waits for the end of a relay. Returns its log."""

    async def has_ended() -> bool:
        return running.poll() is not None

    await eventually(has_ended, seconds=60)
    return running.communicate()[1]


async def test_a_relay_that_is_killed_again_and_again_submits_each_row_once(service: Service, shop: Path) -> None:
    with sqlite3.connect(shop) as connection:
        connection.executemany("insert into duly_outbox (id, type) values (?, 'echo')", [(n,) for n in range(ROWS)])
    for kill in range(KILLS):
        running = relay(shop, service.url)
        await submitted(shop, kill * 15, running)
        running.kill()
        running.communicate()
        rows(shop, "update duly_outbox set claimed_until = 0")  # the minute of its claims is over
    last = relay(shop, service.url, "--once")
    assert ("row_refused" in await ended(last), last.returncode) == (False, 0)
    counts = "select count(*), count(distinct job_id) from duly_outbox where submitted_at is not null"
    assert rows(shop, counts) == [(ROWS, ROWS)]
    assert (await service.sql("select count(*) from jobs"))[0][0] == ROWS


async def test_a_signal_stops_a_relay_after_the_rows_that_it_sends(service: Service, shop: Path) -> None:
    running = relay(shop, service.url)
    rows(shop, "insert into duly_outbox (type) values ('echo')")
    await submitted(shop, 0, running)
    running.send_signal(signal.SIGTERM)
    assert (await ended(running), running.returncode) == ("", 0)


def test_a_source_that_is_not_read_is_a_usage_error() -> None:
    done = run_forked(["relay", "--source", "oracle://x"], environment={})
    assert (done.returncode, done.stderr.startswith("duly: --source: ")) == (2, True)
