"""Reverse proxies: the path prefix under which they serve the service, and the headers that they forward.

The rest of the service sees requests as without a proxy: the path without the prefix, and the address, scheme and host
of the client's request.
"""

from functools import lru_cache

from starlette.types import Scope

from duly.domain.egress_policy import parse_networks
from duly.domain.forwarded import read_forwarded, read_peer
from duly.domain.special_addresses import Address
from duly.settings import Settings

# First segments of all paths of the service; empty: that of `/`.
OWN = frozenset(
    {"", "api", "ws", "ui", "signals", "docs", "openapi.json", "healthz", "readyz", "metrics", "favicon.ico"},
)
_SECURE = {"http": "ws", "https": "wss"}


class Proxies:
    """Prefix and trusted networks of the settings. No other proxy is trusted, not even on loopback."""

    def __init__(self, settings: Settings) -> None:
        self._root_path = settings.root_path
        self._networks = parse_networks(",".join(settings.trusted_proxies))
        self._is_trusted_peer = lru_cache(maxsize=1024)(self._is_trusted_text)

    @property
    def any(self) -> bool:
        """Returns whether the settings have a prefix or trusted proxies."""
        return bool(self._root_path or self._networks)

    def trusts(self, host: str) -> bool:
        """Returns whether this is the address of a trusted proxy."""
        return bool(self._networks) and self._is_trusted_peer(host)

    def see_through(self, scope: Scope) -> None:
        """Sets client, scheme, host and path of the scope to those of the original request, and `root_path`."""
        root = self._root_path
        client = scope.get("client")
        if client and self.trusts(client[0]):
            forwarded = read_forwarded(scope["headers"], self._is_trusted)
            if forwarded.client is not None:
                scope["client"] = (str(forwarded.client.address), forwarded.client.port)
            if forwarded.scheme is not None:
                scope["scheme"] = (
                    _SECURE.get(forwarded.scheme, forwarded.scheme)
                    if scope["type"] == "websocket"
                    else forwarded.scheme
                )
            if forwarded.host is not None:
                scope["duly.peer_host"] = next((value for name, value in scope["headers"] if name == b"host"), None)
                others = [header for header in scope["headers"] if header[0] != b"host"]
                scope["headers"] = [(b"host", forwarded.host.encode()), *others]
            root = forwarded.prefix or root
        if root:
            scope["root_path"] = root
            _strip(scope, root)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _is_trusted_text(self, text: str) -> bool:
        peer = read_peer(text)
        return peer is not None and self._is_trusted(peer.address)


def _strip(scope: Scope, root: str) -> None:
    """Removes the prefix from the path if the proxy has not. A path that begins with the prefix, but does not continue
    with a path of the service, has lost it already.
    """
    path, raw_path = scope["path"], scope.get("raw_path") or b""
    if path.startswith(f"{root}/") and path[len(root) + 1 :].partition("/")[0] in OWN:
        scope["path"] = path[len(root) :]
        scope["raw_path"] = raw_path.removeprefix(root.encode())


def with_prefix(scope: Scope) -> Scope:
    """Returns the scope with the prefix before the path, as the ASGI specification requires."""
    root = scope.get("root_path", "")
    if not root:
        return scope
    raw_path = scope.get("raw_path") or b""
    return {**scope, "path": root + scope["path"], "raw_path": root.encode() + raw_path}
