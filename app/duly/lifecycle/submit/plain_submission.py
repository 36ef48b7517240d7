"""Plain submissions: those with a type, parameters, a priority and a queue only, as most are.

They are read without the model of all submissions, which takes as long as the rest of their way to a job.
"""

from functools import lru_cache
from typing import NamedTuple

from duly.domain.names import is_name
from duly.lifecycle.submit.submission_model import HIGHEST_PRIORITY, LOWEST_PRIORITY

_MEMBERS = {"type", "parameters", "priority", "queue"}


class PlainSubmission(NamedTuple):
    """Members of a plain submission. `queue`: None if it names none."""

    type: str
    parameters: object
    priority: int
    queue: str | None


def read_plain(value: object) -> PlainSubmission | None:
    """Returns the members of a JSON value; None if it is not a valid plain submission: then the model decides."""
    if type(value) is not dict or not value.keys() <= _MEMBERS:
        return None
    name, queue, priority = value.get("type"), value.get("queue"), value.get("priority", 0)
    if type(priority) is not int or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        return None
    if type(name) is not str or not _is_name(name):
        return None
    if "queue" in value and (type(queue) is not str or not _is_name(queue)):
        return None
    return PlainSubmission(name, value.get("parameters", {}), priority, queue)


_is_name = lru_cache(maxsize=1024)(is_name)
