"""Filter for the tenant event stream."""

import json
from typing import NamedTuple
from uuid import UUID

from duly.store.ledger.event_tail import TailJob


class EventFilter(NamedTuple):
    """Filter by properties of a job; an empty set restricts nothing. Type, queue and batch must be among those named;
    each named label must have one of its values. `within` is a further filter that must match.
    """

    types: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    batches: frozenset[UUID] = frozenset()
    labels: frozenset[tuple[str, frozenset[str]]] = frozenset()
    within: "EventFilter | None" = None

    def matches(self, facts: TailJob) -> bool:
        """Returns True if events of such a job match."""
        return (
            (not self.types or facts.type in self.types)
            and (not self.queues or facts.queue in self.queues)
            and (not self.batches or facts.batch_id in self.batches)
            and (not self.labels or self._fits(facts.labels))
            and (self.within is None or self.within.matches(facts))
        )

    def _fits(self, labels: str | None) -> bool:
        has = json.loads(labels) if labels else {}
        return all(has.get(name) in values for name, values in self.labels)


ALL_EVENTS = EventFilter()
