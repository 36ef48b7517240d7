"""Claims of workers over HTTP in several cells: `POST /api/v1/leases`.

First each cell is looked at in turn, beginning with another one each time. If none has a job, the claim waits in all of
them at once, and the first that has one ends it. Jobs that others claimed at the same moment are returned too, up to
`max`; the rest is released.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.contract.responses import json_response
from duly.api.jobs.submission_steps import begin_submission
from duly.api.leases.claim_leases import NO_QUERY, left_of, read_claim, steps_of
from duly.api.leases.lease_body import joined, lease_text
from duly.api.server.key_hold import while_key_is_valid
from duly.cells.local_call import Cells
from duly.domain.job import ClaimedJob
from duly.lifecycle.leases.poll_rounds import LaneFilter, LeaseTerms
from duly.node import Node
from duly.store.postgres.database import DatabaseError

Claimed = Mapping[int, list[ClaimedJob]]


class _Claim(NamedTuple):
    """Claim of one worker. `left`: done once it has disconnected."""

    lanes: LaneFilter
    terms: LeaseTerms
    left: asyncio.Future[None]

    async def of(self, node: Node, *, limit: int, seconds: float, gone: asyncio.Future[None]) -> list[ClaimedJob]:
        """Returns jobs of one cell."""
        terms = self.terms._replace(limit=limit)
        return await node.leases.polls.claim(self.lanes, terms, seconds=seconds, gone=gone)


class ClaimInAll:
    """Claims in all cells that serve, as bare ASGI."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._turn = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one claim."""
        node = await begin_submission(scope, no_query=NO_QUERY)
        lanes, terms, seconds = read_claim(scope)
        cells = self._in_turn()
        node.leased_types.note_claim(lanes.tenant_id, lanes.types, seconds=seconds)
        left = asyncio.ensure_future(left_of(receive))
        try:
            async with while_key_is_valid(scope):
                claimed = await self._claim(_Claim(lanes, terms, left), cells, seconds)
                kept = {cell: self._cells.nodes[cell].leases.compensator.keep(jobs) for cell, jobs in claimed.items()}
        finally:
            left.cancel()
        body = joined(await self._texts(kept, lanes.tenant_id, terms))
        await compressed(json_response(body, headers={"Cache-Control": "no-store"}))(scope, receive, send)

    def _in_turn(self) -> list[int]:
        """Returns the cells that serve, beginning with the next one."""
        serving = self._cells.serving() or list(range(self._cells.count))
        self._turn += 1
        first = self._turn % len(serving)
        return serving[first:] + serving[:first]

    async def _claim(self, claim: _Claim, cells: list[int], seconds: float) -> Claimed:
        """Returns claimed jobs by their cell, at most as many as the terms say."""
        claimed: dict[int, list[ClaimedJob]] = {}
        try:
            for cell in cells:
                limit = claim.terms.limit - sum(map(len, claimed.values()))
                if not limit or claim.left.done():
                    break
                if jobs := await claim.of(self._cells.nodes[cell], limit=limit, seconds=0, gone=claim.left):
                    claimed[cell] = jobs
            if claimed or not seconds or claim.left.done():
                return claimed
            claimed |= await self._wait(claim, cells, seconds)
        except BaseException:
            self._release(claimed)
            raise
        return claimed

    async def _wait(self, claim: _Claim, cells: list[int], seconds: float) -> Claimed:
        """Waits in all cells for a job."""
        gone = asyncio.get_running_loop().create_future()
        tasks = {
            asyncio.create_task(
                claim.of(self._cells.nodes[cell], limit=claim.terms.limit, seconds=seconds, gone=gone)
            ): cell
            for cell in cells
        }
        try:
            await _first_with_jobs(tasks, claim.left)
            taken = {cell: _result_of(task) for task, cell in tasks.items()}
            gone.set_result(None)  # what the others are about to claim is released
            await asyncio.wait(tasks)
        except BaseException:
            self._release({cell: _result_of(task) for task, cell in tasks.items()})
            for task in tasks:
                task.cancel()
            raise
        return self._within(taken, 0 if claim.left.done() else claim.terms.limit)

    def _within(self, claimed: Claimed, limit: int) -> Claimed:
        """Returns at most `limit` jobs, and releases the others."""
        within: dict[int, list[ClaimedJob]] = {}
        for cell, jobs in claimed.items():
            room = limit - sum(map(len, within.values()))
            within[cell] = jobs[:room]
            self._release({cell: jobs[room:]})
        return within

    def _release(self, claimed: Claimed) -> None:
        for cell, jobs in claimed.items():
            self._cells.nodes[cell].leases.polls.release(jobs)

    async def _texts(self, claimed: Claimed, tenant_id: int, terms: LeaseTerms) -> list[str]:
        """Returns the leases as JSON, by priority, then age. Jobs of a cell whose steps cannot be read are released.

        Raises:
            DatabaseError: this is true of all of them.
        """
        texts: list[tuple[int, int, str]] = []
        failed: DatabaseError | None = None
        for cell, jobs in claimed.items():
            node = self._cells.nodes[cell]
            node.leased_types.note(tenant_id, {job.type for job in jobs}, seconds=terms.lease_seconds)
            try:
                steps = await steps_of(node, jobs)
            except DatabaseError as error:
                failed = error
                continue
            texts += [
                (
                    -job.priority,
                    job.job_id.int,
                    lease_text(job, node.keyring, steps.get(job.job_id, ()), node.tracing),
                )
                for job in jobs
            ]
        if failed is not None and not texts:
            raise failed
        return [text for _, _, text in sorted(texts)]


async def _first_with_jobs(tasks: Iterable[asyncio.Task[list[ClaimedJob]]], left: asyncio.Future[None]) -> None:
    """Returns once one of the tasks has jobs, all have ended, or the worker has disconnected."""
    waiting: set[asyncio.Future[Any]] = {*tasks, left}
    while waiting > {left}:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if left in done or any(_result_of(task) for task in tasks):
            return


def _result_of(task: asyncio.Task[list[ClaimedJob]]) -> list[ClaimedJob]:
    """Returns the jobs of a task; none if it has not ended, or failed."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return []
    return task.result()
