"""Resolver: addresses of a name that may be called, and sockets for them. The egress policy is enforced here."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol

from duly.domain.egress_policy import EgressPolicy, connection_refusal, is_localhost
from duly.outbound.response import AddressBlocked, RequestFailed
from duly.outbound.url import Origin

# One row of `socket.getaddrinfo`.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

# Short, for receivers that move. Safe, because each connection is checked by its own address.
_MEMORY_SECONDS: Final = 5
_MEMORY_SIZE: Final = 1024
# Names that hang can occupy all threads; then a known name is called at its last addresses (RFC 8767).
_STALE_SECONDS: Final = 300
_PATIENCE_SECONDS: Final = 0.25
# A name that hangs occupies one of these until the system gives up, which may take half a minute.
_LOOKUPS_AT_ONCE: Final = 64
# Received data is parsed at once, so the buffer is smaller than the limit of a response.
_RECEIVE_BUFFER: Final = 32 * 1024


class Lookup(Protocol):
    """DNS lookup without checks."""

    async def resolve(self, host: str, port: int) -> list[AddressInfo]: ...

    def close(self) -> None: ...


class SystemLookup:
    """Lookup by the system's resolver on its own threads: names that hang delay no other work, and other
    work no names.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="duly-lookup")

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        find = partial(socket.getaddrinfo, host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        return list(await asyncio.get_running_loop().run_in_executor(self._threads, find))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedLookup:
    """Lookup that refuses a name if one of its addresses is refused, with a timeout and a cache.

    Concurrent requests to a new name share one lookup. It continues after they have timed out, and later requests wait
    for it too, so a name that hangs never has two lookups in progress. For a name that was found within the last
    minutes the wait is short, because its last addresses are used.
    """

    def __init__(self, lookup: Lookup, *, egress: EgressPolicy, seconds: float) -> None:
        self.lookup = lookup
        self._egress = egress
        self._seconds = seconds
        self._known: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}
        self._last: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}

    async def find(self, host: str, port: int) -> list[AddressInfo]:
        """Returns the addresses of a name.

        Raises:
            RequestFailed: the lookup failed or took too long, or an address is refused.
        """
        task = self._known.get((host, port))
        if task is None:
            task = asyncio.create_task(self._resolve(host, port))
            self._remember((host, port), task)
        stale = self._stale((host, port))
        try:
            async with asyncio.timeout(self._seconds if stale is None else min(_PATIENCE_SECONDS, self._seconds)):
                return await asyncio.shield(task)
        except TimeoutError:
            if stale is not None:
                return stale
            message = f"no connection within {self._seconds:.1f} seconds: the DNS lookup has not finished."
            raise RequestFailed("TIMED_OUT", message) from None

    def _stale(self, name: tuple[str, int]) -> list[AddressInfo] | None:
        """Returns the addresses of an earlier lookup, if that was not long ago."""
        found_at, found = self._last.get(name, (float("-inf"), []))
        return found if found_at > asyncio.get_running_loop().time() - _STALE_SECONDS else None

    async def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        try:
            found = await self.lookup.resolve(host, port)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RequestFailed("CONNECT_FAILED", f"DNS lookup failed ({reason}).") from None
        return self._checked(host, found)

    def _checked(self, host: str, found: list[AddressInfo]) -> list[AddressInfo]:
        if not found:
            raise RequestFailed("CONNECT_FAILED", "DNS lookup failed (the name has no address).")
        reasons = [connection_refusal(str(at[0]), int(at[1]), egress=self._egress) for *_, at in found]
        if is_localhost(host) and None in reasons:
            # Both families are this machine: allowing one of them allows the name.
            return [one for one, reason in zip(found, reasons, strict=True) if reason is None]
        for reason in filter(None, reasons):
            raise RequestFailed("BLOCKED_ADDRESS", reason)
        return found

    def _remember(self, name: tuple[str, int], task: "asyncio.Task[list[AddressInfo]]") -> None:
        self._known[name] = task
        if len(self._known) > _MEMORY_SIZE:
            del self._known[next(iter(self._known))]
        task.add_done_callback(partial(self._found, name))

    def _found(self, name: tuple[str, int], task: "asyncio.Task[list[AddressInfo]]") -> None:
        """Starts the lifetime of a result; failures are not cached."""
        self._last.pop(name, None)
        if task.cancelled() or task.exception() is not None:
            self._forget(name, task)
            return
        loop = asyncio.get_running_loop()
        self._last[name] = loop.time(), task.result()
        if len(self._last) > _MEMORY_SIZE:
            del self._last[next(iter(self._last))]
        loop.call_later(_MEMORY_SECONDS, self._forget, name, task)

    def _forget(self, name: tuple[str, int], task: "asyncio.Task[list[AddressInfo]]") -> None:
        if self._known.get(name) is task:
            del self._known[name]

    def close(self) -> None:
        for task in self._known.values():
            task.cancel()
        self.lookup.close()


def literal(origin: Origin) -> list[AddressInfo]:
    """Returns the address in a URL, in the form of a lookup result."""
    family = socket.AF_INET6 if ":" in origin.host else socket.AF_INET
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (origin.host, origin.port))]


def guarded_socket(address: AddressInfo, *, egress: EgressPolicy) -> socket.socket:
    """Makes the socket for exactly this address. No connection is made in any other way.

    Raises:
        AddressBlocked: the egress policy refuses the address.
    """
    family, kind, protocol, _, at = address
    reason = connection_refusal(str(at[0]), int(at[1]), egress=egress)
    if reason is not None:
        raise AddressBlocked(reason)
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    return made
