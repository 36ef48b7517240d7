"""Steps of a call: what it needs from the network and the clock, without performing it.

A call is a generator that yields steps and receives their replies. `Client` and `AsyncClient` perform the same steps.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from duly.client.request import Request

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")
YieldT = TypeVar("YieldT")


@dataclass(frozen=True, slots=True)
class Send:
    """Sends a request. The reply is its response, with its body."""

    request: Request


@dataclass(frozen=True, slots=True)
class Connect:
    """Opens an event stream, and closes the one before. The reply is its response.

    The body is read only if the response is not an event stream.

    Attributes:
        silence_seconds: time without a byte after which the stream counts as broken.
    """

    request: Request
    silence_seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Reads the event stream. The reply is its next bytes, or None at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Item(Generic[ItemT]):
    """Passes an item to the caller of an iterator."""

    value: ItemT


Step: TypeAlias = Send | Connect | Read | Pause
Steps: TypeAlias = Generator[Step, Any, ResultT]
Items: TypeAlias = Generator[Step | Item[ItemT], Any, None]
Reply: TypeAlias = httpx.Response | bytes | httpx.RequestError | None


class Course(Generic[YieldT, ResultT]):
    """Course of a call: passes replies to its generator, and keeps its result.

    Attributes:
        result: result of the call, once `advance` has returned None.
    """

    result: ResultT

    def __init__(self, steps: Generator[YieldT, Any, ResultT]) -> None:
        self._steps = steps

    def advance(self, reply: Reply = None) -> YieldT | None:
        """Returns the next step; None after the last one. A reply that is an error is raised in the call."""
        try:
            if isinstance(reply, httpx.RequestError):
                return self._steps.throw(reply)
            return self._steps.send(reply)
        except StopIteration as end:
            self.result = end.value
            return None
