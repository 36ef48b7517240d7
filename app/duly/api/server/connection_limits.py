"""Limits of connections: their number, and the time that each may be silent or slow. They apply before authentication.

The parser's limits (bytes and lines of a head) are in `duly.api.server.request_head_rules`.
"""

import resource
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import Protocol

from duly.api.server.reverse_proxies import Proxies
from duly.deadline_queue import Deadlines
from duly.node import Node
from duly.settings import Settings

LEAST_BYTES_PER_SECOND = 1 << 10
# Bytes read from a client after an error, so that it can read the response.
LINGER_BYTES = 1 << 20

# File descriptors reserved for the database, webhooks, files and handlers: a number, or a share if there are few.
SPARE_FILES, SPARE_SHARE = 600, 0.25
# Connections that are searched for an idle one of an address.
SEARCHED = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts of a connection, in seconds.

    Attributes:
        head: from the connection, or the first byte of a later request, to the end of its head.
        idle: between two requests.
        body_check: interval in which a body must grow by `LEAST_BYTES_PER_SECOND`. Time in which the application does
            not read does not count.
        body: for a whole body; NDJSON has no such limit.
        response_check: interval in which a client must read its response at that rate.
        linger: for reading an error response.
        half_closed: for a response to begin after the client has closed its sending side, or has disconnected.
        probe: from the half-close of a stream's client to the check whether it has disconnected.
    """

    head: float = 10.0
    idle: float = 75.0
    body_check: float = 10.0
    body: float = 30.0
    response_check: float = 60.0
    linger: float = 2.0
    half_closed: float = 75.0
    probe: float = 0.5


LIMITS = Limits()


class Connection(Protocol):
    """Connection with its timeouts."""

    address: str

    def head_late(self) -> None: ...
    def idle_over(self) -> None: ...
    def check_body(self) -> None: ...
    def check_response(self) -> None: ...
    def linger_over(self) -> None: ...
    def half_over(self) -> None: ...
    def check_client(self) -> None: ...


@dataclass(slots=True, eq=False)
class Place:
    """Place of one connection in the limits, until `leave`."""

    _connections: "Connections"
    _address: str | None
    taken: bool = True

    def leave(self) -> None:
        """Releases the place. Repeated calls have no effect."""
        if self.taken:
            self.taken = False
            self._connections.left(self._address)


class Connections:
    """Connections of one process.

    Args:
        most: maximum number.
        most_of_address: maximum number of one address, or of one IPv6 network of 64 bits.
        is_proxy: returns whether an address is a proxy, which `most_of_address` does not limit.
        closed: called with the reason when a connection is closed because of its client.
        counted: called with the number of connections when it changes.
        limits: timeouts.
    """

    def __init__(
        self,
        *,
        most: int,
        most_of_address: int,
        is_proxy: Callable[[str], bool],
        closed: Callable[[str], None],
        counted: Callable[[int], None],
        limits: Limits = LIMITS,
    ) -> None:
        self.most = most
        self.most_of_address = most_of_address
        self.limits = limits
        self.count = 0
        self._counted = counted
        self.closed = closed
        self._is_proxy = is_proxy
        self._of_address: Counter[str] = Counter()
        self.heads = Deadlines[Connection](limits.head, lambda connection: connection.head_late())
        self.idle = Deadlines[Connection](limits.idle, lambda connection: connection.idle_over())
        self.bodies = Deadlines[Connection](limits.body_check, lambda connection: connection.check_body())
        self.responses = Deadlines[Connection](limits.response_check, lambda connection: connection.check_response())
        self.leaving = Deadlines[Connection](limits.linger, lambda connection: connection.linger_over())
        self.half_closed = Deadlines[Connection](limits.half_closed, lambda connection: connection.half_over())
        self.probes = Deadlines[Connection](limits.probe, lambda connection: connection.check_client())
        self._deadlines = (
            *(self.heads, self.idle, self.bodies, self.responses),
            *(self.leaving, self.half_closed, self.probes),
        )

    @property
    def full(self) -> bool:
        """Returns whether a new connection replaces another."""
        return self.count >= self.most

    def take(self, host: str) -> Place | None:
        """Returns a place for a new connection, if necessary that of the oldest idle one; None if none is idle."""
        address = None if self._is_proxy(host) else network_of(host)
        if address is not None and self._of_address[address] >= self.most_of_address and not self._close_first(address):
            return None
        if self.full and not self.make_room():
            return None
        self.count += 1
        self._counted(self.count)
        if address is not None:
            self._of_address[address] += 1
        return Place(self, address)

    def left(self, address: str | None) -> None:
        """Counts a connection as closed; called by its `Place`."""
        self.count -= 1
        self._counted(self.count)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def make_room(self, count: int = 1) -> bool:
        """Closes connections that wait for a request, or else one whose client may have disconnected. Returns whether
        any was closed.
        """
        return sum(self._close_first() for _ in range(count)) > 0

    def _close_first(self, address: str | None = None) -> bool:
        """Closes the oldest connection, of all or of one address: of those that never sent a request or of those that
        did, depending on which are more. So a crowd of one kind does not displace the other kind.
        """
        fresh, kept = self.heads, self.idle
        order = (fresh, kept) if len(fresh) > len(kept) else (kept, fresh)
        for waiting in (*order, self.half_closed):
            for oldest in self._first(waiting, address):
                self.closed("room")
                oldest.idle_over()
                return True
        return False

    @staticmethod
    def _first(waiting: Deadlines[Connection], address: str | None) -> Iterable[Connection]:
        if address is None:
            return list(islice(waiting, 1))
        searched = islice(waiting, SEARCHED)
        return list(islice((each for each in searched if network_of(each.address) == address), 1))

    def forget(self, connection: Connection) -> None:
        """Removes a connection from all deadlines."""
        for deadlines in self._deadlines:
            deadlines.take_out(connection)

    def close(self) -> None:
        """Ends all deadlines."""
        for deadlines in self._deadlines:
            deadlines.close()


def connections_of(node: Node) -> Connections:
    """Returns the limits of this process's connections."""
    settings, closed = node.settings, node.metrics.connections_closed
    most, most_of_address = most_connections(settings, files=raise_file_limit())
    return Connections(
        most=most,
        most_of_address=most_of_address,
        is_proxy=Proxies(settings).trusts,
        closed=lambda reason: closed.labels(reason).inc(),
        counted=node.metrics.connections.set,
        limits=LIMITS,
    )


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """Returns the unit that `most_of_address` limits: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def raise_file_limit() -> int:
    """Raises the soft limit of open files to the hard one. Returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS accepts less than its hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def most_connections(settings: Settings, *, files: int) -> tuple[int, int]:
    """Returns the maximum number of connections, in total and of one address, for a number of file descriptors."""
    most = settings.connection_limit
    if files != resource.RLIM_INFINITY:
        most = min(most, max(files - SPARE_FILES, int(files * (1 - SPARE_SHARE))))
    of_address = settings.connections_per_address or max(1, most * 3 // 4)
    return most, min(of_address, most)
