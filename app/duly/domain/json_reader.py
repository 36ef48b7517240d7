"""Strict reader of JSON, for request bodies and stored text.

Text that Postgres cannot store (U+0000, a lone surrogate), numbers that JSON does not have (NaN, 1e999) and duplicate
members are refused. A number that Python would write differently is read as a `NumberText`, which keeps its digits.
"""

import json
import re
from collections import Counter
from itertools import islice
from typing import Any, Literal

import orjson

from duly.domain.json_depth import inner_containers
from duly.domain.json_numbers import integer_of, number_of
from duly.domain.unstorable_json import Misfit, faults
from duly.errors import PathError

MAX_ERRORS = 20

_BLANKS = b" \t\r\n"
# Matches at every quote, closed or not, so that no byte is scanned twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class JsonRefused(ValueError):
    """Body that is not JSON (400 INVALID_JSON) or has a value that cannot be stored (422 INVALID_JSON_VALUE).

    Its text is safe to send: characters that cannot be encoded are escaped, long texts are cut. `value` is the parsed
    value, where the body is JSON; `errors` name up to `max_errors` faults.
    """

    def __init__(self, status: Literal[400, 422], code: str, errors: list[PathError], value: object = None) -> None:
        first = errors[0]
        super().__init__(f"{first.path}: {first.message}" if first.path else first.message)
        self.status = status
        self.code = code
        self.errors = errors
        self.value = value


def read_json(body: bytes, *, max_depth: int, max_errors: int = MAX_ERRORS) -> object:
    """Returns the value of a request body, whose arrays and objects may be nested `max_depth` levels.

    A small regular body costs 2 microseconds; any other is parsed a second time with all checks.

    Raises:
        JsonRefused: the body is not JSON or has a value that cannot be stored; up to `max_errors` places are named.
    """
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_with_care(body, max_depth, max_errors)
    if b"\\u0000" in body or not _is_written_alike(body, value):
        return _read_with_care(body, max_depth, max_errors)
    if body.count(b"[") + body.count(b"{") > max_depth and _is_nested_deeper(value, max_depth):
        raise _too_deep(max_depth)
    return value


def read_kept(json_text: str) -> object:
    """Returns the value of stored JSON text; `dump_text` writes its numbers with the same digits."""
    return json.loads(json_text, parse_int=integer_of, parse_float=number_of)


def _is_written_alike(body: bytes, value: object) -> bool:
    """Returns whether the value is written as in the body, blanks aside.

    Then each number keeps its digits and no member is duplicate. Many clients escape characters that are not ASCII;
    exponents are excluded there, because `json` writes them differently.
    """
    try:
        written = orjson.dumps(value)
        if written == body:
            return True
        sent = body.translate(None, _BLANKS)
        if written.translate(None, _BLANKS) == sent:
            return True
    except TypeError:  # more than 254 levels
        return False
    if b"\\u" not in sent:
        return False
    escaped = json.dumps(value, separators=(",", ":")).encode().translate(None, _BLANKS)
    return escaped == sent and b"e+" not in sent and b"e-" not in sent


def _is_nested_deeper(value: object, max_depth: int) -> bool:
    level: list[Any] = [[value]]
    for _ in range(max_depth + 1):
        level = inner_containers(level)
        if not level:
            return False
    return True


def _read_with_care(body: bytes, max_depth: int, max_errors: int) -> object:
    text = _decode(body)
    _check_depth(body, max_depth)
    value = _parse(text, max_depth)
    if errors := list(islice(faults(value), max_errors)):
        raise JsonRefused(422, "INVALID_JSON_VALUE", errors, value)
    return value


def _decode(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        raise _not_json("the text is not UTF-8", line=before.count(b"\n") + 1, column=column) from None
    if not text.strip(" \t\r\n"):
        raise _not_json("the body is empty", line=1, column=1)
    return text


def _check_depth(body: bytes, max_depth: int) -> None:
    """Checks the depth of the brackets outside of strings, before a parser recurses into them."""
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            raise _too_deep(max_depth)


def _parse(text: str, max_depth: int) -> object:
    try:
        return json.loads(
            text,
            parse_int=integer_of,
            parse_float=number_of,
            parse_constant=lambda name: Misfit(f"{name} is not a number in JSON"),
            object_pairs_hook=_members,
        )
    except json.JSONDecodeError as error:
        raise _not_json(error.msg, line=error.lineno, column=error.colno) from None
    except RecursionError:  # max_depth exceeds the recursion limit of the interpreter
        raise _too_deep(max_depth) from None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        named = Counter(name for name, _ in pairs)
        members |= {name: Misfit("is named more than once") for name, times in named.items() if times > 1}
    return members


def _not_json(message: str, *, line: int, column: int) -> JsonRefused:
    return JsonRefused(400, "INVALID_JSON", [PathError("", f"not JSON at line {line}, column {column}: {message}")])


def _too_deep(max_depth: int) -> JsonRefused:
    return JsonRefused(422, "INVALID_JSON_VALUE", [PathError("", f"nested deeper than {max_depth} levels")])
