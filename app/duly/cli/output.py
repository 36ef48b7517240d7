"""Output of jobs and stream frames, as text or as JSON."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from duly.domain.safe_str import one_line

Json = Mapping[str, Any]

# Characters that JSON leaves unescaped and a terminal obeys: C1 controls, line separators, changes of direction.
_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LABEL_WIDTH = 10
_FRAME_WORDS = {
    "job_cancel_requested": "cancelling",
    "job_step_completed": "step",
    "job_step_compensated": "undone",
}


def print_json(value: object, *, indent: int | None = None) -> None:
    """Prints one JSON document and flushes it, so that a pipe receives it at once."""
    unicode_out = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not unicode_out, indent=indent)
    print(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def print_fields(fields: Mapping[str, str]) -> None:
    """Prints aligned lines of names and values, without fields that have no value."""
    for name, value in fields.items():
        if value:
            print(f"{name:<{_LABEL_WIDTH}} {one_line(value)}", flush=True)


def job_fields(job: Json) -> dict[str, str]:
    """Returns the fields of a job that `duly status` shows."""
    return {
        "job": job["jobId"],
        "type": job["type"],
        "status": status_words(job),
        "queue": f"{job['queue']}, priority {job['priority']}",
        "attempt": f"{job['attempt']} of {job['maxAttempts']}",
        "labels": " ".join(f"{name}={value}" for name, value in (job.get("labels") or {}).items()),
        "created": job["createdAt"],
        "run at": (job.get("runAt") or "") if job["status"] == "pending" else "",
        "started": job.get("startedAt") or "",
        "ended": job.get("completedAt") or "",
        "parameters": compact(job.get("parameters")),
        "result": compact(job.get("result")) if job["status"] == "completed" else "",
        "error": error_words(job.get("error")),
    }


def status_words(job: Json) -> str:
    """Returns a status such as `running, 25 %: read 250 of 1,000 rows` or `pending, waits for time`."""
    status = str(job["status"])
    if status == "running":
        return f"{status}, {progress_words(job.get('progress'), job.get('progressMessage'))}"
    if status == "pending" and job.get("waitingFor"):
        return f"{status}, waits for {job['waitingFor']}"
    return status


def frame_line(frame: Json) -> str:
    """Returns a stream frame as one line: time, event and details."""
    kind = str(frame["type"])
    word = _FRAME_WORDS.get(kind, kind.removeprefix("job_"))
    return f"{frame.get('at') or '':<24}  {word:<9}  {one_line(_frame_words(frame))}".rstrip()


def step_line(step: Json) -> str:
    """Returns a step, timer or signal as one line: status, kind, name, and its time or result."""
    state = str(step["status"]).replace("_", " ")
    time = f"until {step['until']}" if step["status"] == "waiting" and step["until"] else ""
    value = time or one_line(compact(step["result"]))
    return f"{state:<11}  {step['kind']:<6}  {one_line(step['name'])}  {value}".rstrip()


def progress_words(percent: float | None, message: str | None) -> str:
    """Returns progress such as `25 %: read 250 of 1,000 rows`."""
    return f"{round(percent or 0, 1):g} %" + (f": {message}" if message else "")


def error_words(error: Json | None) -> str:
    """Returns an error such as `TASK_FAILED: the disk is full`."""
    return f"{error.get('code')}: {error.get('message')}" if error else ""


def compact(value: object) -> str:
    """Returns the value as JSON on one line, or an empty text for null."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _frame_words(frame: Json) -> str:
    match frame["type"]:
        case "job_progress":
            return progress_words(frame.get("progress"), frame.get("message"))
        case "job_completed":
            return compact(frame.get("result"))
        case "job_failed" | "job_cancelled" | "job_retrying":
            return error_words(frame.get("error"))
        case "job_started" if frame.get("attempt"):
            return f"attempt {frame['attempt']}"
        case _:
            return _words_of_step(frame)


def _words_of_step(frame: Json) -> str:
    """Returns the step, the signals and the time that a frame names; most name none."""
    until = f"until {frame['until']}" if frame.get("until") else ""
    named = (frame.get("step"), frame.get("signal") or frame.get("reason"), *(frame.get("signals") or ()), until)
    return ", ".join(str(each) for each in named if each)
