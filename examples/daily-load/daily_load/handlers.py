"""Job type `settle-flight`. Serve it with `duly serve --handlers daily_load.handlers`.

Each flight that has landed, or was cancelled, is settled once: what is a passenger owed for its delay?
"""

from pydantic import BaseModel, Field

from duly import Handlers

_KILOMETRES_PER_MILE = 1.609344
_LATE_MINUTES = 180

handlers = Handlers()


class Flight(BaseModel):
    """Flight at its end; without `arrivalDelay` it never arrived where it was bound for."""

    airline: str
    number: int
    miles: int = Field(gt=0)
    arrivalDelay: int | None


class Settlement(BaseModel):
    """Compensation of each passenger in euros, 0 if none is due."""

    euros: int


@handlers.register("settle-flight", timeout=30, max_attempts=5)
async def settle_flight(flight: Flight) -> Settlement:
    """Returns the compensation that regulation (EC) 261/2004 sets for the delay and the distance."""
    return Settlement(euros=compensation(flight.miles, flight.arrivalDelay))


def compensation(miles: int, arrival_delay: int | None) -> int:
    """Returns euros: from three hours of delay on, by the distance."""
    if arrival_delay is not None and arrival_delay < _LATE_MINUTES:
        return 0
    kilometres = miles * _KILOMETRES_PER_MILE
    return 250 if kilometres <= 1_500 else 400 if kilometres <= 3_500 else 600
