"""Fees of the example: what the airlines owe the airports for the flights of 2013, by the distance."""

from collections import Counter
from itertools import cycle, islice
from typing import Any

from flights import airports, read_flights

_CENTS_PER_MILE = 9
# Part of what they owe that the airlines own: the last ones cannot pay.
_FUNDED_PERCENT = 99


def fees(count: int) -> list[dict[str, Any]]:
    """Returns the fees of the first flights of the year, as parameters of jobs."""
    flights = islice(cycle(read_flights()), count)
    return [
        {"airline": flight.carrier, "airport": flight.destination, "cents": _CENTS_PER_MILE * flight.distance}
        for flight in flights
    ]


def airline_balances(owed: list[dict[str, Any]]) -> dict[str, int]:
    """Returns the opening balances of the airlines."""
    sums: Counter[str] = Counter()
    for fee in owed:
        sums[fee["airline"]] += fee["cents"]
    return {airline: cents * _FUNDED_PERCENT // 100 for airline, cents in sorted(sums.items())}


def airport_balances() -> dict[str, int]:
    """Returns the accounts of the airports, all empty. Four airports of the Caribbean have none."""
    return dict.fromkeys(sorted(airports()), 0)
