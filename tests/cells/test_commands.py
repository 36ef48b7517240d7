"""Commands work on each cell, say which one each line is about, and end with the worst exit code."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duly.domain.ids import new_job_id
from tests.support.cells import CELLS, CellDatabase, CellService, schema_of
from tests.support.forked_commands import run_forked

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def duly(cell_databases: CellDatabase) -> Run:
    """Runs a command on the cells of the test."""
    cells = "\n".join(f"{proxy.url}#{schema_of(n)}" for n, proxy in enumerate(cell_databases.proxies))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    return lambda *arguments: run_forked(arguments, environment=clean | {"DULY_CELLS": cells})


def named(text: str) -> list[str]:
    return [f"cell {number}: {text}" for number in range(CELLS)]


async def test_each_cell_is_migrated_and_checked(duly: Run) -> None:
    done = await run(duly, "migrate")
    assert (done.returncode, done.stdout.splitlines()) == (0, named("the database is up to date")), done
    done = await run(duly, "check")
    assert (done.returncode, done.stdout.splitlines()) == (0, named("0 jobs and 0 batches: all invariants hold")), done


async def test_the_worst_cell_decides_the_exit_code_of_a_check_and_repair_mends_it(
    duly: Run, cells: CellService
) -> None:
    jobs = [(await cells.submit("echo", delaySeconds=3600))["jobId"] for _ in range(2 * CELLS)]
    broken = cells.cell_of(jobs[0])
    await cells.sql(broken, "delete from scheduled")
    done = await run(duly, "check", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert [each["cell"] for each in told if not each["clean"]] == [broken]
    assert [each["cell"] for each in told] == list(range(CELLS))
    done = await run(duly, "check", "--repair")
    assert done.returncode == 0, done
    assert [line for line in done.stdout.splitlines() if "repaired" in line and line.startswith(f"cell {broken}: ")]


async def test_accepted_jobs_are_looked_for_in_their_cell(duly: Run, cells: CellService, tmp_path: Path) -> None:
    jobs = [(await cells.run("echo"))["jobId"] for _ in range(2 * CELLS)]
    lost, path = str(new_job_id()), tmp_path / "accepted"
    path.write_text("\n".join(jobs))
    done = await run(duly, "check", "--accepted", str(path))
    assert done.returncode == 0, done
    path.write_text("\n".join([*jobs, lost]))
    done = await run(duly, "check", "--accepted", str(path))
    assert done.returncode == 1
    assert f"cell {cells.cell_of(lost)}: job {lost}: accepted, but not recorded" in done.stdout.splitlines()


async def test_a_cell_that_is_away_is_named_and_the_others_are_checked(duly: Run, cell_databases: CellDatabase) -> None:
    cell_databases.proxies[2].refuse()
    done = await run(duly, "check")
    assert done.returncode == 1
    assert [line[:7] for line in done.stdout.splitlines()] == ["cell 0:", "cell 1:", "cell 3:"]
    assert done.stderr.startswith("cell 2: duly: "), done
    await cell_databases.proxies[2].accept()


async def test_keys_tenants_and_holds_are_made_in_cell_0_and_copied(duly: Run, cells: CellService) -> None:
    assert (await run(duly, "tenants", "create", "acme")).returncode == 0
    made = await run(duly, "keys", "create", "--tenant", "acme", "--scope", "jobs:read", "ci")
    assert made.returncode == 0, made
    held = await run(duly, "holds", "create", "case-7", "--reason", "lawsuit")
    assert held.stdout == "created hold case-7: all days of all tenants are kept\n", held
    for table, rows in (("tenants", 2), ("api_keys", 1), ("retention_holds", 1)):
        assert [row[0] for row in await cells.sql(f"select count(*) from {table}")] == [rows] * CELLS  # noqa: S608


async def test_a_role_submits_to_each_cell_of_its_server(duly: Run, cell_databases: CellDatabase) -> None:
    async with cell_databases.connection(0) as superuser:
        await superuser.execute("create role shop_of_cells login")
        try:
            granted = await run(duly, "submitters", "grant", "shop_of_cells")
            assert granted.returncode == 0, granted
            lines = granted.stdout.splitlines()
            assert [line.partition(": ")[0] for line in lines] == [f"cell {n}" for n in range(CELLS)]
            assert all(f"{schema_of(n)}.submit" in line for n, line in enumerate(lines)), lines
            listed = json.loads((await run(duly, "submitters", "list", "--json")).stdout)
            assert listed == [{"cell": n, "role": "shop_of_cells", "tenant": "default"} for n in range(CELLS)]
            assert await may_submit(superuser) == [True] * CELLS
            assert (await run(duly, "submitters", "revoke", "shop_of_cells")).returncode == 0
            assert await may_submit(superuser) == [False] * CELLS
            assert (await run(duly, "submitters", "list")).stdout == ""
        finally:
            await superuser.execute("drop owned by shop_of_cells; drop role shop_of_cells")


async def may_submit(connection: Any) -> list[bool]:
    """Returns for each cell whether the role of the test may execute its function."""
    function = "has_function_privilege('shop_of_cells', $1 || '.submit(text, text, text)', 'execute')"
    return [await connection.fetchval(f"select {function}", schema_of(cell)) for cell in range(CELLS)]


async def test_a_cell_that_does_not_get_a_change_is_named(duly: Run, cell_databases: CellDatabase) -> None:
    cell_databases.proxies[3].refuse()
    done = await run(duly, "tenants", "create", "acme")
    assert done.returncode == 0
    assert "cell 3 did not get the change, and will when the service reaches it" in done.stderr, done
    await cell_databases.proxies[3].accept()


async def run(duly: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a thread: the proxies of the cells are served by the event loop of the test."""
    return await asyncio.to_thread(duly, *arguments)
