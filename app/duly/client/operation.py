"""Operations of both clients, each defined once."""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Self, overload

from typing_extensions import TypeVar

from duly.client.performing import Blocking, NonBlocking
from duly.client.steps import Items, Steps

P = ParamSpec("P")
T = TypeVar("T")
PerformerT = TypeVar("PerformerT", bound=Blocking | NonBlocking)


class Operations(Generic[PerformerT]):
    """Group of operations on the service."""

    def __init__(self, performer: PerformerT) -> None:
        self._performer = performer


class operation(Generic[P, T]):  # noqa: N801  # used as a decorator
    """Method whose steps a `Client` performs before it returns, and an `AsyncClient` when it is awaited."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps
        self.__wrapped__ = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Operations[Blocking], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, group: Operations[NonBlocking], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, group: Operations[Any] | None, owner: type) -> Any:
        if group is None:
            return self

        @functools.wraps(self._steps)
        def call(*arguments: P.args, **named: P.kwargs) -> Any:
            return group._performer.run(self._steps(group, *arguments, **named))  # noqa: SLF001  # defined above

        return call


class iteration(Generic[P, T]):  # noqa: N801  # used as a decorator
    """Method that returns a generator of items, an asynchronous one for an `AsyncClient`.

    Closing the generator closes its connection.
    """

    def __init__(self, steps: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self._steps = steps
        self.__wrapped__ = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Operations[Blocking], owner: type) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, group: Operations[NonBlocking], owner: type) -> Callable[P, AsyncGenerator[T, None]]: ...
    def __get__(self, group: Operations[Any] | None, owner: type) -> Any:
        if group is None:
            return self

        @functools.wraps(self._steps)
        def call(*arguments: P.args, **named: P.kwargs) -> Any:
            return group._performer.iterate(self._steps(group, *arguments, **named))  # noqa: SLF001  # defined above

        return call
