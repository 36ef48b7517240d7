"""Makes a connection: the name looked up, a socket for an address that was checked, and TLS where the URL says so."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from aiohappyeyeballs import start_connection

from duly.domain.egress_policy import EgressPolicy
from duly.outbound.connection import HttpConnection
from duly.outbound.resolver import GuardedLookup, guarded_socket, literal
from duly.outbound.response import AddressRefused, PostFailed
from duly.outbound.url import Destination, Origin

# RFC 8305, section 5: an address that does not answer for so long gets company.
_NEXT_ADDRESS_SECONDS: Final = 0.25


class Connector:
    """Everything that is the same for all connections of a client.

    `seconds` bounds a look-up, and then connecting: the addresses of a name and TLS together.
    """

    def __init__(
        self, lookup: GuardedLookup, *, reach: EgressPolicy, seconds: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._lookup = lookup
        self._socket = partial(guarded_socket, reach=reach)
        self._seconds = seconds
        self._ssl_context = ssl_context

    async def connect(self, destination: Destination, gone: Callable[[HttpConnection], None]) -> HttpConnection:
        """Raises `PostFailed`."""
        origin = destination.origin
        found = await self._lookup.find(origin.host, origin.port) if destination.is_name else literal(origin)
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                made = await start_connection(
                    found, socket_factory=self._socket, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
                )
                return await self._carried(made, origin, gone)
        except AddressRefused as refused:
            raise PostFailed("BLOCKED_ADDRESS", str(refused)) from None
        except OSError as error:
            if deadline.expired():
                raise PostFailed("TIMED_OUT", f"no connection within {self._seconds:.1f} seconds.") from None
            raise PostFailed("CONNECT_FAILED", f"no connection could be made ({_words(error)}).") from None

    async def _carried(
        self, made: socket.socket, origin: Origin, gone: Callable[[HttpConnection], None]
    ) -> HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                partial(HttpConnection, origin, gone=gone),
                sock=made,
                ssl=self._trusted() if origin.tls else None,
                server_hostname=origin.host.rstrip(".") if origin.tls else None,
            )
        except ssl.SSLCertVerificationError as error:
            made.close()
            message = f"the certificate is not valid ({error.verify_message})."
            raise PostFailed("TLS_FAILED", message) from None
        except OSError:
            made.close()
            raise PostFailed("TLS_FAILED", "no TLS connection could be agreed on.") from None
        except BaseException:
            made.close()
            raise
        return connection

    def _trusted(self) -> ssl.SSLContext:
        """Read when first needed: it takes some 20 milliseconds, which a receiver without TLS need not pay."""
        if self._ssl_context is None:
            self._ssl_context = _system_authorities()
        return self._ssl_context


def _system_authorities() -> ssl.SSLContext:
    """Those that this machine's owner may have added to; where it has none, those that come with httpx."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return ssl.create_default_context()
    return httpx.create_ssl_context(trust_env=False)


def _words(error: OSError) -> str:
    """The system's own words, without the addresses that libraries put around them."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
