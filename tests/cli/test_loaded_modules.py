"""Modules that a serving process does without: each costs memory, and time at its start."""

import subprocess
import sys

from tests.support.forked_commands import ROOT

# Tracebacks of rich are not printed, migrations are rare, and webhooks have a client of their own.
NEEDLESS = ("rich", "pygments", "attr", "sqlalchemy", "alembic", "mako", "httpx", "httpcore")
LOOK = f"""
import contextlib, io, sys
from duly.__main__ import main
sys.argv = ["duly", "serve", "--reload", "--processes", "2"]
with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()) as refused:
    main()
assert "--reload runs one process" in refused.getvalue()
import duly.cli.server_process
print(sorted({{name.split(".")[0] for name in sys.modules}} & set({NEEDLESS})))
import rich
"""


def test_a_serving_process_imports_neither_rich_nor_what_migrates() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
