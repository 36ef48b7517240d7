"""Modules that a serving process does without: each costs memory, and time at its start."""

import subprocess
import sys

from tests.support.forked_commands import ROOT

# Tracebacks of rich are not printed, migrations are rare, webhooks have a client of their own, no route has a model of
# pydantic 1, and the parent of several processes serves nothing.
NEEDLESS = (
    *("rich", "pygments", "attr", "sqlalchemy", "alembic", "mako", "httpx", "httpcore"),
    *("greenlet", "pydantic.v1"),
    *("duly.cli.queue_commands", "duly.cli.top_command", "duly.demo.command", "duly.cli.supervisor"),
)
START = """
import contextlib, io, sys
from duly.__main__ import main
sys.argv = ["duly", "serve", "--reload", "--processes", "2"]
with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()) as refused:
    main()
assert "--reload runs one process" in refused.getvalue()
from duly.cli.lean_imports import import_server
import_server()
"""
LOOK = f"""
print(sorted(set(sys.modules) & set({NEEDLESS})))
import greenlet, pydantic.v1, rich
"""
MODELS = """
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel
from duly.api.contract.response_models import JobBody
from duly.api.jobs.list_jobs import ListQuery
from duly.lifecycle.submit.submission_model import Submission
print([model.__name__ for model in (OpenAPI, JobBody, ListQuery, Submission) if model.__pydantic_complete__])
class Users(BaseModel):
    index: int
assert Users.__pydantic_complete__
"""
OBJECTS = """
import gc
print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)
"""


def printed_by(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_serving_process_imports_nothing_that_it_does_without() -> None:
    assert printed_by(START + LOOK) == "[]\n"


def test_a_serving_process_builds_only_models_of_requests() -> None:
    assert printed_by(START + MODELS) == "['ListQuery', 'Submission']\n"


def test_objects_of_imports_are_excluded_from_garbage_collection() -> None:
    assert printed_by(START + OBJECTS) == "True True True\n"
