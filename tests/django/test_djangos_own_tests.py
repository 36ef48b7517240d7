"""Django's own tests of tasks, on `DulyBackend` in place of the dummy and of the immediate backend.

They come from the source distribution of Django, at its locked version, and run in an environment of Python 3.12, which
that release needs. `tests/support/djangos_own_tests.py` describes how the backend takes the place of the others.
"""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.other_pythons import ROOT, locked_version, python_with_requirements, source_of

PYTHON: Final = "3.12"
BOUND_SECONDS: Final = 240.0

_DUMMY, _IMMEDIATE = "test_dummy_backend.DummyBackend", "test_immediate_backend.ImmediateBackend"
_COMMIT = "doesnt_wait_until_transaction_commit_by_default"
_CHANGES_THE_STORE = "changes the result in the list of the dummy backend; a job changes by running: `test_backend.py`"
_LACKS = "expects what the immediate backend lacks, and `DulyBackend` has"
_COMMITS = "with `DATABASE`, a task exists once its transaction has committed: `test_transactions.py`"

# Tests that cannot pass, since they are about the other backend alone, each with the reason.
LEFT_OUT: Final = {
    f"{_DUMMY}TestCase.test_clear": "the dummy backend forgets its results; a service keeps them",
    f"{_DUMMY}TestCase.test_refresh_result": _CHANGES_THE_STORE,
    f"{_DUMMY}TestCase.test_refresh_result_async": _CHANGES_THE_STORE,
    f"{_IMMEDIATE}TestCase.test_cannot_get_result": f"{_LACKS}: results",
    f"{_IMMEDIATE}TestCase.test_cannot_refresh_result": f"{_LACKS}: results",
    f"{_IMMEDIATE}TestCase.test_cannot_pass_run_after": f"{_LACKS}: tasks for later",
    f"{_IMMEDIATE}TestCase.test_throws_keyboard_interrupt": "raises in the caller; a worker goes on: `test_worker.py`",
}
LEFT_OUT_WITH_DATABASE: Final = LEFT_OUT | {
    f"{_DUMMY}TransactionTestCase.test_{_COMMIT}": _COMMITS,
    f"{_IMMEDIATE}TransactionTestCase.test_{_COMMIT}": _COMMITS,
}
# Tests of each class: an upgrade of Django must not leave out or add any unnoticed.
NUMBERS: Final = {
    "test_tasks.TaskTestCase": 39,
    "test_custom_backend.CustomBackendTestCase": 5,
    "test_custom_backend.CustomTaskTestCase": 4,
    "test_dummy_backend.DummyBackendTestCase": 16,
    "test_dummy_backend.DummyBackendTransactionTestCase": 1,
    "test_immediate_backend.ImmediateBackendTestCase": 19,
    "test_immediate_backend.ImmediateBackendTransactionTestCase": 1,
}


@pytest.fixture(scope="module")
def python(pytestconfig: pytest.Config) -> Path:
    return python_with_requirements(pytestconfig, PYTHON)


@pytest.fixture(scope="module")
def djangos_tests(pytestconfig: pytest.Config) -> Path:
    return source_of(pytestconfig, "django", locked_version("django", above="6")) / "tests"


async def outcomes(python: Path, folder: Path, database_url: str, mode: str) -> dict[str, str]:
    """Runs the program, and returns the outcome of each test."""
    command = (str(python), "-m", "tests.support.djangos_own_tests", str(folder), database_url, mode)
    left_out = ("DULY_", "DJANGO_", "PYTHONDONTWRITEBYTECODE")  # without bytecode, each start compiles every library
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    path = {"PYTHONPATH": os.pathsep.join((str(ROOT / "app"), str(ROOT)))}
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=kept | path, stdout=PIPE, stderr=PIPE)
    try:
        printed, complaints = await asyncio.wait_for(running.communicate(), BOUND_SECONDS)
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, complaints.decode()[-6000:]
    found: dict[str, str] = json.loads(printed)
    return found


def numbers(found: dict[str, Any]) -> dict[str, int]:
    classes = [name.rpartition(".")[0] for name in found]
    return {name: classes.count(name) for name in classes}


@pytest.mark.timeout(900)  # the first run installs the environment
@pytest.mark.parametrize(
    ("mode", "left_out"), [("http", LEFT_OUT), ("database", LEFT_OUT_WITH_DATABASE)], ids=["http", "database"]
)
async def test_djangos_own_tests_pass(
    python: Path, djangos_tests: Path, database_url: str, mode: str, left_out: dict[str, str]
) -> None:
    found = await outcomes(python, djangos_tests, database_url, mode)
    failed = {name: text for name, text in found.items() if text != "passed"}
    assert failed.keys() == left_out.keys(), "\n".join(
        [
            f"{name}: {failed.get(name, 'passed, so it need not be left out')}"
            for name in failed.keys() ^ left_out.keys()
        ]
    )
    assert numbers(found) == NUMBERS
