"""Connector: DNS lookup, a socket for a checked address, and TLS if the URL requires it."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from aiohappyeyeballs import start_connection

from duly.domain.egress_policy import EgressPolicy
from duly.outbound.connection import HttpConnection
from duly.outbound.resolver import GuardedLookup, guarded_socket, literal
from duly.outbound.response import AddressBlocked, RequestFailed
from duly.outbound.url import Destination, Origin

# RFC 8305, section 5: delay before the next address is tried in parallel.
_NEXT_ADDRESS_SECONDS: Final = 0.25


class Connector:
    """Factory of connections.

    `seconds` bounds a DNS lookup, and then connecting: the addresses of a name and TLS together.
    """

    def __init__(
        self, lookup: GuardedLookup, *, egress: EgressPolicy, seconds: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._lookup = lookup
        self._socket = partial(guarded_socket, egress=egress)
        self._seconds = seconds
        self._ssl_context = ssl_context

    async def connect(self, destination: Destination, on_close: Callable[[HttpConnection], None]) -> HttpConnection:
        """Connects to a destination.

        Raises:
            RequestFailed: no connection could be made.
        """
        origin = destination.origin
        found = await self._lookup.find(origin.host, origin.port) if destination.is_name else literal(origin)
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                made = await start_connection(
                    found, socket_factory=self._socket, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
                )
                return await self._carried(made, origin, on_close)
        except AddressBlocked as refused:
            raise RequestFailed("BLOCKED_ADDRESS", str(refused)) from None
        except OSError as error:
            if deadline.expired():
                raise RequestFailed("TIMED_OUT", f"no connection within {self._seconds:.1f} seconds.") from None
            raise RequestFailed("CONNECT_FAILED", f"connection failed ({_words(error)}).") from None

    async def _carried(
        self, made: socket.socket, origin: Origin, on_close: Callable[[HttpConnection], None]
    ) -> HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                partial(HttpConnection, origin, on_close=on_close),
                sock=made,
                ssl=self._trusted() if origin.tls else None,
                server_hostname=origin.host.rstrip(".") if origin.tls else None,
            )
        except ssl.SSLCertVerificationError as error:
            made.close()
            message = f"invalid certificate ({error.verify_message})."
            raise RequestFailed("TLS_FAILED", message) from None
        except OSError:
            made.close()
            raise RequestFailed("TLS_FAILED", "TLS handshake failed.") from None
        except BaseException:
            made.close()
            raise
        return connection

    def _trusted(self) -> ssl.SSLContext:
        """Returns the TLS context, made when first needed: that takes 20 milliseconds."""
        if self._ssl_context is None:
            self._ssl_context = _system_authorities()
        return self._ssl_context


def _system_authorities() -> ssl.SSLContext:
    """Returns a context with the certificate authorities of this machine; if it has none, those of httpx."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return ssl.create_default_context()
    import httpx  # noqa: PLC0415  # with its dependencies 4 MB, for this rare case

    return httpx.create_ssl_context(trust_env=False)


def _words(error: OSError) -> str:
    """Returns the system's description, without the addresses that libraries add."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
