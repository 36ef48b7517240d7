"""Batches: submitting many jobs at once, all or none, each bad one named by its place; reading and cancelling them."""

import asyncio
from collections import Counter
from functools import partial
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.batch_errors import all_ids, at_place, place_of, refused_by_ledger, with_index
from duly.api.contract.openapi_parts import header_parameters
from duly.api.contract.response_models import AcceptedBatchBody, BatchBody, failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import Through, refuse_when_draining
from duly.api.jobs.submission_reader import MOST_ERRORS, SubmissionReader
from duly.domain.events import Status
from duly.domain.ids import parse_job_id
from duly.domain.job import DEFAULT_TENANT, NewBatch, NewJob
from duly.domain.timestamps import rfc3339
from duly.errors import DulyError, Invalid, NotFound, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submit import AcceptedBatch, BatchRefused
from duly.node import Node
from duly.store.submit.batches import BatchView, job_ids_of, view_batch

PATH = "/api/v1/jobs/batch"
# So many jobs are read in one go; then other requests have their turn.
BREATH = 200


class SubmitManyEndpoint:
    """`POST /api/v1/jobs/batch`, as bare ASGI."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        refuse_when_draining(self._node)
        if scope["query_string"]:
            raise Invalid.at([PathError("", "A batch as application/json takes no query members.")])
        batch, jobs = await self._read(scope["duly.body"], scope["duly.headers"])
        if self._node.submission_limiter.enabled:
            await self._node.submission_limiter.admit(Counter(job.queue for job in jobs))
        try:
            accepted = await self._node.submitter.submit_all(batch, jobs)
        except BatchRefused as error:
            raise refused_by_ledger(error) from None
        job_ids = [job.job_id for job in accepted.jobs] or await self._job_ids(batch.tenant_id, accepted)
        body = orjson.dumps(
            {
                "batchId": str(accepted.batch_id),
                "jobIds": [str(job_id) for job_id in job_ids],
                "status": "pending",
                "createdAt": rfc3339(accepted.created_at),
            }
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"location", f"/api/v1/batches/{accepted.batch_id}".encode()),
        ]
        if accepted.replayed:
            headers.append((b"idempotency-replayed", b"true"))
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _job_ids(self, tenant_id: int, accepted: AcceptedBatch) -> list[UUID]:
        """Those of a batch that an earlier request recorded."""
        async with self._node.database.connection() as connection:
            fresh = await job_ids_of(connection, tenant_id, accepted.batch_id)
        return list(all_ids(iter(fresh), accepted.others))

    async def _read(self, body: bytes, headers: dict[bytes, bytes]) -> tuple[NewBatch, list[NewJob]]:
        """The batch and its jobs.

        Raises:
            Invalid: what is wrong with it and with each item, whatever is wrong with others; the first 100.
        """
        read = self._reader.read_batch(body, headers)
        jobs: list[NewJob] = []
        errors = list(read.errors)
        known, batch_id = {place_of(error) for error in errors}, read.batch.batch_id if read.batch else None
        for place, item in enumerate(read.items):
            if place not in known:
                try:
                    jobs.append(self._reader.item(item, read.origin, batch_id=batch_id))
                except (DulyError, ParametersInvalid) as error:
                    errors += at_place(place, error)
            if len(errors) >= MOST_ERRORS:
                break
            if place % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        if errors or read.batch is None:
            errors = sorted(errors, key=place_of)[:MOST_ERRORS] or [PathError("", "is no batch")]
            raise with_index(Invalid.at(errors))
        return read.batch, jobs


async def find_batch(node: Node, batch_id: str) -> BatchView:
    """The batch as it stands. What is no id is answered like an id that does not exist."""
    parsed = parse_job_id(batch_id)
    view = None
    if parsed is not None:
        async with node.database.connection() as connection:
            view = await view_batch(connection, DEFAULT_TENANT, parsed)
    if view is None:
        raise NotFound("There is no such batch.")
    return view


def _status(view: BatchView) -> Status:
    """Its end is told once it is counted, together with the job that follows it."""
    if view.completed_at is None or view.ended < view.total:
        return Status.RUNNING if view.running or view.ended else Status.PENDING
    if view.failed:
        return Status.FAILED
    return Status.CANCELLED if view.cancelled else Status.COMPLETED


def _body(view: BatchView) -> bytes:
    members = {
        "batchId": str(view.batch_id),
        "name": view.name,
        "status": _status(view),
        "total": view.total,
        "pending": view.total - view.running - view.ended,
        "running": view.running,
        "completed": view.completed,
        "failed": view.failed,
        "cancelled": view.cancelled,
        "thenJobId": str(view.then_job_id) if view.then_job_id is not None else None,
        "thenError": orjson.Fragment(view.then_error) if view.then_error is not None else None,
        "createdAt": rfc3339(view.created_at),
        "completedAt": rfc3339(view.completed_at) if view.completed_at is not None else None,
    }
    return orjson.dumps(members)


def _answer(view: BatchView, status: int = 200) -> Response:
    return json_answer(_body(view), status, {"Cache-Control": "no-store"})


def batches_router(node: Node, submit: SubmitManyEndpoint) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(tags=["batches"])

    @router.post(
        PATH,
        operation_id="submitBatch",
        status_code=202,
        response_model=AcceptedBatchBody,
        responses=failures(400, 409, 413, 415, 422, 429, 503),
        openapi_extra=_document(),
    )
    async def submit_many(request: Request) -> Response:
        """Record many jobs, all or none: up to 10,000 as JSON, any number as lines of JSON.

        The answer is sent once they are durable.
        """
        return Through(submit, request)

    @router.get(
        "/api/v1/batches/{batchId}",
        operation_id="getBatch",
        response_model=BatchBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_batch(batchId: str) -> Response:  # noqa: N803
        """How the jobs of a batch stand."""
        return _answer(await find_batch(node, batchId))

    @router.post(
        "/api/v1/batches/{batchId}/cancel",
        operation_id="cancelBatch",
        response_model=BatchBody,
        responses=failures(404, 422, 503, also={202: {"model": BatchBody, "description": "Handlers are told"}}),
        dependencies=[only()],
    )
    async def cancel_batch(batchId: str) -> Response:  # noqa: N803
        """Cancel what has not ended of a batch. The job that follows it is submitted all the same."""
        refuse_when_draining(node)
        view = await find_batch(node, batchId)
        await node.bulk_actions.cancel_batch(DEFAULT_TENANT, view, go_on=partial(refuse_when_draining, node))
        view = await find_batch(node, batchId)
        return _answer(view, 202 if view.running else 200)

    return router


def _document() -> dict[str, object]:
    lines = {"type": "string", "description": "a Submission a line, as JSON"}
    names = {
        "Idempotency-Key": "the same key and body within 24 h get the first answer again",
        "X-Correlation-Id": "stored on all the jobs and their events",
        "traceparent": "W3C trace context; travels with the jobs",
    }
    name = {"type": "string", "maxLength": 200}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Batch"}},
                "application/x-ndjson": {"schema": lines},
            },
        },
        "parameters": [
            {"name": "name", "in": "query", "required": False, "description": "with lines only", "schema": name},
            *header_parameters(names),
        ],
    }
