"""Limits of connections: how many there may be, and how long each may be silent or slow. All hold before any key is
looked at.

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
from duly.deadlines import Deadlines
from duly.node import Node
from duly.settings import Settings

LEAST_BYTES_A_SECOND = 1 << 10
# How much of what a client sends after a refusal is still read, so that it can read why.
LINGER_BYTES = 1 << 20

# Descriptors left for the database, webhooks, files and handlers: so many, or this share where there are few.
SPARE_FILES, SPARE_SHARE = 600, 0.25
# Connections of one address that are looked through for an idle one.
LOOKED_THROUGH = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Times that a client has, in seconds.

    `head`: from the connection, or from the first byte of a later request, to the end of its head. `idle`: between two
    requests. `body_look`: a body must have grown by `LEAST_BYTES_A_SECOND` in each such time, and be whole after `body`
    (lines may come without an end); time in which the application does not read does not count. `response_look`: a
    response that waits for its client must have gone by that rate. `linger`: for reading a refusal. `half_closed`: for
    a response to begin whose client has closed its sending side, or has gone. `probe`: from a client's half-close on a
    stream to the look whether it has gone.
    """

    head: float = 10.0
    idle: float = 75.0
    body_look: float = 10.0
    body: float = 30.0
    response_look: float = 60.0
    linger: float = 2.0
    half_closed: float = 75.0
    probe: float = 0.5


LIMITS = Limits()


class Connection(Protocol):
    """One connection as this module sees it."""

    address: str

    def head_late(self) -> None: ...
    def idle_over(self) -> None: ...
    def look_at_body(self) -> None: ...
    def look_at_response(self) -> None: ...
    def linger_over(self) -> None: ...
    def half_over(self) -> None: ...
    def look_for_client(self) -> None: ...


@dataclass(slots=True, eq=False)
class Place:
    """One connection's place among all, until `leave`."""

    _connections: "Connections"
    _address: str | None
    taken: bool = True

    def leave(self) -> None:
        if self.taken:
            self.taken = False
            self._connections.left(self._address)


class Connections:
    """The connections of one process.

    Args:
        most: how many there may be.
        most_of_address: how many of one address, or of one IPv6 network of 64 bits.
        is_proxy: tells of addresses that speak for many clients, which `most_of_address` does not bound.
        closed: called with the reason of each connection that is closed for what its client does not do.
        counted: called with the number of connections when it changes.
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
        self.bodies = Deadlines[Connection](limits.body_look, lambda connection: connection.look_at_body())
        self.responses = Deadlines[Connection](limits.response_look, lambda connection: connection.look_at_response())
        self.leaving = Deadlines[Connection](limits.linger, lambda connection: connection.linger_over())
        self.half_closed = Deadlines[Connection](limits.half_closed, lambda connection: connection.half_over())
        self.probes = Deadlines[Connection](limits.probe, lambda connection: connection.look_for_client())
        self._deadlines = (
            *(self.heads, self.idle, self.bodies, self.responses),
            *(self.leaving, self.half_closed, self.probes),
        )

    @property
    def full(self) -> bool:
        """Returns whether one more takes the place of another."""
        return self.count >= self.most

    def take(self, host: str) -> Place | None:
        """Takes a place for one more, where need be that of the oldest idle one; None where there is none."""
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
        """Gives a place back; see `Place`."""
        self.count -= 1
        self._counted(self.count)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def make_room(self, count: int = 1) -> bool:
        """Closes connections that wait for a request, or else one whose client may have gone. Returns whether there was
        one.
        """
        return sum(self._close_first() for _ in range(count)) > 0

    def _close_first(self, address: str | None = None) -> bool:
        """Closes the oldest connection, of all or of one address: of those that never sent a request, or of those that
        did, whichever are more. So a crowd that does the one costs those that do the other nothing.
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
        looked_through = islice(waiting, LOOKED_THROUGH)
        return list(islice((each for each in looked_through if network_of(each.address) == address), 1))

    def forget(self, connection: Connection) -> None:
        """Takes a connection out of all deadlines."""
        for deadlines in self._deadlines:
            deadlines.take_out(connection)

    def close(self) -> None:
        """Ends all deadlines."""
        for deadlines in self._deadlines:
            deadlines.close()


def connections_of(node: Node) -> Connections:
    """Makes the limits of this process's connections."""
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
    """Returns what one client may have to itself: an IPv4 address, or an IPv6 network of 64 bits."""
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
    """Raises the soft limit of open files to the hard one. Returns what then holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS takes less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def most_connections(settings: Settings, *, files: int) -> tuple[int, int]:
    """Returns how many connections there may be, in all and of one address, with so many descriptors."""
    most = settings.connection_limit
    if files != resource.RLIM_INFINITY:
        most = min(most, max(files - SPARE_FILES, int(files * (1 - SPARE_SHARE))))
    of_address = settings.connections_per_address or max(1, most * 3 // 4)
    return most, min(of_address, most)
