"""`duly doctor` as operators run it: what it says and how it ends."""

import json
import os
import subprocess
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.forked_commands import run_forked
from tests.support.reused_connections import asking

Run = Callable[..., subprocess.CompletedProcess[str]]
NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values ($1, 'shop-7', '1', '{worker}', '{}', now() - interval '90 s')
"""


@pytest.fixture
def doctor(database_url: str) -> Run:
    """Runs the command, by default on the test's database."""

    def run(*flags: str, url: str = database_url, **settings: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        return run_forked(["doctor", *flags], environment=clean | {"DULY_DATABASE_URL": url} | settings)

    return run


async def test_a_healthy_database_ends_with_zero(doctor: Run) -> None:
    done = doctor()
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy\n", "")


async def test_a_finding_is_a_line_with_its_remedy_and_ends_with_one(database_url: str, doctor: Run) -> None:
    async with asking(database_url) as connection:
        await connection.execute(NODE, uuid4())
    done = doctor()
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        (
            "NODE_UNRESPONSIVE: Node shop-7 has been silent for 1 min; its jobs wait. "
            "Remedy: run a node with the role sweeper"
        ),
        "1 finding",
    ]
    told = json.loads(doctor("--json").stdout)
    assert told["healthy"] is False
    assert [set(finding) for finding in told["findings"]] == [{"code", "reason", "remedy"}]


async def test_a_database_that_does_not_answer_is_a_finding_in_one_line(doctor: Run) -> None:
    done = doctor(url="postgresql://nobody:secret@127.0.0.1:1/none")
    assert done.returncode == 1
    line, total = done.stdout.splitlines()
    assert line.startswith("DATABASE_UNAVAILABLE: ") and " Remedy: " in line
    assert total == "1 finding"
    assert "secret" not in done.stdout + done.stderr


async def test_settings_that_contradict_each_other_are_findings_even_without_a_database(doctor: Run) -> None:
    done = doctor(url="postgresql://postgres@127.0.0.1:1/none", DULY_SUBMIT_BURST="5", DULY_SUBMITRATE="1")
    codes = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert codes == ["SETTING_UNKNOWN", "SETTINGS_CONTRADICT", "DATABASE_UNAVAILABLE", "3 findings"]
