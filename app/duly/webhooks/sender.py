"""Sender: one attempt at one webhook, from its row to its result."""

import random
from collections.abc import Sequence

import orjson
import structlog

from duly.domain.database_clock import DatabaseClock
from duly.domain.sealing import CannotUnseal, Keyring, Purpose, key_id_of
from duly.outbound import OutboundClient, OutboundError, OutboundResponse
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome
from duly.store.webhooks.take_deliveries import DueDelivery
from duly.telemetry.metrics import Metrics
from duly.webhooks.classify import NotSent, classify, classify_refused
from duly.webhooks.payload import Signing, body_of, headers_of

log = structlog.stdlib.get_logger("duly.dispatcher")


class Sender:
    """Builds, signs and posts webhooks, and classifies the responses.

    Args:
        clock: dates the signatures, which receivers reject if they are minutes old.
        schedule: delays in seconds after the first, second, ... failed attempt.
        fallback_secret: signs for jobs without a secret, since every webhook is signed.
        keyring: unseals secrets, keys and headers.
    """

    def __init__(
        self,
        outbound: OutboundClient,
        metrics: Metrics,
        *,
        schedule: Sequence[float],
        user_agent: str,
        fallback_secret: str,
        keyring: Keyring,
        clock: DatabaseClock,
    ) -> None:
        self._clock = clock
        self._outbound = outbound
        self._schedule = schedule
        self._user_agent = user_agent
        self._fallback_secret = fallback_secret
        self._keyring = keyring
        # A lookup of a label costs more than counting.
        self._counts = {outcome: metrics.deliveries.labels(outcome.name.lower()) for outcome in DeliveryOutcome}
        self._seconds = metrics.delivery_seconds

    async def send(self, delivery: DueDelivery) -> AttemptResult:
        """Makes one attempt. Every error is a failed attempt, because an attempt that is not recorded would be repeated
        endlessly.
        """
        if delivery.refusal is not None or delivery.url is None:
            attempt = classify_refused(delivery)
        else:
            result = await self._post(delivery, delivery.url)
            attempt = classify(delivery, result, schedule=self._schedule, random=random.random, now=self._clock.now())
        self._observe(attempt)
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

    def _observe(self, attempt: AttemptResult) -> None:
        self._counts[attempt.outcome].inc()
        self._seconds.observe(attempt.duration_ms / 1000)
        if attempt.outcome is not DeliveryOutcome.DELIVERED:
            log.warning(
                f"a webhook failed: {attempt.error}",
                action="delivery_failed",
                job_id=str(attempt.job_id),
                delivery_id=str(attempt.delivery_id),
                attempt=attempt.attempt,
                given_up=attempt.outcome is DeliveryOutcome.GIVEN_UP,
                retry_in_seconds=round(attempt.delay_seconds, 1) or None,
            )
