"""Choice of adjacent seats. Pure: `shop` reads the rows and records what is chosen."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache


@dataclass(slots=True)
class OpenRow:
    """Row with free seats. Bit `n` of `taken` is the n-th seat from the left."""

    row_id: int
    seats: int
    taken: int


def choose(rows: Iterable[OpenRow], group: int) -> tuple[OpenRow, int] | None:
    """Returns a row with adjacent seats for the group, and the first of them; None if no row has them.

    Takes the gap that leaves the least over, so that large gaps remain for large groups.
    """
    best: tuple[int, OpenRow, int] | None = None
    for row in rows:
        gap = smallest_gap(row.seats, row.taken, group)
        if gap is not None and (best is None or gap[0] < best[0]):
            best = (gap[0], row, gap[1])
            if gap[0] == group:
                break
    return best and (best[1], best[2])


def take(row: OpenRow, first: int, group: int) -> None:
    """Marks adjacent seats as taken."""
    row.taken |= ((1 << group) - 1) << first


@cache
def smallest_gap(seats: int, taken: int, group: int) -> tuple[int, int] | None:
    """Returns length and first seat of the row's smallest gap for the group, or None if no gap is long enough."""
    gaps, start = [], 0
    for seat in range(seats + 1):
        if seat == seats or taken >> seat & 1:
            gaps.append((seat - start, start))
            start = seat + 1
    return min((gap for gap in gaps if gap[0] >= group), default=None)
