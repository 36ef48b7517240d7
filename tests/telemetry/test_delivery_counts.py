from typing import NamedTuple

from duly.telemetry.delivery_counts import MOST_GATHERED, DeliveryCounts
from duly.telemetry.metrics import Metrics

OUTCOMES = ["delivered", "try_again"]


class Delivery(NamedTuple):
    tenant_id: int = 1
    queue: str | None = "default"
    job_type: str | None = "report"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"duly_{name}", labels)


def test_gathered_attempts_reach_every_metric_at_once() -> None:
    metrics = Metrics()
    counts = DeliveryCounts(metrics, outcomes=OUTCOMES)
    assert value(metrics, "deliveries_total", outcome="try_again") == 0
    for seconds, since in ((0.3, 2.0), (0.1, 1.0), (0.2, None)):
        counts.put("delivered", Delivery(), seconds, since)
    counts.put("try_again", Delivery(queue=None, job_type=None), 0.5, None)
    assert value(metrics, "deliveries_total", outcome="delivered") == 0

    counts.count()

    assert value(metrics, "deliveries_total", outcome="delivered") == 3
    assert value(metrics, "deliveries_total", outcome="try_again") == 1
    assert value(metrics, "delivery_seconds_count") == 4
    assert value(metrics, "delivery_seconds_sum") == 0.3 + 0.1 + 0.2 + 0.5
    assert value(metrics, "end_to_end_seconds_sum", queue="default", type="report") == 3.0
    cells = [cell for minute in metrics.minutes.take().values() for cell in minute.cells.values()]
    assert (sum(cell.delivered for cell in cells), sum(cell.undelivered for cell in cells)) == (3, 1)


def test_attempts_are_counted_once_and_at_the_latest_when_many_are_gathered() -> None:
    metrics = Metrics()
    counts = DeliveryCounts(metrics, outcomes=OUTCOMES)
    for _ in range(MOST_GATHERED):
        counts.put("delivered", Delivery(), 0.1, None)
    assert value(metrics, "deliveries_total", outcome="delivered") == MOST_GATHERED
    counts.count()
    assert value(metrics, "deliveries_total", outcome="delivered") == MOST_GATHERED
