"""When a receiver of webhooks that keeps failing is left alone, for how long, and when for good. Pure."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

# A restart of a receiver fails much at once and is over soon: both must be passed.
FAILURES_TO_OPEN: Final = 5
SECONDS_TO_OPEN: Final = 10.0
SHORTEST_PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 300.0


class Trouble(NamedTuple):
    """A receiver that has failed since its last success: how often, and from when on."""

    failures: int
    failing_since: datetime
    is_open: bool


class Verdict(NamedTuple):
    """What follows: `pause_seconds` until it is probed with a single webhook (None: it is not left alone), and whether
    it is sent nothing more.
    """

    trouble: Trouble
    pause_seconds: float | None
    disables: bool


def after_failures(
    before: Trouble | None, *, count: int, first_seconds_ago: float, now: datetime, disable_seconds: float
) -> Verdict:
    """The state after `count` more failed tries, the first of which began `first_seconds_ago`.

    Closed, it opens after five failures in a row over ten seconds or more. The pause grows with the time that it has
    been failing, a quarter of it, from 10 s to 5 min; a single webhook then shows whether it is over. Once nothing but
    failure was had for `disable_seconds`, it is disabled.
    """
    failures = count + (before.failures if before else 0)
    since = before.failing_since if before else now - timedelta(seconds=first_seconds_ago)
    failing_seconds = max(0.0, (now - since).total_seconds())
    opens = (before is not None and before.is_open) or (
        failures >= FAILURES_TO_OPEN and failing_seconds >= SECONDS_TO_OPEN
    )
    pause = min(max(failing_seconds / 4, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS) if opens else None
    return Verdict(Trouble(failures, since, opens), pause, failing_seconds >= disable_seconds)
