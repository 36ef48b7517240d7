"""Requests from web pages of other sites: allowed hosts and origins, and CORS for streams.

A browser sends requests to a loopback address on behalf of any page. It sends the page's origin (`Origin`,
`Sec-Fetch-Site`) and the host that the page addressed (`Host`), which is a foreign one under DNS rebinding.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.types import Scope

from duly.domain.web_origin import host_and_port, is_loopback, same_place
from duly.errors import Forbidden
from duly.settings import Settings

MOST_KNOWN_HOSTS = 256
SOCKET: Final = "/ws/jobs"
STREAMS: Final = re.compile(r"/api/v1/(?:jobs/[^/]+/)?events/stream")
# Pages for people, to which other sites may link.
_PAGES: Final = re.compile(r"/|/docs|/ui|/ui/(?!assets/|session$).*|/signals/[^/]+")
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
_SAFE: Final = frozenset({"GET", "HEAD"})
# Response to a preflight: methods and headers with which a page may open a stream.
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
    """Rules of one service. Without an API key they apply to every request; with one, to tickets and sockets."""

    def __init__(self, settings: Settings, *, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open
        self._hosts = frozenset(settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        self._own_hosts: set[bytes | None] = {None}  # HTTP/1.0 knows no Host; a browser always sends one

    def check(self, scope: Scope, headers: Headers) -> None:
        """Checks that a request is not from a page of another site.

        Raises:
            Forbidden: its host is foreign, or the browser marks it as cross-site.
        """
        if self._is_open():
            if headers.get(b"host") not in self._own_hosts or "duly.peer_host" in scope:
                self._check_hosts(scope, headers)
        elif scope["type"] == "http" and b"ticket=" not in scope["query_string"]:
            return  # a browser does not add the key by itself
        if b"origin" in headers:
            self._check_origin(scope, headers)
        elif (site := headers.get(b"sec-fetch-site")) is not None and site not in _OWN_SITES:
            _check_site(scope, headers, site)

    def _check_hosts(self, scope: Scope, headers: Headers) -> None:
        """Checks the forwarded host and the original one: a page of the same origin may set `X-Forwarded-Host`."""
        for host in (scope.get("duly.peer_host"), headers.get(b"host")):
            if host is None or host in self._own_hosts:
                continue
            name = host.decode("latin-1")
            if not self._is_own(name):
                raise Forbidden(
                    f'Host "{name}" is not allowed.',
                    reason="Without an API key, only loopback names and addresses are allowed. "
                    "Add others to DULY_ALLOWED_HOSTS, or set DULY_API_KEY.",
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
                    reason="Allowed are the service's own origin and those in DULY_ALLOWED_ORIGINS.",
                )

    def headers_for(self, scope: Scope, headers: Headers) -> RawHeaders:
        """Returns the CORS headers of a response to a stream request, errors included. A browser sends no key with a
        preflight.
        """
        if not self._origins or not STREAMS.fullmatch(scope["path"]):
            return ()
        origin = headers.get(b"origin", b"")
        if origin.decode("latin-1").lower() not in self._origins:
            return (_VARY,)
        asks = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        return ((b"access-control-allow-origin", origin), _VARY, *(_PREFLIGHT if asks else _READABLE))


def from_own_page(method: str, headers: Headers) -> bool:
    """Returns whether a browser says that a request is from a page of the service itself, or from its address bar.

    Browsers name the site of each request over HTTPS and to loopback. Elsewhere they name the origin, except for GET,
    whose response no other site can read.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin" or (site == b"none" and method in _SAFE)
    return not from_foreign_page(headers) if b"origin" in headers else method in _SAFE


def from_foreign_page(headers: Headers) -> bool:
    """Returns whether a browser says that a request is from a page of another origin."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        return site not in _OWN_SITES
    host = headers.get(b"host", b"").decode("latin-1")
    return origin is not None and not same_place(origin.decode("latin-1"), host)


def _check_site(scope: Scope, headers: Headers, site: bytes) -> None:
    navigates = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    if navigates and scope.get("method") in {"GET", "HEAD"} and _PAGES.fullmatch(scope["path"]):
        return
    raise Forbidden(
        f"Cross-site requests are not allowed (Sec-Fetch-Site: {site.decode('latin-1')}).",
        reason="Allowed are the service's own origin and those in DULY_ALLOWED_ORIGINS.",
    )
