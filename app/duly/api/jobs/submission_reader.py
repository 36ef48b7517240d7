"""Submission reader: checks the body and headers of a request, and builds the job it describes."""

import re
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

from duly.api.jobs.submission_headers import idempotency_key, origin_of
from duly.api.server.scope_values import PARSED, READER, RequestScope, body_of, headers_of
from duly.domain.job import NewJob
from duly.domain.json_reader import MAX_ERRORS, read_json
from duly.domain.json_writer import digest_of
from duly.errors import UnsupportedMediaType
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.lifecycle.submit.validate_model import read_model
from duly.node import Node

Body = TypeVar("Body", bound=BaseModel)
_JSON_TYPE = re.compile(rb"application/(json|[a-z0-9.+-]+\+json)\s*(;.*)?", re.IGNORECASE)


class SubmissionReader:
    """Reads request bodies under the settings and job types of a node."""

    def __init__(self, node: Node) -> None:
        self.depth = node.settings.json_depth
        self.builder = node.job_builder

    def read(self, scope: RequestScope) -> NewJob:
        """Builds the job of a request.

        Raises:
            JsonRefused, ParametersInvalid, DulyError: the request is invalid.
        """
        value = self.json(scope)
        origin = origin_of(scope, idempotency=idempotency_key(headers_of(scope), value))
        return self.builder.job_of_value(value, origin)

    def read_with_id(self, job_id: UUID, scope: RequestScope) -> NewJob:
        """Builds the job of a request under an id of the client's.

        Raises:
            JsonRefused, ParametersInvalid, DulyError: the request is invalid.
        """
        value = self.json(scope)
        idempotency = idempotency_key(headers_of(scope), [str(job_id), value])
        origin = origin_of(scope, idempotency=idempotency, digest=digest_of(value))
        return self.builder.job(read_model(Submission, value), origin, job_id=job_id)

    def read_line(self, line: bytes, origin: SubmissionOrigin) -> tuple[NewJob, object]:
        """Builds the job of one line of NDJSON. Returns it with the JSON value of the line.

        Raises:
            JsonRefused, ParametersInvalid, DulyError: the line is invalid.
        """
        value = read_json(line, max_depth=self.depth)
        return self.builder.job_of_value(value, origin), value

    def json(self, scope: RequestScope, *, max_errors: int = MAX_ERRORS) -> object:
        """Returns the JSON value of a request's body.

        Raises:
            UnsupportedMediaType: the body is not declared as JSON.
            JsonRefused: it is not JSON, or has values that cannot be kept; at most `max_errors` are reported.
        """
        if PARSED in scope:
            value: object = scope[PARSED]
            return value
        if not _JSON_TYPE.fullmatch(headers_of(scope).get(b"content-type", b"")):
            raise UnsupportedMediaType("The body must be JSON.", reason="Send `Content-Type: application/json`.")
        return read_json(body_of(scope), max_depth=self.depth, max_errors=max_errors)


def reader_of(scope: RequestScope) -> SubmissionReader:
    """Returns the submission reader of the node that serves the request."""
    reader: SubmissionReader = scope[READER]
    return reader


def read_body(scope: RequestScope, model: type[Body]) -> Body:
    """Reads the body of a request as a model.

    Raises:
        JsonRefused, DulyError: the body is invalid.
    """
    return read_model(model, reader_of(scope).json(scope))
