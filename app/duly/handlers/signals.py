"""What a handler may raise to say how its attempt ends."""


class Retry(Exception):
    """End this attempt and run the job again, if it has attempts left.

    Args:
        reason: shown in the job's history.
        after: seconds until the next attempt; None leaves it to the type's retry policy.
    """

    def __init__(self, reason: str = "the handler asked to be run again", *, after: float | None = None) -> None:
        super().__init__(reason)
        if after is not None and not 0 <= after < float("inf"):
            raise ValueError(f"after={after!r}: seconds from now, not negative")
        self.reason = reason
        self.after = after


class Fail(Exception):
    """End this attempt as failed.

    Args:
        reason: one sentence, shown to the client.
        code: a stable word of your own (`CUSTOMER_UNKNOWN`); `TASK_FAILED` where none is given.
        retryable: True lets the retry policy try again; False (the default) ends the job.
    """

    def __init__(self, reason: str, *, code: str = "TASK_FAILED", retryable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retryable = retryable


class HandlerError(Exception):
    """A handler, or a module with handlers, that cannot be used; the message says which and why."""
