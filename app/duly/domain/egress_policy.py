"""Egress policy: addresses and ports that outgoing requests may use, checked as far as a URL alone
allows.

A URL is parsed once into a `Target` with one canonical spelling. That spelling is both checked and requested, so two
parsers cannot disagree about the destination. The addresses of a name are checked by the client when it connects.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import idna

from duly.domain.egress_ports import LARGEST_PORT, RECEIVER_PORTS, Ports
from duly.domain.special_addresses import Address, Network, embedded, special_network

Networks = tuple[Network, ...]

LONGEST_URL: Final = 2_048

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_AUTHORITY: Final = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:@%]+))(?::(?P<port>[0-9]*))?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?")
_LONGEST_NAME: Final = 253
_LARGEST_OCTET: Final = 255
_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class Target:
    """Destination of a URL: a name in lower-case ASCII, or an address in canonical text (without brackets). `path`
    begins with `/` and includes the query; a fragment is never sent and is dropped.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_address(self) -> bool:
        """Returns whether the host is an IP address."""
        return ":" in self.host or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def origin(self) -> str:
        """Returns host and port for messages; it has no secrets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Returns the canonical URL."""
        return f"{self.scheme}://{self.origin}{self.path}"


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Allowed destinations: every public address on one of `ports`, and any port in `networks`."""

    networks: Networks = ()
    ports: Ports = RECEIVER_PORTS


PUBLIC: Final = EgressPolicy()


def parse_networks(text: str) -> Networks:
    """Parses a comma-separated list of CIDRs; a bare address is a network of its own.

    Raises:
        ValueError: an entry is not a network, or has bits set beyond its prefix; the message names it.
    """
    return tuple(_network(part) for entry in text.split(",") if (part := entry.strip()))


def refusal(address: str, *, allowed: Networks) -> str | None:
    """Returns the reason why the address may not be called, as one sentence; None if it may. Allowed networks take
    precedence.

    An IPv4-mapped IPv6 address is judged by the address inside, one with a zone (`fe80::1%eth0`) without the zone. Any
    other form that embeds an IPv4 address is allowed only where that address is, too: an allowed NAT64 prefix permits
    the public addresses behind it, and not `64:ff9b::10.0.0.1`.
    """
    try:
        parsed = _inner(ip_address(address))
    except ValueError:
        return f"{address!r} is not an IP address."
    if not _is_allowed(parsed, allowed) and (found := special_network(parsed)) is not None:
        network, meaning = found
        return (
            f"Blocked destination {parsed}: it is in {network} ({meaning}). "
            "To allow it, add its network to DULY_WEBHOOK_ALLOW_NETWORKS."
        )
    for carried in embedded(parsed):
        if not _is_allowed(carried, allowed) and (found := special_network(carried)) is not None:
            network, meaning = found
            return (
                f"Blocked destination {parsed}: it embeds {carried}, which is in {network} ({meaning}). "
                "To allow it, add that network to DULY_WEBHOOK_ALLOW_NETWORKS."
            )
    return None


def connection_refusal(address: str, port: int, *, egress: EgressPolicy) -> str | None:
    """Returns the reason why no connection may be made to this address and port; None if one may."""
    reason = refusal(address, allowed=egress.networks)
    if reason is not None or _is_allowed(_inner(ip_address(address)), egress.networks):
        return reason
    return _port_refusal(port, egress.ports)


def parse_target(url: str) -> Target:
    """Parses an http(s) URL into the canonical spelling that is checked and requested.

    Unusual spellings of IPv4 addresses (`127.1`, `0x7f000001`, `2130706433`, `017700000001`) are normalized.

    Raises:
        ValueError: not a usable URL; the message repeats no path, query or password.
    """
    if len(url) > LONGEST_URL:
        raise ValueError(f"The URL is longer than {LONGEST_URL} characters.")
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("The URL contains white space, a backslash or a control character.")
    try:
        scheme, authority, path, query, _ = urlsplit(url)
    except ValueError:
        raise ValueError("The URL is malformed.") from None
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("The URL must begin with http:// or https://.")
    host, port = _host_and_port(authority)
    return Target(
        scheme=scheme,
        host=host,
        port=_DEFAULT_PORTS[scheme] if port is None else port,
        path=(path or "/") + (f"?{query}" if query else ""),
    )


def target_refusal(target: Target, *, egress: EgressPolicy) -> str | None:
    """Returns the reason why the target may not be called, as far as is known without a DNS lookup; None if it may."""
    if target.is_address:
        return connection_refusal(target.host, target.port, egress=egress)
    if is_localhost(target.host):
        reasons = [refusal(loopback, allowed=egress.networks) for loopback in ("127.0.0.1", "::1")]
        return reasons[0] if all(reasons) else None
    # With allowed networks, where every port is open, the client decides when it knows the address.
    return None if egress.networks else _port_refusal(target.port, egress.ports)


def url_refusal(url: str, *, egress: EgressPolicy) -> str | None:
    """Returns the reason why the URL may not be called, as far as is known without a DNS lookup; None if it may."""
    try:
        target = parse_target(url)
    except ValueError as error:
        return str(error)
    return target_refusal(target, egress=egress)


def is_localhost(host: str) -> bool:
    """Returns whether the name is the machine itself by definition (RFC 6761, section 6.3)."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8 or fd00::/8: {error}") from None


def _is_allowed(address: Address, allowed: Networks) -> bool:
    return any(address in network for network in allowed)


def _inner(address: Address) -> Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _port_refusal(port: int, ports: Ports) -> str | None:
    if port in ports:
        return None
    return (
        f"Blocked port {port}: DULY_WEBHOOK_PORTS allows {ports}; a range excludes well-known ports of databases and "
        "administration. All ports are allowed in the networks of DULY_WEBHOOK_ALLOW_NETWORKS."
    )


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise ValueError("The URL must not contain a user name or password.")
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise ValueError("The URL's host or port is malformed." if authority else "The URL has no host.")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port <= LARGEST_PORT:
        raise ValueError(f"The URL's port must be between 1 and {LARGEST_PORT}.")
    return _ipv6(found["ipv6"]) if found["ipv6"] else _name_or_ipv4(found["host"]), port


def _ipv6(text: str) -> str:
    try:
        return str(_inner(IPv6Address(text)))
    except ValueError:
        raise ValueError("The URL's host is not an IPv6 address.") from None


def _name_or_ipv4(host: str) -> str:
    name = _ascii(host).lower()
    parts = name.removesuffix(".").split(".")
    if _NUMBER.fullmatch(parts[-1]):
        return str(_ipv4(parts))
    if len(name.removesuffix(".")) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError("The URL's host is neither a name nor an address.")
    return name


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except UnicodeError:
        raise ValueError("The URL's host is not a valid international name.") from None


def _ipv4(parts: list[str]) -> IPv4Address:
    """Returns the address of one to four numbers as `inet_aton` reads them: the last fills the remaining octets."""
    try:
        *high, low = [_number(part) for part in parts]
    except ValueError:
        raise ValueError("The URL's host is not an IPv4 address.") from None
    if len(parts) > _OCTETS or max(high, default=0) > _LARGEST_OCTET or low >= 256 ** (_OCTETS - len(high)):
        raise ValueError("The URL's host is not an IPv4 address.")
    return IPv4Address(low + sum(octet << 8 * (3 - place) for place, octet in enumerate(high)))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)
