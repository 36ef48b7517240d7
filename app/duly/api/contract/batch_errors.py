"""What is wrong with single jobs of many: each error names the job by its place, in its path and as `index`."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from uuid import UUID

from duly.domain.json_reader import JsonRefused
from duly.errors import DulyError, Invalid, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submit import BatchRefused

Refusal = DulyError | ParametersInvalid | JsonRefused
_PLACE = re.compile(r"jobs\[(\d+)\]")


def at_place(place: int, error: Refusal) -> list[PathError]:
    """The errors of the job at this place: `jobs[17].parameters.startDate`."""
    return [PathError(f"jobs[{place}]{path and f'.{path}'}", message) for path, message in errors_of(error)]


def place_of(error: PathError) -> float:
    """The place of the job that an error is about; beyond all of them for what is about none."""
    found = _PLACE.match(error.path)
    return int(found[1]) if found else math.inf


def errors_at(errors: Iterable[PathError], member: str) -> bool:
    """Returns whether one of the errors is about this member itself, or for other than `jobs` about what is in it."""
    return any(error.path == member or (member != "jobs" and error.path.startswith(f"{member}.")) for error in errors)


def errors_of(error: Refusal) -> list[PathError]:
    if isinstance(error, DulyError):
        return [PathError(**each) for each in error.details.get("errors", ())] or [PathError("", error.message)]
    return error.errors


def all_ids(fresh: Iterator[UUID], others: Mapping[int, UUID], *, start: int = 0) -> Iterator[UUID]:
    """The jobs of a batch in the order of its submissions: those it recorded, and `others` in their places."""
    for place in count(start):
        job_id = others.get(place) or next(fresh, None)
        if job_id is None:
            return
        yield job_id


def with_index(error: Invalid) -> Invalid:
    """Each error that is about a job says which also by its `index`."""
    error.details["errors"] = [
        each | ({"index": int(found[1])} if (found := _PLACE.match(each["path"])) else {})
        for each in error.details.get("errors", ())
    ]
    return error


def refused_by_ledger(refused: BatchRefused) -> DulyError:
    """Errors that the ledger found in single jobs, and in the one that follows them.

    Raises:
        Exception: one that is no refusal.
    """
    errors: list[PathError] = []
    for place, error in refused.errors.items():
        if not isinstance(error, DulyError):
            raise error
        errors += at_place(place, error)
    errors += [PathError(f"then.{path}", message) for path, message in refused.then]
    return with_index(Invalid.at(errors))
