"""Submits the rows of an outbox over HTTP, some at a time, each under its id as idempotency key."""

import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

import httpx
import structlog
from sqlalchemy.exc import DBAPIError

from duly.client import ApiError, Client, NotAllowed, NotAuthenticated, NotFound, Unreachable
from duly.client.request import Request, path_of
from duly.client.sending import call
from duly.relay.outbox import Outbox, OutboxRow

log = structlog.stdlib.get_logger("duly.relay")

BATCH = 100
THREADS = 8
LOOK_SECONDS = 1.0
RETRY_SECONDS = 5.0
# The service remembers keys for 24 hours; a row in doubt for longer than this might become a second job.
LONGEST_DOUBT_SECONDS = 23 * 3600.0
IN_DOUBT = (
    "sent more than 23 hours ago without an answer, and the service remembers keys for 24 hours; "
    "if there is no job for this row, set error to null to submit it again"
)
# Of these, none is about the row.
_NOT_ABOUT_THE_ROW = (NotAuthenticated, NotAllowed, NotFound)


class RelayClient(Client):
    """Client that submits JSON text as it is, so that numbers keep their digits."""

    def submit_text(self, body: str, *, idempotency_key: str) -> str:
        """Submits a job. Returns its id."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        content = body.encode()
        # The row of a full queue would keep a thread from the rows of other queues.
        request = Request(
            "POST", path_of("jobs"), headers=headers, content=content, repeatable=False, waits_at_limits=False
        )
        return str(self._performer.run(call(request))["jobId"])


@dataclass(frozen=True, slots=True)
class Submitted:
    """Row whose job is recorded."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Row that the service will never accept as it is."""

    error: str


@dataclass(frozen=True, slots=True)
class Later:
    """Row to submit again.

    Attributes:
        everything: other rows would be answered alike.
        in_doubt: the row may be submitted, although there was no answer.
    """

    reason: str
    seconds: float
    everything: bool
    in_doubt: bool = False


Result: TypeAlias = Submitted | Refused | Later


@dataclass(slots=True)
class Relay:
    """Relay between an outbox and a service.

    Attributes:
        batch: rows in memory at a time.
        stopping: set it to stop after the rows that are being sent.
    """

    outbox: Outbox
    client: RelayClient
    batch: int = BATCH
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, *, once: bool = False) -> None:
        """Submits rows until it is stopped; with `once`, until none is left that can be submitted now."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="relay") as threads:
            while not self.stopping.is_set():
                try:
                    pause = self.step(threads)
                except DBAPIError as error:
                    log.warning(f"the outbox cannot be read, retrying: {error.orig}", action="outbox_unavailable")
                    pause = RETRY_SECONDS
                if once and pause:
                    return
                self.stopping.wait(pause)

    def step(self, threads: ThreadPoolExecutor) -> float:
        """Submits some rows. Returns the seconds until the next look."""
        rows = self.outbox.claim(self.batch)
        if not rows:
            return LOOK_SECONDS
        results = dict(zip(rows, threads.map(self._submit_unless_stopping, rows), strict=True))
        self.outbox.settle(
            {row.id: result.job_id for row, result in results.items() if isinstance(result, Submitted)},
            {row.id: result.error for row, result in results.items() if isinstance(result, Refused)},
        )
        for row, result in results.items():
            if isinstance(result, Refused):
                log.error(f"row {row.id} refused: {result.error}", action="row_refused", row=row.id)
        return self._put_off([(row, result) for row, result in results.items() if isinstance(result, Later)])

    def _put_off(self, later: Sequence[tuple[OutboxRow, Later]]) -> float:
        """Gives rows back. Returns the pause that they cause."""
        groups: defaultdict[tuple[float, bool], list[str]] = defaultdict(list)
        for row, result in later:
            seconds = 0.0 if result.everything else result.seconds
            groups[seconds, result.in_doubt or row.doubt_seconds > 0].append(row.id)
        for (seconds, in_doubt), ids in groups.items():
            self.outbox.put_off(ids, seconds=seconds, in_doubt=in_doubt)
        alike = [result for _, result in later if result.everything]
        if not alike:
            return 0.0
        worst = max(alike, key=lambda result: result.seconds)
        if not self.stopping.is_set():
            log.warning(f"submissions are not accepted now, retrying: {worst.reason}", action="relay_waits")
        return worst.seconds

    def _submit_unless_stopping(self, row: OutboxRow) -> Result:
        return Later("stopping", RETRY_SECONDS, everything=True) if self.stopping.is_set() else self._submit(row)

    def _submit(self, row: OutboxRow) -> Result:
        if row.doubt_seconds > LONGEST_DOUBT_SECONDS:
            return Refused(IN_DOUBT)
        try:
            return Submitted(self.client.submit_text(submission_text(row), idempotency_key=row.id))
        except ValueError as error:  # not JSON, or an id that a header cannot carry
            return Refused(str(error))
        except Unreachable as error:
            in_doubt = not isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
            return Later(str(error), RETRY_SECONDS, everything=True, in_doubt=in_doubt)
        except ApiError as error:
            return _of_error(error)


def submission_text(row: OutboxRow) -> str:
    """Returns the body of a submission, with parameters and options as they are.

    Raises:
        ValueError: one of them is not JSON, or the options are not an object.
    """
    for name, given in (("parameters", row.parameters), ("options", row.options)):
        try:
            value = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} are not JSON: {error}") from None
        if name == "options" and not isinstance(value, dict):
            raise ValueError("options are not a JSON object")
    members = row.options.strip()[1:-1].strip()
    return f'{{"type":{json.dumps(row.type)},"parameters":{row.parameters}{"," if members else ""}{members}}}'


def _of_error(error: ApiError) -> Result:
    words = f"{error.code}: {error.message} {json.dumps(error.details.get('errors', error.remedy))}"
    if error.retryable or isinstance(error, _NOT_ABOUT_THE_ROW) or error.status >= 500:  # noqa: PLR2004  # server errors
        everything = error.code != "BACKLOG_FULL"
        # After 503, nothing is recorded; after other errors of a server or proxy, the job may be.
        in_doubt = error.status >= 500 and error.status != HTTPStatus.SERVICE_UNAVAILABLE  # noqa: PLR2004
        return Later(words, error.retry_after_seconds or RETRY_SECONDS, everything=everything, in_doubt=in_doubt)
    return Refused(words)
