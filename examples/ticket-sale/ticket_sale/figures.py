"""Figures of the sale, as lines of text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ticket_sale.buyers import Outcome


def lines(outcomes: Sequence[Outcome], counted: dict[str, Any]) -> Iterator[str]:
    """Yields throughput, times and counts."""
    served = [outcome for outcome in outcomes if outcome.seats]
    last = max(outcome.buyer.at + outcome.known_after for outcome in outcomes)
    sold_out = max((outcome.buyer.at + outcome.known_after for outcome in served), default=0.0)
    seats = sum(len(outcome.seats) for outcome in served)
    yield f"{len(served):,} groups got {seats:,} seats; {len(outcomes) - len(served):,} found none."
    yield f"The last seat was sold after {sold_out:.1f} s, the last buyer was answered after {last:.1f} s:"
    yield f"  {len(outcomes) / last:,.0f} purchases/s, {seats / sold_out if sold_out else 0:,.0f} seats/s"
    yield "Seconds from the click, including the time until a busy service accepted it:"
    yield f"  accepted       {_times(outcome.accepted_after for outcome in outcomes)}"
    yield f"  known by poll  {_times(o.known_after for o in outcomes if not o.buyer.follows)}"
    yield f"  known by SSE   {_times(o.known_after for o in outcomes if o.buyer.follows)}"
    yield f"{sum(outcome.busy_answers for outcome in outcomes):,} requests were repeated, as the service was too busy."
    yield f"The counter looked {counted['looks']:,} times, and saw {counted['tickets']:,} tickets at the end."


def _times(seconds: Iterable[float]) -> str:
    ordered = sorted(seconds)
    if not ordered:
        return "nobody"
    p50, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.99))
    return f"p50 {p50:.3f}  p99 {p99:.3f}  max {ordered[-1]:.3f}"
