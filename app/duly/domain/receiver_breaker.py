"""Circuit breaker of a webhook receiver: pauses deliveries while it keeps failing, and disables it in the end."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

# The restart of a receiver causes many failures in a short time: both thresholds must be passed.
FAILURES_TO_OPEN: Final = 5
SECONDS_TO_OPEN: Final = 10.0
SHORTEST_PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 300.0


class ReceiverFailures(NamedTuple):
    """Failures of a receiver since its last success."""

    failures: int
    failing_since: datetime
    is_open: bool


class ReceiverBreakerDecision(NamedTuple):
    """Consequence of failures. `pause_seconds` until a probe with a single webhook; None: deliveries continue.

    `disables`: the endpoint is disabled.
    """

    state: ReceiverFailures
    pause_seconds: float | None
    disables: bool


def receiver_after_failures(
    before: ReceiverFailures | None, *, count: int, first_seconds_ago: float, now: datetime, disable_seconds: float
) -> ReceiverBreakerDecision:
    """Returns the state after `count` more failed attempts, the first of which began `first_seconds_ago`.

    The circuit opens after five consecutive failures over at least ten seconds. The pause before the next probe is a
    quarter of the time since the first failure, from 10 s to 5 min. After `disable_seconds` of failures alone the
    endpoint is disabled.
    """
    failures = count + (before.failures if before else 0)
    since = before.failing_since if before else now - timedelta(seconds=first_seconds_ago)
    failing_seconds = max(0.0, (now - since).total_seconds())
    opens = (before is not None and before.is_open) or (
        failures >= FAILURES_TO_OPEN and failing_seconds >= SECONDS_TO_OPEN
    )
    pause = min(max(failing_seconds / 4, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS) if opens else None
    return ReceiverBreakerDecision(ReceiverFailures(failures, since, opens), pause, failing_seconds >= disable_seconds)
