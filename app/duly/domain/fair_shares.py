"""Shares of tenants in one claim: each takes its share first, then what the others leave."""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple


class Turn(NamedTuple):
    """Turn of a tenant in a claim.

    Attributes:
        first: position of its first lane in the claim, from 1.
        last: position of its last lane.
        most: number of jobs that it may take.
        skipped: number of jobs that it has taken in its earlier turn.
    """

    first: int
    last: int
    most: int
    skipped: int = 0


def turns(tenants: Iterable[int], room: int) -> list[Turn]:
    """Returns the turns of a claim of `room` jobs over lanes of these tenants, those of a tenant one after another.

    A tenant that is alone takes all. Of several, each takes an equal share, at least one job, as long as there is room;
    after that, the first ones take the rest.
    """
    spans = []
    first = 1
    for _, lanes in groupby(tenants):
        last = first + sum(1 for _ in lanes) - 1
        spans.append((first, last))
        first = last + 1
    if len(spans) == 1:
        return [Turn(*spans[0], room)]
    share = max(1, room // max(1, len(spans)))
    return [Turn(*span, share) for span in spans] + [Turn(*span, room, share) for span in spans]
