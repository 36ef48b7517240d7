"""Reads the submission of a child job by the same rules as a request over HTTP."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic.alias_generators import to_camel

from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import ChildRequest, SubmitOptions
from duly.lifecycle.submit.requested_submission import child_digest, submission_value
from duly.lifecycle.submit.submission_errors import path_errors
from duly.lifecycle.submit.submission_model import Submission
from duly.lifecycle.submit.validate_model import read_model

MOST_NAMED = 10  # errors in one message
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
    value = submission_value(request, max_depth=max_depth)
    return ReadSubmission(read_model(Submission, value), child_digest(value, together=together))


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
