"""Live display of a job's stream: a progress bar on a terminal, lines elsewhere, or JSON."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from duly.cli.output import frame_line, print_json
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


def show_json(frames: Iterable[Frame]) -> None:
    """Prints each frame as a line of JSON."""
    for frame in frames:
        print_json(frame)


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
