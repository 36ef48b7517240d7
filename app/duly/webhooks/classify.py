"""What an answer, or the lack of one, means for a delivery: a pure decision."""

from collections.abc import Callable, Sequence
from datetime import datetime

from duly.domain.json_cleaning import clean_text
from duly.domain.retry import webhook_delay
from duly.outbound import OutboundAnswer, OutboundError, retry_after_seconds
from duly.store.webhooks.deliveries import DueDelivery
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome

ANSWER_SHOWN = 1024
_HOPELESS = frozenset({"BLOCKED_ADDRESS", "INVALID_URL"})
GONE = 410
# What the answer's header `webhook-delivery` may say (standardwebhooks.com).
_ENDING = frozenset({"abort-message", "disable"})
_REFUSALS = {
    "ENDPOINT_DELETED": "ENDPOINT_DELETED: it was not sent, since the endpoint is no more",
    "ENDPOINT_DISABLED": "ENDPOINT_DISABLED: it was not sent, since the endpoint is disabled",
    "JOB_DELETED": "JOB_DELETED: it was not sent, since its job is kept no longer",
}


class NotSent(OutboundError):
    """Our own fault: it says nothing of the receiver."""


def judge(
    delivery: DueDelivery,
    came: OutboundAnswer | OutboundError,
    *,
    schedule: Sequence[float],
    random: Callable[[], float],
    now: datetime,
) -> AttemptResult:
    """The try as it is recorded: delivered, to be tried again after a delay, or given up."""
    delivered = isinstance(came, OutboundAnswer) and 200 <= came.status < 300  # noqa: PLR2004  # the class of success
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
        status_code=came.status if isinstance(came, OutboundAnswer) else None,
        answer=_shown(came.body) if isinstance(came, OutboundAnswer) else None,
        delay_seconds=delay or 0.0,
        # What ends a delivery on purpose, or is our own refusal, says nothing of how the receiver does.
        fails=not (delivered or asked in _ENDING or _is_hopeless(came) or isinstance(came, NotSent)),
        disables=_disables(came, asked),
        cut=isinstance(came, OutboundAnswer) and came.truncated,
    )


def refused(delivery: DueDelivery) -> AttemptResult:
    """The end of a delivery that is not posted, since nobody is there to be told."""
    return _ended(delivery, _REFUSALS.get(delivery.refusal or "", "it was not sent: it has no receiver"))


def _ended(delivery: DueDelivery, error: str | None) -> AttemptResult:
    """A delivery that is given up without a post."""
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


def _is_hopeless(came: OutboundAnswer | OutboundError) -> bool:
    """Whether another try makes no sense: a refused address, or a receiver that is gone."""
    return came.code in _HOPELESS if isinstance(came, OutboundError) else came.status == GONE


def _disables(came: OutboundAnswer | OutboundError, asked: str) -> str | None:
    """Why its endpoint is to be sent nothing more, where the answer says so."""
    if isinstance(came, OutboundAnswer) and came.status == GONE:
        return "GONE: the receiver answered 410"
    return "ASKED: the receiver answered with webhook-delivery: disable" if asked == "disable" else None


def _retry_after(came: OutboundAnswer | OutboundError, now: datetime) -> float | None:
    """Seconds that the receiver asks to be left alone."""
    return retry_after_seconds(came, now=now) if isinstance(came, OutboundAnswer) else None


def _problem(came: OutboundAnswer | OutboundError) -> str:
    if isinstance(came, OutboundError):
        return f"{came.code}: {came}"
    return f"the receiver answered {came.status}"


def _shown(body: bytes) -> str:
    return clean_text(body[:ANSWER_SHOWN].decode("utf-8", "replace"))
