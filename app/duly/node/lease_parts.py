"""Composition of the parts that serve workers over HTTP."""

from collections.abc import Awaitable, Callable
from functools import partial

from duly.domain.retry import RetryPolicy
from duly.lifecycle.leases.compensation import LeaseCompensator, Parts
from duly.lifecycle.leases.ends import LeaseEnder
from duly.lifecycle.leases.heartbeats import HeartbeatRecorder, LeaseExtender
from duly.lifecycle.leases.polls import LeasePolls
from duly.lifecycle.leases.steps import LeasedStepRecorder
from duly.node.worker_parts import Shared, Worker, identity


class Leases:
    """The parts that lease jobs to workers over HTTP. They exist on every node; their loops run on nodes with the role
    `api`.
    """

    def __init__(
        self, shared: Shared, worker: Worker, *, policy_of: Callable[[int, str], Awaitable[RetryPolicy]]
    ) -> None:
        database, metrics = shared.database, shared.metrics
        self.polls = LeasePolls(
            database,
            shared.wakeups,
            metrics,
            shared.finisher,
            guarded=shared.breakers.declared,
            identity=partial(identity, shared.heartbeat, shared.lease_source),
            wake=shared.loops.waker("leases"),
        )
        self.extender = LeaseExtender(database)
        self.heartbeats = HeartbeatRecorder(
            self.extender,
            progress=worker.progress,
            checkpoints=worker.checkpoints,
            logs=shared.job_logs,
            most_lines=shared.settings.log_lines,
            now=shared.clock.now,
        )
        self.steps = LeasedStepRecorder(database, worker.steps)
        self.compensator = LeaseCompensator(
            Parts(
                *(database, shared.hub, shared.clock, shared.job_builder, shared.job_types),
                submitter=worker.child_submitter,
                recorder=worker.compensations,
                extender=self.extender,
                finisher=shared.finisher,
                policy_of=policy_of,
            )
        )
        self.ender = LeaseEnder(
            database,
            metrics,
            shared.finisher,
            source=shared.lease_source,
            policy_of=policy_of,
            ended=worker.spans.end_lease,
        )
