"""Parameters of a handler read from JSON text, and its result written as JSON text."""

import json
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from duly.domain.json_cleaning import clean_json_text
from duly.domain.unstorable_json import write_path
from duly.errors import PathError

if TYPE_CHECKING:
    from duly.handlers.registry import RegisteredHandler

# Errors named in one response. Pydantic takes 4 microseconds for each that it lists, and cannot list the first alone.
MOST_ERRORS, MOST_LISTED_ERRORS = 100, 1_000


class ParametersInvalid(ValueError):
    """Parameters that do not fit the model of the type. `errors` lists each path, such as `parameters.startDate`."""

    def __init__(self, errors: list[PathError]) -> None:
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in errors))
        self.errors = errors


class ResultInvalid(ValueError):
    """Return value of a handler that cannot be recorded as its result."""


class ResultText(str):
    """Result already serialized as JSON, in the process in which the handler ran."""

    __slots__ = ()


def read_parameters(handler: "RegisteredHandler", text: str) -> Any:
    """Returns the validated parameters.

    Raises:
        ParametersInvalid: they do not fit the model of the handler.
    """
    numbers = handler.signature.numbers
    try:
        return handler.parameters.validator.validate_json(text) if numbers is None else numbers.read(text)
    except ValidationError as error:
        raise ParametersInvalid(path_errors(error, root="parameters")) from None


def path_errors(error: ValidationError, *, root: str = "") -> list[PathError]:
    """Returns pydantic's first errors with paths such as `parameters.rows[3].name`."""
    found = [PathError(json_path(each["loc"], root=root), each["msg"]) for each in first_errors(error)]
    return found or [PathError(root, f"{error.error_count():,} errors")]


def first_errors(error: ValidationError) -> list[ErrorDetails]:
    """Returns pydantic's first errors; none if there are so many that listing them would block the event loop."""
    if error.error_count() > MOST_LISTED_ERRORS:
        return []
    return error.errors(include_url=False, include_input=False, include_context=False)[:MOST_ERRORS]


def json_path(location: tuple[int | str, ...], *, root: str = "") -> str:
    if location and location[-1] == "[key]":  # pydantic's mark of an error in a member's name
        location = location[:-1]
    return write_path((root, *location) if root else location)


def write_result(handler: "RegisteredHandler", value: object, *, limit: int) -> str:
    """Returns the result as JSON text, with NUL and lone surrogates replaced by U+FFFD.

    Raises:
        ResultInvalid: the result does not fit the declared type, is not JSON, or is larger than `limit` bytes.
    """
    return write_value(handler.result, value, limit=limit)


def write_value(kind: TypeAdapter[Any], value: object, *, limit: int) -> str:
    """Returns a result of this type as JSON text; see `write_result`.

    Raises:
        ResultInvalid: as in `write_result`.
    """
    if isinstance(value, ResultText):
        return str(value)
    try:
        written = _written(kind, kind.validator.validate_python(value))
        text = written.decode()
    except ValidationError as error:
        places = "; ".join(f"{place}: {message}" for place, message in path_errors(error, root="result"))
        raise ResultInvalid(f"the result does not fit the declared type: {places}") from None
    except (PydanticSerializationError, UnicodeError, ValueError, RecursionError) as error:
        raise ResultInvalid(f"the result cannot be serialized as JSON: {error}") from None
    if len(written) > limit:
        raise ResultInvalid(f"the result is too large ({len(written):,} bytes of JSON, limit {limit:,})")
    if "NaN" in text or "Infinity" in text:
        _refuse_constants(text)
    return clean_json_text(text)


def _written(result: TypeAdapter[Any], value: object) -> bytes:
    try:
        return result.serializer.to_json(value)  # half a microsecond faster than `dump_json`, which does the same
    except PydanticSerializationError:
        # The cause may be a lone surrogate, which UTF-8 cannot encode; escaped, it can be replaced.
        return json.dumps(result.dump_python(value, mode="json")).encode()


def _refuse_constants(text: str) -> None:
    """Refuses NaN and Infinity as numbers; inside strings they are allowed."""

    def refuse(constant: str) -> NoReturn:
        raise ResultInvalid(f"the result cannot be serialized as JSON: it contains {constant}")

    json.loads(text, parse_constant=refuse)
