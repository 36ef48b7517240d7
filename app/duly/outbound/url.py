"""Where a request goes: a URL, read and checked as far as it alone can tell."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from duly.domain.egress_policy import EgressPolicy, Target, parse_target, target_refusal
from duly.outbound.response import PostFailed

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
# What RFC 3986 lets a path and a query hold besides letters and digits; anything else is percent-encoded.
_AS_IT_IS: Final = "-._~!$&'()*+,;=:@/?[]%"
_LONE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class Origin(NamedTuple):
    """What one connection leads to."""

    tls: bool
    host: str
    port: int


class Destination(NamedTuple):
    """`shown` is host and port, for people; `start` is what follows the method, up to the headers that
    differ from request to request.
    """

    origin: Origin
    is_name: bool
    shown: str
    start: str


def read_destination(url: str, *, reach: EgressPolicy) -> Destination:
    """Raises `PostFailed` for what is no URL of a receiver, or one that may not be called."""
    try:
        target = parse_target(url)
    except ValueError as error:
        raise PostFailed("INVALID_URL", str(error)) from None
    reason = target_refusal(target, reach=reach)
    if reason is not None:
        raise PostFailed("BLOCKED_ADDRESS", reason)
    origin = Origin(target.scheme == "https", target.host, target.port)
    return Destination(origin, not target.is_address, target.origin, _start(target))


def _start(target: Target) -> str:
    path = quote(_LONE_PERCENT.sub("%25", target.path), safe=_AS_IT_IS)
    host = target.origin
    if target.port == _DEFAULT_PORT[target.scheme]:
        host = host.rpartition(":")[0]
    return f" {path} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n"
