"""Calls of steps: the function with its arguments, its retries, and its result as JSON."""

import inspect
import random
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from duly.domain.ids import idempotency_token
from duly.domain.retry import RetryPolicy
from duly.handlers.exceptions import Fail, HandlerError, Retry
from duly.handlers.serialization import ResultInvalid, ResultText, write_value

RESULT_LIMIT = 256 * 1024
DEFAULT_STEP_ATTEMPTS = 5


class StepContext(NamedTuple):
    """Context of one try of a step, passed to a function with a parameter named `step`.

    Attributes:
        name: name of the step.
        attempt: number of this try in this attempt of the job, from 1.
        idempotency_token: token for calls to other services, the same on each try of the step in all attempts.
    """

    name: str
    attempt: int
    idempotency_token: str


def step_context(job_id: object, name: str, attempt: int, *, purpose: str = "") -> StepContext:
    """Returns the context of a try. `purpose` distinguishes the token of a compensation from that of its step."""
    return StepContext(name, attempt, f"{idempotency_token(job_id)}-{name}{purpose}")  # type: ignore[arg-type]


def bind(function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Callable[[], Any]:
    """Returns the call of a function: with these arguments, and those of `named` that it has parameters for."""
    try:
        signature = inspect.signature(function)
        taken = signature.bind_partial(*arguments).arguments
    except (ValueError, TypeError):  # a built-in without a signature, or arguments that do not fit: the call says so
        return partial(function, *arguments)
    free = {
        name: value
        for name, value in named.items()
        if name in signature.parameters
        and name not in taken
        and signature.parameters[name].kind in {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    }
    return partial(function, *arguments, **free)


def is_async(function: Callable[..., Any]) -> bool:
    """Returns whether calling this returns a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


@dataclass(slots=True)
class Tries:
    """Tries of a function: how often and how long after a failure it is called again.

    Attributes:
        retry: delays between tries; None for a single try.
        most: maximum number of tries.
        made: number of tries that have begun.
    """

    retry: RetryPolicy | None
    most: int
    made: int = 0

    def delay_after(self, error: Exception) -> float | None:
        """Returns the seconds until the next try after this error; None to raise it."""
        final = isinstance(error, HandlerError) or (isinstance(error, Fail) and not error.retryable)
        if self.retry is None or final or self.made >= self.most:
            return None
        if isinstance(error, Retry) and error.after is not None:
            return error.after
        return self.retry.delay_after(self.made, random=random.random)


@dataclass(slots=True)
class StepCall:
    """Step of a handler, as it is called.

    Attributes:
        compensate: function that undoes the step, if any.
    """

    name: str
    job_id: object
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    tries: Tries
    compensate: Callable[..., Any] | None = None
    kind: TypeAdapter[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.kind = _result_type(self.function)

    def next_try(self) -> Callable[[], Any]:
        """Begins the next try. Returns the call."""
        self.tries.made += 1
        context = step_context(self.job_id, self.name, self.tries.made)
        return bind(self.function, self.arguments, {"step": context})

    def write(self, result: object) -> str:
        """Returns the result as JSON text.

        Raises:
            Fail: it is not JSON, does not fit the function's annotation, or is too large. A retry would not change it.
        """
        if isinstance(result, ResultText):
            raise HandlerError(f'step "{self.name}": its result is not a value')
        try:
            return write_value(self.kind, result, limit=RESULT_LIMIT)
        except ResultInvalid as error:
            raise Fail(f'step "{self.name}": {error}', code="RESULT_INVALID") from None

    def read(self, text: str) -> Any:
        """Returns a recorded result.

        Raises:
            HandlerError: it does not fit the function's annotation, which has changed since.
        """
        try:
            return self.kind.validate_json(text)
        except ValueError as error:
            raise HandlerError(
                f'step "{self.name}": its recorded result does not fit {self.function}: {error}'
            ) from None


def tries_of(name: str, retry: RetryPolicy | None, max_attempts: int | None) -> Tries:
    """Returns the tries for the options of a step.

    Raises:
        HandlerError: an option is invalid.
    """
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise HandlerError(f'step "{name}": retry={retry!r} must be fixed(...), linear(...) or exponential(...)')
    if max_attempts is None:
        return Tries(retry, 1 if retry is None else DEFAULT_STEP_ATTEMPTS)
    if retry is None or not isinstance(max_attempts, int) or max_attempts < 1:
        raise HandlerError(f'step "{name}": max_attempts={max_attempts!r} must be at least 1, and needs retry=…')
    return Tries(retry, max_attempts)


def _result_type(function: Callable[..., Any]) -> TypeAdapter[Any]:
    """Returns the type of a function's results by its annotation, so that recorded ones are equal to new ones."""
    target = function
    while isinstance(target, partial):
        target = target.func
    try:
        annotation = typing.get_type_hints(target, include_extras=True).get("return", Any)
        return _adapter(annotation)
    except (NameError, TypeError, AttributeError):
        return _adapter(Any)


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=ConfigDict(ser_json_inf_nan="constants"))
    except PydanticSchemaGenerationError:  # a class that only this handler knows: its JSON is all that is recorded
        return TypeAdapter(Any)
    except PydanticUserError as error:
        return TypeAdapter(annotation if error.code == "type-adapter-config-unused" else Any)
