"""`duly holds`: days that the retention keeps, on the database directly."""

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from tests.support.forked_commands import run_forked
from tests.support.service import Service

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def duly_on(database_url: str) -> Run:
    """Runs a command on the test's database."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        return run_forked(arguments, environment=clean | {"DULY_DATABASE_URL": database_url})

    return run


async def test_holds_are_created_listed_released_and_audited(duly_on: Run, service: Service) -> None:
    job_id = (await service.run("echo"))["jobId"]
    assert duly_on("tenants", "create", "acme").returncode == 0
    case = ("case-7", "--reason", "lawsuit", "--tenant", "acme", "--from", "2026-01-01")
    created = duly_on("holds", "create", *case)
    assert created.stdout == "created hold case-7: days from 2026-01-01 with jobs of tenant acme are kept\n", created
    assert duly_on("holds", "create", "one", "--reason", "audit", "--job", job_id).returncode == 0
    first, second = json.loads(duly_on("holds", "list", "--json").stdout)
    assert (first["name"], first["tenant"], first["from"], first["to"]) == ("case-7", "acme", "2026-01-01", None)
    assert second["from"] == second["to"] != None  # noqa: E711  # a chain
    assert "case-7: days from 2026-01-01 with jobs of tenant acme; lawsuit (cli:" in duly_on("holds", "list").stdout
    assert duly_on("holds", "release", "case-7").stdout == "released hold case-7\n"
    assert [hold["name"] for hold in json.loads(duly_on("holds", "list", "--json").stdout)] == ["one"]
    log = (await service.client.get("/api/v1/audit")).json()["items"]
    assert [(entry["action"], entry["subject"]) for entry in log[:3]] == [
        *(("hold.released", "case-7"), ("hold.created", "one"), ("hold.created", "case-7")),
    ]
    assert log[2]["after"] == {"reason": "lawsuit", "tenant": "acme", "from": "2026-01-01"}


def test_a_wrong_hold_is_refused_with_its_reason(duly_on: Run) -> None:
    assert duly_on("holds", "create", "x", "--reason", "r").returncode == 0
    for code, words, arguments in (
        (1, 'hold "x" already exists', ("create", "x", "--reason", "again")),
        (1, 'hold "y" not found', ("release", "y")),
        (1, 'tenant "nobody" not found', ("create", "y", "--reason", "r", "--tenant", "nobody")),
        (
            2,
            "--from must not be after --to",
            ("create", "y", "--reason", "r", "--from", "2026-02-01", "--to", "2026-01-01"),
        ),
        (2, "--job must be the ID of a job", ("create", "y", "--reason", "r", "--job", "7")),
        (2, "--reason", ("create", "y")),
    ):
        done = duly_on("holds", *arguments)
        assert (done.returncode, words in done.stderr) == (code, True), done
