"""Steps and waits of the attempts on this node; see `duly.handlers.step_backend.StepBackend`."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from duly.domain.audit import Actor
from duly.domain.job import Mark
from duly.domain.json_reader import JsonRefused, read_json
from duly.domain.signal_link import InvalidLink
from duly.domain.steps import StepStatus, Wait
from duly.domain.timestamps import rfc3339
from duly.errors import DulyError
from duly.handlers.exceptions import HandlerError
from duly.handlers.step_backend import CompletedStep, LinkRequest, RecordedStep, SignalRequest, WaitEnd, WaitKey
from duly.lifecycle.run.compensation import CompensationRecorder
from duly.lifecycle.run.steps import StepReader, StepRecorder
from duly.lifecycle.signals.links import SignalLinks
from duly.lifecycle.signals.send import SignalReceipt, SignalSender
from duly.store.ledger.compensation import CompensatedStep
from duly.store.ledger.steps import StepRecord
from duly.store.postgres.database import RecordRefused
from duly.telemetry.tracing import Tracing
from duly.worker.attempt import Attempt
from duly.worker.reports import as_long_as_it_takes, lost


@dataclass(frozen=True, slots=True)
class StepParts:
    """Parts that the steps of all attempts on a node share.

    Attributes:
        source: source of the events of the signals that handlers send.
        json_depth: deepest nesting of the body of a signal.
        now: clock of the database.
    """

    recorder: StepRecorder
    compensations: CompensationRecorder
    reader: StepReader
    links: SignalLinks
    signals: SignalSender
    source: str
    json_depth: int
    now: Callable[[], datetime]
    tracing: Tracing


class AttemptSteps:
    """Steps and waits of one attempt on this node."""

    def __init__(self, attempt: Attempt, *, parts: StepParts) -> None:
        self._attempt = attempt
        self._parts = parts
        self._key = attempt.claimed.tenant_id, attempt.claimed.job_id
        self.compensating = bool(attempt.claimed.marks & Mark.COMPENSATING)

    @property
    def cancelled(self) -> bool:
        """Returns whether the attempt was stopped."""
        return self._attempt.cancelled

    async def read_steps(self) -> Mapping[str, RecordedStep]:
        """Returns the recorded steps by name, in order; a job without the mark has none."""
        return await self._read_steps() if self._attempt.claimed.marks & Mark.STEPS else {}

    async def _read_steps(self) -> dict[str, RecordedStep]:
        rows = await as_long_as_it_takes(self._attempt, lambda: self._parts.reader.read_steps(*self._key))
        return {
            row.name: RecordedStep(
                row.name, row.sequence, row.result, row.compensable, row.status is StepStatus.COMPENSATED
            )
            for row in sorted(rows, key=lambda row: row.sequence)
        }

    async def read_waits(self) -> Mapping[WaitKey, WaitEnd]:
        """Returns the waits that have ended, and the signals."""
        rows = await as_long_as_it_takes(self._attempt, lambda: self._parts.reader.read_waits(*self._key))
        return {(row.kind, row.name): WaitEnd(row.status, row.body) for row in rows}

    def span(self, name: str, number: int) -> AbstractContextManager[None]:
        """Records one try of a step in the trace of the job; see `StepBackend`."""
        return self._parts.tracing.step(name, number)

    async def record(self, step: CompletedStep) -> None:
        """Records a step; see `StepBackend`."""
        claimed = self._attempt.claimed
        if self._attempt.span is not None and self._attempt.handler.isolation == "process":
            tries, seconds = step.attempts, step.seconds
            self._parts.tracing.step_elsewhere(claimed.traceparent, step.name, tries=tries, seconds=seconds)
        record = StepRecord(claimed.job_id, claimed.token, step.name, self._data(step), step.compensable)
        try:
            held = await as_long_as_it_takes(self._attempt, lambda: self._parts.recorder.record(record))
        except RecordRefused as error:
            # An earlier try may have recorded it, and its response was lost.
            known = (await self._read_steps()).get(step.name)
            if known is None:
                raise HandlerError(f'step "{step.name}": its result cannot be recorded: {error}') from None
            if known.result != step.result:
                raise HandlerError(f'step "{step.name}" is recorded already, with another result') from None
            return
        if not held:
            await lost(self._attempt)
            raise HandlerError(f'step "{step.name}" was not recorded: the attempt has lost its lease')

    async def record_compensated(self, name: str, tries: int) -> None:
        """Records that a step was compensated; see `StepBackend`."""
        claimed = self._attempt.claimed
        data = json.dumps({"step": name, "attempts": tries})
        step = CompensatedStep(claimed.job_id, claimed.token, name, data)
        held = await as_long_as_it_takes(self._attempt, lambda: self._parts.compensations.record(step))
        if not held:
            await lost(self._attempt)
            raise HandlerError(f'the compensation of step "{name}" was not recorded: the attempt has lost its lease')

    def _data(self, step: CompletedStep) -> str:
        """Returns the data of the event, with the result as it was serialized."""
        facts = {
            "step": step.name,
            "attempts": step.attempts,
            "startedAt": rfc3339(self._parts.now() - timedelta(seconds=step.seconds)),
            "compensation": True if step.compensable else None,
        }
        return f'{json.dumps(facts)[:-1]}, "result": {step.result}}}'

    def suspend(self, waits: Sequence[Wait]) -> None:
        """Parks the attempt."""
        self._attempt.park(tuple(waits))

    def signal_url(self, link: LinkRequest) -> str:
        """Returns the URL of a link."""
        name, choices, question, comment, recipient, seconds = link
        expires_at = self._parts.now() + timedelta(seconds=seconds)
        try:
            return self._parts.links.url(
                *self._key,
                name,
                choices=choices,
                question=question,
                comment=comment,
                recipient=recipient,
                expires_at=expires_at,
            )
        except InvalidLink as error:
            raise HandlerError(f'job.signal_url("{name}"): {error}') from None

    async def send_signal(self, signal: SignalRequest) -> None:
        """Sends a signal to a job of the same tenant; see `StepBackend`."""
        try:
            body = read_json(signal.body.encode(), max_depth=self._parts.json_depth)
            await as_long_as_it_takes(self._attempt, lambda: self._sent(signal, body))
        except DulyError as error:
            raise signal.refused(error.message) from None
        except (JsonRefused, RecordRefused) as error:
            raise signal.refused(f"its body cannot be recorded: {error}") from None

    async def _sent(self, signal: SignalRequest, body: object) -> SignalReceipt:
        tenant_id, own_id = self._key
        by, source = Actor(f"job:{own_id}"), self._parts.source
        return await self._parts.signals.send(tenant_id, signal.job_id, signal.name, body, by=by, source=source)
