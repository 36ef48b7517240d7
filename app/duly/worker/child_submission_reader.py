"""Reads the submission of a child job by the same rules as a request over HTTP."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel
from pydantic_core import PydanticSerializationError, to_json

from duly.domain.json_reader import JsonRefused, read_json
from duly.domain.json_writer import canonical
from duly.errors import DulyError
from duly.handlers.exceptions import HandlerError
from duly.handlers.serialization import ParametersInvalid
from duly.handlers.submit_options import ChildRequest, SubmitOptions
from duly.lifecycle.submit.submission_errors import path_errors
from duly.lifecycle.submit.submission_model import Submission
from duly.lifecycle.submit.validate_model import read_model

MOST_NAMED = 10  # errors in one message
# Left out of the digest: a start time may be computed from the present time, which differs in the next attempt.
_WHEN = ("runAt", "delaySeconds")
_SPELLED = {to_camel(name): name for name in SubmitOptions.__annotations__}
_MEMBER = re.compile(r"[A-Za-z]+")


class ReadSubmission(NamedTuple):
    """A valid submission, and the digest that identifies it in later attempts."""

    submission: Submission
    digest: bytes


def read_child_submission(request: ChildRequest, *, max_depth: int, together: object = None) -> ReadSubmission:
    """Returns the submission.

    Args:
        asked: type, parameters and options as the handler gave them.
        max_depth: deepest nesting of JSON.
        together: what else belongs to the digest, such as the batch.

    Raises:
        JsonRefused, Invalid: it is invalid.
        HandlerError: it is not JSON.
    """
    options = {to_camel(name): value for name, value in request.options.items()}
    try:
        body = to_json({"type": request.type, "parameters": request.parameters, **options}, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise HandlerError(f"not JSON: {error}") from None
    value: Any = read_json(body, max_depth=max_depth)
    members = {member: value for member, value in value.items() if member not in _WHEN}
    digest = hashlib.sha256(canonical([members, together])).digest()
    return ReadSubmission(read_model(Submission, value), digest)


REFUSALS = (JsonRefused, ParametersInvalid, DulyError, HandlerError)


def refusal_error(what: str, refused: Mapping[str, Exception]) -> HandlerError:
    """Returns one error for refused submissions: the call, and the errors of each (by `jobs[3]`, or nothing)."""
    sentences = [
        f"{'.'.join(filter(None, (where, _spelled(path))))}: {message}".removeprefix(": ")
        for where, error in refused.items()
        for path, message in path_errors(error)
    ]
    more = f" (and {len(sentences) - MOST_NAMED} more)" if len(sentences) > MOST_NAMED else ""
    return HandlerError(f"{what}: {'; '.join(sentences[:MOST_NAMED])}{more}")


def _spelled(path: str) -> str:
    """Returns the path with its first member in Python's spelling."""
    return _MEMBER.sub(lambda found: _SPELLED.get(found[0], found[0]), path, count=1)
