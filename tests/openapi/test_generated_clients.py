"""Linters of OpenAPI documents and client generators: no findings, and the generated clients work."""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.database_pool import TestDatabases
from tests.support.node_packages import node_20
from tests.support.openapi_generators import LOCKED, commands, python_of_generator, run
from tests.support.postgres_servers import Server
from tests.support.service import Service, running_service

KEY = "a-key-of-generated-clients"
DONE = {
    "status": "completed",
    "result": {"rows": 3},
    "error": None,
    "refused": "UNKNOWN_JOB_TYPE",
    "path": "type",
    "listed": 1,
}


@pytest.fixture(scope="module")
async def keyed(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Returns a service that requires an API key."""
    async with databases_of(server).lent() as url, running_service(url, api_key=KEY) as running:
        yield running


@pytest.fixture
async def folder(keyed: Service, tmp_path: Path) -> Path:
    """Returns a folder with the document as it is served."""
    answer = await keyed.client.get("/openapi.json")
    assert answer.status_code == 200
    (tmp_path / "openapi.json").write_bytes(answer.content)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("redocly", "lint", "openapi.json", "--config", LOCKED / "redocly.yaml", "--format", "stylish"),
        ("spectral", "lint", "openapi.json", "--ruleset", LOCKED / "spectral.yaml", "--fail-severity", "hint"),
    ],
    ids=["redocly", "spectral"],
)
async def test_a_published_linter_finds_nothing(
    folder: Path, pytestconfig: pytest.Config, command: tuple[str, ...]
) -> None:
    node_20()
    name, *arguments = command
    printed = await run(commands(pytestconfig) / name, *arguments, cwd=folder)
    assert "Your API description is valid" in printed or "No results with a severity of" in printed


async def test_generated_clients_in_typescript_compile_and_do_a_whole_job(
    keyed: Service, folder: Path, pytestconfig: pytest.Config
) -> None:
    node, found = node_20(), commands(pytestconfig)
    shutil.copytree(LOCKED / "typescript", folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(found.parent)
    await run(found / "openapi-typescript", "openapi.json", "--output", "schema.ts", cwd=folder)
    await run(found / "openapi-ts", "--input", "openapi.json", "--output", "hey", cwd=folder)
    await run(found / "tsc", cwd=folder)
    for program in ("with-openapi-fetch.js", "with-hey-api.js"):
        printed = await run(node, Path("out", program), keyed.url, KEY, cwd=folder)
        assert json.loads(printed) == DONE, program


async def test_a_generated_client_in_python_does_a_whole_job(
    keyed: Service, folder: Path, pytestconfig: pytest.Config
) -> None:
    python = python_of_generator(pytestconfig)
    options = ("--path", "openapi.json", "--output-path", "duly_api", "--meta", "none")
    generated = await run(
        *(python, "-m", "openapi_python_client", "generate", *options, "--config", LOCKED / "generator.yaml"),
        cwd=folder,
    )
    # The one form of a request that it knows nothing of; that for JSON is there.
    assert generated.count("WARNING") == generated.count("Unsupported content type application/x-ndjson") == 1
    assert "def sync(" in (folder / "duly_api/api/batches/submit_batch.py").read_text()
    program = shutil.copy(LOCKED / "with_openapi_python_client.py", folder)
    types = ("--config-file", os.devnull, "--cache-dir", os.devnull, "--python-executable", str(python))
    await run(sys.executable, "-m", "mypy", *types, program, cwd=folder)
    printed = await run(python, program, keyed.url, KEY, cwd=folder)
    assert json.loads(printed) == DONE
