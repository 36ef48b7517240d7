"""Job types for which workers over HTTP are alive, as one process sees it; stored with the heartbeats of its nodes."""

import time
from collections.abc import Callable, Iterable

from duly.store.queue.nodes import leased_type_key

# Time between two claims of a worker; the jobs that it runs meanwhile count for as long as their leases.
BETWEEN_CLAIMS_SECONDS = 30.0
MOST_TYPES = 10_000


class LeasedTypes:
    """Job types that workers over HTTP claim, or run, at one process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until: dict[tuple[int, str], float] = {}

    def note_claim(self, tenant_id: int, types: Iterable[str], *, seconds: float) -> None:
        """Notes that a worker claims these types, and waits for some seconds; it may claim again for a while."""
        self.note(tenant_id, types, seconds=seconds + BETWEEN_CLAIMS_SECONDS)

    def note(self, tenant_id: int, types: Iterable[str], *, seconds: float) -> None:
        """Notes that a worker of this tenant is alive for these types at least for some seconds."""
        until = self._now() + seconds
        for job_type in types:
            key = tenant_id, job_type
            if until > self._until.get(key, 0) and (key in self._until or len(self._until) < MOST_TYPES):
                self._until[key] = until

    def keys(self) -> list[str]:
        """Returns the types as the table of nodes holds them, and forgets those without a live worker."""
        now = self._now()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return [leased_type_key(*key) for key in self._until]
