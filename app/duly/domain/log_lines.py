"""Log lines of handlers, cleaned and truncated so that they can always be stored."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from duly.domain.json_cleaning import clean_json_text, clean_text, truncate_text
from duly.domain.outcome import MESSAGE_LIMIT

FIELDS_LIMIT = 8_000
# Limits of fields that are longer than that in total.
MOST_FIELDS, NAME_LIMIT, VALUE_LIMIT = 20, 100, 200


class Level(IntEnum):
    """Level of a log line. Stored numbers, equal to those of Python's logging."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


LEVELS: dict[str, Level] = {level.name.lower(): level for level in Level}


class LogLine(NamedTuple):
    """Line of one attempt. `line` counts from 1; `fields` is the text of a JSON object; `at` is by the database's
    clock.
    """

    tenant_id: int
    job_id: UUID
    token: int
    line: int
    attempt: int
    level: int
    message: str
    fields: str | None
    at: datetime


def message_text(message: object) -> str:
    """Returns at most 8,000 storable characters of a handler's message, of any type."""
    return truncate_text(clean_text(_shown(message)), MESSAGE_LIMIT)


def fields_text(fields: Mapping[str, object]) -> str | None:
    """Returns the fields as a JSON object of at most 8,000 characters. A value that is not JSON is written as its text;
    of larger fields the first twenty are kept, each value truncated.
    """
    if not fields:
        return None
    written = {name: _written(value) for name, value in fields.items()}
    if sum(map(len, written)) + sum(map(len, written.values())) > FIELDS_LIMIT:
        written = {
            truncate_text(name, NAME_LIMIT): _written(truncate_text(value, VALUE_LIMIT))
            for name, value in islice(written.items(), MOST_FIELDS)
        }
    return "{" + ",".join(f"{_written(name)}:{value}" for name, value in written.items()) + "}"


def limit_note(most: int) -> str:
    """Returns the line in place of lines beyond the limit."""
    return f"Log limit reached: only the first {most:,} lines of an attempt are kept."


def _written(value: object) -> str:
    try:
        text = json.dumps(value, default=_shown, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # NaN, a name that is not a string, a cycle
        text = json.dumps(_shown(value), ensure_ascii=False)
    return clean_json_text(text)


def _shown(value: object) -> str:
    try:
        return str(value)
    except BaseException:  # noqa: BLE001  # `__str__` of a user's object may raise anything
        return "(cannot be shown)"
