"""The two ends of a call: parameters from JSON text into what the handler takes, its result back into JSON text."""

import json
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from duly.domain.json_value import clean_json_text
from duly.errors import PathError
from duly.handlers.registry import RegisteredHandler


class ParametersInvalid(ValueError):
    """The parameters do not fit the type's model. `errors` names each place, as `parameters.startDate`."""

    def __init__(self, errors: list[PathError]) -> None:
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in errors))
        self.errors = errors


class ResultInvalid(ValueError):
    """What the handler returned cannot be recorded as its result."""


class ResultText(str):
    """A result that was written as JSON text already, in the process where its handler ran."""

    __slots__ = ()


def read_parameters(handler: RegisteredHandler, text: str) -> Any:
    """The validated parameters.

    Raises:
        ParametersInvalid: they do not fit the handler's model.
    """
    numbers = handler.signature.numbers
    try:
        return handler.parameters.validate_json(text) if numbers is None else numbers.read(text)
    except ValidationError as error:
        raise ParametersInvalid(path_errors(error, root="parameters")) from None


def path_errors(error: ValidationError, *, root: str = "") -> list[PathError]:
    """Pydantic's errors as places of the contract: `parameters.rows[3].name`."""
    return [
        PathError(json_path(found["loc"], root=root), found["msg"])
        for found in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def json_path(location: tuple[int | str, ...], *, root: str = "") -> str:
    path = root
    if location and location[-1] == "[key]":  # how pydantic says that a member's name is at fault, not its value
        location = location[:-1]
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def write_result(handler: RegisteredHandler, value: object, *, limit: int) -> str:
    """The result as JSON text, NUL and lone surrogates replaced by U+FFFD.

    Raises:
        ResultInvalid: it does not fit the declared type, is not JSON, or is larger than `limit` bytes.
    """
    if isinstance(value, ResultText):
        return str(value)
    try:
        written = _written(handler.result, handler.result.validate_python(value))
        text = written.decode()
    except ValidationError as error:
        places = "; ".join(f"{place}: {message}" for place, message in path_errors(error, root="result"))
        raise ResultInvalid(f"the result does not fit the declared type: {places}") from None
    except (PydanticSerializationError, UnicodeError, ValueError, RecursionError) as error:
        raise ResultInvalid(f"the result is not JSON: {error}") from None
    if len(written) > limit:
        raise ResultInvalid(f"the result has {len(written):,} bytes as JSON; {limit:,} are allowed")
    if "NaN" in text or "Infinity" in text:
        _refuse_constants(text)
    return clean_json_text(text)


def _written(result: TypeAdapter[Any], value: object) -> bytes:
    try:
        return result.dump_json(value)
    except PydanticSerializationError:
        # It may be no more than a lone surrogate, which UTF-8 cannot hold; escaped, it can be cleaned.
        return json.dumps(result.dump_python(value, mode="json")).encode()


def _refuse_constants(text: str) -> None:
    """The words may stand inside strings; only as numbers are they refused."""

    def refuse(constant: str) -> NoReturn:
        raise ResultInvalid(f"the result is not JSON: it holds {constant}")

    json.loads(text, parse_constant=refuse)
