"""Steps and waits of a handler in a test: kept in memory, with a clock that jumps to the next end of a wait."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from duly.domain.job import Mark
from duly.domain.json_reader import JsonRefused, read_json
from duly.domain.steps import StepKind, StepStatus, Wait
from duly.handlers.exceptions import HandlerError
from duly.handlers.step_backend import CompletedStep, LinkRequest, RecordedStep, SignalRequest, WaitEnd, WaitKey
from duly.worker.attempt import Attempt

# The default of the setting DULY_JSON_DEPTH.
JSON_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Signal:
    """Signal that a test sends to a handler.

    Attributes:
        body: its body, as JSON values or as a model.
        after: time from the start of the handler until it arrives.
    """

    body: Any
    after: timedelta = timedelta(0)


class SentSignal(NamedTuple):
    """Signal that a handler sent with `job.signal`. `body` is as its receiver reads it."""

    job_id: UUID
    name: str
    body: Any


@dataclass(slots=True)
class StepWorld:
    """Records of one job in a test.

    Attributes:
        recorded: recorded steps by name.
        compensated: names of the compensated steps, in the order in which they were undone.
        sent: signals that the handler has sent.
        signals: signals by name; one that has not arrived is not visible yet.
        deadlines: ends of the waits for which the handler was unwound; None: no timeout.
        timed_out: signals whose wait has timed out.
        now: seconds that have passed while the handler waited.
    """

    recorded: dict[str, RecordedStep] = field(default_factory=dict)
    compensated: list[str] = field(default_factory=list)
    sent: list[SentSignal] = field(default_factory=list)
    signals: dict[str, Signal] = field(default_factory=dict)
    deadlines: dict[WaitKey, float | None] = field(default_factory=dict)
    timed_out: set[str] = field(default_factory=set)
    now: float = 0.0

    @staticmethod
    def of(steps: Mapping[str, Any] | None, signals: Mapping[str, Any] | None) -> "StepWorld":
        """Returns the records with given results of steps and given signals."""
        given = enumerate((steps or {}).items(), 1)
        return StepWorld(
            {name: RecordedStep(name, number, to_json(result).decode()) for number, (name, result) in given},
            signals={name: one if isinstance(one, Signal) else Signal(one) for name, one in (signals or {}).items()},
        )

    def results(self) -> dict[str, Any]:
        """Returns the results of the recorded steps."""
        return {name: json.loads(step.result) for name, step in self.recorded.items()}

    def ended(self) -> dict[WaitKey, WaitEnd]:
        """Returns the waits that have ended, and the signals that have arrived."""
        ends: dict[WaitKey, WaitEnd] = {}
        for name, signal in self.signals.items():
            if signal.after.total_seconds() <= self.now:
                ends[StepKind.SIGNAL, name] = WaitEnd(StepStatus.COMPLETED, to_json(signal.body).decode())
        for (kind, name), deadline in self.deadlines.items():
            if kind is StepKind.TIMER and deadline is not None and deadline <= self.now:
                ends[kind, name] = WaitEnd(StepStatus.COMPLETED)
        return ends | {(StepKind.SIGNAL, name): WaitEnd(StepStatus.TIMED_OUT) for name in self.timed_out}

    @property
    def left_to_compensate(self) -> bool:
        """True if a recorded step has a compensation that was not done."""
        return any(step.left_to_compensate for step in self.recorded.values())

    def goes_on(self, waits: Sequence[Wait]) -> bool:
        """Lets the time pass until one of these waits ends. Returns False if none does."""
        for wait in waits:
            deadline = None if wait.seconds is None else self.now + wait.seconds
            self.deadlines.setdefault((wait.kind, wait.name), deadline)
        awaited = [(wait.kind, wait.name) for wait in waits]
        ends = [end for key in awaited if (end := self._end_of(key)) is not None]
        if not ends:
            return False
        self.now = max(self.now, min(ends))
        arrived = self.ended()
        for kind, name in awaited:
            deadline = self.deadlines[kind, name]
            if kind is StepKind.SIGNAL and (kind, name) not in arrived and deadline is not None:
                self.timed_out |= {name} if deadline <= self.now else set()
        return True

    def _end_of(self, key: WaitKey) -> float | None:
        """Returns the time at which a wait ends: with its signal or at its deadline, whichever comes first."""
        deadline, signal = self.deadlines[key], self.signals.get(key[1]) if key[0] is StepKind.SIGNAL else None
        times = [] if deadline is None else [deadline]
        return min([*times, *([signal.after.total_seconds()] if signal is not None else [])], default=None)


class GivenSteps:
    """Steps and waits of one attempt; see `duly.handlers.step_backend.StepBackend`."""

    def __init__(self, attempt: Attempt, world: StepWorld) -> None:
        self.compensating = bool(attempt.claimed.marks & Mark.COMPENSATING)
        self._attempt = attempt
        self._world = world

    @property
    def cancelled(self) -> bool:
        return self._attempt.cancelled

    async def read_steps(self) -> Mapping[str, RecordedStep]:
        return dict(self._world.recorded)

    async def read_waits(self) -> Mapping[WaitKey, WaitEnd]:
        return self._world.ended()

    async def record(self, step: CompletedStep) -> None:
        recorded = self._world.recorded
        if step.name in recorded:
            raise HandlerError(f'step "{step.name}" is recorded already')
        recorded[step.name] = RecordedStep(step.name, len(recorded) + 1, step.result, step.compensable)

    async def record_compensated(self, name: str, tries: int) -> None:  # noqa: ARG002  # as the protocol has it
        self._world.recorded[name] = self._world.recorded[name]._replace(compensated=True)
        self._world.compensated.append(name)

    def span(self, name: str, number: int) -> AbstractContextManager[None]:
        """Records nothing."""
        del name, number
        return nullcontext()

    def suspend(self, waits: Sequence[Wait]) -> None:
        self._attempt.park(tuple(waits))

    def signal_url(self, link: LinkRequest) -> str:
        return f"https://duly.example/signals/{link.name}"

    async def send_signal(self, signal: SignalRequest) -> None:
        try:
            read_json(signal.body.encode(), max_depth=JSON_DEPTH)
        except JsonRefused as error:
            raise signal.refused(f"its body cannot be recorded: {error}") from None
        world, sent = self._world, SentSignal(signal.job_id, signal.name, json.loads(signal.body))
        earlier = next((each for each in world.sent if each[:2] == sent[:2]), None)
        if earlier is None:
            world.sent.append(sent)
            if sent.job_id == self._attempt.claimed.job_id:
                world.signals.setdefault(sent.name, Signal(sent.body))
        elif earlier != sent:
            raise signal.refused("A signal of this name with another body was sent to the job before.")
