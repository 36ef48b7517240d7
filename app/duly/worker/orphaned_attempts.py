"""Orphaned attempts: recorded as running on this node, but unknown to it.

A claim or an eager start may have been committed while its response was lost with the connection; or a fail-over lost
the end of the attempt. The lease of such an attempt lasts as long as its node, so no other node would recover it.
"""

import time
from collections.abc import Callable
from uuid import UUID

from duly.domain.job import Finish
from duly.domain.outcome import NOT_CHARGED, AttemptFacts, Interrupted, decide
from duly.domain.retry import DEFAULT_RETRY
from duly.lifecycle.claim.claim import Claimer
from duly.lifecycle.end.attempt_log import log_end
from duly.store.postgres.database import STATEMENT_SECONDS

# A statement whose response was lost may still run on the server: orphans are looked for beyond its own time limit.
SUSPICION_SECONDS = 3 * STATEMENT_SECONDS
FIND_SECONDS = 1.0
# Younger attempts may still be on their way here.
OLD_ENOUGH_SECONDS = 3.0


class OrphanedAttempts:
    """Looks for orphaned attempts for a while after each lost response."""

    def __init__(self, claimer: Claimer) -> None:
        self._claimer = claimer
        self._suspected_until = self._looked_at = float("-inf")
        self._unknown: dict[UUID, int] = {}

    def suspect(self) -> None:
        """Notes a lost response."""
        self._suspected_until = time.monotonic() + SUSPICION_SECONDS

    @property
    def suspects_none(self) -> bool:
        """True if no response was lost of late, and no attempt is unknown: `find` would find nothing."""
        return time.monotonic() > self._suspected_until and not self._unknown

    async def find(self, node_id: UUID, *, known: Callable[[UUID], bool]) -> list[Finish]:
        """Returns the ends that requeue orphaned attempts without counting them. Calls `known` after the query.

        An orphan is unknown in two looks in a row: after a standstill of the process, the response to an eager start
        may be read later than that to the first look.

        Raises:
            DatabaseOutage: the query failed; it will be repeated.
        """
        now = time.monotonic()
        if self.suspects_none or now - self._looked_at < FIND_SECONDS:
            return []
        self._looked_at = now
        held = await self._claimer.find_running(node_id, older_than_seconds=OLD_ENOUGH_SECONDS)
        before, self._unknown = self._unknown, {job: token for job, token in held.items() if not known(job)}
        return [_requeued(job, token) for job, token in self._unknown.items() if before.get(job) == token]


def _requeued(job_id: UUID, token: int) -> Finish:
    facts = AttemptFacts(job_id, token, attempt=NOT_CHARGED, max_attempts=1)
    outcome = Interrupted("the response to its claim, or its end, was lost")
    end = decide(outcome, facts, policy=DEFAULT_RETRY, random=float)
    log_end(outcome, end, job_type=None, attempt=NOT_CHARGED)
    return end
