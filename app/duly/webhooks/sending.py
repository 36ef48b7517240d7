"""Sending: one try at one webhook, from the row to what came of it."""

import random
import time
from collections.abc import Sequence

import structlog

from duly.outbound import OutboundAnswer, OutboundClient, OutboundError
from duly.store.deliveries import DueDelivery, Outcome, Tried
from duly.telemetry.metrics import Metrics
from duly.webhooks.payload import body_of, headers_of
from duly.webhooks.verdict import judge

log = structlog.stdlib.get_logger("duly.dispatcher")


class Sender:
    """Makes, signs and posts webhooks, and judges the answers.

    Args:
        schedule: seconds after the first, second, ... failed try.
        fallback_secret: signs where a job brought no secret, for a signature is always sent.
    """

    def __init__(
        self,
        outbound: OutboundClient,
        metrics: Metrics,
        *,
        schedule: Sequence[float],
        user_agent: str,
        fallback_secret: str,
    ) -> None:
        self._outbound = outbound
        self._schedule = schedule
        self._user_agent = user_agent
        self._fallback_secret = fallback_secret
        # Looking a label up costs more than counting.
        self._counts = {outcome: metrics.deliveries.labels(outcome.name.lower()) for outcome in Outcome}
        self._seconds = metrics.delivery_seconds

    async def send(self, delivery: DueDelivery) -> Tried:
        tried = judge(delivery, await self._post(delivery), schedule=self._schedule, random=random.random)
        self._observe(tried)
        return tried

    async def _post(self, delivery: DueDelivery) -> OutboundAnswer | OutboundError:
        """One exchange. Whatever goes wrong is a failed try: one that is not recorded would come back for ever."""
        try:
            body = body_of(delivery)
            headers = headers_of(
                delivery,
                body,
                timestamp=int(time.time()),
                user_agent=self._user_agent,
                secret=delivery.secret or self._fallback_secret,
            )
            return await self._outbound.post(delivery.url, content=body, headers=headers)
        except OutboundError as error:
            return error
        except Exception as error:  # a fault of ours; the receiver's are OutboundErrors
            log.exception("a webhook could not be made", action="delivery_broken", job_id=str(delivery.job_id))
            return OutboundError("BROKEN_ANSWER", f"it was not sent: {type(error).__name__}", duration_seconds=0)

    def _observe(self, tried: Tried) -> None:
        self._counts[tried.outcome].inc()
        self._seconds.observe(tried.duration_ms / 1000)
        if tried.outcome is not Outcome.DELIVERED:
            log.warning(
                f"a webhook failed: {tried.error}",
                action="delivery_failed",
                job_id=str(tried.job_id),
                delivery_id=str(tried.delivery_id),
                attempt=tried.attempt,
                given_up=tried.outcome is Outcome.GIVEN_UP,
                retry_in_seconds=round(tried.delay_seconds, 1) or None,
            )
