"""The check of commit subjects."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import check_commits
from tests.check_commits import faults, subject_of


@pytest.mark.parametrize(
    "subject",
    [
        "Drop the polling fallback when LISTEN works",
        "Process a batch in one statement",
        "Embed PostgreSQL 18",
        "Split the JSON reader from the formatter",
        "Re-encrypt secrets in the background",
        'Revert "Claim jobs by id"',
    ],
)
def test_an_imperative_passes(subject: str) -> None:
    assert list(faults(subject)) == []


@pytest.mark.parametrize(
    "subject",
    [
        "Added a flag",
        "Adds a flag",
        "Adding a flag",
        "Made the flag optional",
        "The flag is optional",
        "fix: make the flag optional",
        "Add a flag.",
        "Add " + "a" * 70,
        "",
    ],
)
def test_other_subjects_are_refused(subject: str) -> None:
    assert len(list(faults(subject))) == 1


def test_the_subject_is_the_first_line_of_a_message_that_is_no_comment() -> None:
    assert subject_of("# Please enter the message\n\nAdd a flag\n\nBecause.\n") == "Add a flag"


def test_a_hook_refuses_a_message(tmp_path: Path) -> None:
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text("Added a flag\n")
    run = subprocess.run(
        [sys.executable, "-m", "tests.check_commits", "--message", message],
        cwd=check_commits.ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (run.returncode, run.stdout) == (1, 'subject "Added a flag" begins with "Added", not with an imperative\n')


def test_without_a_history_there_is_nothing_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_commits, "ROOT", tmp_path)
    assert check_commits.subjects_since_base() == []
