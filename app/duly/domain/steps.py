"""Steps and waits of a job: their kinds and states as stored numbers, and their names."""

import re
from enum import IntEnum
from typing import NamedTuple

# A caller may index names, as in `mail-7`.
STEP_NAME_PATTERN = r"^[a-z0-9._-]{1,100}$"
_STEP_NAME = re.compile(STEP_NAME_PATTERN)
# Most bytes of the body of a signal.
SIGNAL_LIMIT = 64 << 10


class StepKind(IntEnum):
    """Kinds of rows in `steps`, as stored numbers."""

    STEP = 1
    TIMER = 2
    SIGNAL = 3


class StepStatus(IntEnum):
    """States of rows in `steps`, as stored numbers."""

    WAITING = 0  # a timer that is not due, or a signal that has not arrived
    COMPLETED = 1
    TIMED_OUT = 2  # no signal arrived in time
    COMPENSATED = 3


class Wait(NamedTuple):
    """Wait of a handler: for a time (kind TIMER), or for a signal with an optional timeout (kind SIGNAL).

    Attributes:
        name: name of the timer or the signal, unique in its job and kind.
        seconds: time until the timer is due or the signal times out; None for a signal without a timeout. It counts
            from the first time that the job parks for this wait.
    """

    kind: StepKind
    name: str
    seconds: float | None


def is_step_name(text: str) -> bool:
    """Returns whether a text is a name of a step, a timer or a signal."""
    return _STEP_NAME.fullmatch(text) is not None
