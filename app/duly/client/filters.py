"""Filters of lists, streams and bulk operations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, cast

_PARAMETERS = {
    "types": "type",
    "queues": "queue",
    "batch_ids": "batchId",
    "parent_ids": "parentId",
    "statuses": "status",
    "created_after": "createdAfter",
    "created_before": "createdBefore",
}


class StreamFilters(TypedDict, total=False):
    """Filters of a stream: a job matches if it has one of the values of each filter, and all labels."""

    types: Sequence[str]
    queues: Sequence[str]
    batch_ids: Sequence[str]
    labels: Mapping[str, str]


class JobFilters(StreamFilters, total=False):
    """Filters of a list and of bulk operations. Times are inclusive, as `datetime` with a time zone or RFC 3339."""

    statuses: Sequence[Literal["pending", "running", "completed", "failed", "cancelled"]]
    parent_ids: Sequence[str]
    created_after: datetime | str
    created_before: datetime | str


def query_of(filters: JobFilters | StreamFilters) -> dict[str, Any]:
    """Returns the query parameters of filters.

    Raises:
        TypeError: a filter is unknown.
    """
    query: dict[str, Any] = {}
    for name, value in cast("Mapping[str, Any]", filters).items():
        if name == "labels":
            query["label"] = [f"{label}:{text}" for label, text in value.items()]
        elif name not in _PARAMETERS:
            raise TypeError(f"unknown filter {name!r}; known: {', '.join([*_PARAMETERS, 'labels'])}")
        elif value is not None:
            query[_PARAMETERS[name]] = value.isoformat() if isinstance(value, datetime) else value
    return query
