"""Exceptions by which a handler ends its attempt."""

import math
from numbers import Number

from duly.domain.retry import LONGEST_DELAY_SECONDS
from duly.domain.safe_str import shown


class Retry(Exception):
    """Ends this attempt and retries the job if it has attempts left.

    Args:
        reason: shown in the history of the job, as `str(reason)`.
        after: seconds until the next attempt, at most a year; None applies the retry policy of the type.

    Raises:
        TypeError, ValueError: `after` is not such a number.
    """

    # For subclasses that do not call this constructor.
    reason = "the handler requested a retry"
    after: float | None = None

    def __init__(self, reason: object = reason, *, after: float | None = None) -> None:
        self.reason = shown(reason)
        self.after = None if after is None else _seconds(after)
        super().__init__(self.reason)


class Fail(Exception):
    """Ends this attempt as failed.

    Args:
        reason: one sentence for the client, as `str(reason)`.
        code: error code of your own, such as `CUSTOMER_UNKNOWN`; defaults to `TASK_FAILED`.
        retryable: True applies the retry policy; False (the default) ends the job.
    """

    reason = "the handler gave no reason"
    code = "TASK_FAILED"
    retryable = False

    def __init__(self, reason: object, *, code: str = code, retryable: bool = retryable) -> None:
        self.reason = shown(reason)
        # Raising here would turn a permanent failure into one that is retried.
        self.code = str.__str__(code) if isinstance(code, str) and code.strip() else Fail.code
        self.retryable = bool(retryable)
        super().__init__(self.reason)


class SignalTimedOut(Exception):
    """Signal that did not arrive in time. A handler that does not catch it fails without a retry.

    Attributes:
        name: name of the signal.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'Signal "{name}" did not arrive in time.')
        self.name = name


class Compensate(Fail):
    """Fails the job for good, so that the compensations of its completed steps run.

    Args:
        reason: one sentence for the client, as `str(reason)`.
        code: error code of your own; defaults to `TASK_FAILED`.
    """

    def __init__(self, reason: object, *, code: str = Fail.code) -> None:
        super().__init__(reason, code=code)


class HandlerError(Exception):
    """Invalid handler or handler module. The message names it and the cause."""


def _seconds(after: object) -> float:
    if not isinstance(after, Number) or isinstance(after, bool | complex):
        raise TypeError(f"after={shown(after)}: must be a number of seconds, not {type(after).__name__}")
    try:
        seconds = float(after)  # type: ignore[arg-type]  # numbers have it, `Number` does not say so
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise ValueError(f"after={seconds:g}: must be between 0 and {LONGEST_DELAY_SECONDS:.0f} seconds (a year)")
    return seconds
