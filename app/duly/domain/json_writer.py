"""Writer of JSON: compact text of values read by `json_reader`, bodies of responses, canonical text for digests."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from secrets import token_hex
from uuid import UUID

import orjson

from duly.domain.json_cleaning import clean_text
from duly.domain.json_numbers import NumberText, canonical_number
from duly.domain.timestamps import rfc3339


def dump_text(value: object) -> str:
    """Returns the compact JSON text of a value from `read_json`; parsed again, it is the same value."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number that keeps its text, an integer over 64 bits, or more than 254 levels
        return _dump_exactly(value)


def canonical(value: object) -> bytes:
    """Returns one text for equal JSON values, independent of blanks, escapes and the order of members; for digests."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except TypeError:  # a number that keeps its text
        return _dump_exactly(value, ensure_ascii=True, sort_keys=True, number=canonical_number).encode()


def digest_of(value: object) -> bytes:
    """Returns a digest of a JSON value that does not depend on its spelling."""
    return hashlib.sha256(canonical(value)).digest()


def write_json(value: object) -> bytes:
    """Returns the compact JSON of a response. Timestamps are written by `rfc3339`; an `orjson.Fragment` is embedded.

    Raises:
        TypeError: a member is not a JSON value, or a Fragment occurs beside an integer over 64 bits.
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
    # The encoder cannot write a text as a number, so it is written between unpredictable marks, which are removed.
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
    raise TypeError(f"{type(value).__name__} is not a JSON value")
