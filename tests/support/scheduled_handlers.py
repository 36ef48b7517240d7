"""A handler with several schedules, each due once a year."""

from pydantic import BaseModel

from duly import Handlers

handlers = Handlers()
NAMES = tuple(f"yearly-{n}" for n in range(8))


class Year(BaseModel):
    number: int = 0


@handlers.register("yearly-report")
async def report(parameters: Year) -> None:
    """Reports nothing."""


for name in NAMES:
    handlers.schedule("0 0 1 1 *", name=name)(report)
