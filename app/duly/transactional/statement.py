"""The call of `duly.submit` as a statement and its arguments, for any driver."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from duly.client.request import as_json
from duly.client.submission import submission
from duly.handlers.submit_options import SubmitOptions
from duly.telemetry.current_trace import current_traceparent

DEFAULT_SCHEMA = "duly"
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class TransactionOptions(SubmitOptions, total=False):
    """Options of a submission, with those that a request has in its headers."""

    idempotency_key: str | None
    correlation_id: str | None
    traceparent: str | None
    tenant: str | None


class Call(NamedTuple):
    """Arguments of the function: the job type, and parameters and options as JSON text."""

    type: str
    parameters: str
    options: str


def call_of(type_: str, parameters: Any, options: Mapping[str, Any]) -> Call:
    """Returns the arguments for a job.

    Raises:
        TypeError: an option is unknown.
    """
    if unknown := options.keys() - TransactionOptions.__annotations__.keys():
        raise TypeError(f"submit() has no option {min(unknown)!r}")
    given = dict(options)
    if "traceparent" not in given and (traceparent := current_traceparent()) is not None:
        given["traceparent"] = traceparent
    if given.get("depends_on") is not None:
        given["depends_on"] = [str(one) for one in given["depends_on"]]
    return Call(type_, _text({} if parameters is None else parameters), _text(submission(given)))


def statement(schema: str, *placeholders: str) -> str:
    """Returns the statement that calls the function, with the driver's placeholders.

    Raises:
        ValueError: the schema is not the name of one.
    """
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"schema must be a plain name, not {schema!r}")
    arguments = ", ".join(f"cast({placeholder} as text)" for placeholder in placeholders)
    return f'select "{schema}".submit({arguments})'  # of a checked name


def _text(value: Any) -> str:
    return as_json(value).decode()
