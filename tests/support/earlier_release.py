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
    if not unpack(commit, folder):
        pytest.skip(f"the history does not reach back to {commit} (a shallow clone, or no clone): fetch it in full")
    return folder


def unpack(commit: str, folder: Path) -> bool:
    """Unpacks the tree of a commit into a folder. Returns whether the history has it."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        return False
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return True


def begin_earlier(
    processes: Processes,
    tree: Path,
    database_url: str,
    *arguments: str,
    handlers: str = "tests.support.process_handlers",
    path: Path | None = None,
) -> Command:
    """Starts the service of that tree, with handlers of a module in it or in `path`, without waiting for it."""

    def start(given: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            folders = [str(tree / "app"), str(tree), *([str(path)] if path is not None else [])]
            return subprocess.Popen(
                [sys.executable, "-m", "duly", *given],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=tree,
                env=environment | {"PYTHONPATH": os.pathsep.join(folders)},
                start_new_session=True,
            )

    chosen = {
        "DULY_HANDLERS": handlers,
        "DULY_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "DULY_DATABASE_URL": database_url,
    }
    return processes.run_as(start, "serve", "--port", "0", *arguments, **chosen)
