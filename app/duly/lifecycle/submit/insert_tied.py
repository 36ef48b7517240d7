"""Inserts jobs with ties: a unique key, a concurrency key, dependencies, or an id that the client chose.

A few statements serve all jobs of a transaction: their ids, dependencies and unique keys are checked, what is left is
inserted, and `tied_placement` puts it in its hot tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from duly.domain.job import Accepted, Flow, NewJob
from duly.errors import Invalid, JobExists, PathError
from duly.lifecycle.submit.tied_placement import place_tied
from duly.store.postgres.database import Connection
from duly.store.ties.unique_keys_and_dependencies import (
    RecordedJob,
    Tied,
    UniqueKey,
    UniqueKeyHolder,
    acquire_unique_keys,
    find_ids,
    find_recorded,
    merge_parameters,
    record_tied,
    release_unique_keys,
    transfer_unique_key,
)

InsertResult = Accepted | Exception
Numbered = list[tuple[int, NewJob]]  # jobs with their index in the call


class TiedJobs:
    """Inserts tied jobs of one transaction, step by step; each step settles the results of some of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._results: dict[int, InsertResult] = {}
        self._merges: list[tuple[UUID, NewJob]] = []
        self._new_keys: set[UUID] = set()
        # Previous holder of a unique key, by the job that took it over.
        self._replaced: dict[UUID, UUID] = {}

    async def insert(self, jobs: Sequence[NewJob]) -> list[InsertResult]:
        """Returns a result for each job, in order.

        Raises:
            LockContention: a job that one of these depends on is locked too often.
        """
        open_ = list(enumerate(jobs))
        while open_ := await self._without_known_ids(open_):
            await self._insert_distinct(_first_of_each_id(open_))
            open_ = self._still_open(open_)
        for holder, job in self._merges:
            await self._merge(holder, job)
        return [self._results[index] for index in range(len(jobs))]

    async def _insert_distinct(self, jobs: Numbered) -> None:
        jobs = await self._with_known_dependencies(jobs)
        jobs = await self._with_free_keys(jobs)
        inserted = await self._insert_new(jobs)
        await place_tied(self._connection, [job for _, job in jobs if job.job_id in inserted], inserted)

    async def _without_known_ids(self, jobs: Numbered) -> Numbered:
        """Settles jobs whose id an earlier request of any tenant has inserted. Only another tenant or digest is an
        error then; the rest of the submission is not checked again. Returns the others.
        """
        existing = await find_ids(self._connection, [job.job_id for _, job in jobs if _flow(job).digest is not None])
        for index, job in jobs:
            if before := existing.get(job.job_id):
                self._results[index] = _existing_result(job, before)
        return self._still_open(jobs)

    async def _with_known_dependencies(self, jobs: Numbered) -> Numbered:
        """Refuses jobs that depend on unknown jobs. Returns the others."""
        unknown = await unknown_dependencies(self._connection, [job for _, job in jobs])
        for (index, _), errors in zip(jobs, unknown, strict=True):
            if errors:
                self._results[index] = Invalid.at(errors)
        return self._still_open(jobs)

    async def _with_free_keys(self, jobs: Numbered) -> Numbered:
        """Settles jobs whose unique key another unfinished job holds. Returns the others."""
        first: dict[UniqueKey, NewJob] = {}
        for _, job in jobs:
            if key := _unique_key(job):
                first.setdefault(key, job)
        new_keys, holders = await acquire_unique_keys(self._connection, {key: job.job_id for key, job in first.items()})
        for key, holder in list(holders.items()):
            if await self._replaces(first[key], holder):
                await transfer_unique_key(self._connection, key, first[key].job_id)
                self._replaced[first[key].job_id] = holder.job_id
                del holders[key]
        self._new_keys = {first[key].job_id for key in new_keys}
        for index, job in jobs:
            if key := _unique_key(job):
                self._deduplicate(index, job, first[key], holders.get(key))
        return self._still_open(jobs)

    def _deduplicate(self, index: int, job: NewJob, first: NewJob, holder: UniqueKeyHolder | None) -> None:
        """Settles one job with a unique key: by the key's holder, or by the first job of this call that has the key."""
        if holder is not None:
            self._results[index] = Accepted(holder.job_id, holder.created_at, deduplicated=True)
            if first is not job:
                self._merges.append((holder.job_id, job))
        elif first is not job:
            self._merges.append((first.job_id, job))
            self._results[index] = _SameResultAs(first.job_id)

    async def _replaces(self, job: NewJob, holder: UniqueKeyHolder) -> bool:
        """Merges newer parameters into a holder that waits. Returns True if it has started: then the job is new."""
        debounce = _flow(job).debounce
        return debounce is not None and not await self._merge(holder.job_id, job)

    async def _merge(self, holder: UUID, job: NewJob) -> bool:
        """Replaces the parameters of a waiting job by a newer submission's. Returns False if it has started."""
        debounce = _flow(job).debounce
        return debounce is not None and await merge_parameters(
            self._connection,
            holder,
            job,
            seconds=debounce.seconds,
            longest_seconds=debounce.longest_seconds,
            source="api",
        )

    async def _insert_new(self, jobs: Numbered) -> dict[UUID, Tied]:
        """Inserts jobs; a concurrent request may have inserted an id first. Returns those that were inserted."""
        inserted = await record_tied(self._connection, [job for _, job in jobs]) if jobs else {}
        others = [job for _, job in jobs if job.job_id not in inserted]
        existing = await find_ids(self._connection, [job.job_id for job in others])
        for index, job in jobs:
            if job.job_id in inserted:
                self._results[index] = Accepted(job.job_id, inserted[job.job_id].created_at)
            else:
                self._results[index] = _existing_result(job, existing.get(job.job_id))
        await self._return_keys(others)
        self._settle_duplicates(inserted)
        return inserted

    async def _return_keys(self, refused: Sequence[NewJob]) -> None:
        """Returns the unique keys that these jobs acquired, and were then not inserted."""
        unused = [(job.tenant_id, job.job_id) for job in refused if job.job_id in self._new_keys]
        await release_unique_keys(self._connection, unused)
        for job in refused:
            if (key := _unique_key(job)) and (holder := self._replaced.pop(job.job_id, None)):
                await transfer_unique_key(self._connection, key, holder)

    def _settle_duplicates(self, inserted: Mapping[UUID, Tied]) -> None:
        """Settles jobs that share a unique key with an inserted one. The others are tried again."""
        for index, result in list(self._results.items()):
            if not isinstance(result, _SameResultAs):
                continue
            if first := inserted.get(result.job_id):
                self._results[index] = Accepted(first.job_id, first.created_at, deduplicated=True)
            else:
                del self._results[index]

    def _still_open(self, jobs: Iterable[tuple[int, NewJob]]) -> Numbered:
        return [(index, job) for index, job in jobs if index not in self._results]


