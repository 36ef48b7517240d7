"""Records what a node's attempts report: progress, log lines and checkpoints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from duly.domain.log_lines import LEVELS, Level, LogLine, fields_text, limit_note, message_text
from duly.domain.outcome import MESSAGE_LIMIT, Interrupted
from duly.errors import Overloaded, Unavailable
from duly.handlers.checkpoint_text import write_checkpoint
from duly.handlers.child_jobs import ChildBackend
from duly.handlers.exceptions import HandlerError
from duly.handlers.step_backend import StepBackend
from duly.lifecycle.run.checkpoint import CheckpointRecorder
from duly.lifecycle.run.job_logs import LogRecorder
from duly.lifecycle.run.progress import ProgressRecorder
from duly.store.postgres.database import DatabaseOutage, RecordBusy, RecordRefused
from duly.worker.attempt import Attempt, log_error, log_line
from duly.worker.tracebacks import ErrorLocation

AWAY_SECONDS = 0.2

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """Limits of one attempt: lines of its log, bytes and nesting of a checkpoint."""

    log_lines: int
    checkpoint_bytes: int
    checkpoint_depth: int


class RecordedReports:
    """Records the reports of this node's attempts."""

    def __init__(
        self,
        *,
        progress: ProgressRecorder,
        logs: LogRecorder,
        checkpoints: CheckpointRecorder,
        limits: ReportLimits,
        child_backend: Callable[[Attempt], ChildBackend],
        step_backend: Callable[[Attempt], StepBackend],
        now: Callable[[], datetime],
    ) -> None:
        self._progress = progress
        self._logs = logs
        self._checkpoints = checkpoints
        self._limits = limits
        self._now = now
        self.child_backend = child_backend
        self.step_backend = step_backend

    async def progress(self, attempt: Attempt, percent: float, message: str | None) -> None:
        """Records progress. If the database is away or refuses it, it is dropped: a later report or the outcome
        replaces it.
        """
        try:
            held = await self._progress.record(
                attempt.claimed.job_id, attempt.claimed.token, percent=percent, message=message
            )
        except (DatabaseOutage, RecordRefused):
            return
        if not held:
            await lost(attempt)

    def log(self, attempt: Attempt, level: str, message: str, fields: Mapping[str, object]) -> None:
        """Writes a line to the service's log and adds it to the job's log, which keeps a limited number for each
        attempt.
        """
        log_line(attempt.claimed, level, message, fields)
        most, number = self._limits.log_lines, attempt.next_line()
        if number <= most:
            self._put(attempt, number, LEVELS.get(level, Level.INFO), message_text(message), fields_text(fields))
        elif number == most + 1 and most:
            self._put(attempt, number, Level.WARNING, limit_note(most), None)

    def error(self, attempt: Attempt, error: BaseException, location: ErrorLocation) -> None:
        """Writes an exception to the service's log and adds its traceback to the job's log.

        There it becomes lines of level error, beyond the limit of lines.
        """
        log_error(attempt.claimed, error, location)
        if self._limits.log_lines:
            for part in _parts(location.traceback):
                self._put(attempt, attempt.next_line(), Level.ERROR, message_text(part), None)

    def _put(self, attempt: Attempt, number: int, level: Level, message: str, fields: str | None) -> None:
        job, at = attempt.claimed, self._now()
        self._logs.put(LogLine(job.tenant_id, job.job_id, job.token, number, job.attempt, level, message, fields, at))

    def checkpoint(self, attempt: Attempt, value: object) -> Awaitable[None]:
        """Serializes a checkpoint at once, in the caller's thread. It is durable when the awaitable returns."""
        limits = self._limits
        text = write_checkpoint(value, limit=limits.checkpoint_bytes, max_depth=limits.checkpoint_depth)
        return self._keep(attempt, text)

    async def _keep(self, attempt: Attempt, text: str) -> None:
        """Records a checkpoint, however often it must try. A node without database stops its attempts before long."""
        held: bool | None = None
        while held is None:
            try:
                held = await self._recorded(attempt, text)
            except (DatabaseOutage, Overloaded, RecordBusy):
                if attempt.cancelled:
                    raise HandlerError("the attempt was stopped before its checkpoint was recorded") from None
                await asyncio.sleep(AWAY_SECONDS)
            except RecordRefused as error:
                raise HandlerError(f"the checkpoint cannot be recorded: {error}") from None
        if not held:
            await lost(attempt)
            raise HandlerError("the checkpoint was not recorded: the attempt has lost its lease")

    async def _recorded(self, attempt: Attempt, text: str) -> bool:
        """Records a checkpoint even if the handler is interrupted: the end of the attempt waits for it, since an end
        that is recorded concurrently would not see the checkpoint that it must delete.
        """
        recording = asyncio.ensure_future(self._checkpoints.keep(attempt.claimed.job_id, attempt.claimed.token, text))
        recording.add_done_callback(_retrieve_exception)
        attempt.recording = recording
        return await asyncio.shield(recording)


def _parts(text: str) -> Iterator[str]:
    """Yields the text in parts of whole lines that fit a log line; cuts longer lines."""
    part = ""
    for line in text.splitlines():
        if part and len(part) + len(line) >= MESSAGE_LIMIT:
            yield part
            part = ""
        part = f"{part}\n{line}" if part else line
    yield part


def _retrieve_exception(recording: asyncio.Future[bool]) -> None:
    """Retrieves the exception so that asyncio does not warn."""
    if not recording.cancelled():
        recording.exception()


async def as_long_as_it_takes(attempt: Attempt, act: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeats `act` while the database is unavailable. A node without database stops its attempts before long.

    Raises:
        HandlerError: the attempt was stopped meanwhile.
    """
    while True:
        try:
            return await act()
        except (DatabaseOutage, Unavailable, RecordBusy):
            if attempt.cancelled:
                raise HandlerError("the attempt was stopped while the database was away") from None
            await asyncio.sleep(AWAY_SECONDS)


async def lost(attempt: Attempt) -> None:
    """Stops an attempt that has lost its lease."""
    attempt.stop(Interrupted("the lease was lost"))
    await asyncio.sleep(0)  # delivers the interruption here
