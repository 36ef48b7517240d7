"""Reports how far the stream of all jobs is behind, and which transaction holds it back."""

import time
from collections.abc import Callable

import structlog

from duly.store.ledger.stream_blockers import Held, HolderKind

log = structlog.stdlib.get_logger("duly.stream")

# Age from which a transaction is reported.
HELD_SECONDS = 60.0


class StreamWatch:
    """Sets the gauge at each reading; logs each old holder once, and when it has ended.

    Args:
        set_gauge: sets the gauge of one kind of holder.

    Attributes:
        held: whether a transaction was open at the last reading.
    """

    def __init__(
        self, set_gauge: Callable[[str, float], None], *, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._set_gauge = set_gauge
        self._elapsed = elapsed
        self._settled = 0
        self._seen_at = 0.0
        self._logged: HolderKind | None = None
        self.held = False

    def note(self, held: Held) -> None:
        """Takes a reading."""
        self.held = held.settled < held.future
        if held.settled != self._settled:
            self._moved_on()
            self._settled, self._seen_at = held.settled, self._elapsed()
        kind, seconds = self._behind(held)
        for each in HolderKind:
            self._set_gauge(each.value, seconds if each is kind else 0.0)
        if seconds >= HELD_SECONDS and self._logged is not kind:  # a session may have prepared its transaction since
            self._logged = kind
            _warn(held, seconds)

    def _behind(self, held: Held) -> tuple[HolderKind, float]:
        """Returns the age of the holder or, if that is hidden, the time since it was first noted."""
        noted = self._elapsed() - self._seen_at
        if held.holder is None:
            return HolderKind.UNKNOWN, noted if held.settled < held.future else 0.0
        return held.holder.kind, noted if held.holder.seconds is None else held.holder.seconds

    def _moved_on(self) -> None:
        if self._logged is not None:
            self._logged = None
            log.info("stream of all jobs is no longer held back", action="stream_goes_on")


def _warn(held: Held, seconds: float) -> None:
    holder = held.holder
    text = holder.words if holder else f"a transaction that pg_stat_activity does not show (id {held.settled})"
    remedy = holder.remedy if holder else "check the server"
    log.warning(
        f"stream of all jobs held back for {seconds:,.0f} s by {text}; {remedy}",
        action="stream_held",
        by=(holder.kind if holder else HolderKind.UNKNOWN).value,
        seconds=round(seconds),
    )
