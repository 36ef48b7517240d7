"""Job types for tests that submit child jobs: as tasks, in threads, in batches, and unsuccessfully in a process."""

import asyncio
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from duly import ChildFailed, Fail, HandlerError, Handlers, JobContext, fixed
from tests.support.handlers import calls, counted, counted_plain, gate, has_entered

handlers = Handlers()

# Ids of the children of each attempt, by the name of the parent.
submitted: dict[str, list[list[str]]] = {}


class Parent(BaseModel):
    """Submissions of a parent (type, parameters and options), and its behavior afterwards.

    `breaks`: attempts that fail after submitting. `catch`: return the child's failure instead of failing.
    """

    jobs: list[dict[str, Any]] = []
    other_jobs: list[dict[str, Any]] | None = None  # in later attempts
    keys: list[str] = []
    name: str = "parent"
    breaks: list[int] = []
    catch: bool = False

    def of(self, attempt: int) -> list[dict[str, Any]]:
        return self.other_jobs if attempt > 1 and self.other_jobs is not None else self.jobs


def _said(error: ChildFailed) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "reason": error.reason, "jobId": str(error.job_id)}


@handlers.register("parent", retry=fixed(0), max_attempts=3)
async def parent(parameters: Parent, job: JobContext) -> Any:
    """Submits in sequence, then reads the results in sequence."""
    ids: list[str] = []
    submitted.setdefault(parameters.name, []).append(ids)
    children = []
    for place, asked in enumerate(parameters.of(job.attempt)):
        key = parameters.keys[place] if parameters.keys else None
        child = await job.submit(asked["type"], asked.get("parameters"), key=key, **_options(asked))
        ids.append(str(child.job_id))
        children.append(child)
    has_entered(parameters.name).set()
    if job.attempt in parameters.breaks:
        raise ValueError("it broke after it had submitted")
    try:
        return [await child.result() for child in children]
    except ChildFailed as error:
        if parameters.catch:
            return _said(error)
        raise
    finally:
        calls.setdefault("in-order", []).append(-1)  # counted like the jobs of the type of that name


def _options(asked: dict[str, Any]) -> Any:
    return {name: value for name, value in asked.items() if name not in {"type", "parameters"}}


@handlers.register("parent-thread", retry=fixed(0), max_attempts=3)
def parent_in_thread(parameters: Parent, job: JobContext) -> Any:
    children = [job.submit(asked["type"], asked.get("parameters"), **_options(asked)) for asked in parameters.jobs]
    submitted.setdefault(parameters.name, []).append([str(child.job_id) for child in children])
    has_entered(parameters.name).set()
    try:
        return [child.result() for child in children]
    except ChildFailed as error:
        if parameters.catch:
            return _said(error)
        raise
    except HandlerError as error:
        calls.setdefault(f"{parameters.name}:{error}", []).append(job.attempt)
        raise


@handlers.register("parent-process", isolation="process", max_attempts=1)
def parent_in_process(job: JobContext) -> None:
    job.submit("echo")


@handlers.register("parent-at-once")
async def parent_at_once(parameters: Parent, job: JobContext) -> Any:
    """Submits all concurrently and waits for all concurrently."""
    children = await asyncio.gather(*(job.submit(asked["type"], asked.get("parameters")) for asked in parameters.jobs))
    return await asyncio.gather(*(child.result() for child in children))


@handlers.register("parents", batch=3, linger=0.05)
async def parents(parameters: list[Parent], jobs: list[JobContext]) -> list[Any]:
    """Runs a call for several parents, each with its own children."""

    async def of_one(one: Parent, job: JobContext) -> Any:
        child = await job.submit(**one.jobs[0])
        has_entered(one.name).set()
        return await child.result()

    return await asyncio.gather(
        *(of_one(one, job) for one, job in zip(parameters, jobs, strict=True)), return_exceptions=True
    )


@handlers.register("parent-of-many", retry=fixed(0), max_attempts=3)
async def parent_of_many(parameters: Parent, job: JobContext) -> Any:
    children = await job.submit_many(parameters.of(job.attempt), name="many")
    submitted.setdefault(parameters.name, []).append([str(job_id) for job_id in children.job_ids])
    has_entered(parameters.name).set()
    if job.attempt in parameters.breaks:
        raise ValueError("it broke after it had submitted")
    results = await children.results(return_exceptions=parameters.catch)
    return {
        "batchId": str(children.batch_id),
        "results": [_said(one) if isinstance(one, ChildFailed) else one for one in results],
    }


