"""`duly keys` and `duly tenants`: on the database directly."""

import json
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.support.forked_commands import run_forked
from tests.support.keys import bearer
from tests.support.service import Service

Run = Callable[..., subprocess.CompletedProcess[str]]
StartService = Callable[..., Awaitable[Service]]
KEY = re.compile(r"duly_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}\n")


@pytest.fixture
def duly_on(database_url: str) -> Run:
    """Runs a command on the test's database."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        # A name in the environment is no proof of who runs the command.
        clean["LOGNAME"] = "somebody-else"
        return run_forked(arguments, environment=clean | {"DULY_DATABASE_URL": database_url})

    return run


def key_of(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    assert KEY.fullmatch(done.stdout), done.stdout
    return done.stdout.strip()


async def test_a_key_that_was_made_before_the_service_runs_opens_it(duly_on: Run, start_service: StartService) -> None:
    key = key_of(duly_on("keys", "create", "first", "--scope", "jobs:read", "--scope", "admin"))
    service = await start_service()
    assert (await service.client.get("/api/v1/jobs")).status_code == 401
    assert (await service.client.get("/api/v1/jobs", headers=bearer(key))).status_code == 200
    log = (await service.client.get("/api/v1/audit", headers=bearer(key))).json()["items"]
    user = pwd.getpwuid(os.getuid()).pw_name
    assert log[0]["actor"] == f"cli:{user}@{socket.gethostname()}"


async def test_keys_are_listed_rotated_and_revoked(duly_on: Run, database_url: str) -> None:
    assert duly_on("tenants", "create", "acme").returncode == 0
    old = key_of(
        duly_on(
            *("keys", "create", "the worker", "--scope", "worker", "--tenant", "acme", "--type", "report"),
            *("--queue", "bulk", "--rate", "100/60", "--expires-at", "2100-01-01"),
        )
    )
    [shown] = json.loads(duly_on("keys", "list", "--tenant", "acme", "--json").stdout)
    assert (shown["keyId"], shown["types"], shown["queues"]) == (old[5:21], ["report"], ["bulk"])
    assert (shown["rate"], shown["expiresAt"]) == ({"count": 100, "seconds": 60}, "2100-01-01T00:00:00.000Z")
    assert "the worker" in duly_on("keys", "list", "--tenant", "acme").stdout
    assert duly_on("keys", "list").stdout == ""

    new = key_of(duly_on("keys", "rotate", old[5:21], "--tenant", "acme", "--overlap-seconds", "0"))
    assert duly_on("keys", "revoke", new[5:21]).stderr == "duly: API key not found\n"  # of the tenant default
    assert duly_on("keys", "revoke", new[5:21], "--tenant", "acme").returncode == 0
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("select revoked_at is null, valid_until is null from api_keys order by created_at")
    await connection.close()
    assert [tuple(row) for row in rows] == [(True, False), (False, True)]


def test_tenants_are_created_listed_and_changed(duly_on: Run) -> None:
    done = duly_on("tenants", "create", "acme", "--submit-rate", "2.5", "--max-keys", "0")
    assert done.stdout.startswith("created tenant acme; create its first key: duly keys create")
    assert duly_on("tenants", "list").stdout == "acme  submitRate=2.5  maxKeys=0\ndefault\n"
    assert duly_on("tenants", "set", "acme", "--submit-rate", "none", "--retention-days", "90").returncode == 0
    shown = json.loads(duly_on("tenants", "list", "--json").stdout)[0]
    assert (shown["submitRate"], shown["retentionDays"], shown["maxKeys"]) == (None, 90, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("keys", "create", "x"), 2, "--scope"),
        (("keys", "create", "x", "--scope", "root"), 2, "root"),
        (("keys", "create", "x", "--scope", "admin", "--tenant", "nobody"), 1, 'tenant "nobody" not found'),
        (("keys", "create", "x", "--scope", "admin", "--rate", "many"), 2, "--rate must be N/SECONDS"),
        (("keys", "create", "x", "--scope", "admin", "--expires-at", "2000-01-01"), 2, "must be in the future"),
        (("keys", "create", "x", "--scope", "admin", "--rate", "9999999/60"), 2, "--rate: "),
        (("keys", "create", "x", "--scope", "worker", "--queue", "a\n"), 2, "--queue: "),
        (("keys", "create", "x", "--scope", "worker", "--type", ""), 2, "--type: "),
        (("keys", "create", "x", "--scope", "worker", "--type", "t" * 129), 2, "--type: "),
        (("keys", "create", "x", "--scope", "worker", "--type", "a/limits"), 2, "--type: must not end with /limits"),
        (("keys", "create", "\udcff", "--scope", "admin"), 2, r"the argument '\udcff' is not UTF-8"),
        (("keys", "revoke", "\udcff"), 2, r"the argument '\udcff' is not UTF-8"),
        (("keys", "revoke", "nothing"), 1, "API key not found"),
        (("tenants", "create", "Upper"), 2, "TENANT must have"),
        (("tenants", "create", "default"), 1, 'Tenant "default" already exists'),
        (("tenants", "set", "default"), 2, "name at least one limit"),
        (("tenants", "set", "default", "--max-keys", "-1"), 2, "--max-keys: "),
        (("tenants", "set", "default", "--max-keys", "x"), 2, "--max-keys must be a number or none, not 'x'"),
        (("tenants", "set", "default", "--submit-rate", "nan"), 2, "--submit-rate must be a number or none"),
        (("tenants", "set", "default", "--retention-days", "3651"), 2, "--retention-days: "),
        (("tenants", "create", "new", "--backlog-limit", "0"), 2, "--backlog-limit: "),
        (("tenants", "set", "nobody", "--max-keys", "1"), 1, "Tenant not found"),
    ],
)
def test_what_cannot_be_done_is_refused_on_one_line(
    duly_on: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = duly_on(*arguments)
    assert done.returncode == code, done
    assert words in done.stderr
    assert done.stdout == ""
