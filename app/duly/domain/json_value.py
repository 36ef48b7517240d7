"""JSON at the door and out of it: what is read strictly, what is written, and what is cleaned on the way to the ledger.

Text that Postgres cannot hold (U+0000, a lone surrogate), numbers that JSON cannot carry (NaN, 1e999) and members named
twice are refused in what a client sends; text is cleaned (U+FFFD) in what handlers and receivers produce. A number
keeps its text: one that would be written in another way is read as a `NumberText`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain, islice
from operator import attrgetter
from secrets import token_hex
from typing import Any, Literal
from uuid import UUID

import orjson

from duly.domain.json_faults import UNFIT, Misfit, faults
from duly.domain.json_numbers import NumberText, canonical_number, integer_of, number_of
from duly.errors import PathError

MAX_ERRORS = 20

_BLANKS = b" \t\r\n"
# Total on purpose: it matches at every quote, closed or not, so that no body makes it look twice at a byte.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# A pair, else what does not fit, else any escape: an escaped backslash goes whole, so the u after it is a letter.
_ESCAPE = re.compile(r"(?i:\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?P<unfit>\\u(?:0000|d[89a-f][0-9a-f]{2})))|\\.")


class JsonRefused(ValueError):
    """A body that is not JSON (400 INVALID_JSON) or holds a value no job can keep (422 INVALID_JSON_VALUE).

    Its text is safe to send: what cannot be encoded is escaped, what is long is cut. `value` is what was read, where it
    is JSON; the errors name all that is wrong with it, up to their number.
    """

    def __init__(self, status: Literal[400, 422], code: str, errors: list[PathError], value: object = None) -> None:
        first = errors[0]
        super().__init__(f"{first.path}: {first.message}" if first.path else first.message)
        self.status = status
        self.code = code
        self.errors = errors
        self.value = value


def read_json(body: bytes, *, max_depth: int, max_errors: int = MAX_ERRORS) -> object:
    """The value of a request body. Arrays and objects may stand `max_depth` deep in each other.

    A clean small body costs 2 microseconds; whatever looks suspicious is read again with care.

    Raises:
        JsonRefused: see there. Up to `max_errors` places are named.
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
    """The value of JSON text from the ledger, its numbers as they are written there; written again, it is the same."""
    return json.loads(json_text, parse_int=integer_of, parse_float=number_of)


def _is_written_alike(body: bytes, value: object) -> bool:
    """Returns whether the value would be written like its text, blanks aside: then each number has its digits, and no
    member was named twice. Many clients escape what is not ASCII; with an exponent, Python's numbers are not ours.
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
        inner = chain.from_iterable(item.values() if isinstance(item, dict) else item for item in level)
        level = [child for child in inner if isinstance(child, (dict, list))]
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
    """Looks at the brackets outside strings, before a parser may recurse into them."""
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
    except RecursionError:  # where max_depth is more than the interpreter can follow
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


def dump_text(value: object) -> str:
    """The compact JSON text of a value that came out of `read_json`: read again, it is the same value."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number that keeps its text, an integer over 64 bits, or more than 254 levels
        return _dump_exactly(value)


def canonical(value: object) -> bytes:
    """The same for the same JSON value, whatever its blanks, escapes and the order of its members; for digests."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except TypeError:  # a number that keeps its text
        return _dump_exactly(value, ensure_ascii=True, sort_keys=True, number=canonical_number).encode()


def write_json(value: object) -> bytes:
    """Compact JSON of our own answers; moments as in `rfc3339`, and stored JSON embedded as it is by `orjson.Fragment`.

    Raises:
        TypeError: something in it is no JSON value, or a Fragment stands beside an integer over 64 bits.
    """
    try:
        return orjson.dumps(value, _plain, orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        return clean_text(_dump_exactly(value)).encode()


def _dump_exactly(
    value: object,
    *,
    ensure_ascii: bool = False,
    sort_keys: bool = False,
    number: Callable[[NumberText], str] = attrgetter("text"),
) -> str:
    # The encoder writes no text of ours as a number: it goes as text between marks that nobody can foresee.
    mark = ""

    def write(other: object) -> str:
        nonlocal mark
        if isinstance(other, NumberText):
            mark = mark or token_hex(16)
            return f"{mark}{number(other)}{mark}"
        return _plain(other)

    text = json.dumps(
        value, ensure_ascii=ensure_ascii, sort_keys=sort_keys, allow_nan=False, separators=(",", ":"), default=write
    )
    return text.replace(f'"{mark}', "").replace(f'{mark}"', "") if mark else text


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
    return UNFIT.sub("\ufffd", text)


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
