"""What the access log says of a request: its route, and the names that stand in its address or in its answer's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import Scope

from duly.telemetry.access import DEFAULT_TENANT_NAME, AccessLine

# The members of an address that are told, in the contract's spelling. Those that may be a secret are not among them.
_TOLD = {
    "job_id": "jobId",
    "jobId": "jobId",
    "batch_id": "batchId",
    "queue": "queue",
    "type": "type",
    "job_type": "type",
    "name": "name",
    "webhookId": "webhookId",
    "deliveryId": "deliveryId",
    "delivery_id": "deliveryId",
    "replayId": "replayId",
}
_MADE = {
    b"/api/v1/jobs": "jobId",
    b"/api/v1/batches": "batchId",
    b"/api/v1/webhooks": "webhookId",
    b"/api/v1/schedules": "name",
}

Found = tuple[str | None, Mapping[str, str]]
NOWHERE: Found = (None, {})
# Requests that change nothing; statuses from which on one is refused.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED = 400
LONGEST_NAME = 200


class RouteTable:
    """Finds the route of an address; for requests that were answered before they were routed."""

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        self._routes = routes

    def find(self, method: str, path: str) -> Found:
        """Returns the pattern of the route that takes this method, or else of any at this address."""
        other = NOWHERE
        for route in self._routes:
            if (match := route.path_regex.match(path)) is not None:
                found = plain(route.path), told(match.groupdict())
                if method in (route.methods or ()):
                    return found
                other = other if other[0] is not None else found
        return other


def line_of(
    scope: Scope, found: Found, *, method: str, status: int | None, code: str | None, began: float
) -> AccessLine:
    """Returns what the access log says of a request, or a message, that has ended now."""
    client = scope.get("client")
    return AccessLine(
        began,
        scope["duly.request_id"],
        scope.get("duly.key_id"),
        DEFAULT_TENANT_NAME,
        method,
        *found,
        status,
        code,
        client[0] if client else None,
    )


def routes_in(routers: Iterable[APIRouter]) -> list[APIRoute]:
    """Lists the routes of these routers."""
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def plain(pattern: str) -> str:
    """Returns a pattern as the OpenAPI document has it."""
    return pattern.replace(":path}", "}")


def told(members: Mapping[str, Any]) -> dict[str, str]:
    """Returns those members of an address that may be told."""
    return {_TOLD[name]: str(value)[:LONGEST_NAME] for name, value in members.items() if name in _TOLD}


def made(location: bytes) -> dict[str, str]:
    """Returns what a `Location` says was made."""
    way, _, name = location.rpartition(b"/")
    kind = _MADE.get(way)
    return {kind: name.decode("latin-1")} if kind is not None else {}
