"""Body of `duly logs`: the log lines of a job, and those that follow until it ends."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from duly.cli.output import compact, print_json
from duly.cli.terminal_client import TerminalClient
from duly.client import ENDED, Unavailable, Unreachable
from duly.domain.safe_str import one_line

Line = Mapping[str, Any]

POLL_SECONDS = 0.5
# The service records lines in batches. After the end of a job, they are read until none has come for this time.
SETTLE_SECONDS = 1.0
# A restart of the service takes less.
LONGEST_OUTAGE_SECONDS = 60.0
_PAGE_LINES = 200


def print_logs(
    client: TerminalClient, job_id: str, *, attempt: int | None, level: str, follows: bool, as_json: bool
) -> None:
    """Prints the lines; with `follows`, also those that come until the job ends."""
    reader = LogReader(client, job_id, attempt=attempt, level=level)
    for line in follow(client, job_id, reader) if follows else reader.read():
        if as_json:
            print_json(line)
        else:
            print(log_line(line), flush=True)


class LogReader:
    """Reads the log lines of a job, each once."""

    def __init__(self, client: TerminalClient, job_id: str, *, attempt: int | None, level: str) -> None:
        self._client = client
        self._job_id = job_id
        self._query = {"attempt": attempt, "level": level, "limit": _PAGE_LINES}
        self._cursor: str | None = None
        self._last = (0, 0)

    def read(self) -> Iterator[Line]:
        """Yields the lines after those that were read before."""
        while True:
            page = self._client.read("jobs", self._job_id, "logs", **self._query, cursor=self._cursor)
            for line in page["items"]:
                if (position := (line["attempt"], line["line"])) > self._last:
                    self._last = position
                    yield line
            if not page["nextCursor"]:
                return  # the next call reads this page again
            self._cursor = page["nextCursor"]


def follow(client: TerminalClient, job_id: str, reader: LogReader) -> Iterator[Line]:
    """Yields lines until the job has ended and no more of them come, across restarts of the service.

    Raises:
        Unreachable, Unavailable: the service has not responded for a minute.
    """
    responded_at = time.monotonic()
    ended = False
    while True:
        try:
            any_came = False
            for line in reader.read():
                any_came = True
                yield line
            if ended and not any_came:
                return
            ended = client.get(job_id)["status"] in ENDED
            responded_at = time.monotonic()
        except (Unreachable, Unavailable):
            if time.monotonic() - responded_at > LONGEST_OUTAGE_SECONDS:
                raise
        time.sleep(SETTLE_SECONDS if ended else POLL_SECONDS)


def log_line(line: Line) -> str:
    """Returns a log line as one line: time, attempt, level, message and fields."""
    fields = "".join(f"  {name}={_value(value)}" for name, value in (line["fields"] or {}).items())
    return one_line(f"{line['at']}  {line['attempt']}  {line['level']:<7}  {line['message'] or ''}{fields}")


def _value(value: object) -> str:
    return value if isinstance(value, str) and value.isalnum() else compact(value) or "null"
