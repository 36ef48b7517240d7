"""The commands list, retry and cancel on many jobs, run as their users run them, against a real service."""

import json
import os
import pty
import select
import signal
import subprocess

import pytest

from tests.cli.conftest import COMMAND, Run, environment, interruptible
from tests.cli.test_jobs_commands import UNKNOWN, error_of, fields_of, submitted

LATER = ("--delay", "3600")


def listed(duly: Run, *arguments: str) -> list[str]:
    """The ids of the jobs that the command lists as JSON."""
    done = duly("list", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line)["jobId"] for line in done.stdout.splitlines()]


def test_jobs_are_listed_newest_first_with_their_details(duly: Run) -> None:
    first = submitted(duly, "echo", "--label", "of=list", *LATER)
    second = submitted(duly, "echo", "--label", "of=list", "--queue", "lists", *LATER)
    header, *rows = duly("list", "--label", "of=list").stdout.splitlines()
    assert header.split() == ["JOB", "STATUS", "CREATED", "QUEUE", "TYPE", "ATTEMPT", "DETAILS"]
    assert [row.split()[0] for row in rows] == [second, first]
    assert rows[0].split()[3:5] == ["lists", "echo"] and "waits for time until" in rows[0]


def test_each_filter_of_the_list_reaches_the_service(duly: Run) -> None:
    job_id = submitted(duly, "echo", "--queue", "filtered", "--label", "of=filter", *LATER)
    created = json.loads(duly("status", job_id, "--json").stdout)["createdAt"]
    match = ["--queue", "filtered", "--type", "echo", "--label", "of=filter", "--created-after", created]
    assert listed(duly, *match, "--status", "pending", "--status", "failed") == [job_id]
    for other in (
        ["--status", "failed"],
        ["--type", "sleep"],
        ["--batch", UNKNOWN],
        ["--parent", UNKNOWN],
        ["--created-before", created],
    ):
        assert listed(duly, "--queue", "filtered", *other) == [], other


def test_a_limited_list_says_that_more_jobs_match(duly: Run) -> None:
    for _ in range(2):
        submitted(duly, "echo", "--queue", "limited", *LATER)
    cut = duly("list", "--queue", "limited", "--limit", "1")
    assert len(cut.stdout.splitlines()) == 2
    assert cut.stderr == "duly: more jobs match; list them with --limit or --all\n"
    whole = duly("list", "--queue", "limited", "--all")
    assert (len(whole.stdout.splitlines()), whole.stderr) == (3, "")
    assert duly("list", "--queue", "none").stderr == "duly: no job matches\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--status", "odd"), "'odd'"),
        (("list", "--label", "odd"), "--label must be NAME=VALUE"),
        (("list", "--watch", "--status", "failed"), "--watch filters by"),
        (("retry",), "at least one filter"),
        (("cancel",), "at least one filter"),
        (("cancel", UNKNOWN, "--type", "echo"), "not by both"),
        (("retry", "--type", "echo", "--from-step", "a"), "--from-step needs the ID of one job"),
        (("cancel", "--type", "echo"), "add --yes to cancel all jobs that match"),
    ],
)
def test_a_wrong_choice_of_jobs_ends_with_2_and_what_to_do(duly: Run, arguments: tuple[str, ...], message: str) -> None:
    done = duly(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_time_without_its_zone_is_refused_by_the_service_in_one_line(duly: Run) -> None:
    assert "createdAfter" in error_of(duly("list", "--created-after", "yesterday"), 1)


def test_following_a_list_prints_events_of_matching_jobs_only(duly: Run, url: str) -> None:
    command = [*COMMAND, "list", "--watch", "--queue", "followed", "--json"]
    with (
        interruptible(),
        subprocess.Popen(command, env=environment(DULY_URL=url), stdout=subprocess.PIPE, text=True) as following,
    ):
        assert following.stdout is not None
        try:
            # A stream of all jobs begins with the present: its first frame may be of any of these.
            ids = set()
            while not (ready := _readable(following)):
                submitted(duly, "echo", *LATER)
                ids.add(submitted(duly, "echo", "--queue", "followed", *LATER))
            frame = json.loads(following.stdout.readline())
        finally:
            following.send_signal(signal.SIGINT)
    assert ready and frame["jobId"] in ids and frame["type"] == "job_submitted"
    assert duly("cancel", "--queue", "followed", "--yes").returncode == 0


def _readable(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.2)[0])


def test_several_jobs_are_cancelled_and_retried_by_their_ids(duly: Run) -> None:
    ids = [submitted(duly, "echo", *LATER) for _ in range(2)]
    done = duly("cancel", *ids)
    assert done.stdout.split() == [word for job_id in ids for word in ("job", job_id, "status", "cancelled")]
    again = duly("retry", *ids, UNKNOWN, "--json")
    assert [json.loads(line)["jobId"] for line in again.stdout.splitlines()] == ids
    assert f"job {UNKNOWN}: " in error_of(again, 1) and "NOT_FOUND" in again.stderr


def test_retrying_from_a_step_that_is_not_recorded_is_refused_in_one_line(duly: Run) -> None:
    job_id = submitted(duly, "echo", *LATER)
    assert duly("cancel", job_id).returncode == 0
    error = error_of(duly("retry", job_id, "--from-step", "charge"), 1)
    assert "charge" in error


def test_matching_jobs_are_counted_then_changed(duly: Run) -> None:
    match = ("--queue", "bulk", "--label", "of=bulk")
    for _ in range(3):
        submitted(duly, "echo", *match, *LATER)
    assert fields_of(duly("cancel", *match, "--dry-run").stdout) == {"matching": "3 jobs"}
    assert json.loads(duly("cancel", *match, "--dry-run", "--json").stdout) == {"count": 3, "complete": True}
    assert fields_of(duly("cancel", *match, "--yes").stdout) == {"cancelled": "3"}
    assert fields_of(duly("retry", *match, "--dry-run").stdout) == {"matching": "0 jobs"}
    cancelled = (*match, "--status", "cancelled")
    assert json.loads(duly("retry", *cancelled, "--yes", "--json").stdout) == {"retried": 3}


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, 2), (b"y\n", 0, 0)])
def test_a_person_confirms_the_number_of_jobs(duly: Run, url: str, answer: bytes, code: int, left: int) -> None:
    queue = f"confirmed-{code}"
    for _ in range(2):
        submitted(duly, "echo", "--queue", queue, *LATER)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "cancel", "--queue", queue],
        env=environment(DULY_URL=url),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        os.close(theirs)
        os.write(ours, answer)
        _, asked = asking.communicate(timeout=300)
    os.close(ours)
    assert (asking.returncode, "Cancel 2 jobs? [y/N]" in asked) == (code, True)
    assert len(listed(duly, "--queue", queue, "--status", "pending")) == left
