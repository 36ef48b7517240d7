"""Destination of a request: a URL, parsed and checked as far as possible without DNS."""

import re
from collections.abc import Callable
from functools import lru_cache, partial
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


@lru_cache(maxsize=16)
def destination_reader(egress: EgressPolicy) -> Callable[[str], Destination]:
    """Returns `read_destination` under this policy with a cache, which all that read URLs under it share."""
    # Many requests go to few URLs: caching the parsed and checked URL saves a quarter of a request.
    return lru_cache(maxsize=1024)(partial(read_destination, egress=egress))


def url_refusal(url: str, *, egress: EgressPolicy) -> str | None:
    """Returns the reason why the URL may not be called, as far as is known without a DNS lookup; None if it may."""
    try:
        destination_reader(egress)(url)
    except RequestFailed as failure:
        return str(failure)
    return None


def _start(target: Target) -> str:
    path = quote(_LONE_PERCENT.sub("%25", target.path), safe=_AS_IT_IS)
    host = target.origin
    if target.port == _DEFAULT_PORT[target.scheme]:
        host = host.rpartition(":")[0]
    return f" {path} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n"
