"""Web pages of other sites: which hosts and origins a request may name, and CORS for streams.

A browser sends requests to a loopback address on behalf of any page. It names the page's origin (`Origin`,
`Sec-Fetch-Site`) and the host that the page believes it speaks to (`Host`), which DNS rebinding makes a foreign one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.types import Scope

from duly.domain.web_origin import host_and_port, is_loopback, same_place
from duly.errors import Forbidden
from duly.settings import Settings

MOST_KNOWN_HOSTS = 256
SOCKET: Final = "/ws/jobs"
STREAMS: Final = re.compile(r"/api/v1/(?:jobs/[^/]+/)?events/stream")
# Pages for people, which links of other sites may lead to.
_PAGES: Final = frozenset({"/docs"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
# Marks the response to a preflight: what a page may send to open a stream.
PREFLIGHT: Final = (b"access-control-allow-methods", b"GET")
_PREFLIGHT: Final = (
    PREFLIGHT,
    (b"access-control-allow-headers", b"Authorization, Cache-Control, Last-Event-ID, X-Request-Id"),
    (b"access-control-max-age", b"600"),
)
_READABLE: Final = ((b"access-control-expose-headers", b"Retry-After, X-Request-Id"),)
_VARY: Final = (b"vary", b"Origin")

Headers = Mapping[bytes, bytes]
RawHeaders = Sequence[tuple[bytes, bytes]]


class Origins:
    """The rules of one service. Without an API key they hold for every request; with one, for tickets and sockets."""

    def __init__(self, settings: Settings) -> None:
        self._open = settings.api_key is None
        self._hosts = frozenset(settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        self._own_hosts: set[bytes | None] = {None}  # HTTP/1.0 knows no Host; a browser always sends one

    def check(self, scope: Scope, headers: Headers) -> None:
        """Refuses what a page of another site sends.

        Raises:
            Forbidden: it names a foreign host, or a browser marks it as another site's.
        """
        if self._open:
            if headers.get(b"host") not in self._own_hosts or "duly.peer_host" in scope:
                self._check_hosts(scope, headers)
        elif scope["type"] == "http" and b"ticket=" not in scope["query_string"]:
            return  # a browser does not send the key of its own accord
        if b"origin" in headers:
            self._check_origin(scope, headers)
        elif (site := headers.get(b"sec-fetch-site")) is not None and site not in _OWN_SITES:
            _check_site(scope, headers, site)

    def _check_hosts(self, scope: Scope, headers: Headers) -> None:
        """A page may set `X-Forwarded-Host` where it is of the same origin, so the host before it counts as well."""
        for host in (scope.get("duly.peer_host"), headers.get(b"host")):
            if host is None or host in self._own_hosts:
                continue
            name = host.decode("latin-1")
            if not self._is_own(name):
                raise Forbidden(
                    f'Host "{name}" is not allowed.',
                    reason="Without an API key the service answers to loopback names and addresses only. "
                    "Name others in DULY_ALLOWED_HOSTS, or set DULY_API_KEY.",
                )
            if len(self._own_hosts) < MOST_KNOWN_HOSTS:
                self._own_hosts.add(host)

    def _is_own(self, name: str) -> bool:
        place = host_and_port(name)
        return place is not None and (is_loopback(place.host) or not self._hosts.isdisjoint(place.spellings))

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        for name, value in scope["headers"]:
            if name != b"origin":
                continue
            origin = value.decode("latin-1").lower()
            if origin not in self._origins and not same_place(origin, host):
                raise Forbidden(
                    f'Origin "{origin}" is not allowed.',
                    reason="Pages of the service's own origin are, and those of sites named in DULY_ALLOWED_ORIGINS.",
                )

    def headers_for(self, scope: Scope, headers: Headers) -> RawHeaders:
        """Returns the headers that let a page of another site read a stream, or the reason why it is refused. A browser
        sends no key with a preflight.
        """
        if not self._origins or not STREAMS.fullmatch(scope["path"]):
            return ()
        origin = headers.get(b"origin", b"")
        if origin.decode("latin-1").lower() not in self._origins:
            return (_VARY,)
        asks = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        return ((b"access-control-allow-origin", origin), _VARY, *(_PREFLIGHT if asks else _READABLE))


def _check_site(scope: Scope, headers: Headers, site: bytes) -> None:
    navigates = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    if navigates and scope.get("method") in {"GET", "HEAD"} and scope["path"] in _PAGES:
        return
    raise Forbidden(
        f"Requests of other sites are not allowed (Sec-Fetch-Site: {site.decode('latin-1')}).",
        reason="Pages of the service's own origin may send them, and those of sites named in DULY_ALLOWED_ORIGINS.",
    )
