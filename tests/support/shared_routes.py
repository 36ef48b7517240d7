"""Routes of the services that tests start, made once for all of them: FastAPI takes longer than a node to start."""

from functools import cache

from fastapi import FastAPI
from starlette.types import ASGIApp

from duly.api.app import create_app, routes_of
from duly.node import Node
from duly.settings import Role


@cache
def shared_routes(*, serving: bool) -> FastAPI:
    """Returns routes that any number of nodes serve."""
    return routes_of(serving=serving)


def app_of(node: Node) -> ASGIApp:
    """Returns the application of a node."""
    return create_app(node, shared_routes(serving=Role.API in node.settings.roles))
