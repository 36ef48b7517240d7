"""Child jobs: what a handler submits, and how it hears of what became of it."""

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import Asked


class End(NamedTuple):
    """How a job ended: `completed` with a result, or `failed` or `cancelled` with an error, as JSON reads them."""

    job_id: UUID
    status: str
    result: Any
    error: dict[str, Any] | None


class ChildFailed(Exception):
    """A child job did not complete. Where a handler lets this through, its own job fails, and is not tried again.

    Attributes:
        job_id: the child's id.
        code, message, reason: those of the child's error, such as `TIMED_OUT` or `CANCELLED`.
    """

    def __init__(self, job_id: UUID, *, code: str, message: str, reason: str) -> None:
        super().__init__(f"The child job {job_id} did not complete: {code}: {message}")
        self.job_id = job_id
        self.code = code
        self.message = message
        self.reason = reason


class Family(Protocol):
    """What a worker, or a test, does for the children of one attempt."""

    async def submit(self, asked: Asked, *, name: str) -> UUID:
        """Records it; the same name means the same job, in every attempt."""

    async def submit_many(self, asked: Sequence[Asked], *, name: str, batch_name: str | None) -> "Recorded":
        """Records all or none."""

    def ends(self, job_ids: Sequence[UUID]) -> AsyncIterator[End]:
        """How these ended, in order. It waits for all of them first."""

    def ends_of_batch(self, batch_id: UUID) -> AsyncIterator[End]:
        """How the jobs of a batch ended, in the order of their submission. It waits where they have not."""


class Recorded(NamedTuple):
    batch_id: UUID
    job_ids: Sequence[UUID]


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """How an async function calls: it awaits what it gets."""
    return coroutine


class Child:
    """A job that this one submitted."""

    __slots__ = ("_offspring", "job_id")

    def __init__(self, job_id: UUID, offspring: "Offspring") -> None:
        self.job_id = job_id
        self._offspring = offspring

    def result(self) -> Any:
        """Its result, as JSON reads it, once it has completed. Meanwhile the handler holds no slot. `await` it in an
        async handler; a plain function just calls it.

        Raises:
            ChildFailed: it failed or was cancelled.
        """
        return self._offspring.result(self.job_id)

    def __await__(self) -> Generator[None, None, "Child"]:
        """What `submit` returns may be awaited in either kind of function."""
        yield from ()
        return self

    def __repr__(self) -> str:
        return f"Child({self.job_id})"


class Children:
    """Jobs that this one submitted together, in order."""

    __slots__ = ("_offspring", "batch_id", "job_ids")

    def __init__(self, recorded: Recorded, offspring: "Offspring") -> None:
        self.batch_id, self.job_ids = recorded
        self._offspring = offspring

    def results(self, *, return_exceptions: bool = False) -> Any:
        """The list of their results, in order, once all have ended. Meanwhile the handler holds no slot.

        Args:
            return_exceptions: as for `asyncio.gather`: a ChildFailed stands in the place of a result.

        Raises:
            ChildFailed: the first, in order, that failed or was cancelled.
        """
        return self._offspring.results(self.job_ids, return_exceptions=return_exceptions)

    def __getitem__(self, place: int) -> Child:
        return Child(self.job_ids[place], self._offspring)

    def __iter__(self) -> Iterator[Child]:
        return (Child(job_id, self._offspring) for job_id in self.job_ids)

    def __len__(self) -> int:
        return len(self.job_ids)

    def __await__(self) -> Generator[None, None, "Children"]:
        yield from ()
        return self


class BatchResults:
    """The ends of a batch's jobs: `async for` in an async handler, `for` in a plain function."""

    def __init__(self, ends: AsyncIterator[End], run: Run) -> None:
        self._ends = ends
        self._run = run

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for end in self._ends:
            yield _item(end)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._run is in_loop:
            raise HandlerError("job.batch_results: an async function reads it with `async for`")
        while (end := self._run(_next(self._ends))) is not None:
            yield _item(end)


class Offspring:
    """The children of one attempt, as its handler's context sees them.

    Args:
        run: how the handler's kind of function calls what is asynchronous.
    """

    def __init__(self, family: Family, run: Run = in_loop) -> None:
        self._family = family
        self._run = run
        self._numbers = itertools.count()

    def submit(self, asked: Asked, *, key: str | None) -> Child:
        return cast("Child", self._run(self._submit(asked, name=self._name(key))))

    def submit_many(self, asked: Sequence[Asked], *, batch_name: str | None, key: str | None) -> Children:
        return cast("Children", self._run(self._submit_many(asked, name=self._name(key), batch_name=batch_name)))

    def result(self, job_id: UUID) -> Any:
        return self._run(self._result(job_id))

    def results(self, job_ids: Sequence[UUID], *, return_exceptions: bool) -> Any:
        return self._run(self._results(job_ids, return_exceptions=return_exceptions))

    def batch_results(self, batch_id: UUID) -> BatchResults:
        return BatchResults(self._family.ends_of_batch(batch_id), self._run)

    def _name(self, key: str | None) -> str:
        """Counted where the handler gives none, when it calls, not when it awaits."""
        return f"={key}" if key is not None else f"#{next(self._numbers)}"

    async def _submit(self, asked: Asked, *, name: str) -> Child:
        return Child(await self._family.submit(asked, name=name), self)

    async def _submit_many(self, asked: Sequence[Asked], *, name: str, batch_name: str | None) -> Children:
        return Children(await self._family.submit_many(asked, name=name, batch_name=batch_name), self)

    async def _result(self, job_id: UUID) -> Any:
        [result] = await self._results([job_id], return_exceptions=False)
        return result

    async def _results(self, job_ids: Sequence[UUID], *, return_exceptions: bool) -> list[Any]:
        results: list[Any] = []
        async for end in self._family.ends(job_ids):
            results.append(_failure(end) if end.error is not None else end.result)
            if end.error is not None and not return_exceptions:
                raise results[-1]
        return results


async def _next(ends: AsyncIterator[End]) -> End | None:
    return await anext(ends, None)


def _item(end: End) -> dict[str, Any]:
    return {"jobId": str(end.job_id), "status": end.status, "result": end.result, "error": end.error}


def _failure(end: End) -> ChildFailed:
    error = end.error or {}
    details = error.get("details", {})
    return ChildFailed(
        end.job_id, code=error.get("code", ""), message=error.get("message", ""), reason=details.get("reason", "")
    )
