"""Forwarded headers: client, scheme, host and prefix of a request, as far back as its proxies are
trusted.

`Forwarded` is RFC 7239; most proxies send `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`. Where both are present
the latter are used: a proxy that sets them often passes on a `Forwarded` header of the client.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from duly.domain.special_addresses import Address

IsTrusted = Callable[[Address], bool]

_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<ipv4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
_SEGMENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]+")
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(rf'[ \t]*({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)")[ \t]*(;|,|$)')


class Peer(NamedTuple):
    """Address and port; port 0: not given."""

    address: Address
    port: int


class Forwarded(NamedTuple):
    """Facts given by trusted proxies; None: not given."""

    client: Peer | None = None
    scheme: str | None = None
    host: str | None = None
    prefix: str | None = None


def read_forwarded(headers: Sequence[tuple[bytes, bytes]], is_trusted: IsTrusted) -> Forwarded:
    """Reads the headers of a request that came from a trusted proxy."""
    fors, schemes, hosts, prefixes = (
        _list(headers, name)
        for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix")
    )
    if not (fors or schemes or hosts):
        elements = _elements(", ".join(_values(headers, b"forwarded")))
        fors, schemes, hosts = ([one.get(name, "") for one in elements] for name in ("for", "proto", "host"))
    client, back = _client(fors, is_trusted)
    scheme, host = _from_the_end(schemes, back).lower(), _from_the_end(hosts, back)
    return Forwarded(
        client,
        scheme if scheme in _SCHEMES else None,
        host if _HOST.fullmatch(host) else None,
        path_prefix("".join(f"/{one.strip('/')}" for one in prefixes)) if prefixes else None,
    )


def _client(fors: Sequence[str], is_trusted: IsTrusted) -> tuple[Peer | None, int]:
    """Returns the first entry, from the end, that is not a trusted proxy, and its position from the end. An entry that
    is not an address ends the search: the client is then the proxy that wrote it.
    """
    client: Peer | None = None
    back = 1
    for back, text in enumerate(reversed(fors), 1):  # noqa: B007  # the place is wanted after the loop
        peer = read_peer(text)
        if peer is None:
            break
        client = peer
        if not is_trusted(peer.address):
            break
    return client, back


def _from_the_end(values: Sequence[str], index: int) -> str:
    """Returns the value of the proxy that wrote the client's entry; the oldest where there are fewer values."""
    return values[-min(index, len(values))] if values else ""


def read_peer(text: str) -> Peer | None:
    """Reads an address with or without a port, IPv6 with or without brackets; returns None for anything else. An
    IPv4-mapped address is read as IPv4.
    """
    found = _HOST_AND_PORT.fullmatch(text)
    try:
        address = ip_address((found["ipv6"] or found["ipv4"]) if found else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return Peer(address, int(found["port"] or 0) if found else 0)


def path_prefix(text: str) -> str | None:
    """Returns a prefix as it goes before a path: `/a/b`, or nothing for the root; None for text that is not a path."""
    stripped = text.rstrip("/")
    if not stripped:
        return ""
    start, *segments = stripped.split("/")
    return stripped if not start and all(map(_SEGMENT.fullmatch, segments)) else None


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for given, value in headers if given == name]


def _list(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [part for value in _values(headers, name) for one in value.split(",") if (part := one.strip())]


def _elements(text: str) -> list[dict[str, str]]:
    """Returns the elements of `Forwarded`, oldest first; none where it does not follow the grammar of the RFC."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return []
        name, token, quoted, end = pair.groups()
        elements[-1][name.lower()] = token if token is not None else re.sub(r"\\(.)", r"\1", quoted)
        at = pair.end()
        if end == ",":
            elements.append({})
    return [one for one in elements if one]
