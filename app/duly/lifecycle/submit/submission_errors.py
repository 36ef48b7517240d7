"""Errors of a submission as paths and messages, for all checks of it."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import BaseModel, ValidationError

from duly.domain.json_reader import JsonRefused
from duly.domain.names import LONGEST_NAME
from duly.errors import DulyError, Invalid, PathError
from duly.handlers.exceptions import HandlerError
from duly.handlers.serialization import ParametersInvalid, first_errors, json_path
from duly.lifecycle.submit.submission_model import Submission

# Errors of a submission that is made by code.
REFUSALS = (JsonRefused, ParametersInvalid, DulyError, HandlerError)
# Unknown fields for which a similar name is looked up, in one response.
MOST_SUGGESTIONS = 20


def validation_errors(error: ValidationError, model: type[BaseModel]) -> list[PathError]:
    """Returns Pydantic's first errors, with a similar name for the first unknown fields."""
    found: list[PathError] = []
    for problem in first_errors(error):
        location, message = problem["loc"], problem["msg"]
        if problem["type"] == "extra_forbidden":
            of = model if len(location) == 1 else Submission
            message = _unknown_field(str(location[-1]), of, suggest=len(found) < MOST_SUGGESTIONS)
        found.append(PathError(json_path(location), message))
    return found or [PathError("", f"{error.error_count():,} errors")]


def _unknown_field(name: str, model: type[BaseModel], *, suggest: bool) -> str:
    known = [field.alias or member for member, field in model.model_fields.items()] if suggest else []
    near = difflib.get_close_matches(name[:LONGEST_NAME], known, n=1)
    return f'unknown field; did you mean "{near[0]}"?' if near else "unknown field"


def path_errors(error: Exception) -> Sequence[PathError]:
    """Returns the errors of one submission; a single one without a path for an error that names none."""
    match error:
        case ValidationError():
            return validation_errors(error, Submission)
        case JsonRefused() | ParametersInvalid():
            return error.errors
        case DulyError():
            named = [PathError(each["path"], each["message"]) for each in error.details.get("errors", ())]
            return named or [PathError("", error.message)]
        case _:
            return [PathError("", str(error))]


@contextmanager
def nested_under(member: str) -> Iterator[None]:
    """Puts this member of the request before the paths of the errors that the block raises."""
    try:
        yield
    except ParametersInvalid as error:
        raise Invalid.at([PathError(f"{member}.{path}", message) for path, message in error.errors]) from None
    except DulyError as error:
        for each in error.details.get("errors", ()):
            each["path"] = f"{member}.{each['path']}" if each["path"] else member
        raise
