"""Bisection: finds the items that a bulk statement cannot record, and records all others."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, TypeVar

import structlog

from duly.store.postgres.database import DatabaseOutage, DatabaseTimeout, RecordRefused
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.bisection")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Bisected(Generic[Item, Result]):
    """Result of recording items: each is in one of `parts` (recorded together), `refused` or `left`.

    Items in `left` were not tried, or it is not known whether they were recorded: the database was `away`.
    """

    parts: list[tuple[Sequence[Item], Result]] = field(default_factory=list)
    refused: list[tuple[Item, Exception]] = field(default_factory=list)
    left: list[Item] = field(default_factory=list)
    away: DatabaseOutage | None = None


async def record_bisecting(
    items: Sequence[Item],
    record: Callable[[Sequence[Item]], Awaitable[Result]],
    *,
    statement: str,
    metrics: Metrics | None = None,
    splits: type[Exception] = Exception,
    splits_slow: bool = False,
) -> Bisected[Item, Result]:
    """Records items together; after an error, by halves, until the items to blame are alone.

    Args:
        record: records items, all or nothing.
        statement: name of the statement for log and metric.
        splits: errors that count as a refusal, except that of an unavailable database; others are raised.
        splits_slow: True to also bisect after a statement that timed out; else the database counts as away.
    """
    bisected: Bisected[Item, Result] = Bisected()
    parts = [items] if items else []
    while parts:
        part = parts.pop()
        try:
            bisected.parts.append((part, await record(part)))
        except (splits, DatabaseOutage) as error:
            if isinstance(error, DatabaseOutage) and not (splits_slow and isinstance(error, DatabaseTimeout)):
                bisected.left, bisected.away = [*part, *chain.from_iterable(reversed(parts))], error
                break
            if part is items:
                note_fault(error, statement, metrics)
            if len(part) == 1:
                bisected.refused.append((part[0], error))
            else:
                parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    return bisected


def note_fault(error: Exception, statement: str, metrics: Metrics | None) -> None:
    """Logs and counts an error that is a fault of this program, not of the database."""
    if isinstance(error, (DatabaseOutage, RecordRefused)):
        return
    log.error(f"{statement} failed", action="statement_failed", statement=statement, exc_info=error)
    if metrics is not None:
        metrics.statement_faults.labels(statement).inc()