@handlers.register("parent-of-many-in-thread")
def parent_of_many_in_thread(parameters: Parent, job: JobContext) -> Any:
    children = job.submit_many(parameters.jobs)
    read = [item["result"] for item in job.batch_results(children.batch_id)]
    return [children.results(), read, [child.result() for child in children], len(children)]


class Tree(BaseModel):
    depth: int
    width: int = 1


@handlers.register("tree")
async def tree(parameters: Tree, job: JobContext) -> int:
    """Returns the number of jobs in the tree of this job, including itself."""
    if parameters.depth == 0:
        return 1
    below = {"depth": parameters.depth - 1, "width": parameters.width}
    children = await job.submit_many([{"type": "tree", "parameters": below}] * parameters.width)
    return 1 + int(sum(await children.results()))


@handlers.register("tree-in-threads")
def tree_in_threads(parameters: Tree, job: JobContext) -> int:
    if parameters.depth == 0:
        return 1
    below = {"depth": parameters.depth - 1, "width": parameters.width}
    children = job.submit_many([{"type": "tree-in-threads", "parameters": below}] * parameters.width)
    return 1 + int(sum(children.results()))


@handlers.register("parent-after-its-cancellation")
async def submits_after_its_cancellation(parameters: Parent, job: JobContext) -> None:
    """Continues although it was cancelled."""
    has_entered(parameters.name).set()
    with suppress(asyncio.CancelledError):
        await gate(parameters.name).wait()
    try:
        await job.submit(**parameters.jobs[0])
    except HandlerError as error:
        calls.setdefault(str(error), []).append(1)
    has_entered(parameters.name + ":over").set()


@handlers.register("parent-when-let")
async def submits_when_let(parameters: Parent, job: JobContext) -> Any:
    calls.setdefault(parameters.name, []).append(job.attempt)
    has_entered(parameters.name).set()
    try:
        await gate(parameters.name).wait()
        child = await job.submit(**parameters.jobs[0])
        return await child.result()
    except BaseException as error:
        calls.setdefault(f"{parameters.name}: {type(error).__name__}", []).append(job.attempt)
        raise


@handlers.register("counted-parent")
async def counted_parent(job: JobContext) -> None:
    """Counts itself while it runs, but not while it waits."""
    for type_ in ("counted", "counted-plain"):
        await counted()
        await (await job.submit(type_)).result()
    await counted()


@handlers.register("counted-parent-in-thread")
def counted_parent_in_thread(job: JobContext) -> None:
    for type_ in ("counted", "counted-plain"):
        counted_plain()
        job.submit(type_).result()
    counted_plain()


@handlers.register("impatient-parent")
async def impatient_parent(parameters: Parent, job: JobContext) -> str:
    """Stops waiting for its child but continues its work."""
    child = await job.submit(**parameters.jobs[0])
    try:
        async with asyncio.timeout(0.05):
            await child.result()
    except TimeoutError:
        return "went on without it"
    return "waited"


# Submissions that cannot be expressed in JSON over HTTP, set by the test.
unfit: list[dict[str, Any]] = []


@handlers.register("unfit-parent")
async def unfit_parent(job: JobContext) -> None:
    await job.submit(**unfit[0])


@handlers.register("stubborn-parent", retry=fixed(0), max_attempts=2)
async def stubborn_parent(parameters: Parent, job: JobContext) -> Any:
    """Fails, and is retried, if its child failed."""
    calls.setdefault(parameters.name, []).append(job.attempt)
    child = await job.submit(**parameters.jobs[0])
    try:
        return await child.result()
    except ChildFailed as error:
        raise ValueError("try again") from error


@handlers.register("parent-of-a-chain")
async def parent_of_a_chain(job: JobContext) -> Any:
    first = await job.submit("echo", ["first"], delay_seconds=0.05)
    second = await job.submit("echo", ["second"], depends_on=[first])
    return [await first.result(), await second.result()]


class Batch(BaseModel):
    batchId: str


class Follows(BaseModel):
    batch: Batch


@handlers.register("follows-a-batch", max_attempts=1)
async def follows_a_batch(parameters: Follows, job: JobContext) -> Any:
    return [item async for item in job.batch_results(parameters.batch.batchId)]


@handlers.register("fail-with", max_attempts=1)
async def fails_with(parameters: dict[str, str]) -> None:
    raise Fail(parameters["reason"], code=parameters["code"])


@handlers.register("succeeds-later", max_attempts=1)
async def succeeds_later(parameters: dict[str, str]) -> str:
    """Fails until the test opens its gate."""
    calls.setdefault(parameters["name"], []).append(1)
    if not gate(parameters["name"]).is_set():
        raise ValueError("not yet")
    return "at last"
