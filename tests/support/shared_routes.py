"""The routes of services that tests start, made once for many: FastAPI takes longer over them than a node to start."""

from typing import Any, cast

from starlette.types import ASGIApp

from duly.api.app import create_app, reader_of, routes_of
from duly.node import Node
from duly.settings import Role


class _Seat:
    """Stands for whichever object has it now."""

    def __init__(self) -> None:
        self.taken_by: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.taken_by, name)


class SharedRoutes:
    """Routes that one service at a time uses."""

    def __init__(self, *, serving: bool) -> None:
        self._node, self._reader = _Seat(), _Seat()
        self._routes = routes_of(cast("Any", self._node), cast("Any", self._reader), serving=serving)

    def app(self, node: Node) -> ASGIApp:
        self._node.taken_by, self._reader.taken_by = node, reader_of(node)
        return create_app(node, self._routes)


_idle: dict[bool, list[SharedRoutes]] = {True: [], False: []}


def take_routes(node: Node) -> SharedRoutes:
    """Routes that no other service uses now; `release_routes` when this one has ended."""
    serving = Role.API in node.settings.roles
    return _idle[serving].pop() if _idle[serving] else SharedRoutes(serving=serving)


def release_routes(node: Node, routes: SharedRoutes) -> None:
    _idle[Role.API in node.settings.roles].append(routes)
