"""Service of an earlier commit: its tree from the Git history, run with today's libraries."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.forked_commands import ROOT
from tests.support.service_process import Command, Processes


def tree_of(commit: str, folder: Path) -> Path:
    """Unpacks the tree of a commit; skips the test without the history."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the history does not reach back to {commit} (a shallow clone, or no clone): fetch it in full")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def begin_earlier(processes: Processes, tree: Path, database_url: str, *arguments: str) -> Command:
    """Starts the service of that tree without waiting for it."""

    def start(given: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "duly", *given],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=tree,
                env=environment | {"PYTHONPATH": os.pathsep.join((str(tree / "app"), str(tree)))},
                start_new_session=True,
            )

    chosen = {
        "DULY_HANDLERS": "tests.support.process_handlers",
        "DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "DULY_DATABASE_URL": database_url,
    }
    return processes.run_as(start, "serve", "--port", "0", *arguments, **chosen)
