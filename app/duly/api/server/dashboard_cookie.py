"""Cookie of the dashboard's session in requests: accepted from the service's own pages only."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

from duly.api.server.allowed_origins import from_own_page
from duly.domain.dashboard_session import DashboardSession, read_session
from duly.domain.principal import Principal
from duly.errors import Unauthorized
from duly.node import Node

COOKIE: Final = b"duly_session"
# A proxy may have joined several lines of the header by commas.
_BETWEEN: Final = re.compile(rb"[;,][ \t]*")

Headers = Mapping[bytes, bytes]


def session_of(node: Node, scope: Scope, headers: Headers) -> DashboardSession | None:
    """Returns the session of a request; None without a valid one, and for a request from a page of another site."""
    if b"cookie" not in headers or not from_own_page(scope["method"], headers):
        return None
    for pair in _BETWEEN.split(headers[b"cookie"]):
        name, _, value = pair.partition(b"=")
        if name.strip() == COOKIE:
            found = read_session(value.strip().decode("latin-1"), node.keyring, now=node.clock.seconds())
            if found is not None:
                return found
    return None


async def principal_of_session(node: Node, session: DashboardSession) -> Principal:
    """Returns the principal of a session: that of its key.

    Raises:
        Unauthorized: the key is not valid any more.
        DatabaseError: the key cannot be checked.
    """
    principal = await node.key_verifier.of_session(session.key_id, session.digest)
    if principal is None:
        raise Unauthorized("Session ended.", reason="Its API key has expired or was revoked. Sign in again at /ui.")
    return principal
