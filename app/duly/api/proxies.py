"""Proxies before the service: the prefix that they serve it under, and what they tell of a request.

The rest of the service sees requests as if there were none: the path without the prefix, the client's own address, the
scheme and the host that it asked for.
"""

from functools import lru_cache

from starlette.types import Scope

from duly.domain.forwarded import read_node, told_by
from duly.domain.networks import Address, parse_networks
from duly.settings import Settings

# The first segments of all addresses of the service.
OWN = frozenset(
    {"api", "ws", "ui", "signals", "docs", "openapi.json", "healthz", "readyz", "metrics", "favicon.ico"},
)
_SECURE = {"http": "ws", "https": "wss"}


class Proxies:
    """What the settings say of them. None is trusted unless it is named, loopback included."""

    def __init__(self, settings: Settings) -> None:
        self._root_path = settings.root_path
        self._networks = parse_networks(",".join(settings.trusted_proxies))
        self._is_trusted_peer = lru_cache(maxsize=1024)(self._is_trusted_text)

    @property
    def any(self) -> bool:
        """Whether there may be any."""
        return bool(self._root_path or self._networks)

    def see_through(self, scope: Scope) -> None:
        """Puts what a request is without its proxies into its scope; `root_path` is their prefix."""
        root = self._root_path
        client = scope.get("client")
        if self._networks and client and self._is_trusted_peer(client[0]):
            told = told_by(scope["headers"], self._is_trusted)
            if told.client is not None:
                scope["client"] = (str(told.client.address), told.client.port)
            if told.scheme is not None:
                scope["scheme"] = _SECURE.get(told.scheme, told.scheme) if scope["type"] == "websocket" else told.scheme
            if told.host is not None:
                others = [header for header in scope["headers"] if header[0] != b"host"]
                scope["headers"] = [(b"host", told.host.encode()), *others]
            root = told.prefix or root
        if root:
            scope["root_path"] = root
            _strip(scope, root)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _is_trusted_text(self, text: str) -> bool:
        node = read_node(text)
        return node is not None and self._is_trusted(node.address)


def _strip(scope: Scope, root: str) -> None:
    """Takes the prefix from the path of a request whose proxy has left it there. What begins like the prefix and does
    not go on like an address of ours had it taken off already.
    """
    path, raw_path = scope["path"], scope.get("raw_path") or b""
    if path.startswith(f"{root}/") and path[len(root) + 1 :].partition("/")[0] in OWN:
        scope["path"] = path[len(root) :]
        scope["raw_path"] = raw_path.removeprefix(root.encode())


def with_prefix(scope: Scope) -> Scope:
    """The same request as ASGI writes it, with the prefix before its path."""
    root = scope.get("root_path", "")
    if not root:
        return scope
    raw_path = scope.get("raw_path") or b""
    return {**scope, "path": root + scope["path"], "raw_path": root.encode() + raw_path}
