"""Counts of delivery attempts, gathered and added to the metrics by group.

One attempt at a time takes five locks of metrics and a tenth of the processor time of a delivery.
"""

from collections.abc import Iterable
from typing import Protocol

from duly.telemetry.metrics import Metrics

# Attempts that are gathered at most.
MOST_GATHERED = 500


class CountedDelivery(Protocol):
    """Members of a delivery by which it is counted."""

    @property
    def tenant_id(self) -> int: ...

    @property
    def queue(self) -> str | None: ...

    @property
    def job_type(self) -> str | None: ...


class DeliveryCounts:
    """Counts of the attempts of one node. They reach the metrics with `count`, at the latest after `MOST_GATHERED`.

    Args:
        outcomes: values of the label `outcome`, which begin at zero.
    """

    def __init__(self, metrics: Metrics, *, outcomes: Iterable[str]) -> None:
        self._metrics = metrics
        # Per tenant, queue, type and outcome: durations, and times since the submission where they are known.
        self._groups: dict[tuple[int, str | None, str | None, str], tuple[list[float], list[float]]] = {}
        self._gathered = 0
        for outcome in outcomes:
            metrics.deliveries.labels(outcome)

    def put(self, outcome: str, delivery: CountedDelivery, seconds: float, since_submission: float | None) -> None:
        """Adds an attempt that took so many `seconds`."""
        key = delivery.tenant_id, delivery.queue, delivery.job_type, outcome
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = [], []
        group[0].append(seconds)
        if since_submission is not None:
            group[1].append(since_submission)
        self._gathered += 1
        if self._gathered >= MOST_GATHERED:
            self.count()

    def count(self) -> None:
        """Adds what was gathered to the metrics."""
        groups, self._groups, self._gathered = self._groups, {}, 0
        for (tenant_id, queue, job_type, outcome), (durations, since_submission) in groups.items():
            self._metrics.deliveries.labels(outcome).inc(len(durations))
            self._metrics.delivery_seconds.observe_all(sorted(durations))
            succeeded = outcome == "delivered"
            self._metrics.minutes.delivered(tenant_id, queue, succeeded=succeeded, count=len(durations))
            self._metrics.delivered(queue or "", job_type or "", sorted(since_submission))
