"""Durations that are promised, on machines that delay anything for seconds now and then."""

from collections.abc import Awaitable, Callable

TRIES = 8


async def shortest(measure: Callable[[], Awaitable[float]], *, below: float) -> float:
    """Returns the shortest of some measurements in seconds. The first one below the bound is the last.

    A busy machine delays some of them; what is always too slow stays above the bound.
    """
    durations: list[float] = []
    while len(durations) < TRIES and min(durations, default=below) >= below:
        durations.append(await measure())
    return min(durations)
