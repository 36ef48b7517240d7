"""The commands queues and schedules, run as their users run them, against a real service."""

import json

import pytest

from tests.cli.conftest import Run
from tests.cli.test_jobs_commands import error_of, fields_of, submitted


def row_of(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[0] == name)


def test_queues_are_listed_with_what_waits_in_them(duly: Run) -> None:
    submitted(duly, "echo", "--queue", "shown", "--delay", "3600")
    done = duly("queues", "list")
    assert (done.returncode, done.stderr) == (0, "")
    header = done.stdout.splitlines()[0].split()
    assert header[:4] == ["QUEUE", "READY", "OLDEST", "SCHEDULED"] and header[-3:] == ["IN/s", "OUT/s", "STATE"]
    row = dict(zip(header, row_of(done.stdout, "shown"), strict=True))
    assert (row["READY"], row["SCHEDULED"], row["STATE"]) == ("0", "1", "active")
    listed = [json.loads(line) for line in duly("queues", "list", "--json").stdout.splitlines()]
    assert {"default", "shown"} <= {queue["queue"] for queue in listed}


def test_a_queue_is_paused_and_resumed(duly: Run) -> None:
    assert fields_of(duly("queues", "pause", "halted").stdout) == {"queue": "halted", "state": "paused"}
    job_id = submitted(duly, "echo", "--queue", "halted")
    assert "QUEUE_PAUSED" in duly("why", job_id).stdout
    assert json.loads(duly("queues", "resume", "halted", "--json").stdout)["paused"] is False
    assert duly("watch", job_id).returncode == 0


def test_limits_of_a_queue_are_set_shown_and_removed(duly: Run) -> None:
    assert fields_of(duly("queues", "limits", "slow").stdout)["running"] == "not limited"
    changed = duly("queues", "limits", "slow", "--concurrency", "3", "--rate", "100/60")
    assert fields_of(changed.stdout) == {
        "queue": "slow",
        "running": "at most 3 at once",
        "starting": "at most 100 in 60 s",
    }
    assert json.loads(duly("queues", "limits", "slow", "--json").stdout)["concurrency"] == 3
    assert fields_of(duly("queues", "limits", "slow", "--remove").stdout)["starting"] == "not limited"


@pytest.mark.parametrize("arguments", [("--rate", "often"), ("--rate", "5/"), ("--remove", "--concurrency", "1")])
def test_a_limit_that_cannot_be_read_ends_with_2(duly: Run, arguments: tuple[str, ...]) -> None:
    assert "--r" in error_of(duly("queues", "limits", "slow", *arguments), 2)


def test_a_schedule_is_created_shown_run_paused_and_deleted(duly: Run) -> None:
    made = duly("schedules", "create", "nightly", "0 3 * * *", "echo", "--timezone", "Europe/Berlin", "--param", "a=1")
    assert (made.returncode, made.stderr) == (0, "")
    assert fields_of(made.stdout)["submits"] == '{"type": "echo", "parameters": {"a": 1}}'
    assert row_of(duly("schedules", "list").stdout, "nightly")[-1] == "active"
    shown = duly("schedules", "show", "nightly", "--count", "3").stdout
    due = [line.split()[1] for line in shown.splitlines() if line.startswith("due")]
    assert [time[10:19] for time in due] == ["T03:00:00"] * 3  # by the clock of its zone, summer or winter
    assert len(json.loads(duly("schedules", "show", "nightly", "--json").stdout)["dueTimes"]) == 10
    job_id = fields_of(duly("schedules", "run", "nightly").stdout)["job"]
    assert duly("watch", job_id).returncode == 0
    assert fields_of(duly("schedules", "pause", "nightly").stdout)["state"] == "paused"
    assert fields_of(duly("schedules", "resume", "nightly").stdout)["state"] == "active"
    assert [json.loads(line)["name"] for line in duly("schedules", "list", "--json").stdout.splitlines()] == ["nightly"]
    assert duly("schedules", "delete", "nightly").returncode == 0
    assert "NOT_FOUND" in error_of(duly("schedules", "show", "nightly"), 1)


def test_a_wrong_cron_expression_is_refused_in_one_line(duly: Run) -> None:
    assert "cron" in error_of(duly("schedules", "create", "odd", "99 * * * *", "echo"), 1)
