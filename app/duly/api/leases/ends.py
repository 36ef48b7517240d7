"""Ends of attempts of workers over HTTP: `…/{leaseId}/complete`, `fail` and `release`, and many completed at once."""

from hashlib import blake2b
from typing import Any, Literal, get_args

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, refuse_query
from duly.api.jobs.submission_reader import read_body, reader_of
from duly.api.jobs.submission_steps import EndpointResponse, load_job_types
from duly.api.leases.heartbeats import item_error, value_text
from duly.api.leases.lease_paths import PATH, lease_of
from duly.api.leases.models import (
    CompleteRequest,
    CompletionsBody,
    CompletionsRequest,
    EndedLeaseBody,
    FailRequest,
    LeaseRelease,
)
from duly.api.server.scope_values import RequestScope, body_of, node_of, tenant_of
from duly.domain.json_writer import canonical
from duly.domain.outcome import Completed, Failed, Interrupted, Outcome
from duly.errors import DulyError
from duly.handlers.serialization import ResultInvalid
from duly.lifecycle.job_types.known_types import check_result
from duly.lifecycle.leases.ends import EndedLease, ReportedEnd
from duly.lifecycle.submit.validate_model import read_model

COMPLETIONS = f"{PATH}/complete"
Verb = Literal["complete", "fail", "release", "park"]
# Copied for each digest: faster than a new one.
_DIGESTS = {verb: blake2b(person=verb.encode(), digest_size=16) for verb in get_args(Verb)}
_REFUSALS = error_responses(400, 404, 409, 413, 415, 422, 503)
router = APIRouter(prefix=PATH, tags=["leases"])


@router.post(
    "/complete",
    operation_id="completeLeases",
    summary="Complete several attempts",
    response_model=CompletionsBody,
    responses=error_responses(400, 413, 415, 422, 503),
    openapi_extra=json_body("CompletionsRequest"),
)
async def complete_leases_route(request: Request) -> Response:
    """Records the results of several attempts, each by itself: one that cannot be recorded has an `error` in its
    place.
    """
    return EndpointResponse(complete_leases, request)


async def complete_leases(scope: Scope, receive: Receive, send: Send) -> None:
    """Completes several attempts, as bare ASGI."""
    if scope["query_string"]:
        refuse_query(Request(scope))
    value: Any = reader_of(scope).json(scope)
    read_model(CompletionsRequest, value)
    await load_job_types(node_of(scope), tenant_of(scope))
    reported = [_reported_or_error(scope, item) for item in value["leases"]]
    recordable = [each for each in reported if isinstance(each, ReportedEnd)]
    ended = iter(await node_of(scope).leases.ender.end_many(recordable))
    items = [
        _item(scope, item["leaseId"], next(ended) if isinstance(each, ReportedEnd) else each)
        for item, each in zip(value["leases"], reported, strict=True)
    ]
    await compressed(json_response(orjson.dumps({"leases": items})))(scope, receive, send)


def _reported_or_error(scope: RequestScope, item: dict[str, Any]) -> ReportedEnd | DulyError:
    try:
        return _reported(scope, item["leaseId"], item.get("result"))
    except DulyError as error:
        return error


def _item(scope: RequestScope, lease_id: str, result: EndedLease | Exception) -> dict[str, Any]:
    if isinstance(result, EndedLease):
        return {"leaseId": lease_id, **_members(result)}
    return {"leaseId": lease_id, "error": item_error(scope, result)}


@router.post(
    "/{leaseId}/complete",
    operation_id="completeLease",
    summary="Complete an attempt",
    response_model=EndedLeaseBody,
    responses=_REFUSALS,
    dependencies=[accepts_query()],
    openapi_extra=json_body("CompleteRequest", required=False),
)
async def complete(request: Request, leaseId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Records the result of an attempt, which completes its job. The same request again gets the same response. A lost
    lease gets 409 `LEASE_LOST`, and nothing is changed. A job that was cancelled meanwhile ends as cancelled.
    """
    value: Any = {}
    if body_of(request):
        value = reader_of(request).json(request)
        read_model(CompleteRequest, value)
    await load_job_types(node_of(request), tenant_of(request))
    return end_response(await record_end(request, _reported(request, leaseId, value.get("result"))))


def _reported(scope: RequestScope, lease_id: str, result: object) -> ReportedEnd:
    """Returns the end with this result, or the failure of one that does not fit the type of the job."""
    # From the value that was read: pydantic may have rounded its numbers.
    text, lease = value_text(scope, result, "result"), lease_of(scope, lease_id)
    job_type = node_of(scope).job_types.find(lease.tenant_id, lease.type)
    outcome: Outcome = Completed(text)
    try:
        if job_type is not None:
            check_result(job_type, text)
    except ResultInvalid as error:
        outcome = Failed("RESULT_INVALID", str(error), "The result that the worker reported.", retryable=False)
    return ReportedEnd(lease, outcome, request_digest("complete", result))


@router.post(
    "/{leaseId}/fail",
    operation_id="failLease",
    summary="Report a failed attempt",
    response_model=EndedLeaseBody,
    responses=_REFUSALS,
    dependencies=[accepts_query()],
    openapi_extra=json_body("FailRequest"),
)
async def fail(request: Request, leaseId: str) -> Response:  # noqa: N803
    """Records that an attempt failed. The job runs again, by the retry policy of its type or after
    `retryAfterSeconds`, if the error is retryable and attempts are left. Repeated and lost: as for `complete`.
    """
    value = reader_of(request).json(request)
    read = read_model(FailRequest, value)
    outcome = Failed(
        read.error.code,
        read.error.message,
        read.error.message,
        retryable=read.retryable,
        delay_seconds=read.retryAfterSeconds,
    )
    return end_response(
        await record_end(request, ReportedEnd(lease_of(request, leaseId), outcome, request_digest("fail", value)))
    )


@router.post(
    "/{leaseId}/release",
    operation_id="releaseLease",
    summary="Release a job",
    response_model=EndedLeaseBody,
    responses=_REFUSALS,
    dependencies=[accepts_query()],
    openapi_extra=json_body("LeaseRelease", required=False),
)
async def release(request: Request, leaseId: str) -> Response:  # noqa: N803
    """Returns a job to its queue, for another worker. The attempt is not counted. Repeated and lost: as for
    `complete`.
    """
    if body_of(request):
        read_body(request, LeaseRelease)
    released = Interrupted("its worker released it")
    return end_response(
        await record_end(request, ReportedEnd(lease_of(request, leaseId), released, request_digest("release")))
    )


async def record_end(scope: RequestScope, reported: ReportedEnd) -> EndedLease:
    """Records the end of an attempt; see `LeaseEnder.end`."""
    return await node_of(scope).leases.ender.end(reported)


def request_digest(verb: Verb, value: object = None) -> bytes:
    """Returns the digest of a request, which does not depend on the order of members."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number that keeps its text
        text = canonical(value)
    digest = _DIGESTS[verb].copy()
    digest.update(text)
    return digest.digest()


def end_response(ended: EndedLease) -> Response:
    """Returns the response to the end of an attempt."""
    return json_response(orjson.dumps(_members(ended)))


def _members(ended: EndedLease) -> dict[str, object]:
    return {"jobId": str(ended.job_id), "status": ended.status, "sequence": ended.sequence}
