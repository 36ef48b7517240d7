"""Submitting many jobs at once: all are recorded, or none, and each bad one is named by its place."""

import asyncio
import re
from collections.abc import Iterable

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.jobs import Through, refuse_when_draining
from duly.api.models import AcceptedBatchBody, failures
from duly.api.submission import Origin, Submission, SubmissionReader
from duly.domain.ids import new_job_id
from duly.domain.job import NewJob
from duly.domain.json_value import JsonRefused, rfc3339
from duly.errors import DulyError, Invalid, PathError
from duly.handlers.calling import ParametersInvalid
from duly.node import Node

PATH = "/api/v1/jobs/batch"
# So many jobs are read in one go; then other requests have their turn.
BREATH = 200
_PLACE = re.compile(r"jobs\[(\d+)\]")


class SubmitManyEndpoint:
    """`POST /api/v1/jobs/batch`, as bare ASGI."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        refuse_when_draining(self._node)
        if scope["query_string"]:
            raise Invalid.at([PathError("", "A batch takes no query members.")])
        jobs = await self._read(scope["duly.body"], scope["duly.headers"])
        at = await self._node.submitter.submit_all(jobs)
        body = orjson.dumps(
            {
                "batchId": str(new_job_id()),
                "jobIds": [str(job.job_id) for job in jobs],
                "status": "pending",
                "createdAt": rfc3339(at),
            }
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, body: bytes, headers: dict[bytes, bytes]) -> list[NewJob]:
        try:
            submissions, origin = self._reader.read_batch(body, headers)
        except Invalid as error:
            raise _with_places(error) from None
        except JsonRefused as error:
            if error.status != Invalid.status:
                raise
            raise _with_places(Invalid.at(error.errors)) from None
        jobs: list[NewJob] = []
        errors: list[PathError] = []
        for start in range(0, len(submissions), BREATH):
            for place, submission in enumerate(submissions[start : start + BREATH], start):
                errors += self._read_one(place, submission, origin, jobs)
            if start + BREATH < len(submissions):
                await asyncio.sleep(0)
        if errors:
            raise _with_places(Invalid.at(errors))
        return jobs

    def _read_one(self, place: int, submission: Submission, origin: Origin, jobs: list[NewJob]) -> Iterable[PathError]:
        """Adds its job, or says what is wrong with it."""
        try:
            jobs.append(self._reader.job(submission, origin))
        except (DulyError, ParametersInvalid) as error:
            return [PathError(f"jobs[{place}]{path and f'.{path}'}", message) for path, message in _places(error)]
        return ()


def _places(error: DulyError | ParametersInvalid) -> Iterable[PathError]:
    if isinstance(error, ParametersInvalid):
        return error.errors
    return [PathError(**each) for each in error.details.get("errors", ())] or [PathError("", error.message)]


def _with_places(error: Invalid) -> Invalid:
    """Each error names the job it is about by its `index` too."""
    places = [
        each | ({"index": int(found[1])} if (found := _PLACE.match(each["path"])) else {})
        for each in error.details.get("errors", ())
    ]
    error.details["errors"] = places
    return error


def batches_router(submit: SubmitManyEndpoint) -> APIRouter:
    """The route of this section."""
    router = APIRouter(tags=["jobs"])

    @router.post(
        PATH,
        status_code=202,
        response_model=AcceptedBatchBody,
        responses=failures(400, 413, 415, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Batch"}}},
            }
        },
    )
    async def submit_many(request: Request) -> Response:
        """Record up to 10,000 jobs, all or none. The answer is sent once they are durable."""
        return Through(submit, request)

    return router
