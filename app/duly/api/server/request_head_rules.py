"""Rules for the head of a request, checked before authentication: sizes, `Host`, framing and form of the target.

Sources: RFC 9112, sections 3.2 (Host, forms of the target), 6.1 (framing) and 7.1.2 (trailers); RFC 9110, section 7.8
(an `Upgrade` may be ignored).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address

HEAD_BYTES = 64 << 10
HEADER_LINES = 200
TARGET_BYTES = 16 << 10
# Above the 253 bytes of a DNS name; results are cached, so it must be bounded.
LONGEST_HOST = 512
VERSIONS = frozenset({"1.0", "1.1"})

_NAME = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
_HOST = re.compile(rb"(?:%b|\[([0-9A-Fa-f:.]+)\])(?::(\d{0,5}))?" % _NAME)
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_LARGEST_PORT = 65_535

Header = tuple[bytes, bytes]


def is_host(value: bytes) -> bool:
    """Returns whether this is a host, with or without a port. Scheme `http` does not allow an empty one."""
    return len(value) <= LONGEST_HOST and _is_host(value)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    match = _HOST.fullmatch(value)
    if match is None or int(match[2] or 0) > _LARGEST_PORT:
        return False
    if match[1] is None:
        return True
    try:
        IPv6Address(match[1].decode())
    except ValueError:
        return False
    return True


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """Splits a target in absolute form into its host and its path with the query; None for any other form."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return None
    rest = match[2]
    return match[1], rest if rest.startswith(b"/") else b"/" + rest


def upgrades_to_socket(headers: Sequence[Header], *, method: bytes, version: str) -> bool:
    """Returns whether this is an upgrade to WebSocket that can be accepted: a GET without a body."""
    if method != b"GET" or version != "1.1":
        return False
    offers = b",".join(value for name, value in headers if name == b"upgrade").lower().split(b",")
    framed = any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers
    )
    return b"websocket" in (offer.strip() for offer in offers) and not framed


def rebuilt(headers: Sequence[Header], *, method: bytes, target: bytes, version: str, upgrade: bytes | None) -> bytes:
    """Returns the head of this request with this `Upgrade`, or without one."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    if upgrade is not None:
        lines.append(b"upgrade: " + upgrade)
    return b"\r\n".join(lines) + b"\r\n\r\n"
