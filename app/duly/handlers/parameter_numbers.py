"""Numbers in parameters: decimals keep all their digits, and numbers too small for a double are refused.

Pydantic reads each number as a double first, and keeps all digits of a decimal only if it is text. So a trial run with
a distinct stand-in for each number finds those that become decimals, which are then passed as text. In the same way it
finds numbers that become doubles and are too small for one.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, SchemaError, SchemaValidator
from pydantic_core.core_schema import CoreSchema, with_info_before_validator_function

# A string or a number; and of numbers, those that a double may change.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_MAY_CHANGE = re.compile(r"-0|.*[.eE].*")
_MAY_BE_TINY = re.compile(r"[eE]-\d{3}|0{300}")
_NOT_ZERO = re.compile(r"-?[0.]*[1-9]")
# Members of a schema that contain no schemas.
_OPAQUE = frozenset({"metadata", "default", "expected", "cls", "config", "serialization", "function"})
_TOO_SMALL = PydanticCustomError("too_small_for_double", "is too small for a double")

Noting = Callable[[object, ValidationInfo[set[object]]], object]


class NumberReader:
    """Reader of parameters with decimals or doubles.

    Args:
        adapter: adapter of the parameters.
        decimals: validator that records the values of decimals, or None without any.
        doubles: validator that refuses recorded values of doubles, or None without any.
    """

    def __init__(
        self, adapter: TypeAdapter[Any], decimals: SchemaValidator | None, doubles: SchemaValidator | None
    ) -> None:
        self._adapter = adapter
        self._decimals = decimals
        self._doubles = doubles

    def read(self, json_text: str) -> Any:
        """Returns the validated parameters.

        Raises:
            ValidationError: they do not fit the type.
        """
        if self._doubles is not None and _MAY_BE_TINY.search(json_text):
            _refuse_tiny(json_text, self._doubles)
        if self._decimals is not None:
            json_text = _with_decimals_as_text(json_text, self._decimals)
        return self._adapter.validate_json(json_text)


def _with_decimals_as_text(json_text: str, decimals: SchemaValidator) -> str:
    seen: set[object] = set()
    stand_ins = _stand_ins()
    text = _each_number(json_text, lambda _: repr(next(stand_ins)))
    if text == json_text:
        return text
    with suppress(Exception):  # the errors are reported for the real values
        decimals.validate_json(text, context=seen)
    stand_ins = _stand_ins()
    return _each_number(json_text, lambda number: f'"{number}"' if next(stand_ins) in seen else number)


def _refuse_tiny(json_text: str, doubles: SchemaValidator) -> None:
    tiny: set[object] = set()
    stand_ins = _stand_ins()

    def marked(number: str) -> str:
        if float(number) != 0 or not _NOT_ZERO.match(number):
            return number
        tiny.add(stand_in := next(stand_ins))
        return repr(stand_in)

    try:
        doubles.validate_json(_each_number(json_text, marked), context=tiny)
    except ValidationError as error:
        refused = [each["loc"] for each in error.errors(include_url=False) if each["type"] == _TOO_SMALL.type]
        if refused:
            details = [InitErrorDetails(type=_TOO_SMALL, loc=loc, input=0.0) for loc in refused]
            raise ValidationError.from_exception_data("parameters", details) from None
    except Exception:  # noqa: BLE001  # of a validator of the user: the errors are reported for the real values
        return


def _stand_ins() -> Iterator[float]:
    """Yields distinct numbers that are unlikely in real parameters."""
    place = 0
    while True:
        yield float(f"{place}.5e200")
        place += 1


def _each_number(json_text: str, change: Callable[[str], str]) -> str:
    def changed(found: re.Match[str]) -> str:
        token = found[0]
        return change(token) if token[0] != '"' and _MAY_CHANGE.fullmatch(token) else token

    return _TOKEN.sub(changed, json_text)


def number_reader(adapter: TypeAdapter[Any]) -> NumberReader | None:
    """Returns the reader of this type, or None if it has neither decimals nor doubles."""
    decimals = _validator(adapter.core_schema, "decimal", _note)
    doubles = _validator(adapter.core_schema, "float", _refuse)
    return NumberReader(adapter, decimals, doubles) if decimals or doubles else None


def _validator(schema: CoreSchema, kind: str, noting: Noting) -> SchemaValidator | None:
    found: list[object] = []

    def noted(node: Any, *, chosen: bool = False) -> Any:
        """Returns the schema with each node of the kind recording its value.

        Choices of a union are left alone: a number may be meant for another choice.
        """
        if isinstance(node, (list, tuple)):
            return type(node)(noted(item, chosen=chosen) for item in node)
        if not isinstance(node, dict):
            return node
        if not isinstance(own := node.get("type"), str):
            return {name: noted(member) for name, member in node.items()}
        if own == kind and not chosen:
            found.append(node)
            return with_info_before_validator_function(noting, node)
        return {
            name: member if name in _OPAQUE else noted(member, chosen=own == "union" and name == "choices")
            for name, member in node.items()
        }

    changed = noted(schema)
    with suppress(SchemaError):
        return SchemaValidator(changed, None, False) if found else None  # noqa: FBT003  # models' own do not note
    return None


def _note(value: object, info: ValidationInfo[set[object]]) -> object:
    if isinstance(value, float):
        info.context.add(value)
    return value


def _refuse(value: object, info: ValidationInfo[set[object]]) -> object:
    if isinstance(value, float) and value in info.context:
        raise _TOO_SMALL
    return value
