"""Submissions in several cells: each goes to the cell that its ids and keys need, or to the next one that serves.

These wrap the bare endpoints: a request is authenticated and its body read when they get it.
"""

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.batches.batch_errors import at_index, with_index
from duly.api.batches.batch_ndjson import LINE_PLACING
from duly.api.batches.batch_reader import MOST_ERRORS
from duly.api.jobs.submission_headers import key_text
from duly.api.jobs.submission_reader import reader_of
from duly.api.jobs.submit_job import PREFIX
from duly.api.server.scope_values import NODE, PARSED, headers_of, tenant_of
from duly.cells.local_call import Cells
from duly.cells.placing import BatchPlacing, Places, place
from duly.domain.ids import parse_job_id
from duly.errors import Invalid, PathError
from duly.store.postgres.database import DatabaseOutage

JOBS_AT_A_TIME: Final = 1_000


class PlacedSubmission:
    """`POST /api/v1/jobs` and `PUT /api/v1/jobs/{jobId}` in the cell that the submission needs."""

    def __init__(self, cells: Cells, submit: ASGIApp) -> None:
        self._cells = cells
        self._submit = submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Submits one job."""
        own = None
        if scope["method"] == "PUT":
            path: str = scope["path"]
            own = parse_job_id(path.removeprefix(PREFIX))
            if own is None:  # not an address, whatever the body is
                await self._submit(scope, receive, send)
                return
        scope[PARSED] = value = reader_of(scope).json(scope)
        cell = place(value, places_of(self._cells, scope), key=key_text(headers_of(scope)), own=own)
        if cell is None:
            await self._submit_to_any(scope, receive, send)
            return
        self._cells.move(scope, cell)
        await self._submit(scope, receive, send)

    async def _submit_to_any(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Submits a job for which each cell will do: in another one if the first cannot be connected to. A job of which
        something was sent may be recorded, and is not submitted again.
        """
        tried: set[int] = set()
        while True:
            try:
                await self._submit(scope, receive, send)
            except DatabaseOutage as outage:
                if not outage.unsent:
                    raise
                tried.add(scope[NODE].cell.number)
                other = next((cell for cell in self._cells.serving() if cell not in tried), None)
                if other is None:
                    raise
                self._cells.move(scope, other)
            else:
                return


class PlacedBatch:
    """`POST /api/v1/jobs/batch` in JSON, in the cell that its submissions need."""

    def __init__(self, cells: Cells, submit: ASGIApp) -> None:
        self._cells = cells
        self._submit = submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Submits a batch."""
        scope[PARSED] = value = self._read(scope)
        if value is _INVALID:
            del scope[PARSED]
        else:
            await self._place(scope, value)
        await self._submit(scope, receive, send)

    def _read(self, scope: Scope) -> Any:
        """Returns the JSON value; `_INVALID` for one that the endpoint refuses, with the errors of all its parts."""
        try:
            return reader_of(scope).json(scope, max_errors=MOST_ERRORS)
        except ValueError:
            return _INVALID

    async def _place(self, scope: Scope, value: Any) -> None:
        """Lets the cell of the batch serve it.

        Raises:
            Invalid: its jobs need different cells.
        """
        members: dict[str, Any] = value if isinstance(value, dict) else {}
        jobs, errors = members.get("jobs"), list[PathError]()
        placing = BatchPlacing(places_of(self._cells, scope), key=key_text(headers_of(scope)))
        for index, item in enumerate(jobs if isinstance(jobs, list) else ()):
            try:
                placing.add(item, f"jobs[{index}]")
            except Invalid as error:
                errors += at_index(index, error)
            if index % JOBS_AT_A_TIME == JOBS_AT_A_TIME - 1:
                await asyncio.sleep(0)
        try:
            placing.add(members.get("then"), "then")
        except Invalid as error:
            errors += [PathError(f"then.{each['path']}", each["message"]) for each in error.details["errors"]]
        if errors:
            raise with_index(Invalid.at(errors[:MOST_ERRORS]))
        if placing.cell is not None:
            self._cells.move(scope, placing.cell)


_INVALID: Final = object()


class PlacedLines:
    """`POST /api/v1/jobs/batch` in NDJSON, in the cell that the first line needs that needs one."""

    def __init__(self, cells: Cells, submit: ASGIApp) -> None:
        self._cells = cells
        self._submit = submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Submits a batch."""
        scope[LINE_PLACING] = _LinePlacing(self._cells, scope)
        await self._submit(scope, receive, send)


class _LinePlacing:
    """Choice of the cell of the lines of one request; see `duly.api.batches.batch_ndjson.LinePlacing`."""

    def __init__(self, cells: Cells, scope: Scope) -> None:
        self._cells = cells
        self._placing = BatchPlacing(places_of(cells, scope), key=key_text(headers_of(scope)))

    def add(self, value: object, path: str) -> None:
        self._placing.add(value, path)

    def settle(self, scope: Scope) -> None:
        if self._placing.cell is not None:
            self._cells.move(scope, self._placing.cell)


def places_of(cells: Cells, scope: Scope) -> Places:
    """Returns the cells as the tenant of a request sees them."""
    return Places(tenant_of(scope), cells.count, cells.pinned_queue)
