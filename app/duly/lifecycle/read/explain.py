"""Explains where a job is and why, from one snapshot."""

import json
from dataclasses import replace
from uuid import UUID

from duly.domain.events import Status
from duly.domain.explanation import explain, explain_in_inbox
from duly.domain.explanation_facts import Explanation, ExplanationFacts, SetAsideRecord
from duly.domain.job import JobView, Lane
from duly.lifecycle.read.inbox_view import view_inbox
from duly.store.postgres.database import Connection, Database
from duly.store.queue.set_aside import Stage, read_set_aside
from duly.store.read.explain import (
    MOST_AHEAD,
    JobSurroundings,
    count_ahead,
    count_before_in_key,
    read_limits_of,
    read_open_breaker,
    read_parents,
    read_surroundings,
)
from duly.store.read.job_view import view_job
from duly.store.read.steps import read_awaited_signals


async def read_explanation(database: Database, tenant_id: int, job_id: UUID) -> tuple[JobView, Explanation] | None:
    """Returns the job and its explanation; None if this tenant has no such job."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        view = await view_job(connection, tenant_id, job_id)
        if view is None:
            waiting = (await view_inbox(connection, [(tenant_id, job_id)])).get((tenant_id, job_id))
            return (waiting, explain_in_inbox(waiting.queue, waiting.created_at)) if waiting is not None else None
        return view, explain(await _facts(connection, tenant_id, view))


async def _facts(connection: Connection, tenant_id: int, view: JobView) -> ExplanationFacts:
    """Reads the facts that the explanation is derived from."""
    lane = Lane(tenant_id, view.queue, view.type, view.priority)
    around = await read_surroundings(connection, tenant_id, view.job_id, lane)
    facts = ExplanationFacts(
        status=view.status,
        type=view.type,
        queue=view.queue,
        attempt=view.attempt,
        max_attempts=view.max_attempts,
        waiting_for=view.waiting_for,
        now=around.now,
        run_at=view.run_at,
        completed_at=view.completed_at,
        error_code=json.loads(view.error).get("code") if view.error else None,
        node=around.node,
        lease_expires_at=around.lease_expires_at,
        worker_name=around.worker_name,
        started_at=around.started_at,
        deadline=around.deadline,
        cancel_requested_at=around.cancel_requested_at,
        expires_at=around.expires_at,
        paused_at=around.paused_at,
        compensating=view.compensating,
        workers=around.workers,
        refused=await _refused(connection, tenant_id, view),
    )
    return await _what_it_waits_for(connection, tenant_id, view, facts, around)


async def _refused(connection: Connection, tenant_id: int, view: JobView) -> SetAsideRecord | None:
    """Reads why the database refuses to record the job's next step, if it does."""
    stage, what = _STAGE.get(view.status, (Stage.FOLLOW_UP, "follow-up"))
    found = await read_set_aside(connection, tenant_id, view.job_id, stage=stage)
    return SetAsideRecord(what, found.reason, found.since, found.tries) if found is not None else None


_STAGE = {Status.PENDING: (Stage.CLAIM, "start"), Status.RUNNING: (Stage.FINISH, "outcome")}


async def _what_it_waits_for(
    connection: Connection, tenant_id: int, view: JobView, facts: ExplanationFacts, around: JobSurroundings
) -> ExplanationFacts:
    """Adds the facts about what a pending job waits for."""
    match view.waiting_for:
        case "dependencies":
            parents, unmet = await read_parents(connection, tenant_id, view.job_id)
            return replace(facts, parents=parents, unmet=unmet)
        case "concurrency":
            before = await count_before_in_key(connection, tenant_id, around.key or "", view.job_id)
            return replace(facts, key=around.key, holder=around.holder, before_in_key=before)
        case "signal":
            return replace(facts, signals=await read_awaited_signals(connection, tenant_id, view.job_id))
        case "worker":
            lane = Lane(tenant_id, view.queue, view.type, view.priority)
            ahead = await count_ahead(connection, lane, view.job_id)
            return replace(
                facts,
                limits=await read_limits_of(connection, tenant_id, lane),
                breaker=await read_open_breaker(connection, lane),
                ahead=ahead,
                ahead_is_least=ahead >= MOST_AHEAD,
            )
        case _:
            return facts
