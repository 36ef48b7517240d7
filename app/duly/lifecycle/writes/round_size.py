"""Size of the rounds in which rows of a table are worked on, so that one refused row does not block the others.

A refused round records nothing. The next one takes half as many rows, down to one; that row is then skipped for a
while, longer each time, and the rounds grow again.
"""

import random
import time
from collections.abc import Collection, Hashable, Sequence
from typing import Generic, TypeVar

import structlog

from duly.lifecycle.writes.bisection import note_fault
from duly.store.postgres.database import RecordBusy
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.round_size")

FIRST_SECONDS = 1.0
LAST_SECONDS = 30.0
# After this number of refused rows in a row, one line is logged for all: a right is missing, or a table.
MOST_IN_A_ROW = 10
# A row that was not met for this long after its time is forgotten.
FORGET_SECONDS = 600.0

Key = TypeVar("Key", bound=Hashable)


class SkippedRows(Generic[Key]):
    """Rows that were refused, each skipped until its time.

    Args:
        statement: what was refused, for metric and log.
    """

    def __init__(self, metrics: Metrics, *, statement: str) -> None:
        self._metrics = metrics
        self._statement = statement
        self._refusals: dict[Key, int] = {}
        self._until: dict[Key, float] = {}

    def put(self, key: Key, error: Exception, *, logs: bool = True) -> None:
        """Skips a row for a while. Logs the first time, unless the row was only locked."""
        self._forget_old()
        refusals = self._refusals[key] = self._refusals.get(key, 0) + 1
        seconds = min(FIRST_SECONDS * 2.0 ** min(refusals - 1, 10), LAST_SECONDS)
        self._until[key] = time.monotonic() + seconds * random.uniform(0.75, 1)  # noqa: S311  # jitter
        if refusals == 1 and not isinstance(error, RecordBusy):
            self._metrics.items_refused.labels(self._statement).inc()
        if refusals == 1 and logs and not isinstance(error, RecordBusy):
            log.error(
                f"{self._statement} of {_shown(key)} rejected, retrying later: {error}",
                action="item_set_aside",
                statement=self._statement,
                item=_shown(key),
                error=str(error),
            )

    def present(self) -> list[Key]:
        """Returns the rows to skip now."""
        now = time.monotonic()
        return [key for key, until in self._until.items() if until > now]

    def _forget_old(self) -> None:
        before = time.monotonic() - FORGET_SECONDS
        self.done([key for key, until in self._until.items() if until < before])

    def done(self, keys: Collection[Key]) -> list[Key]:
        """Forgets rows that were recorded. Returns those that had been skipped before."""
        known = [key for key in keys if key in self._until] if self._until else []
        for key in known:
            del self._until[key], self._refusals[key]
        return known


class RoundSize(Generic[Key]):
    """The limit of the next round, and the rows that it skips.

    Args:
        most: limit while nothing is refused.
    """

    def __init__(self, metrics: Metrics, *, most: int, statement: str) -> None:
        self.limit = self._most = most
        self._metrics = metrics
        self._statement = statement
        self._fault = ""
        self._in_a_row = 0
        self._aside: SkippedRows[Key] = SkippedRows(metrics, statement=statement)

    def aside(self) -> list[Key]:
        """Returns the rows to skip now."""
        return self._aside.present()

    def recorded(self, taken: Collection[Key]) -> list[Key]:
        """Notes that a round recorded these rows, or found none. Returns those that had been refused before."""
        self.limit = min(self.limit * 2, self._most)
        if self.limit == self._most:
            self._fault = ""
        if taken:
            self._in_a_row = 0
        return self._aside.done(taken)

    def refused(self, taken: Sequence[Key], error: Exception) -> Key | None:
        """Notes that a round was refused. Returns the row to blame, once it is known."""
        if (fault := repr(error)) != self._fault:  # while the row is searched for, the same error comes back
            note_fault(error, self._statement, self._metrics)
            self._fault = fault
        keys = set(taken)
        if len(keys) == 1:
            self._in_a_row += 1
            self._aside.put(blamed := keys.pop(), error, logs=self._in_a_row < MOST_IN_A_ROW)
            if self._in_a_row == MOST_IN_A_ROW:
                log.error(
                    f"{self._statement} rejected for {MOST_IN_A_ROW} rows in a row: {error}",
                    action="all_refused",
                    statement=self._statement,
                    error=str(error),
                )
            return blamed
        self.limit = max(1, min(self.limit, len(taken) or self.limit) // 2)
        return None


def _shown(key: object) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
