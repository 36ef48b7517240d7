"""Links from the local wake-ups of a node to the parts that act on them."""

from typing import TYPE_CHECKING
from uuid import UUID

from duly.domain.job import Lane
from duly.domain.node_role import Role

if TYPE_CHECKING:
    from duly.node.node import Node


def connect_wakeups(node: "Node") -> None:
    """Connects the wake-ups of a node to the parts that act on them."""
    local, loops, worker, polls = node.wakeups.local, node.loops, node.worker, node.leases.polls
    works, serves = Role.WORKER in node.settings.roles, Role.API in node.settings.roles
    wake_release = loops.waker("release")

    def ready(lane: Lane, oldest: UUID) -> None:
        if works:
            worker.pool.note_ready(lane, oldest)
            node.wake_claim()
        if serves:
            polls.note_ready(lane, oldest)

    def restrictions_changed() -> None:
        worker.claimer.invalidate()
        node.wake_claim()
        polls.restrictions_changed()

    local.changed = node.hub.changed
    local.submitted = node.metrics.submitted
    local.ledger_grew = node.tails.ledger_grew
    local.scheduled = lambda _delay: wake_release()
    local.follow_ups = loops.waker("follow-ups")
    local.deliveries = loops.waker("dispatch")
    local.keys = loops.waker("keys")
    local.job_types = loops.waker("job-types")
    local.inbox = loops.waker("inbox")
    if works:
        local.cancel = worker.pool.cancel
    local.ready = ready
    local.restrictions = restrictions_changed
