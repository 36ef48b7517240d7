"""Which jobs a follower of all jobs wants to hear of."""

import json
from typing import NamedTuple
from uuid import UUID

from duly.store.ledger.event_tail import JobFacts


class EventFilter(NamedTuple):
    """Empty means no restriction. A job's type, queue and batch have to be among those named; of each label that is
    named it has to have one of the values. `within` narrows it further.
    """

    types: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    batches: frozenset[UUID] = frozenset()
    labels: frozenset[tuple[str, frozenset[str]]] = frozenset()
    within: "EventFilter | None" = None

    def matches(self, facts: JobFacts) -> bool:
        """Whether news of such a job is wanted."""
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
