"""Requests that wait for long end once their key has expired or was revoked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from duly.api.server.scope_values import RequestScope, node_of, principal_of
from duly.errors import Unauthorized


def invalid_key() -> Unauthorized:
    """Returns the error of a key that is unknown, wrong, expired or revoked."""
    return Unauthorized("Invalid API key.", reason="Send it as `Authorization: Bearer <key>`.")


@asynccontextmanager
async def while_key_is_valid(scope: RequestScope) -> AsyncIterator[None]:
    """Cancels the block once the key of the request has expired or was revoked.

    Raises:
        Unauthorized: it was cancelled.
    """
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as limit:
            with node_of(scope).key_verifier.holding(principal_of(scope), lambda: limit.reschedule(now())):
                yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise invalid_key() from None
