"""Methods of each path: `Allow`, HEAD as GET without a body, and OPTIONS (RFC 9110, section 9.3)."""

import re
from collections.abc import Collection
from typing import NamedTuple

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from duly.api.server.access_lines import NOWHERE, Found, logged, plain
from duly.errors import MethodNotAllowed, NotFound

SERVICE = "*"  # target of an OPTIONS request about the service as a whole
_STREAM = "/stream"
_NAME_OF_GROUP = re.compile(r"\?P<\w+>")


class Methods(NamedTuple):
    """Methods of one path, and the value of its `Allow`."""

    names: frozenset[str]
    allow: str


class AddressTable:
    """All paths of the service. If several patterns match a path, the one with the most literal segments applies."""

    def __init__(self, routes: Collection[Route]) -> None:
        self._routes: list[Route] = []  # one of each pattern
        methods: dict[str, set[str]] = {}
        for route in sorted(routes, key=_literal_segments, reverse=True):
            pattern = _NAME_OF_GROUP.sub("?:", route.path_regex.pattern)
            if pattern not in methods:
                self._routes.append(route)
                methods[pattern] = {"OPTIONS"}
            methods[pattern] |= _methods_of(route)
        self._methods = [_named(names) for names in methods.values()]
        self._all = _named(set().union(*methods.values()))
        self._pattern = re.compile("|".join(f"({pattern})" for pattern in methods))
        self.literal = frozenset(route.path for route in routes if "{" not in route.path)

    def find(self, path: str) -> Found:
        """Returns the pattern of a path, and those of its parameters that are logged."""
        if (index := self._index_of(path)) is None:
            return NOWHERE
        route = self._routes[index]
        match = route.path_regex.match(path)
        return plain(route.path), logged(match.groupdict() if match else {})

    def pattern_of(self, path: str) -> str | None:
        """Returns the pattern of a path, in the form of the OpenAPI document; None if the path is unknown."""
        index = self._index_of(path)
        return plain(self._routes[index].path) if index is not None else None

    def methods_of(self, path: str) -> Methods:
        """Returns the methods of a path.

        Raises:
            NotFound: unknown path.
        """
        if (index := self._index_of(path)) is None:
            raise NotFound("Not found.")
        return self._methods[index]

    def _index_of(self, path: str) -> int | None:
        found = self._pattern.fullmatch(path)
        return found.lastindex - 1 if found is not None and found.lastindex is not None else None

    def routed(self, scope: Scope) -> Scope:
        """Returns the scope for the routes: HEAD becomes GET, with a mark so that a long poll returns at once.

        Raises:
            NotFound: unknown path.
            MethodNotAllowed: the path does not support the method.
        """
        method, methods = scope["method"], self.methods_of(scope["path"])
        if method not in methods.names:
            raise MethodNotAllowed("Method not allowed.", allow=methods.allow)
        return {**scope, "method": "GET", "duly.head": True} if method == "HEAD" else scope

    def options(self, scope: Scope) -> Response:
        """Returns the response to OPTIONS. No API key is required: the OpenAPI document is public as well.

        Raises:
            NotFound: unknown path.
        """
        path = scope["path"]
        methods = self._all if path == SERVICE else self.methods_of(path)
        return Response(status_code=204, headers={"Allow": methods.allow})


def _methods_of(route: Route) -> set[str]:
    """Returns the methods of a route. GET includes HEAD, except for streams, which do not end."""
    names = set(route.methods or ())
    if route.path.endswith(_STREAM):
        return names - {"HEAD"}
    return names | {"HEAD"} if "GET" in names else names


def _named(names: set[str]) -> Methods:
    return Methods(frozenset(names), ", ".join(sorted(names)))


def _literal_segments(route: Route) -> int:
    return sum("{" not in segment for segment in route.path.split("/"))
