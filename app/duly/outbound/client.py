"""Requests with one deadline for the whole exchange."""

import asyncio
import ssl
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final, Literal, Self

from duly.deadline_queue import Deadlines
from duly.domain.egress_policy import PUBLIC, EgressPolicy
from duly.outbound.connection import HttpConnection
from duly.outbound.connection_pool import ConnectionPool
from duly.outbound.connector import Connector
from duly.outbound.request import head_of
from duly.outbound.resolver import GuardedLookup, Lookup, SystemLookup
from duly.outbound.response import OutboundError, OutboundResponse, RequestFailed
from duly.outbound.response_reader import ReceivedResponse
from duly.outbound.url import Destination, destination_reader

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# RFC 9110, section 8.6: these send `content-length: 0` for an empty body; the others have none.
_WITH_A_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class OutboundClient:
    """Client for the destinations that `egress` allows; a context manager, or closed by `aclose`.

    `total_seconds` bounds a whole exchange, including the wait for a connection; `connect_seconds` bounds the DNS
    lookup, and then connecting with TLS. Needs a running event loop from the first request on.
    """

    def __init__(
        self,
        *,
        egress: EgressPolicy = PUBLIC,
        connections: int = 512,
        connections_per_host: int = 64,
        total_seconds: float = 15,
        connect_seconds: float = 5,
        lookup: Lookup | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.egress = egress
        self._total_seconds = total_seconds
        self._destination = destination_reader(egress)
        self._lookup = GuardedLookup(lookup or SystemLookup(), egress=egress, seconds=connect_seconds)
        connector = Connector(self._lookup, egress=egress, seconds=connect_seconds, ssl_context=ssl_context)
        self._pool = ConnectionPool(connector, connections=connections, per_origin=connections_per_host)
        self._deadlines: Deadlines[HttpConnection] = Deadlines(total_seconds, _time_out)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections; requests in progress fail."""
        self._deadlines.close()
        self._lookup.close()
        await self._pool.aclose()

    def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Coroutine[Any, Any, OutboundResponse]:
        """Sends a POST; as `request`."""
        return self.request("POST", url, content=content, headers=headers)

    async def request(
        self, method: Method, url: str, *, content: bytes | None, headers: Mapping[str, str]
    ) -> OutboundResponse:
        """Sends a request once, without following redirects. Every status is a response, which the
        caller judges.

        Raises:
            OutboundError: there is no response.
            ValueError: a header is invalid.
        """
        started = time.perf_counter()
        shown = ""
        try:
            destination = self._destination(url)
            shown = f"{destination.shown}: "
            length = None if content is None and method not in _WITH_A_BODY else len(content or b"")
            head = head_of(method, destination.start, headers, length=length)
            received = await self._exchange(destination, head, content or b"", bodiless=method == "HEAD")
        except RequestFailed as failure:
            message = str(failure) if failure.code in _NAMED_ALREADY else f"{shown}{failure}"
            raise OutboundError(failure.code, message, duration_seconds=time.perf_counter() - started) from None
        except TimeoutError:
            seconds = time.perf_counter() - started
            message = f"{shown}no complete response within {seconds:.1f} seconds."
            raise OutboundError("TIMED_OUT", message, duration_seconds=seconds) from None
        return OutboundResponse(*received, time.perf_counter() - started)

    async def _exchange(
        self, destination: Destination, head: bytes, content: bytes, *, bodiless: bool
    ) -> ReceivedResponse:
        """Exchanges on an idle connection, under the shared timer of many requests, or on a new one."""
        connection = self._pool.idle(destination.origin)
        if connection is None:
            async with asyncio.timeout(self._total_seconds):
                connection = await self._pool.connection(destination)
                return await self._exchange_on(connection, head, content, bodiless=bodiless)
        self._deadlines.put(connection)
        try:
            return await self._exchange_on(connection, head, content, bodiless=bodiless)
        finally:
            self._deadlines.take_out(connection)

    async def _exchange_on(
        self, connection: HttpConnection, head: bytes, content: bytes, *, bodiless: bool
    ) -> ReceivedResponse:
        try:
            return await connection.exchange(head, content, bodiless=bodiless)
        finally:
            self._pool.release(connection)


# Their messages name the address or the fault of the URL themselves.
_NAMED_ALREADY = frozenset({"BLOCKED_ADDRESS", "INVALID_URL"})


def _time_out(connection: HttpConnection) -> None:
    connection.fail(TimeoutError())
