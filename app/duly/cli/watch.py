"""Live display of a job's stream: a progress bar on a terminal, lines elsewhere, or JSON."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from duly.cli.errors import stop
from duly.cli.output import compact, error_words, frame_line, print_fields, print_json, status_words
from duly.client import Client
from duly.domain.safe_str import one_line

Frame = dict[str, Any]

_WIDTH_OF_A_FILE = 120
_BAR_WORDS = {
    "job_submitted": "waiting for a worker",
    "job_started": "running",
    "job_retrying": "waiting for a retry",
    "job_cancel_requested": "cancelling",
    "job_completed": "completed",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
}


def watch_as_json(client: Client, job_id: str) -> None:
    """Prints each frame of the job as a line of JSON until it ends. Exits with 1 unless it completed."""
    for frame in client.stream(job_id):
        print_json(frame)
    _exit_with(client.get(job_id))


def wait_for_end(client: Client, job_id: str, *, as_json: bool) -> None:
    """Displays the job until it ends, or prints it as JSON once it has ended. Exits with 1 unless it completed."""
    if not as_json:
        watch_to_end(client, job_id)
        return
    with _continues(job_id):
        job = client.wait(job_id)
    print_json(job, indent=2)
    _exit_with(job)


def watch_to_end(client: Client, job_id: str) -> None:
    """Displays the job until it ends. Exits with 1 unless it completed."""
    console = text_console()
    with _continues(job_id):
        show(client.stream(job_id), console=console)
    job = client.get(job_id)
    if console.is_terminal:
        print_fields({"status": status_words(job), "result": compact(job["result"])})
    _exit_with(job)


def show(frames: Iterable[Frame], *, console: Console) -> None:
    """Displays the frames until the stream ends."""
    if console.is_terminal:
        _show_bar(frames, console=console)
    else:
        _show_lines(frames)


def text_console() -> Console:
    """Returns a console on standard output without highlighting; colours only on a terminal and without NO_COLOR."""
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def _show_lines(frames: Iterable[Frame]) -> None:
    for frame in frames:
        print(frame_line(frame), flush=True)


def _show_bar(frames: Iterable[Frame], *, console: Console) -> None:
    columns = (
        BarColumn(bar_width=32, complete_style="cyan", finished_style="green"),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=100)
        for frame in frames:
            progress.update(task, **_bar_state(frame))


def _bar_state(frame: Frame) -> dict[str, Any]:
    kind = str(frame["type"])
    if kind == "job_progress":
        return {"completed": frame.get("progress") or 0, "description": one_line(frame.get("message") or "running")}
    done = {"job_completed": 100, "job_started": 0, "job_submitted": 0}
    state: dict[str, Any] = {"description": _BAR_WORDS.get(kind, kind.removeprefix("job_"))}
    return state | ({"completed": done[kind]} if kind in done else {})


@contextmanager
def _continues(job_id: str) -> Iterator[None]:
    """Prints, on Ctrl-C, how to follow the job again."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"duly: job {job_id} continues; follow it with: duly watch {job_id}", file=sys.stderr)
        raise


def _exit_with(job: Mapping[str, Any]) -> None:
    if job["status"] != "completed":
        why = error_words(job.get("error"))
        stop(f"job {job['jobId']} {job['status']}" + (f": {why}" if why else ""))
