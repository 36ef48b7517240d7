"""Record: new jobs inside a transaction of the caller's, and who is told of them after its commit.

Nearly all jobs are tied to nothing: one statement records them. The others are recorded beside them, a few statements
for all: their unique keys, what they ask, their concurrency keys, whom they wait for, and where they stand.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from duly.domain.events import UNSUCCESSFUL, EventKind
from duly.domain.job import Accepted, Flow, Lane, NewJob
from duly.domain.outcome import dependency_error
from duly.errors import Invalid, JobExists, PathError
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.submit.eager_start import EagerStart
from duly.store.ledger.terminal import EndOfWaiting, end_waiting
from duly.store.postgres.database import Connection, RecordBusy
from duly.store.submit.jobs import record_jobs
from duly.store.ties.placement import Place, Standing, acquire_keys, marked, place
from duly.store.ties.unique_keys_and_dependencies import (
    Holder,
    KeepMoving,
    Tied,
    UniqueKey,
    find_standing,
    give_up_unique,
    merge_parameters,
    pass_unique,
    record_dependencies,
    record_tied,
    take_unique,
    watch_parents,
)
from duly.store.ties.unique_keys_and_dependencies import Standing as Recorded

InsertResult = Accepted | Exception


async def insert_jobs(
    connection: Connection, jobs: Sequence[NewJob], *, eager: EagerStart | None = None
) -> list[InsertResult]:
    """Records new jobs; an answer for each, in order. What is refused (an Exception) is not recorded.

    Raises:
        RecordBusy: a job that another one waits for keeps changing hands; doing it again is safe.
    """
    plain = [job for job in jobs if job.flow is None]
    answers: dict[UUID, InsertResult] = {}
    if plain:
        recorded = await record_jobs(connection, plain, starting=eager.choose(plain) if eager else None)
        if eager:
            eager.delivers = recorded.delivers
            if not recorded.started:
                eager.release_slots()
        answers = {job.job_id: Accepted(job.job_id, recorded.at) for job in plain}
    if len(plain) == len(jobs):
        return list(answers.values())
    return await _with_tied(connection, jobs, answers)


async def _with_tied(
    connection: Connection, jobs: Sequence[NewJob], answers: dict[UUID, InsertResult]
) -> list[InsertResult]:
    ties = _Ties(connection)
    tied = [job for job in jobs if job.flow is not None]
    try:
        answered = await ties.record(tied)
    except KeepMoving as error:
        raise RecordBusy(f"job {error} keeps changing hands") from None
    in_order = iter(answered)
    return [next(in_order) if job.flow is not None else answers[job.job_id] for job in jobs]


class _Ties:
    """Records tied jobs, step by step; each step settles the answers of some of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answers: dict[int, InsertResult] = {}
        self._merges: list[tuple[UUID, NewJob]] = []
        self._fresh: set[UUID] = set()

    async def record(self, jobs: Sequence[NewJob]) -> list[InsertResult]:
        open_ = list(enumerate(jobs))
        while open_ := await self._not_there_yet(open_):
            await self._record_distinct(_first_of_each_id(open_))
            open_ = self._still_open(open_)
        for holder, job in self._merges:
            await self._merge(holder, job)
        return [self._answers[place] for place in range(len(jobs))]

    async def _record_distinct(self, jobs: list[tuple[int, NewJob]]) -> None:
        jobs = await self._with_known_parents(jobs)
        jobs = await self._first_of_their_keys(jobs)
        recorded = await self._as_new(jobs)
        await self._put_in_place([job for _, job in jobs if job.job_id in recorded], recorded)

    async def _not_there_yet(self, jobs: list[tuple[int, NewJob]]) -> list[tuple[int, NewJob]]:
        """Those that an earlier request did not record under the same id: what they ask counts no more, only that it is
        the same.
        """
        named = [(job.tenant_id, job.job_id) for _, job in jobs if _flow(job).digest is not None]
        standing = await find_standing(self._connection, named)
        for number, job in jobs:
            if before := standing.get(job.job_id):
                self._answers[number] = _as_before(job, before)
        return self._still_open(jobs)

    async def _with_known_parents(self, jobs: list[tuple[int, NewJob]]) -> list[tuple[int, NewJob]]:
        unknown = await unknown_dependencies(self._connection, [job for _, job in jobs])
        for (number, _), errors in zip(jobs, unknown, strict=True):
            if errors:
                self._answers[number] = Invalid.at(errors)
        return self._still_open(jobs)

    async def _first_of_their_keys(self, jobs: list[tuple[int, NewJob]]) -> list[tuple[int, NewJob]]:
        """Those that another unfinished job with their unique key does not make needless."""
        first: dict[UniqueKey, NewJob] = {}
        for _, job in jobs:
            if key := _unique_key(job):
                first.setdefault(key, job)
        fresh, holders = await take_unique(self._connection, {key: job.job_id for key, job in first.items()})
        for key, holder in list(holders.items()):
            if await self._succeeds(first[key], holder):
                await pass_unique(self._connection, key, first[key].job_id)
                del holders[key]
        self._fresh = {first[key].job_id for key in fresh}
        for number, job in jobs:
            key = _unique_key(job)
            if key in holders:
                self._answers[number] = Accepted(holders[key].job_id, holders[key].created_at, deduplicated=True)
                if first[key] is not job:
                    self._merges.append((holders[key].job_id, job))
            elif key is not None and first[key] is not job:
                self._merges.append((first[key].job_id, job))
                self._answers[number] = _SameAs(first[key].job_id)
        return self._still_open(jobs)

    async def _succeeds(self, job: NewJob, holder: Holder) -> bool:
        """Newer parameters go to a job that waits; where it has started they make a new one."""
        debounce = _flow(job).debounce
        return debounce is not None and not await self._merge(holder.job_id, job)

    async def _merge(self, holder: UUID, job: NewJob) -> bool:
        debounce = _flow(job).debounce
        return debounce is not None and await merge_parameters(
            self._connection,
            holder,
            job,
            seconds=debounce.seconds,
            longest_seconds=debounce.longest_seconds,
            source="api",
        )

    async def _as_new(self, jobs: list[tuple[int, NewJob]]) -> dict[UUID, Tied]:
        """Records what they ask; one whose id stands already is answered by what stands."""
        recorded = await record_tied(self._connection, [job for _, job in jobs]) if jobs else {}
        there = [job for _, job in jobs if job.job_id not in recorded]
        standing = await find_standing(self._connection, [(job.tenant_id, job.job_id) for job in there])
        for number, job in jobs:
            if job.job_id in recorded:
                self._answers[number] = Accepted(job.job_id, recorded[job.job_id].created_at)
            else:
                self._answers[number] = _as_before(job, standing.get(job.job_id))
        if needless := [job.job_id for job in there if job.job_id in self._fresh]:
            await give_up_unique(self._connection, needless)
        self._answers = {
            number: Accepted(answer.job_id, recorded[answer.job_id].created_at, deduplicated=True)
            if isinstance(answer, _SameAs)
            else answer
            for number, answer in self._answers.items()
        }
        return recorded

    async def _put_in_place(self, jobs: Sequence[NewJob], recorded: dict[UUID, Tied]) -> None:
        held = await acquire_keys(
            self._connection,
            [
                (job.tenant_id, key, job.job_id)
                for job in jobs
                if (key := _flow(job).concurrency_key) and _starts_at_once(job, recorded[job.job_id])
            ],
        )
        parents = [(job.tenant_id, parent) for job in jobs for parent in _flow(job).depends_on]
        ended = await watch_parents(self._connection, parents)
        standing = [_standing(job, recorded[job.job_id], ended, has_key=job.job_id in held) for job in jobs]
        await place(self._connection, standing)
        doomed = [
            EndOfWaiting(job.tenant_id, job.job_id, EventKind.FAILED, dependency_error(lost))
            for job in jobs
            if (lost := _lost_parent(job, ended))
        ]
        in_vain = {end.job_id for end in doomed}
        await record_dependencies(
            self._connection,
            [
                (job.tenant_id, parent, job.job_id)
                for job in jobs
                for parent in _flow(job).depends_on
                if parent not in ended and job.job_id not in in_vain
            ],
        )
        if doomed:
            await end_waiting(self._connection, doomed, source="api")

    def _still_open(self, jobs: Iterable[tuple[int, NewJob]]) -> list[tuple[int, NewJob]]:
        return [(number, job) for number, job in jobs if number not in self._answers]


