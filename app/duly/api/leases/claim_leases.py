"""Claims of workers over HTTP: `POST /api/v1/leases`, which waits for a job without a database connection."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import json_response
from duly.api.jobs.submission_reader import read_body
from duly.api.jobs.submission_steps import EndpointResponse, begin_submission
from duly.api.leases.lease_body import leases_body
from duly.api.leases.lease_paths import PATH, allowed_queues, allowed_types
from duly.api.leases.models import LeaseRequest, LeasesBody
from duly.api.server.key_hold import while_key_is_valid
from duly.api.server.scope_values import RequestScope, principal_of
from duly.domain.job import ClaimedJob
from duly.lifecycle.leases.poll_rounds import LaneFilter, LeaseTerms
from duly.node import Node
from duly.store.postgres.database import DatabaseError
from duly.store.read.steps import StepView, list_steps_of_each

NO_QUERY = "A claim has no query parameters; its members are in the body."
router = APIRouter(prefix=PATH, tags=["leases"])


@router.post(
    "",
    operation_id="claimLeases",
    summary="Claim jobs",
    response_model=LeasesBody,
    responses=error_responses(400, 413, 415, 422, 503),
    openapi_extra=json_body("LeaseRequest"),
)
async def claim_leases_route(request: Request) -> Response:
    """Claims up to `max` jobs of these types for a worker, by priority, then age. If none is ready, waits up to
    `waitSeconds` for one; then the list is empty.

    Each job is leased until `leaseExpiresAt`. Extend the lease by heartbeats, and report the end of the attempt. A job
    whose lease expires runs again.
    """
    return EndpointResponse(claim_leases, request)


async def claim_leases(scope: Scope, receive: Receive, send: Send) -> None:
    """Claims jobs, as bare ASGI."""
    node = await begin_submission(scope, no_query=NO_QUERY)
    lanes, terms, seconds = read_claim(scope)
    node.leased_types.note_claim(lanes.tenant_id, lanes.types, seconds=seconds)
    left = asyncio.ensure_future(left_of(receive))
    try:
        async with while_key_is_valid(scope):
            claimed = await node.leases.polls.claim(lanes, terms, seconds=seconds, gone=left)
            jobs = node.leases.compensator.keep(claimed)
    finally:
        left.cancel()
    running = {job.type for job in jobs}
    node.leased_types.note(lanes.tenant_id, running, seconds=terms.lease_seconds)
    steps = await steps_of(node, jobs)
    response = json_response(
        leases_body(jobs, node.keyring, steps, node.tracing), headers={"Cache-Control": "no-store"}
    )
    await compressed(response)(scope, receive, send)


def read_claim(scope: RequestScope) -> tuple[LaneFilter, LeaseTerms, float]:
    """Returns what a request claims: lanes, terms, and the seconds to wait.

    Raises:
        JsonRefused, DulyError: the body is invalid, or the key is bound to other types or queues.
    """
    request, principal = read_body(scope, LeaseRequest), principal_of(scope)
    lanes = LaneFilter(principal.tenant_id, allowed_types(scope, request.types), allowed_queues(scope, request.queues))
    terms = LeaseTerms(request.max, request.leaseSeconds, request.workerName, principal.key_id)
    return lanes, terms, request.waitSeconds


async def steps_of(node: Node, jobs: list[ClaimedJob]) -> Mapping[UUID, Sequence[StepView]]:
    """Returns the steps, timers and signals of those jobs that have any; releases all jobs if they cannot be read."""
    # A job that has just started for the first time has event 1, and nothing before it.
    keys = [(job.tenant_id, job.job_id) for job in jobs if job.sequence > 1]
    if not keys:
        return {}
    try:
        async with node.database.connection() as connection:
            return await list_steps_of_each(connection, keys)
    except DatabaseError:
        node.leases.polls.release(jobs)
        raise


async def left_of(receive: Receive) -> None:
    """Returns once the client has disconnected, or has closed its sending side: it may have disconnected then."""
    await receive()
