"""What a handler may raise to say how its attempt ends."""

import math
from numbers import Number

from duly.domain.retry import LONGEST_DELAY_SECONDS
from duly.domain.safe_text import shown


class Retry(Exception):
    """End this attempt and run the job again, if it has attempts left.

    Args:
        reason: shown in the job's history; what is not a text is shown as `str(reason)`.
        after: seconds until the next attempt, a year at most; None leaves it to the type's retry policy.

    Raises:
        TypeError, ValueError: `after` is not such a number.
    """

    # For subclasses that do not call this constructor.
    reason = "the handler asked to be run again"
    after: float | None = None

    def __init__(self, reason: object = reason, *, after: float | None = None) -> None:
        self.reason = shown(reason)
        self.after = None if after is None else _seconds(after)
        super().__init__(self.reason)


class Fail(Exception):
    """End this attempt as failed.

    Args:
        reason: one sentence, shown to the client; what is not a text is shown as `str(reason)`.
        code: a stable word of your own (`CUSTOMER_UNKNOWN`); `TASK_FAILED` where none is given.
        retryable: True lets the retry policy try again; False (the default) ends the job.
    """

    reason = "the handler gave no reason"
    code = "TASK_FAILED"
    retryable = False

    def __init__(self, reason: object, *, code: str = code, retryable: bool = retryable) -> None:
        self.reason = shown(reason)
        # Raising here would turn a failure for good into one that is retried.
        self.code = str.__str__(code) if isinstance(code, str) and code.strip() else Fail.code
        self.retryable = bool(retryable)
        super().__init__(self.reason)


class HandlerError(Exception):
    """A handler, or a module with handlers, that cannot be used; the message says which and why."""


def _seconds(after: object) -> float:
    if not isinstance(after, Number) or isinstance(after, bool | complex):
        raise TypeError(f"after={shown(after)}: must be a number of seconds, not {type(after).__name__}")
    try:
        seconds = float(after)  # type: ignore[arg-type]  # numbers have it, `Number` does not say so
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise ValueError(f"after={seconds:g}: must be from 0 to {LONGEST_DELAY_SECONDS:.0f} seconds, a year")
    return seconds
