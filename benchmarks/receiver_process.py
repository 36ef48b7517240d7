"""Webhook receiver in its own process, as the rows use it."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contestants import clean_environment
from benchmarks.peers.line_process import LineProcess, run_line_process
from benchmarks.processes import ContestantFailed
from benchmarks.run_context import RunContext
from benchmarks.webhook_receiver import OVER, Received, ReceiverPlan

RESPONSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ReceiverProcess:
    """Running receiver: `ports` respond with 204, `hostile` ones misbehave."""

    ports: list[int]
    hostile: list[int]
    process: LineProcess

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, messages: int, *, within_seconds: float) -> bool:
        """Returns whether this number of webhooks is received in time."""
        self.process.send_line(str(messages))
        return self.process.line(within_seconds) is not None

    def ended(self) -> Received:
        """Stops the receiver and returns its counts. Raises ContestantFailed if it does not report in time."""
        self.process.send_line(OVER)
        members = _next(self.process)
        # After a wait that timed out, its line may still arrive before the counts.
        return Received(**(_next(self.process) if "reached" in members else members))


@contextlib.contextmanager
def run_receiver(context: RunContext, plan: ReceiverPlan) -> Iterator[ReceiverProcess]:
    """Runs the receiver for the length of the block."""
    command = [sys.executable, "-m", "benchmarks.webhook_receiver", json.dumps(asdict(plan))]
    log = context.folder / ("hostile.log" if plan.misbehaviors else "receiver.log")
    with run_line_process("the receiver", command, environment=clean_environment(), log=log) as process:
        yield ReceiverProcess(process=process, **_next(process))


def _next(process: LineProcess) -> dict[str, Any]:
    line = process.line(RESPONSE_SECONDS)
    if line is None:
        raise ContestantFailed(f"no output of {process.name} within {RESPONSE_SECONDS:g} s")
    members: dict[str, Any] = json.loads(line)
    return members
