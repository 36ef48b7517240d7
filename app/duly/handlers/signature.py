"""Signature of a handler: its arguments for parameters and context, and the type of its result.

A batch handler takes and returns lists; the schema of its job type describes their items.
"""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from duly.handlers.context import JobContext
from duly.handlers.exceptions import HandlerError
from duly.handlers.parameter_numbers import NumberReader, number_reader

_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


@dataclass(frozen=True, slots=True)
class Signature:
    """Call signature of a handler.

    Attributes:
        order: its arguments in order: "parameters" or "job"; of a batch handler "list" (the parameters of all its jobs)
            or "jobs" (their contexts).
        parameters: validates the parameters.
        result: validates and serializes the result.
        numbers: reads parameters that contain decimals or doubles.
    """

    order: tuple[str, ...]
    parameters: TypeAdapter[Any]
    result: TypeAdapter[Any]
    numbers: NumberReader | None = None

    def arguments(self, parameters: object, job: JobContext) -> tuple[object, ...]:
        if self.order == ("parameters", "job"):  # most handlers
            return parameters, job
        return tuple(parameters if word == "parameters" else job for word in self.order)

    def batch_arguments(self, parameters: list[Any], jobs: Callable[[], list[JobContext]]) -> tuple[object, ...]:
        """Returns the arguments of a batch call. `jobs` is called only if the function takes contexts."""
        return tuple(parameters if word == "list" else jobs() for word in self.order)


def read_signature(name: str, function: Callable[..., Any], *, batch: bool = False) -> Signature:
    """Returns the signature of a job type's function. `batch` is True if it takes lists of jobs.

    Raises:
        HandlerError: the function takes more than parameters and context, or a type that pydantic cannot validate.
    """
    hints = _hints(name, function)
    order, annotation = _batch_order(name, function, hints) if batch else _order(name, function, hints)
    result = hints.get("return", Any)
    if batch:
        result = _batch_result(name, result)
    parameters = _adapter(name, annotation, "parameters")
    return Signature(order, parameters, _adapter(name, result, "result"), number_reader(parameters))


def _hints(name: str, function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise HandlerError(f'job type "{name}": cannot resolve an annotation of its function: {error}') from error


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
            f'job type "{name}": its function takes {len(words)} arguments; expected are the parameters (one '
            "argument of any type) and the context (one argument annotated JobContext)"
        )
    return tuple(words), annotation


def _batch_order(name: str, function: Callable[..., Any], hints: Mapping[str, Any]) -> tuple[tuple[str, ...], Any]:
    words: list[str] = []
    annotation: Any = Any
    for parameter in _taken(name, function):
        hint = hints.get(parameter.name, Any)
        items = _items(hint)
        if items == (JobContext,) or (hint is Any and "list" in words):
            words.append("jobs")
        elif items:
            words.append("list")
            annotation = items[0]
        else:
            words.append("neither")
    if "list" not in words or "neither" in words or len(words) != len(set(words)):
        raise HandlerError(
            f'job type "{name}": a batch handler takes the parameters of its jobs (one argument annotated list[...]) '
            "and may take their contexts (one argument annotated list[JobContext])"
        )
    return tuple(words), annotation


def _items(annotation: Any) -> tuple[Any, ...]:
    """Returns the item type of a list annotation as a tuple of one; empty if the annotation is not a list."""
    if annotation in (Any, list, Sequence):
        return (Any,)
    if typing.get_origin(annotation) in (list, Sequence):
        return typing.get_args(annotation) or (Any,)
    return ()


def _batch_result(name: str, annotation: Any) -> Any:
    """Returns the result type of one job: the item type of the returned list, without exceptions."""
    kinds: list[Any] = []
    for returned in _alternatives(annotation):
        items = (None,) if returned in (None, NoneType) else _items(returned)
        if not items:
            raise HandlerError(
                f'job type "{name}": a batch handler returns a list with one item for each of its jobs, or None; '
                f"its function is annotated to return {annotation}"
            )
        kinds += _alternatives(items[0])
    results = [kind for kind in kinds if not (isinstance(kind, type) and issubclass(kind, BaseException))]
    return typing.Union[tuple(results or [None])]  # noqa: UP007  # built at run time, it has no other syntax


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    united = typing.get_origin(annotation) in (typing.Union, UnionType)
    return typing.get_args(annotation) if united else (annotation,)


def _taken(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Returns the arguments to pass: those without a default."""
    taken = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in _POSITIONAL and parameter.default is inspect.Parameter.empty:
            taken.append(parameter)
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty:
            raise HandlerError(f'job type "{name}": the argument "{parameter.name}" is keyword-only and has no default')
    return taken


def _adapter(name: str, annotation: Any, what: str) -> TypeAdapter[Any]:
    try:
        return _adapter_of_class(annotation) if isinstance(annotation, type) else _adapter_of(annotation)
    except (PydanticUserError, PydanticSchemaGenerationError) as error:
        raise HandlerError(f'job type "{name}": pydantic cannot validate its {what}: {error}') from error


def _adapter_of(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=ConfigDict(ser_json_inf_nan="constants"))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)


# Each class has one adapter, and with it one JSON Schema. Other annotations may be equal and have different adapters,
# like `int | float` and `float | int`.
_adapter_of_class = lru_cache(maxsize=4096)(_adapter_of)
