"""The guarded HTTP client: whatever the service posts to the outside goes through here.

The address that is checked is the address that is connected to, because the check stands where the socket is made.
A receiver can waste at most one deadline and 64 KiB. httpx is the interface; aiohttp carries it, see `_transport`.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from httpx_aiohttp import AiohttpTransport

from duly.domain.networks import Networks, connection_refusal, is_localhost, parse_target, target_refusal

ANSWER_LIMIT: Final = 64 * 1024

OutboundCode = Literal["REFUSED_ADDRESS", "INVALID_URL", "CONNECT_FAILED", "TLS_FAILED", "TIMED_OUT", "BROKEN_ANSWER"]

_HEADER_LIMIT: Final = 100
_HEADER_BYTES: Final = 8 * 1024
_MESSAGE_LIMIT: Final = 10
# What arrives in one go is parsed in one go, so no more is let arrive than an answer may hold.
_RECEIVE_BUFFER: Final = 32 * 1024
# Many servers close a connection that idled for 5 s; one that is kept for less is hardly ever met half closed.
_KEEP_ALIVE_SECONDS: Final = 4
# Short, for receivers that move. It is no hole: a connection is checked by its own address, not by this memory.
_LOOKUP_MEMORY_SECONDS: Final = 5
_LOOKUPS_AT_ONCE: Final = 32
_PIECE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What a receiver answered: names of headers in lower case, the body raw and cut at 64 KiB (`truncated`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    duration_seconds: float


class OutboundError(Exception):
    """No answer was had. The text is one sentence that may be shown: it names host and port, never path or query."""

    def __init__(self, code: OutboundCode, message: str, *, duration_seconds: float) -> None:
        super().__init__(message)
        self.code: OutboundCode = code
        self.duration_seconds = duration_seconds


class OutboundClient:
    """Posts to public addresses and to `allow_networks`; use it as a context manager, or call `aclose`.

    `total_seconds` bounds a whole exchange, waiting for a free connection included; `connect_seconds` bounds the
    look-up of a name, and then each attempt to connect, with TLS. Needs a running event loop from the first post on.
    """

    def __init__(
        self,
        *,
        allow_networks: Networks = (),
        connections: int = 512,
        connections_per_host: int = 64,
        total_seconds: float = 15,
        connect_seconds: float = 5,
        resolver: AbstractResolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._total_seconds = total_seconds
        self._extensions = {"timeout": {"connect": connect_seconds}}
        # Endpoints are few and posts many: reading and checking a URL once saves a tenth of a post.
        self._destination = lru_cache(maxsize=1024)(partial(_destination, allowed=allow_networks))
        self._lookup = resolver or _Lookup()
        self._transport = _transport(
            connector=partial(
                aiohttp.TCPConnector,
                resolver=_GuardedResolver(self._lookup, allowed=allow_networks, seconds=connect_seconds),
                socket_factory=partial(_guarded_socket, allowed=allow_networks),
                limit=connections,
                limit_per_host=connections_per_host,
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
                ttl_dns_cache=_LOOKUP_MEMORY_SECONDS,
            ),
            ssl_context=ssl_context or _default_ssl_context(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; posts under way fail."""
        await self._transport.aclose()
        await self._lookup.close()

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> OutboundAnswer:
        """Post once, following no redirect: any status is an answer, and judging it is the caller's.

        Raises `OutboundError` where there is none, and `ValueError` for headers that no message can carry.
        """
        started = time.perf_counter()
        try:
            destination = self._destination(url)
            async with asyncio.timeout(self._total_seconds):
                return await self._exchange(destination, content=content, headers=headers, started=started)
        except _RefusedError as error:
            raise OutboundError(error.code, str(error), duration_seconds=time.perf_counter() - started) from None
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            seconds = time.perf_counter() - started
            code, message = _verdict(error, seconds=seconds)
            # Not chained: the text of the libraries' errors may repeat the whole URL.
            raise OutboundError(code, f"{destination.origin}: {message}", duration_seconds=seconds) from None

    async def _exchange(
        self, destination: "_Destination", *, content: bytes, headers: Mapping[str, str], started: float
    ) -> OutboundAnswer:
        sent = {name.lower(): value for name, value in headers.items()}
        sent |= {"accept-encoding": "identity", "content-length": str(len(content))}
        sent.pop("transfer-encoding", None)
        # A large body goes out bit by bit, so that it does not hold up everybody else's.
        body_sent = content if len(content) <= _PIECE else _pieces(content)
        request = httpx.Request("POST", destination.url, headers=sent, content=body_sent, extensions=self._extensions)
        response = await self._transport.handle_async_request(request)
        try:
            body, truncated = await _read(response)
        finally:
            await response.aclose()
        return OutboundAnswer(
            status=response.status_code,
            headers=_merged(response.headers.raw),
            body=body,
            truncated=truncated,
            duration_seconds=time.perf_counter() - started,
        )


class _Destination(NamedTuple):
    """A URL that was read and found callable as far as it alone can tell, and what to call it before people."""

    url: httpx.URL
    origin: str


class _RefusedError(OSError):
    """Raised inside the transport, which carries errors of the system's kind unharmed through its fallbacks."""

    def __init__(self, code: OutboundCode, reason: str) -> None:
        super().__init__(reason)
        self.code: OutboundCode = code


