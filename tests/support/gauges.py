"""Reads the gauges of a service that are read from its database."""

import asyncio

from tests.support.service import BOUND_SECONDS, Service


async def read_gauges(service: Service) -> None:
    """Reads all gauges once, after the end of the loop that reads them: a round of it in progress might set a gauge to
    what it read before.
    """
    loops = service.node.loops
    await loops.finish("gauges")
    async with asyncio.timeout(BOUND_SECONDS):
        await asyncio.wait([loops.task("gauges")])
    await service.node.gauges.step()
