"""The table of loops: name, roles and step of each."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from duly.domain.node_role import Role
from duly.lifecycle.submit.submit import LARGE_FLUSHERS
from duly.loop import Loop
from duly.store.postgres.database import DatabaseMisconfigured, DatabaseOutage, RecordBusy

if TYPE_CHECKING:
    from duly.node.node import Node

Row = tuple[str, set[Role], Callable[[], Awaitable[float]]]

API, WORKER, DISPATCHER, SWEEPER = ({role} for role in (Role.API, Role.WORKER, Role.DISPATCHER, Role.SWEEPER))
ALL = set(Role)

# Loops whose first round no job, webhook or request waits for. It comes later, because it takes half of the statements
# of a node that starts; a request for metrics wakes the gauges.
UPKEEP = {"gauges", "figures", "housekeeping"}
UPKEEP_AFTER_SECONDS = 2.0


def loops_of(node: "Node") -> list[Loop]:
    """Returns the loops for the roles of a node, in the order of the table."""
    roles = set(node.settings.roles)
    expected = (DatabaseOutage, DatabaseMisconfigured, RecordBusy)
    return [
        Loop(name, step, expected=expected, first_after=UPKEEP_AFTER_SECONDS if name in UPKEEP else 0.0)
        for name, needs, step in _table(node)
        if needs & roles
    ]


def _table(node: "Node") -> list[Row]:
    """Returns the table: name, roles and step."""
    worker, settings, watch = node.worker, node.settings, node.lookout.watch

    async def sweep() -> float:
        return await node.sweeper.repair(node.node_id, lease_seconds=settings.lease_seconds)

    return [
        ("heartbeat", ALL, node.heartbeat.step),
        ("epochs", ALL, watch("epochs", node.epochs.step, rests=lambda: node.epochs.has_begun)),
        ("lookout", ALL, node.lookout.step),
        ("gauges", ALL, node.gauges.step_if_due),
        ("figures", ALL, node.figures.step),
        *([("notify", ALL, node.notify_exchange.step)] if node.database.listens else []),
        ("submit", API | WORKER, node.submitter.batcher.step),
        *((f"submit-batch-{n}", API, node.submitter.batches.step) for n in range(1, LARGE_FLUSHERS + 1)),
        ("read-jobs", API, node.job_reader.batcher.step),
        ("submission-limits", API, watch("submission-limits", node.submission_limiters.step)),
        ("inbox", API, watch("inbox", node.inbox.step)),
        ("keys", ALL, watch("keys", node.key_verifier.step, rests=lambda: node.key_verifier.rests)),
        ("job-types", ALL, watch("job-types", node.job_types.step)),
        ("declared-handlers", WORKER, node.job_type_parts.handlers.step),
        ("tail", API, node.tails.step),
        ("claim", WORKER, watch("claim", worker.pool.step, rests=lambda: worker.claimer.knows_none)),
        ("watch", WORKER, worker.pool.watch),
        (
            "orphans",
            WORKER,
            watch("orphans", worker.pool.find_orphans, rests=lambda: worker.pool.orphans.suspects_none),
        ),
        ("deadlines", WORKER, worker.deadlines.step),
        ("leases", API, node.leases.polls.step),
        ("heartbeats", API, node.leases.extender.batcher.step),
        ("lease-ends", API, node.leases.ender.batcher.step),
        ("progress", WORKER | API, worker.progress.batcher.step),
        ("checkpoint", WORKER | API, worker.checkpoints.batcher.step),
        ("steps", WORKER | API, worker.steps.batcher.step),
        ("compensations", WORKER | API, worker.compensations.batcher.step),
        ("read-steps", WORKER, worker.step_reader.steps.step),
        ("read-waits", WORKER, worker.step_reader.waits.step),
        ("logs", WORKER | API, node.job_logs.step),
        ("child-jobs", WORKER | API, worker.child_submitter.batcher.step),
        ("child-results", WORKER, worker.child_results.batcher.step),
        ("finish", WORKER | API, node.finisher.step),
        ("set-aside", WORKER | API | SWEEPER, node.finisher.set_aside.step),
        ("dispatch", DISPATCHER, watch("dispatch", node.dispatcher.step)),
        ("settle", DISPATCHER, node.dispatcher.settler.step),
        ("replay", DISPATCHER, watch("replay", node.replayer.step)),
        ("breakers", WORKER | API | SWEEPER, node.job_type_breakers.step),
        ("sweep", SWEEPER, watch("sweep", sweep, rests=node.lookout.nothing_to_sweep)),
        ("release", SWEEPER, watch("release", node.sweeper.release)),
        ("expire", SWEEPER, watch("expire", node.sweeper.expire)),
        ("follow-ups", SWEEPER, watch("follow-ups", node.follow_ups.step)),
        ("schedules", SWEEPER, watch("schedules", node.scheduler.step)),
        ("housekeeping", SWEEPER, lambda: node.sweeper.run_housekeeping(retention_days=settings.retention_days)),
    ]
