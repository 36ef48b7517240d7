"""Scopes that requests need: one table for all routes, bare endpoints and messages of the WebSocket."""

from collections.abc import Mapping
from typing import Final

from duly.api.server.allowed_methods import AddressTable
from duly.domain.key_scope import KeyScope
from duly.domain.principal import Principal
from duly.errors import ScopeMissing

READ, WRITE, WEBHOOKS, SCHEDULES, WORKER, ADMIN, OPERATOR = (
    KeyScope.JOBS_READ,
    KeyScope.JOBS_WRITE,
    KeyScope.WEBHOOKS,
    KeyScope.SCHEDULES,
    KeyScope.WORKER,
    KeyScope.ADMIN,
    KeyScope.OPERATOR,
)
_JOB = "/api/v1/jobs/{jobId}"
_QUEUE, _TYPE = "/api/v1/queues/{queue}", "/api/v1/job-types/{type}"
_LEASE = "/api/v1/leases/{leaseId}"
_SCHEDULE, _WEBHOOK = "/api/v1/schedules/{name}", "/api/v1/webhooks/{webhookId}"

# By method and path. None: no key is needed. HEAD needs what GET does.
ROUTE_SCOPES: Final[Mapping[tuple[str, str], KeyScope | None]] = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): None,
    ("GET", "/"): None,
    ("GET", "/docs"): None,
    ("GET", "/ui"): None,
    ("GET", "/ui/{path}"): None,
    ("GET", "/ui/assets/{digest}/{name}"): None,
    ("GET", "/ui/session"): None,
    ("POST", "/ui/session"): None,
    ("DELETE", "/ui/session"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/signals/{token}"): None,
    ("POST", "/signals/{token}"): None,
    ("GET", "/ws/jobs"): READ,
    ("POST", "/api/v1/jobs"): WRITE,
    ("GET", "/api/v1/jobs"): READ,
    ("POST", "/api/v1/jobs/batch"): WRITE,
    ("POST", "/api/v1/jobs/retry"): ADMIN,
    ("POST", "/api/v1/jobs/cancel"): ADMIN,
    ("PUT", _JOB): WRITE,
    ("GET", _JOB): READ,
    ("POST", f"{_JOB}/cancel"): WRITE,
    ("POST", f"{_JOB}/retry"): WRITE,
    ("POST", f"{_JOB}/signals/{{name}}"): WRITE,
    ("GET", f"{_JOB}/events"): READ,
    ("GET", f"{_JOB}/events/stream"): READ,
    ("GET", f"{_JOB}/why"): READ,
    ("GET", f"{_JOB}/logs"): READ,
    ("GET", f"{_JOB}/steps"): READ,
    ("GET", f"{_JOB}/deliveries"): WEBHOOKS,
    ("GET", "/api/v1/batches"): READ,
    ("GET", "/api/v1/batches/{batchId}"): READ,
    ("POST", "/api/v1/batches/{batchId}/cancel"): WRITE,
    ("GET", "/api/v1/events/stream"): READ,
    ("POST", "/api/v1/stream-tickets"): READ,
    ("GET", "/api/v1/job-types"): READ,
    ("GET", _TYPE): READ,
    ("PUT", _TYPE): WORKER,
    ("DELETE", _TYPE): WORKER,
    ("GET", f"{_TYPE}/limits"): READ,
    ("PUT", f"{_TYPE}/limits"): ADMIN,
    ("DELETE", f"{_TYPE}/limits"): ADMIN,
    ("GET", "/api/v1/queues"): READ,
    ("GET", _QUEUE): READ,
    ("POST", f"{_QUEUE}/pause"): ADMIN,
    ("POST", f"{_QUEUE}/resume"): ADMIN,
    ("GET", f"{_QUEUE}/limits"): READ,
    ("PUT", f"{_QUEUE}/limits"): ADMIN,
    ("DELETE", f"{_QUEUE}/limits"): ADMIN,
    ("GET", "/api/v1/figures"): READ,
    ("GET", "/api/v1/nodes"): READ,
    ("GET", "/api/v1/scaling"): READ,
    ("GET", "/api/v1/limits"): READ,
    ("PUT", "/api/v1/limits"): ADMIN,
    ("DELETE", "/api/v1/limits"): ADMIN,
    ("GET", "/api/v1/schedules"): SCHEDULES,
    ("POST", "/api/v1/schedules"): SCHEDULES,
    ("GET", _SCHEDULE): SCHEDULES,
    ("PUT", _SCHEDULE): SCHEDULES,
    ("PATCH", _SCHEDULE): SCHEDULES,
    ("DELETE", _SCHEDULE): SCHEDULES,
    ("POST", f"{_SCHEDULE}/run"): SCHEDULES,
    ("GET", f"{_SCHEDULE}/due-times"): SCHEDULES,
    ("GET", f"{_SCHEDULE}/runs"): SCHEDULES,
    ("GET", "/api/v1/webhooks"): WEBHOOKS,
    ("POST", "/api/v1/webhooks"): WEBHOOKS,
    ("GET", _WEBHOOK): WEBHOOKS,
    ("PATCH", _WEBHOOK): WEBHOOKS,
    ("DELETE", _WEBHOOK): WEBHOOKS,
    ("GET", f"{_WEBHOOK}/jwks.json"): None,
    ("GET", f"{_WEBHOOK}/health"): WEBHOOKS,
    ("POST", f"{_WEBHOOK}/test"): WEBHOOKS,
    ("POST", f"{_WEBHOOK}/rotate-secret"): WEBHOOKS,
    ("GET", f"{_WEBHOOK}/deliveries"): WEBHOOKS,
    ("POST", f"{_WEBHOOK}/replay"): WEBHOOKS,
    ("GET", f"{_WEBHOOK}/replays"): WEBHOOKS,
    ("GET", f"{_WEBHOOK}/replays/{{replayId}}"): WEBHOOKS,
    ("GET", "/api/v1/deliveries/{deliveryId}"): WEBHOOKS,
    ("POST", "/api/v1/deliveries/{deliveryId}/redeliver"): WEBHOOKS,
    ("POST", "/api/v1/leases"): WORKER,
    ("POST", "/api/v1/leases/heartbeat"): WORKER,
    ("POST", "/api/v1/leases/complete"): WORKER,
    ("POST", f"{_LEASE}/heartbeat"): WORKER,
    ("POST", f"{_LEASE}/complete"): WORKER,
    ("POST", f"{_LEASE}/fail"): WORKER,
    ("POST", f"{_LEASE}/release"): WORKER,
    ("POST", f"{_LEASE}/jobs"): WORKER,
    ("POST", f"{_LEASE}/steps/{{name}}"): WORKER,
    ("POST", f"{_LEASE}/park"): WORKER,
    ("GET", "/api/v1/keys"): ADMIN,
    ("POST", "/api/v1/keys"): ADMIN,
    ("DELETE", "/api/v1/keys/{keyId}"): ADMIN,
    ("POST", "/api/v1/keys/{keyId}/rotate"): ADMIN,
    ("GET", "/api/v1/audit"): ADMIN,
    ("GET", "/api/v1/tenants"): OPERATOR,
    ("POST", "/api/v1/tenants"): OPERATOR,
    ("GET", "/api/v1/tenants/{tenant}"): OPERATOR,
    ("PATCH", "/api/v1/tenants/{tenant}"): OPERATOR,
}
# The hot routes of one job by their prefix, since a look-up in the table of addresses takes 3 µs.
_ONE_JOB: Final = {
    ("GET", "/api/v1/jobs/"): ROUTE_SCOPES["GET", _JOB],
    ("PUT", "/api/v1/jobs/"): ROUTE_SCOPES["PUT", _JOB],
}
MESSAGE_SCOPES: Final[Mapping[str, KeyScope]] = {
    "submit_job": WRITE,
    "subscribe": READ,
    "unsubscribe": READ,
    "cancel_job": WRITE,
    "send_signal": WRITE,
    "ping": READ,
}


def require_scope(principal: Principal, scope: KeyScope) -> None:
    """Raises ScopeMissing if the key does not hold this scope."""
    if scope not in principal.scopes:
        raise ScopeMissing.of(scope)


def require_route_scope(principal: Principal, addresses: AddressTable, method: str, path: str) -> None:
    """Checks that a key may make a request. An unknown path or method passes: it gets 404 or 405 later.

    Raises:
        ScopeMissing: the key lacks the scope.
    """
    method = "GET" if method == "HEAD" else method
    needed = ROUTE_SCOPES.get((method, path)) or _ONE_JOB.get((method, path[: path.rfind("/") + 1]))
    if needed is None and (pattern := addresses.pattern_of(path)) is not None:
        needed = ROUTE_SCOPES.get((method, pattern))
    if needed is not None:
        require_scope(principal, needed)
