"""Classification of responses and errors of deliveries; pure decisions."""

from collections.abc import Callable, Sequence
from datetime import datetime

from duly.domain.json_cleaning import clean_text
from duly.domain.retry import webhook_delay
from duly.outbound import OutboundError, OutboundResponse, retry_after_seconds
from duly.store.webhooks.deliveries import DueDelivery
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome

ANSWER_SHOWN = 1024
_HOPELESS = frozenset({"BLOCKED_ADDRESS", "INVALID_URL"})
GONE = 410
# Values of the response header `webhook-delivery` (standardwebhooks.com).
_ENDING = frozenset({"abort-message", "disable"})
_REFUSALS = {
    "ENDPOINT_DELETED": "ENDPOINT_DELETED: not sent, the endpoint was deleted",
    "ENDPOINT_DISABLED": "ENDPOINT_DISABLED: not sent, the endpoint is disabled",
    "JOB_DELETED": "JOB_DELETED: not sent, the retention of its job ended",
}


class NotSent(OutboundError):
    """Failure inside the service, not evidence about the receiver."""


def judge(
    delivery: DueDelivery,
    came: OutboundResponse | OutboundError,
    *,
    schedule: Sequence[float],
    random: Callable[[], float],
    now: datetime,
) -> AttemptResult:
    """Returns the attempt to record: delivered, to be retried after a delay, or abandoned."""
    delivered = isinstance(came, OutboundResponse) and 200 <= came.status < 300  # noqa: PLR2004  # the class of success
    asked = "" if isinstance(came, OutboundError) else came.headers.get("webhook-delivery", "").strip().lower()
    delay = (
        None
        if delivered or asked in _ENDING or _is_hopeless(came)
        else webhook_delay(
            delivery.attempt - delivery.tries_before,
            schedule=schedule,
            retry_after_seconds=_retry_after(came, now),
            random=random,
        )
    )
    return _ended(delivery, None if delivered else _problem(came))._replace(
        outcome=DeliveryOutcome.DELIVERED
        if delivered
        else DeliveryOutcome.GIVEN_UP
        if delay is None
        else DeliveryOutcome.TRY_AGAIN,
        duration_ms=round(came.duration_seconds * 1000),
        status_code=came.status if isinstance(came, OutboundResponse) else None,
        answer=_shown(came.body) if isinstance(came, OutboundResponse) else None,
        delay_seconds=delay or 0.0,
        # An intended end, or a failure inside the service, is not evidence about the receiver.
        fails=not (delivered or asked in _ENDING or _is_hopeless(came) or isinstance(came, NotSent)),
        disables=_disables(came, asked),
        cut=isinstance(came, OutboundResponse) and came.truncated,
    )


def refused(delivery: DueDelivery) -> AttemptResult:
    """Returns the end of a delivery without a receiver, which is not posted."""
    return _ended(delivery, _REFUSALS.get(delivery.refusal or "", "not sent: it has no receiver"))


def _ended(delivery: DueDelivery, error: str | None) -> AttemptResult:
    """Returns the end of a delivery that is abandoned without a post."""
    return AttemptResult(
        tenant_id=delivery.tenant_id,
        job_id=delivery.job_id,
        delivery_id=delivery.delivery_id,
        token=delivery.token,
        sequence=delivery.sequence,
        kind=delivery.kind,
        receiver_id=delivery.receiver_id,
        registered=delivery.registered,
        attempt=delivery.attempt,
        outcome=DeliveryOutcome.GIVEN_UP,
        duration_ms=0,
        status_code=None,
        error=error,
        answer=None,
        delay_seconds=0.0,
    )


def _is_hopeless(came: OutboundResponse | OutboundError) -> bool:
    """Returns whether a retry cannot succeed: a blocked address, an invalid URL, or a 410."""
    return came.code in _HOPELESS if isinstance(came, OutboundError) else came.status == GONE


def _disables(came: OutboundResponse | OutboundError, asked: str) -> str | None:
    """Returns the reason to disable the endpoint, if the response gives one."""
    if isinstance(came, OutboundResponse) and came.status == GONE:
        return "GONE: the receiver answered 410"
    return "REQUESTED: the receiver answered with webhook-delivery: disable" if asked == "disable" else None


def _retry_after(came: OutboundResponse | OutboundError, now: datetime) -> float | None:
    """Returns the pause in seconds that the receiver requests."""
    return retry_after_seconds(came, now=now) if isinstance(came, OutboundResponse) else None


def _problem(came: OutboundResponse | OutboundError) -> str:
    if isinstance(came, OutboundError):
        return f"{came.code}: {came}"
    return f"the receiver answered {came.status}"


def _shown(body: bytes) -> str:
    return clean_text(body[:ANSWER_SHOWN].decode("utf-8", "replace"))
