"""Records of steps and waits that a handler's steps need, as the worker and `duly.testing` provide them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol
from uuid import UUID

from duly.domain.steps import StepKind, StepStatus, Wait
from duly.handlers.exceptions import HandlerError


class RecordedStep(NamedTuple):
    """Step of an earlier attempt, or of this one. `result` is JSON text; steps are ordered by `sequence`."""

    name: str
    sequence: int
    result: str
    compensable: bool = False
    compensated: bool = False

    @property
    def left_to_compensate(self) -> bool:
        """Returns whether it has a compensation that was not done."""
        return self.compensable and not self.compensated


class CompletedStep(NamedTuple):
    """Step that has just been done, to be recorded.

    Attributes:
        result: its result as JSON text.
        attempts: number of its tries in this attempt.
        seconds: time since its first try began.
        compensable: it has a compensation.
    """

    name: str
    result: str
    attempts: int
    seconds: float
    compensable: bool = False


class WaitEnd(NamedTuple):
    """End of a wait: COMPLETED (of a signal with its `body` as JSON text) or TIMED_OUT."""

    status: StepStatus
    body: str | None = None


class LinkRequest(NamedTuple):
    """Request for a link by which a person sends a signal: what its page asks, and how long it is valid."""

    name: str
    choices: tuple[str, ...]
    question: str | None
    comment: bool
    recipient: str | None
    seconds: float


class SignalRequest(NamedTuple):
    """Request to send a signal to a job. `body` is JSON text."""

    job_id: UUID
    name: str
    body: str

    def refused(self, why: str) -> HandlerError:
        """Returns the error of a signal that is not sent."""
        return HandlerError(f'signal "{self.name}" to job {self.job_id}: {why}')


WaitKey = tuple[StepKind, str]


class StepBackend(Protocol):
    """Operations on the steps of one attempt.

    Attributes:
        compensating: True in an attempt that only compensates steps: nothing new is done in it.
    """

    compensating: bool

    @property
    def cancelled(self) -> bool:
        """Returns whether the attempt was stopped."""

    async def read_steps(self) -> Mapping[str, RecordedStep]:
        """Returns the recorded steps by name, in order."""

    async def read_waits(self) -> Mapping[WaitKey, WaitEnd]:
        """Returns the waits that have ended, including signals that nothing has waited for yet."""

    async def record(self, step: CompletedStep) -> None:
        """Records a step. Returns once it is durable.

        Raises:
            HandlerError: its name is recorded already, or the attempt has lost its lease.
        """

    async def record_compensated(self, name: str, tries: int) -> None:
        """Records that a step was compensated. Returns once that is durable.

        Raises:
            HandlerError: the attempt has lost its lease.
        """

    def span(self, name: str, number: int) -> AbstractContextManager[None]:
        """Records one try of a step in the trace of the job, if that is sampled, while the block runs."""

    def suspend(self, waits: Sequence[Wait]) -> None:
        """Ends the attempt, because its handler can only wait: it unwinds an async handler by a cancellation."""

    def signal_url(self, link: LinkRequest) -> str:
        """Returns the URL of a link."""

    async def send_signal(self, signal: SignalRequest) -> None:
        """Sends a signal. Returns once it is durable; the same one again changes nothing.

        Raises:
            HandlerError: it is refused, or the attempt was stopped before it was recorded.
        """


class Suspended(BaseException):
    """Unwinds a plain function that can only wait, or a handler in a process. No error: `except Exception` passes it.

    Attributes:
        waits: what it waits for; empty in an attempt that compensates.
    """

    def __init__(self, waits: tuple[Wait, ...] = ()) -> None:
        super().__init__("the handler waits without a slot")
        self.waits = waits
