"""JSON at the door and out of it: what is read strictly, what is written, and what is cleaned on the way to the ledger.

Text that Postgres cannot hold (U+0000, a lone surrogate) and numbers that JSON cannot carry (NaN, 1e999) are refused in
what a client sends, and replaced by U+FFFD in what handlers and receivers produce. Integers stay exact up to the 4300
digits Python reads; other numbers are doubles. A member named twice keeps its last value, as in nearly every reader.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson

from duly.errors import PathError

MAX_ERRORS = 20
MAX_PATH_LENGTH = 500
MAX_NAME_LENGTH = 80

_UNFIT = re.compile(r"[\x00\ud800-\udfff]")
# Every digit looks like 0, so that a long integer is found by a plain search: a sixth of the time of a pattern.
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_TWENTY_DIGITS = b"0" * 20
_MINUS_NINETEEN_DIGITS = b"-" + b"0" * 19
# Total on purpose: it matches at every quote, closed or not, so that no body makes it look twice at a byte.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# A pair, else what does not fit, else any escape: an escaped backslash goes whole, so the u after it is a letter.
_ESCAPE = re.compile(r"(?i:\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?P<unfit>\\u(?:0000|d[89a-f][0-9a-f]{2})))|\\.")


class JsonRefused(ValueError):
    """A body that is not JSON (400 NOT_JSON) or holds a value no job can keep (422 INVALID_JSON_VALUE).

    Its text is safe to send: what cannot be encoded is escaped, what is long is cut.
    """

    def __init__(self, status: Literal[400, 422], code: str, errors: list[PathError]) -> None:
        first = errors[0]
        super().__init__(f"{first.path}: {first.message}" if first.path else first.message)
        self.status = status
        self.code = code
        self.errors = errors


class _Misfit(NamedTuple):
    """Stands in a parsed value where the text had a number that is none in JSON, or that Python does not read."""

    message: str


def read_json(body: bytes, *, max_depth: int) -> object:
    """The value of a request body. Arrays and objects may stand `max_depth` deep in each other.

    A clean small body costs 2 microseconds; whatever looks suspicious is read again with care.

    Raises:
        JsonRefused: see there. Up to 20 places are named.
    """
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_with_care(body, max_depth)
    if b"\\u0000" in body or _may_hold_a_long_integer(body):
        return _read_with_care(body, max_depth)
    if body.count(b"[") + body.count(b"{") > max_depth and _is_nested_deeper(value, max_depth):
        raise _too_deep(max_depth)
    return value


def _may_hold_a_long_integer(body: bytes) -> bool:
    """Whether an integer may exceed 64 bits: orjson would read it as a double, and lose digits."""
    shape = body.translate(_DIGITS_ALIKE)
    return _TWENTY_DIGITS in shape or _MINUS_NINETEEN_DIGITS in shape


def _is_nested_deeper(value: object, max_depth: int) -> bool:
    level: list[Any] = [[value]]
    for _ in range(max_depth + 1):
        inner = chain.from_iterable(item.values() if isinstance(item, dict) else item for item in level)
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _read_with_care(body: bytes, max_depth: int) -> object:
    text = _decode(body)
    _check_depth(body, max_depth)
    value, misfits = _parse(text, max_depth)
    # A misfit that no longer stands in the value was in a member that is named again later.
    if errors := list(islice(_faults(value), MAX_ERRORS)) or [PathError("", misfit.message) for misfit in misfits[:1]]:
        raise JsonRefused(422, "INVALID_JSON_VALUE", errors)
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
    """Looks at the brackets outside strings, before a parser may recurse into them."""
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            raise _too_deep(max_depth)


def _parse(text: str, max_depth: int) -> tuple[object, list[_Misfit]]:
    misfits: list[_Misfit] = []
    limit = sys.get_int_max_str_digits() or 4300

    def read_constant(name: str) -> _Misfit:
        misfits.append(_Misfit(f"{name} is not a number in JSON"))
        return misfits[-1]

    def read_integer(digits: str) -> int | _Misfit:
        length = len(digits.lstrip("-"))
        if length <= limit:
            return int(digits)
        misfits.append(_Misfit(f"an integer of {length} digits; at most {limit} are read"))
        return misfits[-1]

    try:
        value = json.loads(text, parse_int=read_integer, parse_constant=read_constant)
    except json.JSONDecodeError as error:
        raise _not_json(error.msg, line=error.lineno, column=error.colno) from None
    except RecursionError:  # where max_depth is more than the interpreter can follow
        raise _too_deep(max_depth) from None
    return value, misfits


def _faults(value: object) -> Iterator[PathError]:
    """Every place in a parsed value that no job can keep, in the order of the text."""
    path: list[str | int] = [""]
    open_containers: list[Iterator[tuple[str | int, object]]] = [iter([("", value)])]
    while open_containers:
        for name, node in open_containers[-1]:
            path[-1] = name
            if isinstance(name, str) and _UNFIT.search(name):
                yield PathError(_write_path(path), f"the name holds {_unfit(name)}, which cannot be stored")
            if message := _fault(node):
                yield PathError(_write_path(path), message)
            if isinstance(node, (dict, list)) and node:
                open_containers.append(iter(node.items() if isinstance(node, dict) else enumerate(node)))
                path.append("")
                break
        else:
            open_containers.pop()
            path.pop()


def _fault(node: object) -> str | None:
    if isinstance(node, str):
        return f"the text holds {_unfit(node)}, which cannot be stored" if _UNFIT.search(node) else None
    if isinstance(node, float):
        return None if math.isfinite(node) else "the number is larger than a double can hold"
    return node.message if isinstance(node, _Misfit) else None


def _write_path(path: list[str | int]) -> str:
    """`parameters.rows[3].name`; the first step is the whole value and has no name."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{_safe(_shorten(step, MAX_NAME_LENGTH))}" for step in path[1:]
    )
    return _shorten("".join(steps).removeprefix("."), MAX_PATH_LENGTH)


