"""Routes created once for all services of the tests, since FastAPI takes longer to start than a node."""

from functools import cache

from fastapi import FastAPI
from starlette.types import ASGIApp

from duly.api.app import create_app, routes_of
from duly.domain.node_role import Role
from duly.node import Node


@cache
def shared_routes(*, serving: bool) -> FastAPI:
    """Returns routes that any number of nodes can serve."""
    return routes_of(serving=serving)


def app_of(node: Node) -> ASGIApp:
    """Returns the application of a node."""
    return create_app(node, shared_routes(serving=Role.API in node.settings.roles))
