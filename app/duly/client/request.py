"""Requests of the client, described without being sent."""

import json
import math
import uuid
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

from pydantic_core import to_jsonable_python

Query: TypeAlias = Mapping[str, Any]
Documents: TypeAlias = Iterable[object] | AsyncIterable[object]


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request.

    Attributes:
        path: path below the URL of the service, percent-encoded.
        content: body; `documents` is one that is written while it is read from the caller.
        extra_seconds: time by which the response may be later than that of other requests.
        repeatable: True if sending it twice has the effect of sending it once.
        waits_at_limits: False if the caller prefers a 429 to waiting for its `Retry-After` and sending again.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    documents: Documents | None = None
    extra_seconds: float = 0
    repeatable: bool = True
    waits_at_limits: bool = True


def get(path: str, query: Query | None = None, *, headers: Mapping[str, str] | None = None) -> Request:
    """Returns a GET request; members of the query that are None are left out."""
    return Request("GET", path, query=known(query or {}), headers=headers or {})


def delete(path: str) -> Request:
    """Returns a DELETE request."""
    return Request("DELETE", path)


def put(path: str, body: object) -> Request:
    """Returns a PUT request with a JSON body."""
    return Request("PUT", path, headers={"Content-Type": "application/json"}, content=as_json(body))


def patch(path: str, body: object) -> Request:
    """Returns a PATCH request with a JSON body."""
    return Request("PATCH", path, headers={"Content-Type": "application/json"}, content=as_json(body))


def post(
    path: str,
    body: object = None,
    *,
    query: Query | None = None,
    idempotency_key: str | None = None,
    repeatable: bool = False,
) -> Request:
    """Returns a POST request with an idempotency key, and with a JSON body unless `body` is None.

    `repeatable` requests are those whose key the service remembers, or whose repetition changes nothing.
    """
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    content = None if body is None else as_json(body)
    if content is not None:
        headers["Content-Type"] = "application/json"
    return Request("POST", path, query=known(query or {}), headers=headers, content=content, repeatable=repeatable)


def path_of(*segments: str) -> str:
    """Returns the path of a resource. A name may contain slashes; it cannot lead to another path."""
    # Dots as well, or `..` would be another path.
    return "/".join(["/api/v1", *(quote(segment, safe="").replace(".", "%2E") for segment in segments)])


def as_json(value: object) -> bytes:
    """Returns a value, also one with pydantic models, dataclasses, times or UUIDs, as JSON.

    Raises:
        ValueError: the value contains NaN or an infinity.
        TypeError: the value contains an object that has no form in JSON.
    """
    # As ASCII, so that a lone surrogate reaches the service, whose error names its path.
    return json.dumps(value, default=_jsonable, allow_nan=False).encode("ascii")


def camel_case(names: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the mapping with names as in the HTTP API: `run_at` becomes `runAt`."""
    return {_camel_case(name): value for name, value in names.items()}


def known(values: Query) -> dict[str, Any]:
    """Returns the mapping without members that are None."""
    return {name: value for name, value in values.items() if value is not None}


def whole_seconds(seconds: float) -> int:
    """Returns the seconds without their fraction, and not less than 0."""
    return max(0, math.floor(seconds))


def _jsonable(value: object) -> Any:
    return to_jsonable_python(value, by_alias=True)


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)