def _unfit(text: str) -> str:
    character = next(_UNFIT.finditer(text))[0]
    return "U+0000" if character == "\0" else f"the lone surrogate U+{ord(character):04X}"


def _safe(text: str) -> str:
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _not_json(message: str, *, line: int, column: int) -> JsonRefused:
    return JsonRefused(400, "NOT_JSON", [PathError("", f"not JSON at line {line}, column {column}: {message}")])


def _too_deep(max_depth: int) -> JsonRefused:
    return JsonRefused(422, "INVALID_JSON_VALUE", [PathError("", f"nested deeper than {max_depth} levels")])


def dump_text(value: object) -> str:
    """The compact JSON text of a value that came out of `read_json`: read again, it is the same value."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer over 64 bits, or more than 254 levels
        return _dump_exactly(value)


def write_json(value: object) -> bytes:
    """Compact JSON of our own answers; moments as in `rfc3339`, and stored JSON embedded as it is by `orjson.Fragment`.

    Raises:
        TypeError: something in it is no JSON value, or a Fragment stands beside an integer over 64 bits.
    """
    try:
        return orjson.dumps(value, _plain, orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        return clean_text(_dump_exactly(value)).encode()


def _dump_exactly(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def rfc3339(moment: datetime) -> str:
    """A moment as the contract writes it, `2026-01-27T10:00:00.000Z`: UTC, milliseconds, the rest cut off.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    written = orjson.dumps(moment.astimezone(UTC)).decode()
    return f"{written[1:24]}Z" if moment.microsecond else f"{written[1:20]}.000Z"


def clean_text(text: str) -> str:
    """The text with U+FFFD in place of each U+0000 and each surrogate, so that Postgres and UTF-8 can hold it."""
    if "\0" not in text and text.isascii():
        return text
    return _UNFIT.sub("\ufffd", text)


def clean_json_text(json_text: str) -> str:
    """JSON text with U+FFFD in place of each U+0000 and lone surrogate, escaped or not; pairs stay.

    Names that become alike are both kept in the text: a reader takes the later.
    """
    json_text = clean_text(json_text)
    if "\\u" not in json_text:
        return json_text
    return _ESCAPE.sub(lambda found: "\ufffd" if found.lastgroup else found[0], json_text)


def clean(value: object, *, max_depth: int = 64) -> object:
    """A copy with every text and name cleaned as by `clean_text`; of names that become alike the later is kept.

    Numbers are left alone: whether NaN is an error is for the caller to say.

    Raises:
        ValueError: it is nested deeper than `max_depth`.
    """
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if max_depth < 1:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        names = (clean_text(name) if isinstance(name, str) else name for name in value)
        return {name: clean(item, max_depth=max_depth - 1) for name, item in zip(names, value.values(), strict=True)}
    return [clean(item, max_depth=max_depth - 1) for item in value]


def truncate_text(text: str, limit: int) -> str:
    """At most `limit` characters: the beginning, and how many there were in all."""
    if len(text) <= limit:
        return text
    note = f"… [{len(text):,} characters in all]"
    return (text[: max(limit - len(note), 0)] + note)[:limit]
