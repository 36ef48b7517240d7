"""Handlers of a release of an application that has renamed one job type, removed one and added one."""

from typing import Any

from duly import Handlers

handlers = Handlers()


@handlers.register("kept")
@handlers.register("new-name")
@handlers.register("added")
async def returns_its_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    return parameters
