"""Frames of `duly top`: what they read of a service, and how they look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from duly.cli.job_lists import job_details
from duly.cli.queue_commands import QUEUE_HEADER, queue_row
from duly.cli.tables import table_lines
from duly.cli.terminal_client import TerminalClient
from duly.client import NotAllowed, NotFound
from duly.domain.safe_str import one_line

Json = Mapping[str, Any]

# Of a long list, only so many are read.
MOST_QUEUES = 200
MOST_JOBS = 50
_NODE_HEADER = ("NODE", "STATE", "BUSY", "SLOTS", "VERSION", "ROLES")
_JOB_HEADER = ("RUNNING JOB", "TYPE", "QUEUE", "STARTED", "DETAILS")
# Lines that a frame takes beside its rows: totals, headers and blanks.
_OTHER_LINES = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """State of a service.

    Attributes:
        nodes: None if the service or the key does not show its nodes.
        jobs: running jobs, newest first.
        more_jobs: True if more than these run.
    """

    url: str
    queues: Sequence[Json]
    nodes: Sequence[Json] | None
    jobs: Sequence[Json]
    more_jobs: bool

    def as_json(self) -> dict[str, Any]:
        """Returns the frame as one JSON document."""
        return {"url": self.url, "queues": self.queues, "nodes": self.nodes, "running": self.jobs}


@dataclass(frozen=True, slots=True)
class Outage:
    """Reason why a frame could not be read, as a line."""

    line: str


def read_frame(client: TerminalClient) -> Frame:
    """Reads the present state of the service.

    Raises:
        ApiError, Unreachable: it cannot be read.
    """
    queues = client.read("queues", limit=MOST_QUEUES)["items"]
    try:
        nodes = client.read("nodes")["items"]
    except (NotFound, NotAllowed):
        nodes = None
    page = client.read("jobs", status="running", limit=MOST_JOBS)
    return Frame(client.url, queues, nodes, page["items"], page["nextCursor"] is not None)


def frame_text(frame: Frame, console: Console, *, outage: Outage | None = None) -> Text:
    """Returns the frame as styled text that fits the console; without a terminal, all of it."""
    lines = [Text(_totals(frame), style="bold")]
    if outage is not None:
        lines.append(Text(one_line(outage.line), style="red"))
    busiest = sorted(frame.queues, key=_rank)
    room = console.height - _OTHER_LINES if console.is_terminal else None
    for header, rows in (
        (_NODE_HEADER, [_node_row(node) for node in frame.nodes or ()]),
        (QUEUE_HEADER, [queue_row(queue) for queue in busiest]),
        (_JOB_HEADER, [_job_row(job) for job in frame.jobs]),
    ):
        if not rows:
            continue
        shown = rows if room is None else rows[: max(room // 3, 3)]
        title, *table = table_lines(header, shown)
        lines += [Text(), Text(title, style="reverse"), *map(Text, table)]
        if (hidden := len(rows) - len(shown)) or (rows and header is _JOB_HEADER and frame.more_jobs):
            lines.append(Text(f"and {hidden:,} more" if hidden else "and more", style="dim"))
    for line in lines:
        if console.is_terminal:
            line.truncate(console.width, overflow="ellipsis")
    return Text("\n").join(lines)


def _totals(frame: Frame) -> str:
    def total(*members: str) -> float:
        return sum(float(queue.get(member) or 0) for queue in frame.queues for member in members)

    parts = [
        f"{total('depth'):,.0f} ready, {total('scheduled', 'parked', 'held', 'blocked'):,.0f} waiting",
        f"{total('running'):,.0f} running",
        f"{total('inPerSecond'):,.1f} in/s, {total('outPerSecond'):,.1f} out/s",
    ]
    if frame.nodes is not None:
        busy, slots = (sum(node[member] for node in frame.nodes) for member in ("busySlots", "slots"))
        nodes = "node" if len(frame.nodes) == 1 else "nodes"
        parts.append(f"{len(frame.nodes):,} {nodes}, {busy:,} of {slots:,} slots busy")
    return f"{one_line(frame.url)}  " + ", ".join(parts)


def _rank(queue: Json) -> tuple[float, str]:
    """Orders queues by what is ready and running, then by name."""
    return -(queue["depth"] + queue["running"]), queue["queue"]


def _node_row(node: Json) -> tuple[object, ...]:
    return (
        *(node[member] for member in ("name", "state", "busySlots", "slots", "version")),
        " ".join(node["roles"]),
    )


def _job_row(job: Json) -> tuple[object, ...]:
    return *(job[member] for member in ("jobId", "type", "queue", "startedAt")), job_details(job)
