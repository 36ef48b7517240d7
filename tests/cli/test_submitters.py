"""`duly submitters`: which database roles may call `duly.submit`."""

import json
import os
import subprocess
from collections.abc import Callable

import asyncpg
import pytest

from tests.support.forked_commands import run_forked

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def duly_on(empty_database_url: str) -> Run:
    """Runs a command on an empty database."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        settings = {"DULY_DATABASE_URL": empty_database_url}
        return run_forked(arguments, environment=clean | settings)

    return run


async def test_a_role_is_granted_a_tenant_and_loses_it(duly_on: Run, empty_database_url: str) -> None:
    assert duly_on("migrate").returncode == 0
    assert duly_on("tenants", "create", "acme").returncode == 0
    superuser = await asyncpg.connect(empty_database_url)
    await superuser.execute("""create role "Web Shop" login""")
    try:
        granted = duly_on("submitters", "grant", "Web Shop", "--tenant", "acme")
        assert (granted.stdout, granted.stderr) == ("role Web Shop may call duly.submit for tenant acme\n", "")
        assert json.loads(duly_on("submitters", "list", "--json").stdout) == [{"role": "Web Shop", "tenant": "acme"}]
        shop = await asyncpg.connect(empty_database_url.replace("://postgres@", "://Web%20Shop@", 1))
        await shop.fetchval("select duly.submit('echo')")
        assert await superuser.fetchval("select tenant_id from inbox") == 2
        assert duly_on("submitters", "revoke", "Web Shop", "--tenant", "acme").returncode == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await shop.fetchval("select duly.submit('echo')")
        await shop.close()
        log = await superuser.fetch("select action from audit where subject = 'Web Shop' order by id")
        assert [row[0] for row in log] == ["submitter.granted", "submitter.revoked"]
    finally:
        await superuser.execute("""drop owned by "Web Shop"; drop role "Web Shop" """)
        await superuser.close()


def test_an_unknown_role_or_tenant_is_named(duly_on: Run) -> None:
    assert duly_on("migrate").returncode == 0
    assert 'Role "nobody" not found' in duly_on("submitters", "grant", "nobody").stderr
    assert 'tenant "acme" not found' in duly_on("submitters", "grant", "postgres", "--tenant", "acme").stderr
    assert "may not submit" in duly_on("submitters", "revoke", "nobody").stderr
