"""Child jobs of a handler: submission, and waiting for their results."""

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import ChildRequest


class JobEnd(NamedTuple):
    """End of a job: `completed` with a result, or `failed` or `cancelled` with an error, parsed from JSON."""

    job_id: UUID
    status: str
    result: Any
    error: dict[str, Any] | None


class ChildFailed(Exception):
    """Child job that failed or was cancelled. A handler that does not catch it fails without a retry.

    Attributes:
        job_id: ID of the child job.
        code, message, reason: from the error of the child job, e.g. `TIMED_OUT` or `CANCELLED`.
    """

    def __init__(self, job_id: UUID, *, code: str, message: str, reason: str) -> None:
        super().__init__(f"Child job {job_id} did not complete: {code}: {message}")
        self.job_id = job_id
        self.code = code
        self.message = message
        self.reason = reason


class ChildBackend(Protocol):
    """Operations on the child jobs of one attempt, implemented by the worker and by `duly.testing`."""

    async def submit(self, submission: ChildRequest, *, name: str) -> UUID:
        """Records a child job. The same name is the same job in every attempt."""

    async def submit_many(
        self, submissions: Sequence[ChildRequest], *, name: str, batch_name: str | None
    ) -> "RecordedBatch":
        """Records all child jobs, or none."""

    def ends(self, job_ids: Sequence[UUID]) -> AsyncIterator[JobEnd]:
        """Yields the ends of these jobs in order, once all have ended."""

    def ends_of_batch(self, batch_id: UUID) -> AsyncIterator[JobEnd]:
        """Yields the ends of a batch's jobs in order of submission, waiting for each."""


class RecordedBatch(NamedTuple):
    """IDs of a recorded batch and its jobs."""

    batch_id: UUID
    job_ids: Sequence[UUID]


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Returns the coroutine for an async handler to await."""
    return coroutine


class Child:
    """Child job that this handler submitted."""

    __slots__ = ("_jobs", "job_id")

    def __init__(self, job_id: UUID, jobs: "ChildJobs") -> None:
        self.job_id = job_id
        self._jobs = jobs

    def result(self) -> Any:
        """Waits for the result, parsed from JSON, without holding a slot.

        `await` it in an async handler; call it in a plain function.

        Raises:
            ChildFailed: the child job failed or was cancelled.
        """
        return self._jobs.result(self.job_id)

    def __await__(self) -> Generator[None, None, "Child"]:
        """Returns itself, so that the result of `submit` can be awaited in either kind of handler."""
        yield from ()
        return self

    def __repr__(self) -> str:
        return f"Child({self.job_id})"


class Children:
    """Child jobs that this handler submitted as one batch, in order."""

    __slots__ = ("_jobs", "batch_id", "job_ids")

    def __init__(self, recorded: RecordedBatch, jobs: "ChildJobs") -> None:
        self.batch_id, self.job_ids = recorded
        self._jobs = jobs

    def results(self, *, return_exceptions: bool = False) -> Any:
        """Waits for all results, in order, without holding a slot.

        Args:
            return_exceptions: True returns a ChildFailed in place of a missing result, like `asyncio.gather`.

        Raises:
            ChildFailed: the first child job, in order, that failed or was cancelled.
        """
        return self._jobs.results(self.job_ids, return_exceptions=return_exceptions)

    def __getitem__(self, index: int) -> Child:
        return Child(self.job_ids[index], self._jobs)

    def __iter__(self) -> Iterator[Child]:
        return (Child(job_id, self._jobs) for job_id in self.job_ids)

    def __len__(self) -> int:
        return len(self.job_ids)

    def __await__(self) -> Generator[None, None, "Children"]:
        yield from ()
        return self


class BatchResults:
    """Results of a batch: `async for` in an async handler, `for` in a plain function."""

    def __init__(self, ends: AsyncIterator[JobEnd], run: Run) -> None:
        self._ends = ends
        self._run = run

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for end in self._ends:
            yield _item(end)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._run is in_loop:
            raise HandlerError("job.batch_results: use `async for` in an async handler")
        while (end := self._run(_next(self._ends))) is not None:
            yield _item(end)


class ChildJobs:
    """Child jobs of one attempt, behind its context.

    Args:
        backend: records child jobs and waits for them.
        run: runs a coroutine for the handler: in its loop, or blocking from a thread.
    """

    def __init__(self, backend: ChildBackend, run: Run = in_loop) -> None:
        self._backend = backend
        self._run = run
        self._numbers = itertools.count()

    def submit(self, submission: ChildRequest, *, key: str | None) -> Child:
        return cast("Child", self._run(self._submit(submission, name=self._name(key))))

    def submit_many(self, submissions: Sequence[ChildRequest], *, batch_name: str | None, key: str | None) -> Children:
        return cast("Children", self._run(self._submit_many(submissions, name=self._name(key), batch_name=batch_name)))

    def result(self, job_id: UUID) -> Any:
        return self._run(self._result(job_id))

    def results(self, job_ids: Sequence[UUID], *, return_exceptions: bool) -> Any:
        return self._run(self._results(job_ids, return_exceptions=return_exceptions))

    def batch_results(self, batch_id: UUID) -> BatchResults:
        return BatchResults(self._backend.ends_of_batch(batch_id), self._run)

    def _name(self, key: str | None) -> str:
        """Returns the key, or the number of this call (counted at the call, not at the await)."""
        return f"={key}" if key is not None else f"#{next(self._numbers)}"

    async def _submit(self, submission: ChildRequest, *, name: str) -> Child:
        return Child(await self._backend.submit(submission, name=name), self)

    async def _submit_many(self, submissions: Sequence[ChildRequest], *, name: str, batch_name: str | None) -> Children:
        return Children(await self._backend.submit_many(submissions, name=name, batch_name=batch_name), self)

    async def _result(self, job_id: UUID) -> Any:
        [result] = await self._results([job_id], return_exceptions=False)
        return result

    async def _results(self, job_ids: Sequence[UUID], *, return_exceptions: bool) -> list[Any]:
        results: list[Any] = []
        async for end in self._backend.ends(job_ids):
            results.append(_failure(end) if end.error is not None else end.result)
            if end.error is not None and not return_exceptions:
                raise results[-1]
        return results


async def _next(ends: AsyncIterator[JobEnd]) -> JobEnd | None:
    return await anext(ends, None)


def _item(end: JobEnd) -> dict[str, Any]:
    return {"jobId": str(end.job_id), "status": end.status, "result": end.result, "error": end.error}


def _failure(end: JobEnd) -> ChildFailed:
    error = end.error or {}
    details = error.get("details", {})
    return ChildFailed(
        end.job_id, code=error.get("code", ""), message=error.get("message", ""), reason=details.get("reason", "")
    )
