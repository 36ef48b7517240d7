"""The commands submit, watch, status and cancel, run as their users run them, against a real service."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run, environment, interruptible

UNKNOWN = "0199c1f0-0000-7000-8000-000000000000"


def error_of(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line that a failed command leaves on standard error."""
    assert done.returncode == code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("duly: "), done.stderr
    return lines[0]


def fields_of(text: str) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in text.splitlines()}


def submitted(duly: Run, *arguments: str) -> str:
    done = duly("submit", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["jobId"])


def test_submit_prints_the_accepted_job(duly: Run) -> None:
    done = duly("submit", "echo", "--param", "a=1")
    fields = fields_of(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(fields) == ["job", "status", "created"] and fields["status"] in {"pending", "running"}


def test_parameters_come_from_a_file_or_standard_input_with_param_laid_over(duly: Run, tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text('{"a": 1, "b": "ü"}', encoding="utf-8")
    from_file = duly("submit", "echo", "--json", f"@{file}", "--param", "a=2", "--wait", "-o", "json")
    from_stdin = duly("submit", "echo", "--json", "-", "--wait", "-o", "json", stdin='{"c": [3]}')
    assert json.loads(from_file.stdout)["result"] == {"a": 2, "b": "ü"}
    assert json.loads(from_stdin.stdout)["result"] == {"c": [3]}


def test_options_reach_the_job(duly: Run) -> None:
    options = ["--priority", "7", "--max-attempts", "2", "--label", "customer=c-42", "--delay", "3600"]
    shown = fields_of(duly("status", submitted(duly, "echo", *options)).stdout)
    assert shown["queue"].endswith("priority 7") and shown["attempt"].endswith("of 2")
    assert shown["labels"] == "customer=c-42" and shown["status"] == "pending, waits for time"


def test_the_same_idempotency_key_gives_the_same_job(duly: Run) -> None:
    first, second = (submitted(duly, "echo", "--idempotency-key", "k-1") for _ in range(2))
    assert first == second


def test_watch_prints_a_line_for_each_frame_and_no_colours(duly: Run) -> None:
    job_id = submitted(duly, "sleep", "--param", "seconds=0.2", "--param", "steps=2")
    done = duly("watch", job_id)
    words = [line.split()[1] for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert words[:2] == ["submitted", "started"] and words[-1] == "completed" and "progress" in words
    assert "\x1b" not in done.stdout


def test_watch_with_json_prints_each_frame_as_a_line_of_json(duly: Run) -> None:
    job_id = submitted(duly, "sleep", "--param", "seconds=0.1")
    done = duly("watch", job_id, "--json")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["sequence"] for frame in frames] == list(range(len(frames)))
    assert frames[-1]["type"] == "job_completed" and {frame["jobId"] for frame in frames} == {job_id}


def test_watch_on_a_terminal_draws_a_bar_to_its_end(duly: Run, url: str) -> None:
    job_id = submitted(duly, "sleep", "--param", "seconds=0.3")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "watch", job_id], env=environment(DULY_URL=url, TERM="xterm"), stdout=theirs
    ) as on:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert on.wait(120) == 0
    os.close(ours)
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode() in shown and b"100 %" in shown and b"completed" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the end of a terminal on Linux
        return b""


def test_a_job_that_failed_ends_the_command_with_1_and_its_reason(duly: Run) -> None:
    options = ["--param", "seconds=30", "--timeout", "1", "--max-attempts", "1"]
    waited = duly("submit", "sleep", *options, "--wait")
    assert "TIMED_OUT" in error_of(waited, 1)
    job_id = fields_of(waited.stdout)["job"]
    assert "failed: TIMED_OUT" in error_of(duly("watch", job_id), 1)
    assert duly("status", job_id).returncode == 0


