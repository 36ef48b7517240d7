"""A receiver of webhooks in a process of its own, as the rows use it."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contestants import clean_environment
from benchmarks.ground import Ground
from benchmarks.peers.conversation import Conversation, conversation
from benchmarks.processes import ContestantFailed
from benchmarks.receiver import OVER, Received, ReceiverPlan

ANSWER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Receiving:
    """`ports` answer 204, `hostile` ones misbehave."""

    ports: list[int]
    hostile: list[int]
    process: Conversation

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, messages: int, *, within_seconds: float) -> bool:
        """Whether so many came in time."""
        self.process.say(str(messages))
        return self.process.line(within_seconds) is not None

    def ended(self) -> Received:
        """Ends it, and what came. Raises ContestantFailed where it does not tell in time."""
        self.process.say(OVER)
        members = _next(self.process)
        # What was waited for in vain may have come since.
        return Received(**(_next(self.process) if "reached" in members else members))


@contextlib.contextmanager
def receiving(ground: Ground, plan: ReceiverPlan) -> Iterator[Receiving]:
    """The receiver, for the length of the block."""
    command = [sys.executable, "-m", "benchmarks.receiver", json.dumps(asdict(plan))]
    log = ground.folder / ("hostile.log" if plan.manners else "receiver.log")
    with conversation("the receiver", command, environment=clean_environment(), log=log) as process:
        yield Receiving(process=process, **_next(process))


def _next(process: Conversation) -> dict[str, Any]:
    line = process.line(ANSWER_SECONDS)
    if line is None:
        raise ContestantFailed(f"{process.name} did not answer within {ANSWER_SECONDS:g} s")
    members: dict[str, Any] = json.loads(line)
    return members