async def unknown_dependencies(connection: Connection, jobs: Sequence[NewJob]) -> list[list[PathError]]:
    """Returns for each job the errors of those that it depends on and that do not exist."""
    keys = {(job.tenant_id, parent) for job in jobs for parent in _flow(job).depends_on}
    known = await find_recorded(connection, sorted(keys))
    return [
        [
            PathError(f"dependsOn[{index}]", f"no job has the id {parent}")
            for index, parent in enumerate(_flow(job).depends_on)
            if (job.tenant_id, parent) not in known
        ]
        for job in jobs
    ]


def _first_of_each_id(jobs: Numbered) -> Numbered:
    """Returns the first job of each id. Concurrent requests, of any tenants, may use one id: the others find the first
    one recorded.
    """
    first: dict[UUID, int] = {}
    for index, job in jobs:
        first.setdefault(job.job_id, index)
    return [(index, job) for index, job in jobs if first[job.job_id] == index]


def _existing_result(job: NewJob, before: RecordedJob | None) -> InsertResult:
    """Returns the result for a job whose id exists already. The error is the same for another tenant's job."""
    if before is None or (before.tenant_id, before.digest) != (job.tenant_id, _flow(job).digest):
        return JobExists("Another submission has this id already.")
    return Accepted(job.job_id, before.created_at, standing=before.digest is not None)


class _SameResultAs(Exception):
    """Placeholder for a result that is not known yet: that of another job in the same transaction."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__()
        self.job_id = job_id


def _flow(job: NewJob) -> Flow:
    return job.flow or Flow()


def _unique_key(job: NewJob) -> UniqueKey | None:
    key = _flow(job).unique_key
    return (job.tenant_id, job.type, key) if key is not None else None
