"""Built-in job types: `echo`, `sleep` and `http.request`."""

import asyncio
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from duly.domain.builtin_types import BUILTIN_TYPES
from duly.handlers.context import JobContext
from duly.handlers.http_request import TIMEOUT_SECONDS, TYPE, http_request
from duly.handlers.registry import Handlers
from duly.outbound import OutboundClient


class SleepParameters(BaseModel):
    """Parameters of `sleep`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(default=1, ge=0, le=86400, description="total time to sleep")
    steps: int = Field(default=10, ge=1, le=1000, description="number of progress reports")


class Slept(BaseModel):
    """Result of `sleep`."""

    seconds: float


async def echo(parameters: Any) -> Any:
    """Returns its parameters as its result."""
    return parameters


async def sleep(parameters: SleepParameters, job: JobContext) -> Slept:
    """Sleeps and reports progress."""
    for step in range(1, parameters.steps + 1):
        await asyncio.sleep(parameters.seconds / parameters.steps)
        await job.progress(100 * step / parameters.steps, f"slept {step} of {parameters.steps} parts")
    return Slept(seconds=parameters.seconds)


def builtin_handlers(client: OutboundClient, *, chosen: Collection[str] = BUILTIN_TYPES) -> Handlers:
    """Returns the built-in handlers of the chosen types. `client` sends the requests of `http.request`."""
    handlers = Handlers()
    if "echo" in chosen:
        handlers.register("echo")(echo)
    if "sleep" in chosen:
        handlers.register("sleep", timeout=2 * 86400)(sleep)
    if TYPE in chosen:
        handlers.register(TYPE, timeout=TIMEOUT_SECONDS)(http_request(client))
    return handlers
