"""Ports that outgoing requests may use: common ports of web servers, and those that the operator adds."""

from dataclasses import dataclass
from typing import Final

# Ports of databases and administration interfaces: a request there is more likely an attack than a webhook.
GUARDED_PORTS: Final = frozenset(
    {1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5900, 5984, 6379, 6443, 8500, 9042}
    | {9092, 9200, 9300, 10250, 10255, 11211, 15672, 25672, 26379, 27017, 27018, 27019}
)
LARGEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Ports:
    """Single ports and ranges. A range never includes a guarded port; only naming it singly does."""

    single: frozenset[int]
    ranges: tuple[range, ...] = ()

    def __contains__(self, port: int) -> bool:
        if port in self.single:
            return True
        return port not in GUARDED_PORTS and any(port in ports for ports in self.ranges)

    def __str__(self) -> str:
        shown = [(port, str(port)) for port in self.single]
        shown += [(ports.start, f"{ports.start}-{ports.stop - 1}") for ports in self.ranges]
        return ", ".join(text for _, text in sorted(shown))


def parse_ports(text: str) -> Ports:
    """Parses a comma-separated list such as `80,443,8000-8999`.

    Raises:
        ValueError: an entry is not a port or an ascending range of ports; the message names it.
    """
    single: set[int] = set()
    ranges: list[range] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = (part.strip() for part in entry.partition("-"))
        if not (_is_port(first) and (not dash or (_is_port(last) and int(first) <= int(last)))):
            raise ValueError(f"{entry!r} is not a port from 1 to {LARGEST_PORT}, or a range of them such as 8000-8999")
        if dash:
            ranges.append(range(int(first), int(last) + 1))
        else:
            single.add(int(first))
    return Ports(frozenset(single), tuple(ranges))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= LARGEST_PORT  # noqa: PLR2004 - digits


RECEIVER_PORTS: Final = parse_ports("80,443,1024-65535")
