"""Job types for tests of handlers with steps that wait for child jobs: in tasks and in threads."""

import asyncio
from collections import Counter
from typing import Any

from pydantic import BaseModel

from duly import ChildFailed, Handlers, JobContext, fixed
from tests.support.handlers import gate, has_entered

handlers = Handlers()
# Calls of steps, and of handlers (step "called"), by (name of the test, name of the step).
done: Counter[tuple[str, str]] = Counter()


class Family(BaseModel):
    """Parent with children of the type `waits-at-a-gate`, one for each gate, or with other `jobs`."""

    name: str
    gates: list[str] = []
    jobs: list[dict[str, Any]] = []

    @property
    def children(self) -> list[dict[str, Any]]:
        return [{"type": "waits-at-a-gate", "parameters": {"gate": one}} for one in self.gates] + self.jobs


class Gate(BaseModel):
    gate: str


@handlers.register("waits-at-a-gate")
async def waits_at_a_gate(at: Gate) -> str:
    has_entered(at.gate).set()
    await gate(at.gate).wait()
    return at.gate


def count(name: str, step: str) -> int:
    done[name, step] += 1
    return done[name, step]


@handlers.register("stepped-parent", retry=fixed(0))
async def stepped_parent(family: Family, job: JobContext) -> Any:
    count(family.name, "called")
    before = await job.step("before", count, family.name, "before")
    children = await job.submit_many(family.children)
    try:
        results = await children.results()
    except ChildFailed as error:
        results = [error.code]
    return {
        "results": results,
        "attempt": job.attempt,
        "steps": [before, await job.step("after", count, family.name, "after")],
    }


@handlers.register("stepped-parent-thread", retry=fixed(0))
def stepped_parent_in_thread(family: Family, job: JobContext) -> Any:
    count(family.name, "called")
    before = job.step("before", count, family.name, "before")
    children = job.submit_many(family.children)
    try:
        results = children.results()
    except ChildFailed as error:
        results = [error.code]
    return {
        "results": results,
        "attempt": job.attempt,
        "steps": [before, job.step("after", count, family.name, "after")],
    }


@handlers.register("stepped-parent-at-once", retry=fixed(0))
async def stepped_parent_at_once(family: Family, job: JobContext) -> Any:
    """Waits for all children at once, each by a call of its own."""
    count(family.name, "called")
    before = await job.step("before", count, family.name, "before")
    children = await job.submit_many(family.children)
    results = await asyncio.gather(*(child.result() for child in children))
    return {"results": results, "attempt": job.attempt, "steps": [before]}


@handlers.register("stepped-parent-with-signal", retry=fixed(0))
async def stepped_parent_with_signal(family: Family, job: JobContext) -> Any:
    """Waits for its children and for a signal at once."""
    count(family.name, "called")
    await job.step("before", count, family.name, "before")
    children = await job.submit_many(family.children)
    results, answer = await asyncio.gather(children.results(), job.wait_for("go"))
    return {"results": results, "answer": answer}


@handlers.register("compensated-parent", retry=fixed(0), max_attempts=1)
async def compensated_parent(family: Family, job: JobContext) -> Any:
    await job.step("before", count, family.name, "before", compensate=_undo)
    children = await job.submit_many(family.children)
    return await children.results()


def _undo(name: str, _step: str) -> None:
    count(name, "undone")
