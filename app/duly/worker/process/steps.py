"""Steps and waits of a handler in a child process: requests to its node, which has the records."""

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from duly.domain.steps import StepKind, StepStatus, Wait
from duly.handlers.exceptions import HandlerError
from duly.handlers.step_backend import (
    CompletedStep,
    LinkRequest,
    RecordedStep,
    SignalRequest,
    StepBackend,
    WaitEnd,
    WaitKey,
)
from duly.worker.process.frames import receive_frame, send_frame


class NodeRequests:
    """Requests of a child to its node, one at a time; each blocks until it is answered."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def ask(self, what: str, content: Sequence[Any] = ()) -> Any:
        """Returns the answer to a request.

        Raises:
            HandlerError: the node refused it.
        """
        with self._lock:
            send_frame(self._end, ["request", what, list(content)])
            answer = receive_frame(self._end)
        if answer is None:  # the node is gone
            os._exit(1)
        refusal, value = answer
        if refusal is not None:
            raise HandlerError(refusal)
        return value


class ChildSteps:
    """Steps and waits of one attempt, in its child process.

    Attributes:
        waits: what the handler was unwound for; None while it runs.
        cancel: cancels the task of an async handler.
    """

    cancelled = False  # a child is killed, not interrupted

    def __init__(self, requests: NodeRequests, *, compensating: bool) -> None:
        self._requests = requests
        self.compensating = compensating
        self.waits: tuple[Wait, ...] | None = None
        self.cancel: Callable[[], object] = lambda: None

    async def read_steps(self) -> Mapping[str, RecordedStep]:
        return {row[0]: RecordedStep(*row) for row in self._requests.ask("read_steps")}

    async def read_waits(self) -> Mapping[WaitKey, WaitEnd]:
        rows = self._requests.ask("read_waits")
        return {(StepKind(kind), name): WaitEnd(StepStatus(status), body) for kind, name, status, body in rows}

    async def record(self, step: CompletedStep) -> None:
        self._requests.ask("record", step)

    async def record_compensated(self, name: str, tries: int) -> None:
        self._requests.ask("record_compensated", [name, tries])

    def span(self, name: str, number: int) -> AbstractContextManager[None]:
        """Records nothing."""
        del name, number
        return nullcontext()

    def suspend(self, waits: Sequence[Wait]) -> None:
        self.waits = tuple(waits)
        self.cancel()

    def signal_url(self, link: LinkRequest) -> str:
        url: str = self._requests.ask("signal_url", link)
        return url

    async def send_signal(self, signal: SignalRequest) -> None:
        self._requests.ask("send_signal", [str(signal.job_id), signal.name, signal.body])


async def answer_request(steps: StepBackend, what: str, content: Sequence[Any]) -> Any:
    """Returns the answer of the node to a request of a child, as values that can be sent.

    Raises:
        HandlerError: it is refused.
    """
    match what:
        case "read_steps":
            return list((await steps.read_steps()).values())
        case "read_waits":
            return [(kind, name, *end) for (kind, name), end in (await steps.read_waits()).items()]
        case "record":
            await steps.record(CompletedStep(*content))
            return None
        case "record_compensated":
            await steps.record_compensated(*content)
            return None
        case "signal_url":
            name, choices, *others = content
            return steps.signal_url(LinkRequest(name, tuple(choices), *others))
        case "send_signal":
            job_id, name, body = content
            await steps.send_signal(SignalRequest(UUID(job_id), name, body))
            return None
        case _:
            raise HandlerError(f"unknown request {what!r}")
