"""Build of an earlier commit, which a run with `--against REV` measures beside today's."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT

GIT_SECONDS = 60


class NoSuchBuild(Exception):
    """Revision that cannot be checked out, with the reason."""


@dataclass(frozen=True, slots=True)
class EarlierBuild:
    """Commit in a worktree of its own. It runs with the libraries of today's environment."""

    commit: str
    folder: Path

    @property
    def name(self) -> str:
        """Name of the contestant."""
        return f"Duly at {self.commit}"


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[EarlierBuild]:
    """Yields a worktree of a revision in `folder`, which is removed after the block.

    Raises:
        NoSuchBuild: git does not know the revision, or this is not a clone.
    """
    commit = _git("rev-parse", "--verify", "--short=10", f"{revision}^{{commit}}").strip()
    _git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield EarlierBuild(commit, folder)
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NoSuchBuild((error.stderr.strip().splitlines() or ["git failed"])[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoSuchBuild(f"git did not run: {error}") from error
    return done.stdout
