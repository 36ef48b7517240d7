"""Sender: one attempt at one webhook, from its row to its result."""

import random
from collections.abc import Sequence
from typing import Final

import orjson
import structlog

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import FIRST_TERMINAL, LAST_TERMINAL
from duly.domain.sealing import CannotUnseal, Keyring, Purpose, key_id_of
from duly.outbound import OutboundClient, OutboundError, OutboundResponse
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome
from duly.store.webhooks.take_deliveries import DueDelivery
from duly.telemetry.delivery_counts import DeliveryCounts
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import Tracing
from duly.webhooks.classify import NotSent, classify, classify_refused
from duly.webhooks.payload import Signing, body_of, headers_of

log = structlog.stdlib.get_logger("duly.dispatcher")

_DELIVERED: Final = DeliveryOutcome.DELIVERED.name.lower()


class Sender:
    """Builds, signs and posts webhooks, and classifies the responses.

    Args:
        clock: dates the signatures, which receivers reject if they are minutes old.
        schedule: delays in seconds after the first, second, ... failed attempt.
        fallback_secret: signs for jobs without a secret, since every webhook is signed.
        keyring: unseals secrets, keys and headers.
    """

    def __init__(  # noqa: PLR0913  # the parts that it uses
        self,
        outbound: OutboundClient,
        metrics: Metrics,
        *,
        schedule: Sequence[float],
        user_agent: str,
        fallback_secret: str,
        keyring: Keyring,
        clock: DatabaseClock,
        tracing: Tracing,
    ) -> None:
        self._clock = clock
        self._tracing = tracing
        self._outbound = outbound
        self._schedule = schedule
        self._user_agent = user_agent
        self._fallback_secret = fallback_secret
        self._keyring = keyring
        self.counts = DeliveryCounts(metrics, outcomes=[outcome.name.lower() for outcome in DeliveryOutcome])

    async def send(self, delivery: DueDelivery) -> AttemptResult:
        """Makes one attempt. Every error is a failed attempt, because an attempt that is not recorded would be repeated
        endlessly.
        """
        if delivery.refusal is not None or delivery.url is None:
            attempt = classify_refused(delivery)
        else:
            span = self._tracing.post(delivery.traceparent, delivery.url, lambda: _facts_of(delivery))
            sent = delivery if span is None else delivery._replace(traceparent=span.traceparent)
            result = await self._post(sent, delivery.url)
            attempt = classify(delivery, result, schedule=self._schedule, random=random.random, now=self._clock.now)
            if span is not None:
                span.posted(status=attempt.status_code, failed=attempt.outcome is not DeliveryOutcome.DELIVERED)
        if attempt.outcome is DeliveryOutcome.DELIVERED:
            self.counts.put(_DELIVERED, delivery, attempt.duration_ms / 1000, self._seconds_since(delivery))
        else:
            self.counts.put(attempt.outcome.name.lower(), delivery, attempt.duration_ms / 1000, None)
            _warn(attempt)
        return attempt

    async def _post(self, delivery: DueDelivery, url: str) -> OutboundResponse | OutboundError:
        try:
            body = body_of(delivery)
            headers = headers_of(delivery, body, self._signing(delivery), user_agent=self._user_agent)
            return await self._outbound.post(url, content=body, headers=headers)
        except OutboundError as error:
            return error
        except CannotUnseal as error:
            return NotSent("NOT_SENT", str(error), duration_seconds=0)
        except Exception as error:  # an internal error; those of the receiver are OutboundErrors
            log.exception(
                "internal error while sending a webhook", action="delivery_broken", job_id=str(delivery.job_id)
            )
            return NotSent("NOT_SENT", f"internal error: {type(error).__name__}", duration_seconds=0)

    def _signing(self, delivery: DueDelivery) -> Signing:
        if not delivery.registered:
            secret = self._unsealed(delivery, delivery.secret, "callback") or self._fallback_secret
            return Signing(int(self._clock.seconds()), [secret])
        opened = [
            self._unsealed(delivery, sealed, "endpoint")
            for sealed in (
                delivery.secret,
                delivery.previous_secret,
                delivery.signing_key,
                delivery.previous_signing_key,
                delivery.headers,
            )
        ]
        return Signing(
            int(self._clock.seconds()),
            secrets=[secret for secret in opened[:2] if secret is not None],
            private_keys=[key for key in opened[2:4] if key is not None],
            headers=orjson.loads(opened[4]) if opened[4] is not None else {},
        )

    def _unsealed(self, delivery: DueDelivery, sealed: str | None, purpose: Purpose) -> str | None:
        if sealed is None or key_id_of(sealed) is None:  # an unsealed one was recorded by an early release
            return sealed
        return self._keyring.unseal(sealed, tenant_id=delivery.tenant_id, purpose=purpose)

    def _seconds_since(self, delivery: DueDelivery) -> float | None:
        """Returns the seconds since the submission, if this webhook reports the end of a job for the first time."""
        first = delivery.tries_before == 0 and delivery.replay_id is None
        if not first or not FIRST_TERMINAL <= delivery.kind <= LAST_TERMINAL or delivery.submitted_at is None:
            return None
        return max(0.0, self._clock.seconds() - delivery.submitted_at.timestamp())


def _warn(attempt: AttemptResult) -> None:
    log.warning(
        f"a webhook failed: {attempt.error}",
        action="delivery_failed",
        job_id=str(attempt.job_id),
        delivery_id=str(attempt.delivery_id),
        attempt=attempt.attempt,
        given_up=attempt.outcome is DeliveryOutcome.GIVEN_UP,
        retry_in_seconds=round(attempt.delay_seconds, 1) or None,
    )


def _facts_of(delivery: DueDelivery) -> dict[str, str | int]:
    """Returns the attributes of the span of an attempt."""
    facts: dict[str, str | int] = {
        "duly.job.id": str(delivery.job_id),
        "duly.delivery.id": str(delivery.delivery_id),
        "http.request.resend_count": delivery.attempt - 1,
    }
    return facts | ({"duly.job.type": delivery.job_type} if delivery.job_type is not None else {})
