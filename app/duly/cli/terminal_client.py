"""Client of the commands, which also reads single pages of lists and counts before bulk actions."""

from typing import Any

from duly.client import Client, JobFilters
from duly.client.filters import query_of
from duly.client.operation import operation
from duly.client.request import get, path_of, post
from duly.client.sending import call
from duly.client.steps import Steps


class TerminalClient(Client):
    """Client with the operations that only a terminal needs."""

    @operation
    def read(self, /, *path: str, **query: Any) -> Steps[dict[str, Any]]:
        """Returns the object at a path below `/api/v1`, such as one page of a list."""
        return (yield from call(get(path_of(*path), query)))

    @operation
    def count_for(self, action: str, filters: JobFilters, /) -> Steps[dict[str, Any]]:
        """Returns the number of jobs that a bulk action (`retry`, `cancel`) would change: `count`, and `complete`."""
        query = {**query_of(filters), "dryRun": "true"}
        return (yield from call(post(path_of("jobs", action), query=query, repeatable=True)))
