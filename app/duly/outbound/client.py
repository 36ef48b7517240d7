"""Posts, with one deadline over all of it."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Self

from duly.deadlines import Deadlines
from duly.domain.networks import Networks
from duly.outbound.addresses import GuardedLookup, Lookup, SystemLookup
from duly.outbound.answer import OutboundAnswer, OutboundError, PostFailed
from duly.outbound.connecting import Connector
from duly.outbound.connection import Connection
from duly.outbound.destination import Destination, read_destination
from duly.outbound.pool import Pool
from duly.outbound.reading import Received
from duly.outbound.request import head_of


class OutboundClient:
    """Posts to public addresses and to `allow_networks`; use it as a context manager, or call `aclose`.

    `total_seconds` bounds a whole exchange, waiting for a free connection included; `connect_seconds` bounds the
    look-up of a name, and then connecting, with TLS. Needs a running event loop from the first post on.
    """

    def __init__(
        self,
        *,
        allow_networks: Networks = (),
        connections: int = 512,
        connections_per_host: int = 64,
        total_seconds: float = 15,
        connect_seconds: float = 5,
        lookup: Lookup | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._total_seconds = total_seconds
        # Endpoints are few and posts many: reading and checking a URL once saves a quarter of a post.
        self._destination = lru_cache(maxsize=1024)(partial(read_destination, allowed=allow_networks))
        self._lookup = GuardedLookup(lookup or SystemLookup(), allowed=allow_networks, seconds=connect_seconds)
        connector = Connector(self._lookup, allowed=allow_networks, seconds=connect_seconds, ssl_context=ssl_context)
        self._pool = Pool(connector, connections=connections, per_origin=connections_per_host)
        self._deadlines: Deadlines[Connection] = Deadlines(total_seconds, _give_up)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; posts under way fail."""
        self._deadlines.close()
        self._lookup.close()
        await self._pool.aclose()

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> OutboundAnswer:
        """Post once, following no redirect: any status is an answer, and judging it is the caller's.

        Raises `OutboundError` where there is none, and `ValueError` for headers that no message can carry.
        """
        started = time.perf_counter()
        shown = ""
        try:
            destination = self._destination(url)
            shown = f"{destination.shown}: "
            head = head_of(destination.start, headers, length=len(content))
            received = await self._exchange(destination, head, content)
        except PostFailed as failure:
            message = str(failure) if failure.code in _NAMED_ALREADY else f"{shown}{failure}"
            raise OutboundError(failure.code, message, duration_seconds=time.perf_counter() - started) from None
        except TimeoutError:
            seconds = time.perf_counter() - started
            message = f"{shown}no complete answer within {seconds:.1f} seconds."
            raise OutboundError("TIMED_OUT", message, duration_seconds=seconds) from None
        return OutboundAnswer(*received, time.perf_counter() - started)

    async def _exchange(self, destination: Destination, head: bytes, content: bytes) -> Received:
        """On an idle connection, where all can be had under the one timer of many posts; else on a new one."""
        connection = self._pool.idle(destination.origin)
        if connection is None:
            async with asyncio.timeout(self._total_seconds):
                connection = await self._pool.connection(destination)
                return await self._exchange_on(connection, head, content)
        self._deadlines.put(connection)
        try:
            return await self._exchange_on(connection, head, content)
        finally:
            self._deadlines.take_out(connection)

    async def _exchange_on(self, connection: Connection, head: bytes, content: bytes) -> Received:
        try:
            return await connection.exchange(head, content)
        finally:
            self._pool.give_back(connection)


# What these say names the address or the URL's fault itself.
_NAMED_ALREADY = frozenset({"REFUSED_ADDRESS", "INVALID_URL"})


def _give_up(connection: Connection) -> None:
    connection.fail(TimeoutError())
