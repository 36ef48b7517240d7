"""Runs the benchmark as users do, but with tiny sizes and forked services, and reads its results."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.postgres_servers import place_of_servers

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 600
STOP_SECONDS = 15


@contextmanager
def small_run(
    results: Path, rows: Sequence[str], contestants: str = "duly", *, page: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Starts a run, and stops it after the block if it has not ended.

    Args:
        page: writes the page too; drawing takes longer than measuring a row.
    """
    options = ["--small", "--rows", ",".join(rows), "--contestants", contestants]
    options += ["--results", str(results), *(["--page", str(results / "page.md")] if page else [])]
    place = place_of_servers()
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.support.benchmark_program", *options],
        cwd=ROOT,
        env=dict(os.environ) | ({"TMPDIR": str(place)} if place else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        try:
            yield run
        finally:
            run.terminate()
            try:
                run.communicate(timeout=STOP_SECONDS)
            except (subprocess.TimeoutExpired, ValueError):  # it hangs, or its output was read already
                run.kill()


def finished(
    run: subprocess.Popen[str], results: Path, *, within_seconds: float = RUN_SECONDS
) -> tuple[str, dict[str, Any]]:
    """Returns the output of the run, and the results of each row from its file."""
    printed, errors = run.communicate(timeout=within_seconds)
    assert run.returncode == 0, errors
    document: dict[str, Any] = json.loads(next(results.glob("*.json")).read_text())
    if (page := results / "page.md").exists():
        assert all(f"| {row} | " in page.read_text() for row in document)
    return printed, {row: measured["results"] for row, measured in document.items()}
