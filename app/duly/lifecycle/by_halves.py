"""By halves: one item that a statement over many cannot record is found, and all the others are recorded."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, TypeVar

import structlog

from duly.store.database import DatabaseAway, DatabaseSlow, RecordRefused

log = structlog.stdlib.get_logger("duly.by_halves")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Halved(Generic[Item, Result]):
    """What became of the items: each is in one of `parts` (recorded together), `refused` or `left`.

    `left` were not tried, or it is not known whether they were recorded: the database was `away`.
    """

    parts: list[tuple[Sequence[Item], Result]] = field(default_factory=list)
    refused: list[tuple[Item, Exception]] = field(default_factory=list)
    left: list[Item] = field(default_factory=list)
    away: DatabaseAway | None = None


async def record_by_halves(
    items: Sequence[Item],
    record: Callable[[Sequence[Item]], Awaitable[Result]],
    *,
    statement: str,
    splits_slow: bool = False,
) -> Halved[Item, Result]:
    """Records items together; where that fails, by halves, until those to blame are alone.

    Args:
        record: records items, all or nothing. Any error but that of a database that is away counts as a refusal.
        statement: its name for the log.
        splits_slow: whether to try a part that did not end in time by halves, too; else the database counts as away.
    """
    halved: Halved[Item, Result] = Halved()
    parts = [items]
    while parts:
        part = parts.pop()
        try:
            halved.parts.append((part, await record(part)))
        except Exception as error:  # noqa: BLE001  # whatever it is, the other items must be recorded
            if isinstance(error, DatabaseAway) and not (splits_slow and isinstance(error, DatabaseSlow)):
                halved.left, halved.away = [*part, *chain.from_iterable(reversed(parts))], error
                break
            _log_fault(error, statement, first=part is items)
            if len(part) == 1:
                halved.refused.append((part[0], error))
            else:
                parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    return halved


def _log_fault(error: Exception, statement: str, *, first: bool) -> None:
    """Logs an error that is not the database's: a fault of this program, once for a batch."""
    if first and not isinstance(error, (DatabaseAway, RecordRefused)):
        log.error(f"{statement} failed", action="statement_failed", statement=statement, exc_info=error)
