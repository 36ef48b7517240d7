"""Tails of the ledger, one for each tenant whose jobs are followed on this node."""

import asyncio
import time
from collections.abc import Callable

from duly.domain.database_clock import DatabaseClock
from duly.store.postgres.database import Database
from duly.stream.ledger_tail import UNFOLLOWED_SECONDS, LedgerTail


class LedgerTails:
    """The tails of one process.

    Args:
        wake: wakes the loop that runs `step`.
        on_follow: called with True when the first follower of any tenant comes, and False when the last one leaves.
    """

    def __init__(
        self,
        database: Database,
        *,
        buffer: int,
        clock: DatabaseClock,
        wake: Callable[[], None],
        on_follow: Callable[[bool], None],
    ) -> None:
        self._database = database
        self._buffer = buffer
        self._clock = clock
        self._wake = wake
        self._on_follow = on_follow
        self._tails: dict[int, LedgerTail] = {}
        self._taken_at: dict[int, float] = {}
        self._followed: set[int] = set()
        self.closing = False

    def of(self, tenant_id: int) -> LedgerTail:
        """Returns the tail of a tenant. Follow it within `UNFOLLOWED_SECONDS`."""
        self._taken_at[tenant_id] = time.monotonic()
        tail = self._tails.get(tenant_id)
        if tail is None:
            tail = self._tails[tenant_id] = LedgerTail(
                self._database,
                tenant_id=tenant_id,
                buffer=self._buffer,
                clock=self._clock,
                wake=self._wake,
                on_follow=lambda followed: self._note(tenant_id, followed=followed),
            )
            tail.closing = self.closing
        return tail

    def _note(self, tenant_id: int, *, followed: bool) -> None:
        any_before = bool(self._followed)
        (self._followed.add if followed else self._followed.discard)(tenant_id)
        if any_before != bool(self._followed):
            self._on_follow(followed)

    def ledger_grew(self) -> None:
        """Reads soon: events were recorded, here or on another node."""
        for tenant_id in self._followed:
            self._tails[tenant_id].ledger_grew()

    def close(self) -> None:
        """Notifies all followers, so that streams end on shutdown."""
        self.closing = True
        for tail in self._tails.values():
            tail.close()

    async def step(self) -> float:
        """Runs one round of each tail. Returns the seconds until the next. Forgets tails that are not followed."""
        oldest = time.monotonic() - UNFOLLOWED_SECONDS
        for tenant_id, taken_at in list(self._taken_at.items()):
            if taken_at < oldest and tenant_id not in self._followed:
                del self._tails[tenant_id], self._taken_at[tenant_id]
        rounds = await asyncio.gather(*(tail.step() for tail in self._tails.values()), return_exceptions=True)
        for result in rounds:
            if isinstance(result, BaseException):
                raise result
        return min((pause for pause in rounds if isinstance(pause, float | int)), default=UNFOLLOWED_SECONDS)
