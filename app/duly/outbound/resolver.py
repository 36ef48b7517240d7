"""From a name to the addresses that may be called, and to a socket for one of them: where the guard stands."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol

from duly.domain.egress_policy import EgressPolicy, connection_refusal, is_localhost
from duly.outbound.response import AddressRefused, PostFailed
from duly.outbound.url import Origin

# One row of `socket.getaddrinfo`.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

# Short, for receivers that move. It is no hole: a connection is checked by its own address, not by this memory.
_MEMORY_SECONDS: Final = 5
_MEMORY_SIZE: Final = 1024
# Names that hang can take all threads there are. A name that was found before is then called where it was (RFC 8767).
_STALE_SECONDS: Final = 300
_PATIENCE_SECONDS: Final = 0.25
# A name that hangs holds one of these for as long as the system tries, which may be half a minute.
_LOOKUPS_AT_ONCE: Final = 64
# What arrives in one go is parsed in one go, so no more is let arrive than an answer may hold.
_RECEIVE_BUFFER: Final = 32 * 1024


class Lookup(Protocol):
    """Finds the addresses of a name, unchecked."""

    async def resolve(self, host: str, port: int) -> list[AddressInfo]: ...

    def close(self) -> None: ...


class SystemLookup:
    """The system's resolver on threads of its own: names that hang hold up no other work, nor work the names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="duly-lookup")

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        find = partial(socket.getaddrinfo, host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        return list(await asyncio.get_running_loop().run_in_executor(self._threads, find))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedLookup:
    """Refuses a name if any one of its addresses is refused, gives up on slow look-ups, and remembers for a while.

    Many requests to a name that is not known yet share one look-up. It goes on after they have given up, and those that
    come then wait for it too: a name that hangs never has two look-ups under way. A name that was found within the last
    minutes does not wait long: where it led then is known.
    """

    def __init__(self, lookup: Lookup, *, reach: EgressPolicy, seconds: float) -> None:
        self.lookup = lookup
        self._reach = reach
        self._seconds = seconds
        self._known: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}
        self._last: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}

    async def find(self, host: str, port: int) -> list[AddressInfo]:
        """Raises `PostFailed`."""
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
            message = f"no connection within {self._seconds:.1f} seconds: the name is still being looked up."
            raise PostFailed("TIMED_OUT", message) from None

    def _stale(self, name: tuple[str, int]) -> list[AddressInfo] | None:
        """Returns where the name led when it was last found, if that was not long ago."""
        found_at, found = self._last.get(name, (float("-inf"), []))
        return found if found_at > asyncio.get_running_loop().time() - _STALE_SECONDS else None

    async def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        try:
            found = await self.lookup.resolve(host, port)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise PostFailed("CONNECT_FAILED", f"the name cannot be looked up ({reason}).") from None
        return self._checked(host, found)

    def _checked(self, host: str, found: list[AddressInfo]) -> list[AddressInfo]:
        if not found:
            raise PostFailed("CONNECT_FAILED", "the name cannot be looked up (it has no address).")
        reasons = [connection_refusal(str(at[0]), int(at[1]), reach=self._reach) for *_, at in found]
        if is_localhost(host) and None in reasons:
            # Both families lead to this machine: allowing one of them allows the name.
            return [one for one, reason in zip(found, reasons, strict=True) if reason is None]
        for reason in filter(None, reasons):
            raise PostFailed("BLOCKED_ADDRESS", reason)
        return found

    def _remember(self, name: tuple[str, int], task: "asyncio.Task[list[AddressInfo]]") -> None:
        self._known[name] = task
        if len(self._known) > _MEMORY_SIZE:
            del self._known[next(iter(self._known))]
        task.add_done_callback(partial(self._found, name))

    def _found(self, name: tuple[str, int], task: "asyncio.Task[list[AddressInfo]]") -> None:
        """Counts the time from here; what failed is not remembered."""
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
    """The address that a URL gives itself, in the form of a look-up's."""
    family = socket.AF_INET6 if ":" in origin.host else socket.AF_INET
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (origin.host, origin.port))]


def guarded_socket(address: AddressInfo, *, reach: EgressPolicy) -> socket.socket:
    """Make the socket for exactly this address, or refuse to: no connection comes about any other way."""
    family, kind, protocol, _, at = address
    reason = connection_refusal(str(at[0]), int(at[1]), reach=reach)
    if reason is not None:
        raise AddressRefused(reason)
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    return made
