"""Declarations of the job types of Python handlers."""

from functools import lru_cache
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from duly.domain.declared_type import DeclaredType, HandlerFacts
from duly.domain.json_writer import dump_text
from duly.handlers.registry import RegisteredHandler

ANYTHING = "{}"


def declaration_of(handler: RegisteredHandler) -> DeclaredType:
    """Returns the declaration of a handler's type, with the JSON Schemas of its models."""
    batch = handler.batch
    return DeclaredType(
        type=handler.type,
        description=handler.description,
        parameters_schema=_schema(handler.parameters, "validation"),
        result_schema=_schema(handler.result, "serialization"),
        timeout_seconds=handler.timeout_seconds,
        max_attempts=handler.max_attempts,
        retry=handler.retry,
        queue=handler.queue,
        holds=handler.holds,
        handler=HandlerFacts(
            isolation=handler.isolation,
            batch_size=batch.size if batch is not None else None,
            linger_seconds=batch.linger_seconds if batch is not None else 0.0,
            breaker=handler.breaker is not None,
        ),
    )


@lru_cache(maxsize=4096)
def _schema(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> str:
    """Returns the JSON Schema of a type; one that accepts anything if JSON Schema cannot express the type."""
    try:
        return dump_text(adapter.json_schema(mode=mode))
    except PydanticInvalidForJsonSchema:
        return ANYTHING
