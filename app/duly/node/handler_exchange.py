"""Exchange of the handlers of a running node: its attempts are interrupted, everything else goes on."""

from typing import NamedTuple

from duly.domain.node_role import Role
from duly.domain.outcome import Interrupted
from duly.handlers.registry import Registry
from duly.node.node import Node
from duly.worker.process.pool import in_processes

RELOADED = Interrupted("the handlers were reloaded")


class Exchange(NamedTuple):
    """Result of an exchange: the interrupted attempts, and the job types that were added and removed."""

    interrupted: int
    added: list[str]
    removed: list[str]


async def exchange_handlers(node: Node, registry: Registry) -> Exchange:
    """Replaces the handlers of a node. Its attempts are requeued without being counted, and run with the new handlers.

    Requests, streams and webhooks are not interrupted. The job types and schedules are declared, as at a start.

    Raises:
        DatabaseError: they cannot be declared. The new handlers run nevertheless.
        HandlerError: a schedule is invalid, likewise.
    """
    before = set(node.registry)
    async with node.worker.pool.closed(RELOADED) as interrupted:
        node.registry.replace(registry)
        node.job_types.replace_handlers(registry)
        node.job_type_breakers.declare(registry.values())
        node.worker.claimer.types_changed(in_processes(registry))
        await node.worker.processes.restart()
    await node.heartbeat.replace_handlers(list(registry), [schedule.name for schedule in registry.schedules])
    if Role.WORKER in node.settings.roles:
        await node.job_type_parts.declare()
        node.loops.waker("declared-handlers")()
    return Exchange(interrupted, sorted(set(registry) - before), sorted(before - set(registry)))
