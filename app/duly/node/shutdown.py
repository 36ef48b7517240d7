"""Shutdown of a node: the order in which its parts drain and end."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from duly.loop import END_SECONDS
from duly.store.postgres.database import DatabaseError, DatabaseOutage

if TYPE_CHECKING:
    from duly.node.node import Node

log = structlog.stdlib.get_logger("duly.node")

# Time allowed on shutdown to record outcomes; later ones are recovered when the lease expires.
LAST_RECORDS_SECONDS = 5.0
LAST_FIGURES_SECONDS = 5.0


async def drain(node: "Node") -> None:
    """Claims nothing more, lets running jobs end, requeues the others, and ends streams and webhook posts."""
    node.draining = node.heartbeat.draining = True
    log.info("draining", action="node_draining", node=node.name)
    node.worker.pool.stop_claiming()
    node.leases.polls.close()
    await node.loops.finish("claim")
    await node.loops.finish("leases")
    await node.leases.compensator.close()
    interrupted = await node.worker.pool.drain(node.settings.shutdown_grace_seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_RECORDS_SECONDS):
            await node.finisher.drain()
            await node.job_logs.flushed(seconds=LAST_RECORDS_SECONDS)
    node.tails.close()
    node.hub.close()  # only now: followers of a job that has just ended see its end
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_RECORDS_SECONDS):
            node.dispatcher.stop_taking()
            await node.loops.finish("dispatch")
            await node.dispatcher.drain(LAST_RECORDS_SECONDS)
    log.info("drained", action="node_drained", node=node.name, interrupted=interrupted)


async def stop(node: "Node") -> None:
    """Ends the loops, leaves the list of nodes and closes what the node opened; after `drain` and the last request."""
    with suppress(DatabaseError, TimeoutError):
        async with asyncio.timeout(LAST_FIGURES_SECONDS):
            await node.loops.finish("figures")  # if cancelled, it would count again what it has just written
            await node.figures.flush()
    await node.loops.cancel(exclude="notify")
    with suppress(DatabaseOutage, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await node.heartbeat.leave()
            if node.database.listens and not node.wakeups.alone:
                await node.notify_exchange.step()  # sends the last wake-ups
    await node.loops.cancel()
    node.readiness.close()
    await node.worker.processes.aclose()
    await node.database.close()
