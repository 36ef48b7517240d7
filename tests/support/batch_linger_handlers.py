"""Batch handlers that wait longer for other jobs than their timeout allows."""

import asyncio

from duly import Handlers

handlers = Handlers()


@handlers.register("lingers-longer", batch=100, linger=4.5, max_attempts=1)
async def lingers_longer(items: list[object]) -> None:
    """Returns at once."""


@handlers.register("lingers", batch=100, linger=0.5, max_attempts=1)
async def lingers(items: list[object]) -> None:
    """Returns at once."""


@handlers.register("lingers-and-hangs", batch=100, linger=0.5, max_attempts=1)
async def lingers_and_hangs(items: list[object]) -> None:
    await asyncio.sleep(600)