async def unknown_dependencies(connection: Connection, jobs: Sequence[NewJob]) -> list[list[PathError]]:
    """Returns for each job which of those that it depends on do not exist."""
    wanted = {(job.tenant_id, parent) for job in jobs for parent in _flow(job).depends_on}
    known = await find_standing(connection, sorted(wanted))
    return [
        [
            PathError(f"dependsOn[{place}]", f"no job has the id {parent}")
            for place, parent in enumerate(_flow(job).depends_on)
            if parent not in known
        ]
        for job in jobs
    ]


def _first_of_each_id(jobs: list[tuple[int, NewJob]]) -> list[tuple[int, NewJob]]:
    """Requests with the same id may come at the same moment: the others are answered by what became of the first."""
    first: dict[tuple[int, UUID], int] = {}
    for number, job in jobs:
        first.setdefault((job.tenant_id, job.job_id), number)
    return [(number, job) for number, job in jobs if first[job.tenant_id, job.job_id] == number]


def _as_before(job: NewJob, before: Recorded | None) -> InsertResult:
    """The answer to a job whose id stands already."""
    if before is None or before.digest != _flow(job).digest:
        return JobExists("Another submission has this id already.")
    return Accepted(job.job_id, before.created_at, standing=before.digest is not None)


class _SameAs(Exception):
    """Stands for an answer that is not known yet: that of another job in the same transaction."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__()
        self.job_id = job_id


def _flow(job: NewJob) -> Flow:
    return job.flow or Flow()


def _unique_key(job: NewJob) -> UniqueKey | None:
    key = _flow(job).unique_key
    return (job.tenant_id, job.type, key) if key is not None else None


def _starts_at_once(job: NewJob, tied: Tied) -> bool:
    return tied.run_at is None and not _flow(job).depends_on


def _lost_parent(job: NewJob, ended: dict[UUID, EventKind]) -> UUID | None:
    """One that it waits for in vain."""
    flow = _flow(job)
    if flow.despite_failure:
        return None
    return next((parent for parent in flow.depends_on if ended.get(parent) in UNSUCCESSFUL), None)


def _standing(job: NewJob, tied: Tied, ended: dict[UUID, EventKind], *, has_key: bool) -> Standing:
    flow = _flow(job)
    unmet = sum(parent not in ended for parent in flow.depends_on)
    if unmet or _lost_parent(job, ended):
        where = Place.DEPENDENCIES
    elif tied.run_at is not None or (flow.depends_on and flow.concurrency_key is not None):
        where = Place.SCHEDULED
    elif flow.concurrency_key is not None and not has_key:
        where = Place.CONCURRENCY
    else:
        where = Place.READY
    return Standing(
        place=where,
        tenant_id=job.tenant_id,
        job_id=job.job_id,
        token=0,
        sequence=0,
        timeout_seconds=job.timeout_seconds,
        priority=job.priority,
        attempt=0,
        crashes=0,
        callback_events=job.callback_events,
        marks=marked(keyed=flow.concurrency_key is not None, unique=flow.unique_key is not None),
        queue=job.queue,
        type=job.type,
        batch_id=job.batch_id,
        expires_at=tied.expires_at,
        run_at=tied.run_at,
        concurrency_key=flow.concurrency_key,
        waits_for=unmet,
    )


def wake_for_submitted(
    wakeups: Wakeups,
    jobs: Sequence[NewJob],
    accepted: Sequence[InsertResult],
    *,
    started: Container[UUID] = (),
) -> int:
    """After the commit: wakes whoever may run them. Returns how many are new."""
    oldest: dict[Lane, NewJob] = {}
    fresh: list[str] = []
    for job, answer in zip(jobs, accepted, strict=True):
        if isinstance(answer, Exception) or not answer.fresh:
            continue
        fresh.append(job.queue)
        if job.job_id in started:
            continue
        if job.flow is not None:
            wakeups.local.scheduled(0)
            wakeups.follow_ups()
        if _runs_at_once(job, answer.created_at):
            oldest.setdefault(Lane(job.queue, job.type, job.priority), job)
        else:
            wakeups.local.scheduled(job.delay_seconds or 0)
    for lane, job in oldest.items():
        wakeups.ready(lane, job.job_id)
    wakeups.submitted(fresh)
    return len(fresh)


def _runs_at_once(job: NewJob, recorded_at: datetime) -> bool:
    return not job.delay_seconds and (job.run_at is None or job.run_at <= recorded_at)
