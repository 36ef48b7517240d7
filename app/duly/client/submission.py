"""Submissions: the members of the HTTP API, from names in snake_case."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Required

from duly.client.request import Documents, camel_case, known
from duly.handlers.submit_options import SubmitOptions


class JobRequest(SubmitOptions, total=False):
    """Job of `submit_many` or `submit_lines`, with the options of `submit`.

    `parameters` are a pydantic model, a dataclass or anything that JSON can carry.
    """

    type: Required[str]
    parameters: Any


def submission(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the submission of a job. Options that are None have their default."""
    return camel_case(known(request))


def submissions(requests: Iterable[JobRequest] | AsyncIterable[JobRequest]) -> Documents:
    """Returns the submissions of jobs, each made when it is needed."""
    return _async_submissions(requests) if isinstance(requests, AsyncIterable) else _submissions(requests)


def _submissions(requests: Iterable[JobRequest]) -> Iterator[dict[str, Any]]:
    for request in requests:
        yield submission(request)


async def _async_submissions(requests: AsyncIterable[JobRequest]) -> AsyncIterator[dict[str, Any]]:
    async for request in requests:
        yield submission(request)
