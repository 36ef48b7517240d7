"""Errors of single jobs of a batch: each has the index of its job, in its path and as `index`."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from uuid import UUID

from duly.domain.json_reader import JsonRefused
from duly.errors import DulyError, Invalid, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submission_errors import path_errors
from duly.lifecycle.submit.submit import BatchRefused

Refusal = DulyError | ParametersInvalid | JsonRefused
_JOB = re.compile(r"jobs\[(\d+)\]")


def at_index(index: int, error: Refusal) -> list[PathError]:
    """Returns the errors of the job at an index, such as `jobs[17].parameters.startDate`."""
    return [PathError(f"jobs[{index}]{path and f'.{path}'}", message) for path, message in path_errors(error)]


def index_of(error: PathError) -> float:
    """Returns the index of the job that an error is about; infinity for an error of the batch itself."""
    found = _JOB.match(error.path)
    return int(found[1]) if found else math.inf


def errors_at(errors: Iterable[PathError], member: str) -> bool:
    """Returns whether an error is about this member, or for members other than `jobs` about a part of it."""
    return any(error.path == member or (member != "jobs" and error.path.startswith(f"{member}.")) for error in errors)


def all_ids(fresh: Iterator[UUID], others: Mapping[int, UUID], *, start: int = 0) -> Iterator[UUID]:
    """Yields the job ids of a batch in the order of its submissions: `fresh` ones that it recorded, and `others` at
    their indexes.
    """
    for index in count(start):
        job_id = others.get(index) or next(fresh, None)
        if job_id is None:
            return
        yield job_id


def with_index(error: Invalid) -> Invalid:
    """Adds `index` to each error about a job."""
    error.details["errors"] = [
        each | ({"index": int(found[1])} if (found := _JOB.match(each["path"])) else {})
        for each in error.details.get("errors", ())
    ]
    return error


def batch_refusal(refused: BatchRefused) -> DulyError:
    """Returns the error of a batch that was refused when it was recorded, for single jobs or the one that follows.

    Raises:
        Exception: one of the causes is not a refusal.
    """
    errors: list[PathError] = []
    for index, error in refused.errors.items():
        if not isinstance(error, DulyError):
            raise error
        errors += at_index(index, error)
    errors += [PathError(f"then.{path}", message) for path, message in refused.then]
    return with_index(Invalid.at(errors))
