"""`duly check` as operators run it: what it says, how it ends, and that it repairs."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from duly.cli.accepted_jobs import read_accepted_file
from duly.cli.errors import CommandLineError
from duly.domain.ids import new_job_id, smallest_id_at
from duly.domain.job import DEFAULT_TENANT
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
        assert done.stdout == f"{len(ledger.ids) - 1} jobs and 1 batch: all invariants hold\n"


async def test_a_broken_promise_is_told_and_ends_with_one(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await ledger.sql("delete from ready where job_id = $1", ledger.ids["ready"])
        done = check()
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines() == [
            f"job {ledger.ids['ready']}: pending, but has no row in ready, scheduled, blocked or running",
            f"{len(ledger.ids) - 1} jobs and 1 batch: 1 violation",
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


async def test_a_repair_is_in_the_audit_log(database_url: str, check: Run) -> None:
    async with mixed_ledger(database_url) as ledger:
        await lose(ledger)
        told = json.loads(check("--repair", "--json").stdout)
        [(tenant_id, actor, action, after)] = await ledger.sql(
            "select tenant_id, actor, action, after::text from audit"
        )
        assert (tenant_id, actor[:4], action) == (DEFAULT_TENANT, "cli:", "ledger.repaired")
        assert json.loads(after) == {name: count for name, count in told["repaired"].items() if count}


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


async def test_accepted_jobs_that_the_ledger_lacks_are_named(database_url: str, check: Run, tmp_path: Path) -> None:
    async with mixed_ledger(database_url) as ledger:
        ready = ledger.ids["ready"]
        lost, old = new_job_id(), smallest_id_at(datetime(2020, 1, 1, tzinfo=UTC))
        file = tmp_path / "accepted"
        seen = [{"jobId": str(ready), "sequence": 0}, {"jobId": str(ready), "sequence": 7}, {"jobId": str(lost)}]
        file.write_text("\n".join([*map(json.dumps, seen), "", str(ledger.ids["running"]), str(old)]))
        done = check("--accepted", str(file))
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines() == [
            f"job {lost}: accepted, but not recorded",
            f"job {ready}: event 7 was seen, but the last one recorded is 0",
            f"{len(ledger.ids) - 1} jobs and 1 batch: all invariants hold",
            "4 accepted jobs: 1 lost, 1 rolled back, 1 past retention",
        ]
        told = json.loads(check("--json", "--accepted", str(file)).stdout)
        assert (told["clean"], told["accepted"]["lost"], told["accepted"]["expired"]) == (False, [str(lost)], 1)
        assert told["accepted"]["rolledBack"] == [{"jobId": str(ready), "seen": 7, "recorded": 0}]
        file.write_text(f"{ready}\n")
        done = check("--accepted", str(file))
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 accepted job: all recorded")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("job 7", 'line 2 of {file} must be a job ID, or a JSON object with "jobId"'),
        ('{"jobId": 7}', 'line 2 of {file} must be a job ID, or a JSON object with "jobId"'),
        ("{", "line 2 of {file} is not valid JSON"),
        (
            json.dumps({"jobId": "0198a0c2-0000-7000-8000-000000000000", "sequence": -1}),
            'line 2 of {file} has a "sequence" that is not a number',
        ),
    ],
)
def test_a_list_of_accepted_jobs_that_is_malformed_is_refused_with_its_line(
    tmp_path: Path, line: str, told: str
) -> None:
    file = tmp_path / "accepted"
    file.write_text(f"{uuid4()}\n{line}\n")
    with pytest.raises(CommandLineError, match=re.escape(told.format(file=file))):
        read_accepted_file(str(file))


def test_a_list_of_accepted_jobs_that_is_missing_is_named() -> None:
    with pytest.raises(CommandLineError, match="/none cannot be read"):
        read_accepted_file("/none")
