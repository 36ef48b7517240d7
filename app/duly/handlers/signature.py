"""Reading a handler's signature: which argument is the parameters, which the context, what it returns."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from duly.handlers.context import JobContext
from duly.handlers.signals import HandlerError

_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call a handler. `order` names its arguments, in order: "parameters" or "job"."""

    order: tuple[str, ...]
    parameters: TypeAdapter[Any]
    result: TypeAdapter[Any]

    def arguments(self, parameters: object, job: JobContext) -> tuple[object, ...]:
        return tuple(parameters if word == "parameters" else job for word in self.order)


def read_signature(name: str, function: Callable[..., Any]) -> Signature:
    """The signature of a job type's function.

    Raises:
        HandlerError: it takes more than parameters and context, or a type that pydantic cannot validate.
    """
    hints = _hints(name, function)
    order, annotation = _order(name, function, hints)
    result = hints.get("return", Any)
    return Signature(
        order,
        _adapter(name, annotation, "parameters"),
        _adapter(name, result, "result"),
    )


def _hints(name: str, function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise HandlerError(f'job type "{name}": an annotation of its function cannot be read: {error}') from error


def _order(name: str, function: Callable[..., Any], hints: Mapping[str, Any]) -> tuple[tuple[str, ...], Any]:
    words: list[str] = []
    annotation: Any = Any
    for parameter in _taken(name, function):
        hint = hints.get(parameter.name, Any)
        if hint is JobContext or (hint is Any and "parameters" in words):
            words.append("job")
        else:
            words.append("parameters")
            annotation = hint
    if len(words) != len(set(words)):
        raise HandlerError(
            f'job type "{name}": its function takes {len(words)} arguments; it may take the parameters (one '
            "argument of any type) and the context (one argument annotated JobContext)"
        )
    return tuple(words), annotation


def _taken(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The arguments to be passed; those with a default are the function's own affair."""
    taken = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in _POSITIONAL and parameter.default is inspect.Parameter.empty:
            taken.append(parameter)
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty:
            raise HandlerError(f'job type "{name}": the argument "{parameter.name}" is keyword-only and has no default')
    return taken


def _adapter(name: str, annotation: Any, what: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=ConfigDict(ser_json_inf_nan="constants"))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise HandlerError(f'job type "{name}": pydantic cannot validate its {what}: {error}') from error
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError as error:
        raise HandlerError(f'job type "{name}": pydantic cannot validate its {what}: {error}') from error
