"""Turns the outcome of each attempt into its end, and passes that to the finisher."""

import random
from contextlib import suppress

import structlog

from duly.domain.events import EventKind
from duly.domain.job import ClaimedJob, Finish
from duly.domain.outcome import AttemptFacts, Completed, Failed, Outcome, completed, decide, error_json
from duly.handlers.registry import Registry
from duly.lifecycle.end.attempt_log import log_end
from duly.lifecycle.end.finish import Finisher
from duly.telemetry.metrics import Metrics
from duly.worker.handler_context import describe
from duly.worker.tracebacks import traceback_text

log = structlog.stdlib.get_logger("duly.attempt_end")

UNRECORDABLE = "The outcome of the attempt cannot be recorded."


class AttemptEnds:
    """Decides the ends of attempts and passes them on. An error in that is the end of its attempt."""

    def __init__(self, registry: Registry, finisher: Finisher, metrics: Metrics) -> None:
        self._registry = registry
        self._finisher = finisher
        self._metrics = metrics

    def put(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Decides what an outcome means for the job, and passes it to the finisher."""
        try:
            end = self._decided(claimed, outcome)
            self._finisher.put(end)
        except BaseException as error:  # noqa: BLE001  # any error of this outcome: the attempt has ended
            self.put_error(claimed, error)
            return
        if isinstance(outcome, Completed):
            return
        try:
            log_end(outcome, end, job_type=claimed.type, attempt=claimed.attempt)
        except BaseException as error:  # noqa: BLE001  # the end is passed on already
            self.note(error, claimed)

    def put_error(self, claimed: ClaimedJob, error: BaseException) -> None:
        """Ends an attempt as failed, because of an error while its outcome was passed on."""
        self.note(error, claimed)
        message = describe(error)
        try:
            end = self._decided(claimed, Failed("TASK_FAILED", f"{UNRECORDABLE} {message}", message))
        except BaseException:  # noqa: BLE001  # the decision itself fails: nothing is left to decide
            data = error_json("TASK_FAILED", UNRECORDABLE, reason=message, retryable=False, attempt=claimed.attempt)
            end = Finish(claimed.job_id, claimed.token, EventKind.FAILED, data)
        self._finisher.put(end)

    def note(self, error: BaseException, claimed: ClaimedJob | None = None) -> None:
        """Counts and logs an error of the service itself around an attempt. Does not raise."""
        with suppress(BaseException):
            self._metrics.attempt_errors.inc()
        with suppress(BaseException):
            ids = {"job_id": str(claimed.job_id), "job_type": claimed.type} if claimed else {}
            log.error(
                "internal error around an attempt", action="attempt_error", exception=traceback_text(error), **ids
            )

    def _decided(self, claimed: ClaimedJob, outcome: Outcome) -> Finish:
        if isinstance(outcome, Completed):  # most of them
            return completed(claimed.job_id, claimed.token, outcome)
        facts = AttemptFacts(
            claimed.job_id,
            claimed.token,
            claimed.attempt,
            claimed.max_attempts,
            claimed.crashes,
            claimed.marks,
        )
        return decide(outcome, facts, policy=self._registry[claimed.type].retry, random=random.random)
