"""Plugin of pytest: each test gets a running service at once, on a database of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from duly import Handlers
from duly.pytest_plugin.service import Services
from duly.pytest_plugin.session import UNUSED_SECONDS, open_services
from duly.store.postgres.scratch_databases import FIND_BY_PREFIX, SPARES
from tests.support.markdown_blocks import blocks
from tests.support.postgres_servers import place_of_servers
from tests.support.service import eventually

JOBS = """
from duly import Handlers

handlers = Handlers()
UNIT = "rows"


@handlers.register("hours")
async def hours(days: int) -> str:
    return f"{24 * days} {UNIT}"


@handlers.register("thumbnail", isolation="process")
def thumbnail() -> str:
    return UNIT
"""
SUITE = """
import pytest
from duly import Handlers
from duly.client import Client, NotAuthenticated

import plugin_jobs

local = Handlers()


@local.register("local")
async def of_this_file() -> str:
    return "local"


@pytest.mark.parametrize("days", [1, 2])
def test_the_handlers_of_the_option_run_on_an_empty_database(duly_client: Client, days: int) -> None:
    assert list(duly_client.list()) == []
    job = duly_client.submit("hours", days)
    assert duly_client.wait(job["jobId"])["result"] == f"{24 * days} rows"


def test_a_monkeypatch_reaches_a_handler_of_a_process(duly_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_jobs, "UNIT", "patched")
    job = duly_client.submit("thumbnail")
    assert duly_client.wait(job["jobId"])["result"] == "patched"


@pytest.mark.duly(handlers=[local], builtin_types=["none"], api_key="k" * 32)
class TestMarked:
    def test_the_marker_names_handlers_and_settings(self, duly_client: Client) -> None:
        assert {each["type"] for each in duly_client.job_types.list()} == {"local"}
        assert duly_client.wait(duly_client.submit("local")["jobId"])["result"] == "local"

    def test_the_key_is_required(self, duly_service) -> None:
        with Client(duly_service.url, api_key="") as client, pytest.raises(NotAuthenticated):
            client.submit("local")

    @pytest.mark.duly(api_key=None)
    def test_the_closest_marker_wins(self, duly_service) -> None:
        assert duly_service.api_key is None
"""
own = Handlers()


@own.register("double")
async def double(number: int) -> int:
    return 2 * number


@pytest.fixture(scope="module")
def cache() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="duly-plugin-", dir=place_of_servers()) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        yield Path(folder)


def test_a_suite_chooses_its_handlers_and_settings(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "plugin_jobs.py").write_text(JOBS)
    (tmp_path / "test_suite.py").write_text(SUITE)
    shown = [block for block in blocks("docs/handle/testing.md") if block.run_by is not None]
    for block in shown:
        assert block.title is not None
        (tmp_path / block.title).write_text(block.text)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nduly_handlers = plugin_jobs sales_reports\nduly_cache_dir = {cache}\npythonpath = .\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DULY_", "PYTEST_"))}
    command = ["-m", "pytest", "-q", "-p", "duly.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *command, "--strict-markers", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        # Settings of the environment do not reach the services.
        env=environment | {"DULY_PORT": "1", "DULY_API_KEY": "another", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout


IMPORTED = """
import sys, pytest
before = set(sys.modules)
import duly.pytest_plugin
heavy = {"pydantic", "httpx", "fastapi", "asyncpg", "structlog", "duly.node", "duly.client"}
print(heavy & (set(sys.modules) - before))
"""


def test_collecting_tests_imports_no_part_of_the_service() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def result_of(services: Services, number: int) -> object:
    with services.running(handlers=[own]) as service, service.connect() as client:
        return client.wait(client.submit("double", number)["jobId"])["result"]


def names(services: Services, prefix: str) -> list[str]:
    rows = services._wait(services._databases._connection.fetch(FIND_BY_PREFIX, prefix))
    return [name for (name,) in rows]


async def test_two_runs_share_a_server_and_what_a_killed_one_left_is_dropped_by_the_next(cache: Path) -> None:
    with open_services(str(cache)) as first, open_services(str(cache)) as second:
        assert [result_of(first, 1), result_of(second, 2)] == [2, 4]
        killed = first._databases
        left, _ = first._wait(killed.create())
        assert left in names(second, left)
        assert result_of(second, 3) == 6
        first._wait(killed._background.close())  # as the kernel does
        first._wait(killed._connection.close())
        with open_services(str(cache)) as third:
            assert names(third, left) == []
            assert result_of(third, 4) == 8

            async def spares_are_made() -> bool:
                return len(names(third, "duly_pytest_spare_")) >= SPARES

            await eventually(spares_are_made)
        killed._tasks.clear()


def test_the_data_of_another_release_is_removed_when_it_was_not_used_for_a_week(cache: Path) -> None:
    recent, unused = cache / "pytest-recent", cache / "pytest-unused"
    for folder in (recent, unused):
        (folder / "postgres").mkdir(parents=True)
    weeks_ago = unused.stat().st_mtime - UNUSED_SECONDS - 60
    os.utime(unused, (weeks_ago, weeks_ago))
    with open_services(str(cache)) as services:
        assert result_of(services, 21) == 42
    assert recent.exists()
    assert not unused.exists()
