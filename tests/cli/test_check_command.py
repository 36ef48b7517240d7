"""`duly check` as operators run it: what it says, how it ends, and that it repairs."""

import json
import os
import subprocess
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.forked_commands import run_forked
from tests.support.mixed_ledger import HOT_TABLES, MixedLedger, empty_ledger, mixed_ledger

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check(database_url: str) -> Run:
    """Runs the command, by default on the test's database."""

    def run(*flags: str, url: str = database_url) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        return run_forked(["check", *flags], environment=clean | {"DULY_DATABASE_URL": url})

    return run


async def test_a_database_that_keeps_its_promises_ends_with_zero(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        done = check()
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{len(ledger.ids) - 1} jobs and 1 batches: all invariants hold\n"


async def test_a_broken_promise_is_told_and_ends_with_one(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await ledger.sql("delete from ready where job_id = $1", ledger.ids["ready"])
        done = check()
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines() == [
            f"job {ledger.ids['ready']}: pending, but has no row in ready, scheduled, blocked or running",
            f"{len(ledger.ids) - 1} jobs and 1 batches: 1 violations",
        ]


async def test_the_same_is_told_to_programs(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await ledger.sql("update batches set failed = 1")
        await ledger.sql("delete from ready where job_id = $1", ledger.ids["ready"])
        done = check("--json")
        told = json.loads(done.stdout)
        assert done.returncode == 1
        assert (told["clean"], told["jobs"], told["batches"], told["broken"]) == (False, len(ledger.ids) - 1, 1, 2)
        job, batch = told["violations"]
        assert (job["jobId"], job["batchId"]) == (str(ledger.ids["ready"]), None)
        assert (batch["jobId"], batch["batchId"]) == (None, str(ledger.ids["batch"]))
        assert job["message"].endswith("pending, but has no row in ready, scheduled, blocked or running")
        assert "repaired" not in told


async def lose(ledger: MixedLedger) -> None:
    await ledger.sql(f"truncate {HOT_TABLES}")


async def test_a_repair_says_what_it_did_and_ends_with_zero(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await lose(ledger)
        done = check("--repair")
        assert (done.returncode, done.stderr) == (0, "")
        *repaired, last = done.stdout.splitlines()
        assert last.endswith("all invariants hold")
        assert any(line.endswith("rewrote the hot row as its events require") for line in repaired)
        assert all(line.startswith("repaired") for line in repaired)
        again = check("--repair")
        assert (again.returncode, again.stdout.splitlines()) == (0, [last])
        await ledger.run_to_the_end()
        assert await ledger.unfinished() == []


async def test_a_repair_tells_programs_what_it_did(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await lose(ledger)
        told = json.loads(check("--repair", "--json").stdout)
        assert (told["clean"], told["violations"]) == (True, [])
        assert told["repaired"]["place"] > 0


async def test_what_cannot_be_repaired_ends_with_one(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await ledger.sql("update events set sequence = 9 where job_id = $1 and sequence = 2", ledger.ids["completed"])
        await ledger.sql("truncate deliveries")
        done = check("--repair")
        assert done.returncode == 1
        assert "event 9 follows where 2 belongs" in done.stdout


async def test_many_broken_invariants_are_counted_and_the_first_are_told(database_url: str, check: Run) -> None:
    async with empty_ledger(database_url) as ledger:
        await ledger.submit(*(str(n) for n in range(130)))
        await ledger.sql("truncate ready")
        lines = check().stdout.splitlines()
        assert len(lines) == 102
        assert lines[-2:] == ["... and 30 more", "130 jobs and 0 batches: 130 violations"]


async def test_an_empty_database_is_to_be_migrated_first(empty_database_url: str, check: Run) -> None:
    done = check(url=empty_database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("duly: the database lacks")
    assert "duly migrate" in done.stderr


async def test_a_database_that_is_away_is_named_as_the_reason(check: Run) -> None:
    done = check(url=f"postgresql://nobody@127.0.0.1:1/{uuid4().hex}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("duly: the database cannot be reached")
