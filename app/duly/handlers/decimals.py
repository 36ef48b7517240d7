"""Decimals in parameters: each gets the digits that were sent, where pydantic would read a double first.

Pydantic takes every digit of a decimal from text, but not from a number. So the numbers that decimals are read from are
found by a trial, in which each number of the text is another one that tells which it was, and are given as text then.
"""

import re
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationInfo
from pydantic_core import SchemaError, SchemaValidator
from pydantic_core.core_schema import with_info_before_validator_function

# A text, or a number that a double may change.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_MAY_CHANGE = re.compile(r"-0|.*[.eE].*")
# Members of a schema that hold no schemas.
_OPAQUE = frozenset({"metadata", "default", "expected", "cls", "config", "serialization", "function"})


class DecimalReader:
    """Reads parameters of a type that has decimals."""

    def __init__(self, adapter: TypeAdapter[Any], trial: SchemaValidator) -> None:
        self._adapter = adapter
        self._trial = trial

    def read(self, json_text: str) -> Any:
        """The validated parameters.

        Raises:
            ValidationError: they do not fit.
        """
        seen: set[object] = set()
        stand_ins: list[float] = []

        def tried(_number: str) -> str:
            stand_ins.append(float(f"{len(stand_ins)}.5e200"))
            return repr(stand_ins[-1])

        text = _each_number(json_text, tried)
        if stand_ins:
            with suppress(Exception):  # what is wrong is said of the real values
                self._trial.validate_json(text, context=seen)
        places = iter(stand_ins)
        text = _each_number(json_text, lambda number: f'"{number}"' if next(places) in seen else number)
        return self._adapter.validate_json(text)


def _each_number(json_text: str, change: Any) -> str:
    def changed(found: re.Match[str]) -> str:
        token = found[0]
        return change(token) if token[0] != '"' and _MAY_CHANGE.fullmatch(token) else token

    return _TOKEN.sub(changed, json_text)


def decimal_reader(adapter: TypeAdapter[Any]) -> DecimalReader | None:
    """Returns the reader of this type; None where it has no decimals."""
    found: list[object] = []
    schema = _noting(adapter.core_schema, found)
    if not found:
        return None
    try:
        return DecimalReader(adapter, SchemaValidator(schema, None, False))  # noqa: FBT003  # models' own do not note
    except SchemaError:
        return None


def _noting(node: Any, found: list[object], *, chosen: bool = False) -> Any:
    """The schema with each decimal noting what it is read from. Of several simple types a number may be meant for
    another: those are left alone.
    """
    if isinstance(node, (list, tuple)):
        return type(node)(_noting(item, found, chosen=chosen) for item in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):
        return {name: _noting(member, found) for name, member in node.items()}
    if kind == "decimal" and not chosen:
        found.append(node)
        return with_info_before_validator_function(_note, node)
    return {
        name: member if name in _OPAQUE else _noting(member, found, chosen=kind == "union" and name == "choices")
        for name, member in node.items()
    }


def _note(value: object, info: ValidationInfo[set[object]]) -> object:
    if isinstance(value, float):
        info.context.add(value)
    return value