class _Lookup(AbstractResolver):
    """The system's resolver on threads of its own: names that hang hold up no other work, nor work the names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="duly-lookup")

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        find = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, find)
        return [
            ResolveResult(hostname=host, host=str(at[0]), port=port, family=kind, proto=protocol, flags=0)
            for kind, _, protocol, _, at in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class _GuardedResolver(AbstractResolver):
    """Refuses a name if any one of its addresses is refused, and gives up on slow look-ups."""

    def __init__(self, lookup: AbstractResolver, *, allowed: Networks, seconds: float) -> None:
        self._lookup = lookup
        self._allowed = allowed
        self._seconds = seconds

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        async with asyncio.timeout(self._seconds):
            found = await self._lookup.resolve(host, port, socket.AddressFamily(family))
        reasons = [connection_refusal(one["host"], one["port"], allowed=self._allowed) for one in found]
        if is_localhost(host) and None in reasons:
            # Both families lead to this machine: allowing one of them allows the name.
            return [one for one, reason in zip(found, reasons, strict=True) if reason is None]
        for reason in filter(None, reasons):
            raise _RefusedError("REFUSED_ADDRESS", reason)
        if not found:
            raise OSError(None, "it has no address")
        return found

    async def close(self) -> None:
        await self._lookup.close()


class _BoundedHandler(ResponseHandler):
    """Takes one answer for one request, and few interim ones before it.

    aiohttp alone takes any number of `100 Continue`: one receiver that floods them was measured to stop the loop for
    the whole deadline and to fill 75 MB of memory a second. It also takes for the next request's answer what came
    while none was under way, such as the `408` that some proxies send as they close an idle connection.
    """

    _still_due = 0

    def set_response_params(self, **parameters: Any) -> None:
        self._still_due = _MESSAGE_LIMIT
        super().set_response_params(**parameters)

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        if self._still_due:
            self._still_due = self._still_due - 1 if 100 <= data[0].code < 200 else 0  # noqa: PLR2004 - interim ones
            super().feed_data(data, size)
        elif self.exception() is None:
            self.abort()
            self.set_exception(aiohttp.ClientPayloadError("more messages than one request is due"))


def _destination(url: str, *, allowed: Networks) -> _Destination:
    try:
        target = parse_target(url)
        requested = httpx.URL(target.url)
    except (ValueError, httpx.InvalidURL) as error:
        raise _RefusedError("INVALID_URL", str(error)) from None
    reason = target_refusal(target, allowed=allowed)
    if reason is not None:
        raise _RefusedError("REFUSED_ADDRESS", reason)
    return _Destination(requested, target.origin)


def _guarded_socket(address: aiohttp.AddrInfoType, *, allowed: Networks) -> socket.socket:
    """Make the socket for exactly this address, or refuse to: no connection comes about any other way."""
    family, kind, protocol, _, at = address
    reason = connection_refusal(str(at[0]), int(at[1]), allowed=allowed)
    if reason is not None:
        raise _RefusedError("REFUSED_ADDRESS", reason)
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    return made


def _transport(*, connector: "partial[aiohttp.TCPConnector]", ssl_context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """What carries httpx's requests; the one place to change it. It keeps no cookies and asks no proxy or netrc."""

    def session() -> aiohttp.ClientSession:
        connections = connector(ssl=ssl_context)
        handler: type[ResponseHandler] = _BoundedHandler
        connections._factory = partial(handler, loop=asyncio.get_running_loop())  # noqa: SLF001 - there is no other way in
        return aiohttp.ClientSession(
            connector=connections,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            max_headers=_HEADER_LIMIT,
        )

    return AiohttpTransport(client=session, verify=ssl_context, trust_env=False)


def _default_ssl_context() -> ssl.SSLContext:
    """The system's authorities, which its owner may have added to; where it has none, those that come with httpx."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return ssl.create_default_context()
    return httpx.create_ssl_context(trust_env=False)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


def _merged(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > ANSWER_LIMIT:
            return bytes(body[:ANSWER_LIMIT]), True
    return bytes(body), False


def _verdict(error: Exception, *, seconds: float) -> tuple[OutboundCode, str]:
    """What went wrong, from the carrier's own error: httpx's is coarser (it calls a lost connection a timeout)."""
    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
    code: OutboundCode = "BROKEN_ANSWER"
    match cause:
        case aiohttp.ClientConnectorError(os_error=_RefusedError() as refused):
            code, message = refused.code, str(refused)
        case aiohttp.ClientConnectorCertificateError():
            code, message = "TLS_FAILED", f"the certificate is not valid ({_words(cause.certificate_error)})."
        case aiohttp.ClientSSLError():
            code, message = "TLS_FAILED", "no TLS connection could be agreed on."
        case aiohttp.ServerTimeoutError():
            code, message = "TIMED_OUT", f"no connection within {seconds:.1f} seconds."
        case TimeoutError():
            code, message = "TIMED_OUT", f"no complete answer within {seconds:.1f} seconds."
        case aiohttp.ClientConnectorDNSError():
            code, message = "CONNECT_FAILED", f"the name cannot be looked up ({_words(cause.os_error)})."
        case aiohttp.ClientConnectorError():
            code, message = "CONNECT_FAILED", f"no connection could be made ({_words(cause.os_error)})."
        case aiohttp.ServerDisconnectedError():
            message = "the connection was closed without an answer."
        case _:
            message = f"the answer broke off or is not HTTP ({type(cause).__name__})."
    return code, message


def _words(error: Exception) -> str:
    """The system's own words, without the addresses that libraries put around them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or type(error).__name__
