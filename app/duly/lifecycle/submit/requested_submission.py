"""Submissions that Python code makes, as the JSON of a request over HTTP, and the digest of a child job."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel
from pydantic_core import PydanticSerializationError, to_json

from duly.domain.json_reader import read_json
from duly.domain.json_writer import canonical
from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import ChildRequest

# Left out of the digest: a start time may be computed from the present time, which differs in the next attempt.
_WHEN = ("runAt", "delaySeconds")


def submission_value(request: ChildRequest, *, max_depth: int) -> Any:
    """Returns the JSON value of a submission.

    Args:
        request: type, parameters and options as a handler gave them.
        max_depth: deepest nesting of JSON.

    Raises:
        JsonRefused: it has values that cannot be kept.
        HandlerError: it is not JSON.
    """
    options = {to_camel(name): value for name, value in request.options.items()}
    try:
        body = to_json({"type": request.type, "parameters": request.parameters, **options}, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise HandlerError(f"not JSON: {error}") from None
    return read_json(body, max_depth=max_depth)


def child_digest(submission: Mapping[str, object], *, together: object = None) -> bytes:
    """Returns the digest that identifies a child job in later attempts.

    Args:
        submission: its members, as read from JSON.
        together: what else belongs to the digest, such as the batch.
    """
    members = {member: value for member, value in submission.items() if member not in _WHEN}
    return hashlib.sha256(canonical([members, together])).digest()
