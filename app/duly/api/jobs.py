"""Section 2 of the contract: submitting, reading, listing and cancelling jobs."""

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.admission import leave
from duly.api.answers import accepted_body, compressed, job_body, job_headers, job_path, json_answer, only
from duly.api.cursors import job_cursor, read_job_cursor
from duly.api.models import AcceptedBody, JobBody, JobPage, failures
from duly.api.submission import SubmissionReader, Time
from duly.api.waiting import LONGEST_WAIT_SECONDS, preferred_wait, read_job, wait_for_change, wait_for_end
from duly.domain.events import Status
from duly.domain.ids import SMALLEST, parse_job_id, smallest_id_at
from duly.domain.job import DEFAULT_TENANT, Accepted
from duly.domain.json_value import dump_text
from duly.errors import Draining, Invalid, NotFound, NotSupportedYet, PathError
from duly.lifecycle.cancel import CancelAnswer, cancel
from duly.node import Node
from duly.store.jobs import ListFilter, view_jobs

LARGEST_ID = UUID(int=(1 << 128) - 1)
_ETAG = re.compile(r'(?:W/)?"(\d{1,10})"')
Wait = Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="seconds to wait for news (long poll)")]


# An id is made just before its job is recorded, by another clock: ids bound a search by time only roughly.
CLOCKS_DIFFER_SECONDS = 300
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Storable = StringConstraints(pattern=r"^[^\x00]*$")


def _in_bounds(moment: datetime) -> datetime:
    """What Postgres and ids can hold; no job was made outside of it."""
    return min(max(moment, EARLIEST), LATEST)


class ListQuery(BaseModel):
    """What a list may be restricted to; a filter that is named twice takes either, labels of different names both."""

    model_config = ConfigDict(extra="forbid")

    status: list[Status] = []
    type: list[Annotated[str, Storable]] = []
    queue: list[Annotated[str, Storable]] = []
    batchId: list[str] = Field(default=[], description="not supported yet")
    label: list[Annotated[str, StringConstraints(pattern=r"^[^:\x00]{1,64}:[^\x00]{0,256}$")]] = Field(
        default=[], max_length=16, description="`name:value`", examples=[["customer:c-42"]]
    )
    createdAfter: Annotated[Time, AfterValidator(_in_bounds)] | None = Field(
        default=None, description="made at this time or later"
    )
    createdBefore: Annotated[Time, AfterValidator(_in_bounds)] | None = Field(
        default=None, description="made before this time"
    )
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None

    def as_filter(self) -> ListFilter:
        if self.batchId:
            raise NotSupportedYet.of("batchId")
        before, since = LARGEST_ID, SMALLEST
        if self.createdBefore is not None:
            before = smallest_id_at(self.createdBefore + timedelta(seconds=CLOCKS_DIFFER_SECONDS))
        if self.createdAfter is not None:
            since = smallest_id_at(self.createdAfter - timedelta(seconds=CLOCKS_DIFFER_SECONDS))
        return ListFilter(
            before=min(before, read_job_cursor(self.cursor)) if self.cursor is not None else before,
            since=since,
            created_before=self.createdBefore,
            created_since=self.createdAfter,
            statuses=self.status or None,
            types=self.type or None,
            queues=self.queue or None,
            labels=_label_sets(self.label) or None,
        )


def _label_sets(pairs: list[str]) -> list[str]:
    """The sets of labels, as JSON, of which a job has to have one: of each name that is asked for, one value."""
    values: dict[str, list[tuple[str, str]]] = {}
    for pair in pairs:
        name, _, value = pair.partition(":")
        values.setdefault(name, []).append((name, value))
    return [dump_text(dict(chosen)) for chosen in product(*values.values())] if pairs else []


def refuse_when_draining(node: Node) -> None:
    if node.draining:
        raise Draining("The service is going down; another node, or this one after its restart, takes jobs.")