def test_interrupting_watch_says_how_to_follow_the_job_again(duly: Run, url: str) -> None:
    job_id = submitted(duly, "sleep", "--param", "seconds=60")
    command = [*COMMAND, "watch", job_id]
    with (
        interruptible(),
        subprocess.Popen(
            command, env=environment(DULY_URL=url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watching,
    ):
        assert watching.stdout is not None
        assert "submitted" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=120)
    assert watching.returncode == 130
    assert errors == f"duly: job {job_id} continues; follow it with: duly watch {job_id}\n"
    assert duly("cancel", job_id).returncode == 0


def test_cancel_ends_a_waiting_job_once(duly: Run) -> None:
    job_id = submitted(duly, "echo", "--delay", "3600")
    assert fields_of(duly("cancel", job_id).stdout) == {"job": job_id, "status": "cancelled"}
    assert "JOB_ALREADY_ENDED" in error_of(duly("cancel", job_id), 1)
    assert "cancelled" in error_of(duly("watch", job_id), 1)


def test_cancel_tells_a_running_job_to_stop(duly: Run) -> None:
    job_id = submitted(duly, "sleep", "--param", "seconds=60")
    with_status = duly("cancel", job_id, "--json")
    assert with_status.returncode == 0 and json.loads(with_status.stdout)
    assert "cancelled" in error_of(duly("watch", job_id), 1)


def test_a_signal_is_sent_and_listed(duly: Run) -> None:
    job_id = submitted(duly, "echo", "--delay", "3600")
    sent = fields_of(duly("signal", job_id, "approval", "--body", '{"by": "Ann"}').stdout)
    assert (sent["job"], sent["signal"]) == (job_id, "approval")
    assert json.loads(duly("signal", job_id, "paid", "--json").stdout)["sequence"] == 2
    assert "SIGNAL_ALREADY_SENT" in error_of(duly("signal", job_id, "approval"), 1)
    assert "--body is not valid JSON" in error_of(duly("signal", job_id, "other", "--body", "{"), 2)
    lines = duly("steps", job_id).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["completed", "signal", "approval", '{"by":', '"Ann"}'],
        ["completed", "signal", "paid"],
    ]
    listed = [json.loads(line) for line in duly("steps", job_id, "--json").stdout.splitlines()]
    assert [step["name"] for step in listed] == ["approval", "paid"]
    assert duly("cancel", job_id).returncode == 0


@pytest.mark.parametrize("command", ["status", "watch", "cancel", "steps"])
def test_an_unknown_job_is_told_in_one_line(duly: Run, command: str) -> None:
    error = error_of(duly(command, UNKNOWN), 1)
    assert error.endswith("(NOT_FOUND)") and ";" not in error


def test_an_unknown_type_is_told_with_the_services_advice(duly: Run) -> None:
    error = error_of(duly("submit", "ehco"), 1)
    assert "UNKNOWN_JOB_TYPE" in error and "echo" in error


def test_invalid_parameters_are_told_with_their_path(duly: Run) -> None:
    error = error_of(duly("submit", "sleep", "--param", "seconds=soon"), 1)
    assert error.count("parameters.seconds: Input should be a valid number") == 1
    both = error_of(duly("submit", "sleep", "--param", "seconds=soon", "--param", "steps=0"), 1)
    assert both.count("parameters.seconds: ") == both.count("parameters.steps: ") == 1


@pytest.mark.parametrize("command", [("submit", "echo"), ("watch", UNKNOWN)])
def test_no_service_is_told_with_what_to_do(duly: Run, command: tuple[str, ...]) -> None:
    error = error_of(duly(*command, DULY_URL="http://127.0.0.1:1"), 1)
    assert "no service at http://127.0.0.1:1" in error and "duly serve" in error and "DULY_URL" in error


def test_a_wrong_command_line_ends_with_2_and_one_line(duly: Run) -> None:
    assert "--param must be NAME=VALUE" in error_of(duly("submit", "echo", "--param", "novalue"), 2)


def test_a_missing_argument_ends_with_2(duly: Run) -> None:
    assert duly("submit").returncode == 2


def test_the_key_comes_from_the_environment_and_is_never_shown(duly: Run) -> None:
    error = error_of(duly("status", UNKNOWN, DULY_API_KEY="top secret\n"), 2)
    assert "DULY_API_KEY" in error and "secret" not in error
