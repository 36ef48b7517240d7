"""Request scope: what the middleware leaves in an ASGI scope for endpoints, read by name.

A FastAPI dependency costs 8 µs a parameter and a request, these functions a look-up. Each takes a scope or a Starlette
`Request`, which is a mapping of its scope.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from duly.domain.audit import Actor
from duly.domain.principal import Principal
from duly.domain.ticket_grant import Grant
from duly.node import Node

NODE: Final = "duly.node"
READER: Final = "duly.reader"
TENANT: Final = "duly.tenant"
PRINCIPAL: Final = "duly.principal"
GRANT: Final = "duly.grant"
BODY: Final = "duly.body"
HEADERS: Final = "duly.headers"
# JSON value of the body, where it was read before the endpoint.
PARSED: Final = "duly.parsed"
# True: another cell records the change in the audit log.
UNAUDITED: Final = "duly.unaudited"
# Function that is called once an action of all cells is in the audit log, or needs no entry.
RECORDED: Final = "duly.recorded"

RequestScope = Mapping[str, Any]


def node_of(scope: RequestScope) -> Node:
    """Returns the node that serves the request."""
    node: Node = scope[NODE]
    return node


def tenant_of(scope: RequestScope) -> int:
    """Returns the id of the tenant that the request was authenticated for."""
    tenant_id: int = scope[TENANT]
    return tenant_id


def principal_of(scope: RequestScope) -> Principal:
    """Returns the principal of the request: its tenant and its scopes."""
    principal: Principal = scope[PRINCIPAL]
    return principal


def reads_payload(scope: RequestScope) -> bool:
    """Returns whether the response may show parameters, results, errors, logs and progress texts."""
    return principal_of(scope).reads_payload


def actor_of(scope: RequestScope) -> Actor:
    """Returns the author of the changes that the request makes."""
    return Actor(principal_of(scope).actor, scope["duly.request_id"])


def audited_actor_of(scope: RequestScope) -> Actor | None:
    """Returns the author of a change that each cell makes; None if another cell records it."""
    return None if scope.get(UNAUDITED) else actor_of(scope)


def recorded_of(scope: RequestScope) -> Callable[[], None]:
    """Returns the function to call once an action is in the audit log; the other cells act from then on."""
    recorded: Callable[[], None] = scope.get(RECORDED, _ignore)
    return recorded


def _ignore() -> None:
    """Default of `recorded_of`: there are no other cells."""


def grant_of(scope: RequestScope) -> Grant | None:
    """Returns the rights of the request's ticket; None for an API key or an open service."""
    return scope.get(GRANT)


def body_of(scope: RequestScope) -> bytes:
    """Returns the body of a POST, PUT or PATCH."""
    body: bytes = scope[BODY]
    return body


def headers_of(scope: RequestScope) -> Mapping[bytes, bytes]:
    """Returns the headers by their names in lower case."""
    headers: Mapping[bytes, bytes] = scope[HEADERS]
    return headers


def header_text(scope: RequestScope, name: bytes) -> str:
    """Returns the value of a header; empty where it is absent."""
    return headers_of(scope).get(name, b"").decode("latin-1")
