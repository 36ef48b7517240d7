"""Ids in paths."""

from uuid import UUID

from duly.domain.ids import parse_job_id
from duly.errors import NotFound


def id_in_path(text: str, resource: str) -> UUID:
    """Returns the id in a path. A text that is not an id gets the response of an unknown id.

    Raises:
        NotFound: `resource` not found.
    """
    parsed = parse_job_id(text)
    if parsed is None:
        raise NotFound(f"{resource} not found.")
    return parsed


def job_id_in_path(text: str) -> UUID:
    """Returns the job id in a path.

    Raises:
        NotFound: not an id.
    """
    return id_in_path(text, "Job")
