"""Lines of the access log: route and parameters of a request, and the resource in its response's `Location`."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import Scope

from duly.api.server.scope_values import PRINCIPAL
from duly.domain.principal import DEFAULT_TENANT_NAME
from duly.errors import DulyError
from duly.telemetry.access_log import AccessLine

# Parameters of paths that are logged, in the contract's spelling; those that may be secrets are not listed.
_LOGGED = {
    "job_id": "jobId",
    "jobId": "jobId",
    "batch_id": "batchId",
    "queue": "queue",
    "type": "type",
    "job_type": "type",
    "name": "name",
    "webhookId": "webhookId",
    "keyId": "subjectKeyId",
    "tenant": "subjectTenant",
    "deliveryId": "deliveryId",
    "delivery_id": "deliveryId",
    "replayId": "replayId",
}
_MADE = {
    b"/api/v1/jobs": "jobId",
    b"/api/v1/batches": "batchId",
    b"/api/v1/webhooks": "webhookId",
    b"/api/v1/schedules": "name",
    b"/api/v1/keys": "subjectKeyId",
    b"/api/v1/tenants": "subjectTenant",
}

Found = tuple[str | None, Mapping[str, str]]
NOWHERE: Found = (None, {})
# Methods that change nothing, and the lowest status of an error.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED = 400
LONGEST_NAME = 200


def line_of(
    scope: Scope, found: Found, *, method: str, status: int | None, code: str | None, began: float
) -> AccessLine:
    """Returns the line of a request, or of a message, that ends now."""
    client, principal = scope.get("client"), scope.get(PRINCIPAL)
    return AccessLine(
        began,
        scope["duly.request_id"],
        found[1],
        scope.get("duly.key_id") or (principal.key_id if principal is not None else None),
        principal.tenant if principal is not None else DEFAULT_TENANT_NAME,
        method,
        found[0],
        status,
        code,
        client[0] if client else None,
    )


def refused_line(request_id: str, refusal: DulyError, client: tuple[str, int] | None) -> AccessLine:
    """Returns the line of a request that could not be read."""
    host = client[0] if client else None
    names: dict[str, str] = {}
    return AccessLine(
        time.perf_counter(),
        request_id,
        names,
        None,
        DEFAULT_TENANT_NAME,
        "-",
        None,
        refusal.status,
        refusal.code,
        host,
    )


def routes_in(routers: Iterable[APIRouter]) -> list[APIRoute]:
    """Returns the routes of these routers."""
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def plain(pattern: str) -> str:
    """Returns a pattern in the form of the OpenAPI document."""
    return pattern.replace(":path}", "}")


def logged(members: Mapping[str, Any]) -> dict[str, str]:
    """Returns those parameters of a path that are logged."""
    return {_LOGGED[name]: str(value)[:LONGEST_NAME] for name, value in members.items() if name in _LOGGED}


def made(location: bytes) -> dict[str, str]:
    """Returns the id or name of the resource in a `Location`."""
    way, _, name = location.rpartition(b"/")
    kind = _MADE.get(way)
    return {kind: name.decode("latin-1")} if kind is not None else {}
