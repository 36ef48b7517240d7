"""Conversion of errors to responses, in this module only."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response

from duly.domain.json_reader import JsonRefused
from duly.domain.negotiation import JSON, PROBLEM, prefers_problem
from duly.errors import (
    DatabaseUnavailable,
    DulyError,
    InternalError,
    Invalid,
    InvalidJson,
    MethodNotAllowed,
    PathError,
    TooMany,
    Unauthorized,
    UnsupportedContentCoding,
)
from duly.handlers.serialization import ParametersInvalid, json_path, path_errors
from duly.store.postgres.database import DatabaseError, DatabaseMisconfigured, DatabaseOutage, RecordBusy

log = structlog.stdlib.get_logger("duly.api")

UNKNOWN_QUERY = "unknown query parameter"
# Seconds until a retry: after a transient fault, and after one that needs the operator.
TRANSIENT_SECONDS, OPERATOR_SECONDS = 2, 10


def as_duly_error(error: Exception, *, request_id: str) -> DulyError:  # noqa: PLR0911  # a table, one return a row
    """Returns the API error for an exception. An unexpected one is logged, and becomes an InternalError."""
    match error:
        case DulyError():
            return error
        case DatabaseOutage() | DatabaseMisconfigured() | RecordBusy():
            return _unavailable(error, request_id=request_id)
        case JsonRefused() if error.status == 400:  # noqa: PLR2004  # the status that says so
            return InvalidJson("The body is not JSON.", reason=str(error))
        case JsonRefused():
            return Invalid.at(error.errors)
        case ParametersInvalid():
            return Invalid.at(error.errors)
        case ValidationError():
            return Invalid.at(path_errors(error))
        case RequestValidationError():
            return Invalid.at([_path_error(found) for found in error.errors()])
        case _:
            log.error("request failed", action="request_failed", request_id=request_id, exc_info=error)
            return InternalError("Internal error; it was logged.", reason=f"Request id: {request_id}.")


def _unavailable(error: DatabaseError, *, request_id: str) -> DatabaseUnavailable:
    """Returns the error of a database fault, with its cause and remedy. Logs one that is not transient."""
    error_class = error.error_class
    if not error_class.passes:
        log.error(error.line, action="database_unfit", code=error_class.code, request_id=request_id)
    return DatabaseUnavailable(
        error_class.message,
        code=error_class.code,
        reason=error_class.message if error.connecting else error.words or error_class.message,
        remedy=f"{error_class.remedy[:1].upper()}{error_class.remedy[1:]}.",
        retry_after_seconds=TRANSIENT_SECONDS if error_class.passes else OPERATOR_SECONDS,
    )


def _path_error(found: Mapping[str, object]) -> PathError:
    """Returns an error of FastAPI, without `query`, `path` or `body` at the beginning of its location."""
    location = found["loc"]
    assert isinstance(location, tuple)  # noqa: S101  # pydantic's type
    path = json_path(location[1:] if len(location) > 1 else location)
    return PathError(path, UNKNOWN_QUERY if found["type"] == "extra_forbidden" else str(found["msg"]))


def as_response(error: DulyError, *, accept: str) -> Response:
    """Returns the response to an error, in the format that the client accepts."""
    problem = prefers_problem(accept)
    content: dict[str, object] = (
        {
            "type": f"urn:duly:error:{error.code}",
            "title": error.code.replace("_", " ").capitalize(),
            "status": error.status,
            "detail": error.message,
            "code": error.code,
            **_details(error),
        }
        if problem
        else {"error": error_content(error)}
    )
    return Response(encoded(content), error.status, _headers(error), media_type=PROBLEM if problem else JSON)


def _headers(error: DulyError) -> dict[str, str]:
    """Returns the headers of an error. Sections are of RFC 9110."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    match error:
        case TooMany():
            headers |= {"RateLimit-Policy": error.policy, "RateLimit": error.left}
        case Unauthorized():  # 11.6.1
            headers["WWW-Authenticate"] = 'Bearer realm="duly"'
        case MethodNotAllowed():  # 15.5.6
            headers["Allow"] = error.allow
        case UnsupportedContentCoding():  # 15.5.16
            headers["Accept-Encoding"] = "identity"
    return headers


def error_content(error: DulyError) -> dict[str, object]:
    """Returns the members that all errors have."""
    return error.content


def _details(error: DulyError) -> dict[str, Any]:
    return {"reason": error.reason, "retryable": error.retryable, **error.details}


def encoded(content: Mapping[str, object]) -> bytes:
    """Returns JSON, even of text from a client that UTF-8 cannot encode."""
    try:
        return orjson.dumps(content)
    except (TypeError, ValueError):  # a lone surrogate, from a path or a message, is escaped
        return json.dumps(content, default=str).encode()
