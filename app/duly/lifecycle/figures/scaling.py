"""The scaling signal: what waits and runs, how much arrives, and the slots that this needs."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from duly.domain.database_clock import DatabaseClock
from duly.domain.ids import smallest_id_at
from duly.domain.scaling import Load, desired_slots, seconds_to_drain
from duly.lifecycle.read.run_times import RunTimeReader
from duly.store.figures.scaling import (
    RATE_SECONDS,
    Kind,
    Restrictions,
    Running,
    Waiting,
    arrivals_of_type,
    count_running,
    count_waiting,
    read_rates,
    read_restrictions,
    sum_slots,
)
from duly.store.postgres.database import Connection, Database


class ScalingSignal(NamedTuple):
    """Load of a tenant, or of one of its queues or job types. `drain_seconds` is None if the backlog only grows."""

    waiting: int
    running: int
    oldest_seconds: float
    arrival_rate: float
    desired_slots: int
    drain_seconds: float | None


class TenantLoad(NamedTuple):
    """Load in one database, from which a scaling signal is calculated.

    Attributes:
        loads: those of queues, or of one job type.
        slots: those of all live workers.
    """

    waiting: int
    running: int
    oldest_seconds: float
    loads: Sequence[Load]
    slots: int


class _Found(NamedTuple):
    waiting: dict[Kind, Waiting]
    running: dict[Kind, Running]
    restrictions: Restrictions


class ScalingReader:
    """Reader of the scaling signal. It needs the database only, and no worker."""

    def __init__(self, database: Database, run_times: RunTimeReader, clock: DatabaseClock) -> None:
        self._database = database
        self._run_times = run_times
        self._clock = clock

    async def read(self, tenant_id: int, *, queue: str | None, job_type: str | None) -> TenantLoad:
        """Returns the load of a tenant, for `signal_of`; a filter that is None matches all.

        Raises:
            DatabaseOutage: it cannot be read now.
        """
        async with self._database.connection() as connection:
            found = _Found(
                await count_waiting(connection, tenant_id, queue=queue, job_type=job_type),
                await count_running(connection, tenant_id, queue=queue, job_type=job_type),
                await read_restrictions(connection, tenant_id),
            )
            slots = await sum_slots(connection, job_type=job_type)
            if job_type is None:
                loads = await _loads_of_queues(connection, tenant_id, found, queue=queue)
            else:
                since = smallest_id_at(self._clock.now() - timedelta(seconds=RATE_SECONDS))
                arrived = await arrivals_of_type(connection, tenant_id, job_type, since=since, queue=queue)
                loads = [_load_of_type(found, job_type, arrived / RATE_SECONDS, queue=queue)]
        if job_type is not None and any(loads[0][:3]):
            observed = (await self._run_times.observed(tenant_id, [job_type]))[job_type]
            loads = [loads[0]._replace(run_seconds=observed.mean_seconds if observed else None)]
        return TenantLoad(
            waiting=sum(each.jobs for each in found.waiting.values()),
            running=sum(each.attempts for each in found.running.values()),
            oldest_seconds=max((each.oldest_seconds for each in found.waiting.values()), default=0.0),
            loads=loads,
            slots=slots,
        )


def signal_of(parts: Iterable[TenantLoad], *, target_seconds: float) -> ScalingSignal:
    """Returns the signal of a load, of which each of several databases may have a part."""
    known = list(parts)
    loads = [load for part in known for load in part.loads]
    running = sum(part.running for part in known)
    return ScalingSignal(
        waiting=sum(part.waiting for part in known),
        running=running,
        oldest_seconds=max((part.oldest_seconds for part in known), default=0.0),
        arrival_rate=sum((load.arrival_rate for load in loads), 0.0),
        desired_slots=desired_slots(loads, target_seconds=target_seconds),
        # Workers over HTTP have no slots here.
        drain_seconds=seconds_to_drain(loads, slots=max(sum(part.slots for part in known), running)),
    )


async def _loads_of_queues(connection: Connection, tenant_id: int, found: _Found, *, queue: str | None) -> list[Load]:
    """Returns the load of each queue: run times and limits differ."""
    rates = await read_rates(connection, tenant_id, queue=queue)
    names = {name for name, _ in (*found.waiting, *found.running)} | set(rates)
    return [
        _load_of(found, {kind for kind in (*found.waiting, *found.running) if kind[0] == name})._replace(
            arrival_rate=0.0 if name in found.restrictions.paused else rates[name].arrival_rate,
            run_seconds=rates[name].run_seconds,
            limit=found.restrictions.of_queues.get(name),
        )
        for name in sorted(names)
    ]


def _load_of_type(found: _Found, job_type: str, arrival_rate: float, *, queue: str | None) -> Load:
    """Returns the load of one type, over all queues or in one."""
    limits = (found.restrictions.of_types.get(job_type), found.restrictions.of_queues.get(queue or ""))
    return _load_of(found, {*found.waiting, *found.running})._replace(
        arrival_rate=0.0 if queue in found.restrictions.paused else arrival_rate,
        limit=min((limit for limit in limits if limit is not None), default=None),
    )


def _load_of(found: _Found, kinds: Iterable[Kind]) -> Load:
    """Returns what waits and runs of some kinds. What waits in a paused queue needs no slots."""
    waiting = [found.waiting[kind].jobs for kind in kinds if _may_start(found, kind)]
    running = [found.running[kind] for kind in kinds if kind in found.running]
    attempts = sum(each.attempts for each in running)
    age = sum(each.attempts * each.mean_seconds for each in running) / max(attempts, 1)
    return Load(waiting=sum(waiting), running=attempts, running_seconds=age)


def _may_start(found: _Found, kind: Kind) -> bool:
    return kind in found.waiting and kind[0] not in found.restrictions.paused
