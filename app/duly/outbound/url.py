"""Destination of a request: a URL, parsed and checked as far as possible without DNS."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from duly.domain.egress_policy import EgressPolicy, Target, parse_target, target_refusal
from duly.outbound.response import RequestFailed

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
# Characters of a path and a query in RFC 3986 besides letters and digits; others are percent-encoded.
_AS_IT_IS: Final = "-._~!$&'()*+,;=:@/?[]%"
_LONE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class Origin(NamedTuple):
    """Scheme, host and port of a connection."""

    tls: bool
    host: str
    port: int


class Destination(NamedTuple):
    """Parsed URL. `shown` is host and port, for messages; `start` is the head from the method up to the headers that
    differ from request to request.
    """

    origin: Origin
    is_name: bool
    shown: str
    start: str


def read_destination(url: str, *, egress: EgressPolicy) -> Destination:
    """Parses and checks a URL.

    Raises:
        RequestFailed: the URL is invalid or may not be called.
    """
    try:
        target = parse_target(url)
    except ValueError as error:
        raise RequestFailed("INVALID_URL", str(error)) from None
    reason = target_refusal(target, egress=egress)
    if reason is not None:
        raise RequestFailed("BLOCKED_ADDRESS", reason)
    origin = Origin(target.scheme == "https", target.host, target.port)
    return Destination(origin, not target.is_address, target.origin, _start(target))


def _start(target: Target) -> str:
    path = quote(_LONE_PERCENT.sub("%25", target.path), safe=_AS_IT_IS)
    host = target.origin
    if target.port == _DEFAULT_PORT[target.scheme]:
        host = host.rpartition(":")[0]
    return f" {path} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n"