class SubmitEndpoint:
    """`POST /api/v1/jobs`, as bare ASGI: the framework's plumbing would be two thirds of the request."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_when_draining(self._node)
        headers = scope["duly.headers"]
        if scope["query_string"]:
            raise Invalid.at([PathError("", "A submission takes no query members; to wait, send `Prefer: wait=N`.")])
        accepted = await self._node.submitter.submit(self._reader.read(scope["duly.body"], headers))
        leave(scope)
        wait = preferred_wait(_all_of(scope, b"prefer")) if b"prefer" in headers else None
        if wait is not None:
            answer = await self._waited(accepted, wait)
            await compressed(answer)(scope, receive, send)
            return
        await _send_accepted(accepted, send)

    async def _waited(self, accepted: Accepted, seconds: int) -> Response:
        """The whole job where it ends in time, else the usual answer."""
        view = await wait_for_end(self._node, DEFAULT_TENANT, accepted.job_id, seconds=seconds)
        if view is None:
            answer = json_answer(accepted_body(str(accepted.job_id), accepted.created_at), 202, {"Retry-After": "1"})
        else:
            answer = json_answer(job_body(view), 200, job_headers(view))
        answer.headers["Location"] = job_path(accepted.job_id)
        answer.headers["Preference-Applied"] = f"wait={seconds}"
        if accepted.replayed:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer


def _all_of(scope: Scope, name: bytes) -> str:
    """A list header as one line, however many it came in (RFC 9110, section 5.3)."""
    return b", ".join(value for given, value in scope["headers"] if given == name).decode("latin-1")


async def _send_accepted(accepted: Accepted, send: Send) -> None:
    job_id = str(accepted.job_id)
    body = accepted_body(job_id, accepted.created_at)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"location", job_path(job_id).encode()),
        (b"retry-after", b"1"),
    ]
    if accepted.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tenant_job(job_id: str) -> UUID:
    """The id in a path. What is no id is answered like an id that does not exist."""
    parsed = parse_job_id(job_id)
    if parsed is None:
        raise NotFound("There is no such job.")
    return parsed


def jobs_router(node: Node, submit: SubmitEndpoint) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @router.post(
        "",
        status_code=202,
        response_model=AcceptedBody,
        responses=failures(400, 409, 413, 415, 422, 503, also={200: {"model": JobBody, "description": "Done in time"}}),
        openapi_extra=_submission_document(),
    )
    async def submit_job(request: Request) -> Response:
        """Record a job. The answer is sent once the job is durable."""
        return Through(submit, request)

    @router.get("", response_model=JobPage, responses=failures(422, 503))
    async def list_jobs(wanted: Annotated[ListQuery, Query()]) -> Response:
        """This tenant's jobs, newest first."""
        async with node.database.connection() as connection:
            views = await view_jobs(connection, DEFAULT_TENANT, wanted.as_filter(), limit=wanted.limit + 1)
        more = len(views) > wanted.limit
        views = views[: wanted.limit]
        page = {"items": [orjson.Fragment(job_body(view)) for view in views]}
        return json_answer(orjson.dumps(page | {"nextCursor": job_cursor(views[-1].job_id) if more else None}))

    @router.get(
        "/{job_id}",
        response_model=JobBody,
        responses=failures(404, 422, 503, also={304: {"description": "Nothing newer"}}),
        dependencies=[only("wait")],
    )
    async def read_one(request: Request, job_id: str, wait: Wait | None = None) -> Response:
        """One job. With `wait`, as soon as there is news."""
        known = known_tags(request)
        parsed = tenant_job(job_id)
        if wait:
            newest = max((int(tag) for tag in known - {"*"}), default=None)
            view = await wait_for_change(node, DEFAULT_TENANT, parsed, known_sequence=newest, seconds=wait)
        else:
            view = await read_job(node, DEFAULT_TENANT, parsed)
        if known & {"*", str(view.sequence)}:
            return Response(status_code=304, headers=job_headers(view))
        return json_answer(job_body(view), 200, job_headers(view))

    @router.post(
        "/{job_id}/cancel",
        response_model=JobBody,
        responses=failures(404, 409, 422, 503, also={202: {"model": JobBody, "description": "Its handler is told"}}),
        dependencies=[only()],
    )
    async def cancel_job(job_id: str) -> Response:
        """Cancel a job: at once where it waits, through its handler where it runs."""
        parsed = tenant_job(job_id)
        answer = await cancel(node.database, node.signals, DEFAULT_TENANT, parsed)
        view = await read_job(node, DEFAULT_TENANT, parsed)
        return json_answer(job_body(view), 200 if answer is CancelAnswer.CANCELLED else 202, job_headers(view))

    return router


class Through(Response):
    """Hands the exchange to an ASGI endpoint from inside a FastAPI route."""

    def __init__(self, endpoint: ASGIApp, request: Request) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._scope = request.scope

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(self._scope, receive, send)


def known_tags(request: Request) -> set[str]:
    """What `If-None-Match` names: sequences, or `*` for any (RFC 9110, section 13.1.2)."""
    named = _all_of(request.scope, b"if-none-match")
    return {"*"} if named.strip() == "*" else set(_ETAG.findall(named))


def _submission_document() -> dict[str, object]:
    names = {
        "Idempotency-Key": "the same key and body within 24 h get the first answer again",
        "Prefer": "`wait=N` waits up to N seconds (60) for the end",
        "X-Correlation-Id": "stored on the job and on all its events",
        "traceparent": "W3C trace context; travels with the job",
    }
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Submission"}}},
        },
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in names.items()
        ],
    }
