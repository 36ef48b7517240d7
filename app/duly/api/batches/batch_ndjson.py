"""`POST /api/v1/jobs/batch` as `application/x-ndjson`: one submission per line, any number of lines, all or nothing.

Lines are checked as they arrive and spooled to a file, so that a slow client holds no transaction open and a large
batch no memory. The batch is recorded in one transaction, and the response is streamed.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Protocol
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send

from duly.api.batches.batch_errors import all_ids, at_index, batch_refusal, with_index
from duly.api.batches.batch_reader import JOBS_AT_A_TIME, MOST_ERRORS
from duly.api.jobs.submission_headers import key_text, note_sent, origin_of
from duly.api.jobs.submission_reader import reader_of
from duly.api.jobs.submission_steps import admit, load_job_types, refuse_when_draining
from duly.api.server.ndjson_reader import ClientGone, lines_of, too_large
from duly.api.server.scope_values import headers_of, node_of, tenant_of
from duly.domain.ids import SMALLEST
from duly.domain.job import IdempotencyKey, NewBatch, NewJob
from duly.domain.json_reader import JsonRefused
from duly.domain.json_writer import canonical
from duly.domain.timestamps import rfc3339
from duly.errors import BodyTooLarge, Invalid, Overloaded, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submit import BatchRefused
from duly.lifecycle.submit.submit_large_batch import AcceptedSpooledBatch, SpooledJobs
from duly.node import Node
from duly.store.submit.batches import read_job_ids_after, view_batch

# Requests in progress at a time; each may fill a file.
AT_ONCE = 16
LONGEST_NAME = 200
IDS_AT_A_TIME = 1_000
# Queue names kept of one request; beyond that, backlogs are checked while the lines arrive.
MOST_QUEUES = 1_000


# In a scope: where there are several cells, the `LinePlacing` of the request.
LINE_PLACING = "duly.line_placing"


class LinePlacing(Protocol):
    """Choice of the cell that records the lines of a request."""

    def add(self, value: object, path: str) -> None:
        """Notes a line. Raises Invalid if it cannot be in the cell of earlier ones."""

    def settle(self, scope: Scope) -> None:
        """Lets the chosen cell serve the rest of the request."""


class SubmitLinesEndpoint:
    """Submits a batch in NDJSON, as bare ASGI that reads its own body."""

    def __init__(self) -> None:
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        node = node_of(scope)
        refuse_when_draining(node)
        name = _name(scope["query_string"])
        announced = headers_of(scope).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > node.settings.ndjson_limit:
            raise too_large(node.settings.ndjson_limit)
        try:
            accepted = await self._accept(scope, receive, name)
        except ClientGone:
            return
        await _send_accepted(node_of(scope), tenant_of(scope), accepted, send)

    async def _accept(self, scope: Scope, receive: Receive, name: str | None) -> AcceptedSpooledBatch:
        if self._in_progress >= AT_ONCE:
            raise Overloaded(f"Too many NDJSON batches in progress ({AT_ONCE}). Retry later.")
        self._in_progress += 1
        try:
            async with SpooledJobs() as jobs:
                return await _record(scope, receive, LinesOfBatch(scope, jobs, name=name))
        except BatchRefused as error:
            raise batch_refusal(error) from None
        finally:
            self._in_progress -= 1


async def _record(scope: Scope, receive: Receive, lines: "LinesOfBatch") -> AcceptedSpooledBatch:
    await _read(scope, receive, lines)
    node = node_of(scope)  # only the lines say in which cell they are recorded
    await admit(node, tenant_of(scope), lines.queues, checked=lines.checked)
    accepted = await node.spooled_submitter.submit(lines.batch(), lines.jobs)
    note_sent(scope, lines.first, count=lines.jobs.count)
    return accepted


async def _read(scope: Scope, receive: Receive, lines: "LinesOfBatch") -> None:
    node, tenant_id = node_of(scope), tenant_of(scope)
    settings = node.settings
    async with aclosing(lines_of(receive, longest=settings.body_limit, most=settings.ndjson_limit)) as pieces:
        async for piece in pieces:
            for start in range(0, len(piece), JOBS_AT_A_TIME):
                await lines.add(piece[start : start + JOBS_AT_A_TIME])
                if len(lines.queues) > MOST_QUEUES:
                    queues = lines.take_queues()
                    await node.queue_limit.admit(tenant_id, queues)
                    await (await node.submission_limiters.of(tenant_id)).check(queues)
                await asyncio.sleep(0)
            refuse_when_draining(node)
            await load_job_types(node, tenant_id)
    lines.check()
    if (placing := scope.get(LINE_PLACING)) is not None:
        placing.settle(scope)
        await load_job_types(node_of(scope), tenant_id)


class LinesOfBatch:
    """Jobs and errors of the lines of one request."""

    def __init__(self, scope: Scope, jobs: SpooledJobs, *, name: str | None) -> None:
        self._reader = reader_of(scope)
        self.jobs = jobs
        self._name = name
        self._longest = node_of(scope).settings.body_limit
        self._origin = origin_of(scope)
        self._placing: LinePlacing | None = scope.get(LINE_PLACING)
        self._key = key_text(headers_of(scope))
        self._digest = hashlib.sha256(canonical(name))
        self._errors: list[PathError] = []
        self._index = 0
        self.queues: Counter[str] = Counter()
        self.checked = 0
        self.first: tuple[NewJob, ...] = ()

    async def add(self, lines: Iterable[bytes | None]) -> None:
        """Reads the next lines; None stands for one that is too long.

        Raises:
            Invalid: the number of errors has reached its limit.
            Unavailable: the jobs cannot be spooled.
        """
        for line in lines:
            try:
                await self._add_one(line)
            except (Invalid, BodyTooLarge, ParametersInvalid, JsonRefused) as error:
                self._errors += at_index(self._index, error)
            if len(self._errors) >= MOST_ERRORS:
                self.check()
            self._index += 1

    async def _add_one(self, line: bytes | None) -> None:
        if line is None:
            raise Invalid.at([PathError("", f"line too long (limit: {self._longest:,} bytes)")])
        job, value = self._reader.read_line(line, self._origin)
        if self._placing is not None:
            self._placing.add(value, f"jobs[{self._index}]")
        if self._errors:
            return  # nothing will be recorded
        if self._key is not None:
            self._digest.update(b"\n" + canonical(value))
        await self.jobs.put(job)
        self.first = self.first or (job,)
        self.queues[job.queue] += 1

    def take_queues(self) -> Mapping[str, int]:
        """Returns the number of jobs of each queue so far, and keeps only their sum."""
        taken, self.queues = self.queues, Counter()
        self.checked += taken.total()
        return taken

    def check(self) -> None:
        """Raises Invalid if a line was invalid, or there was none."""
        if self._errors:
            raise with_index(Invalid.at(self._errors[:MOST_ERRORS]))
        if not self.jobs.count:
            raise Invalid.at([PathError("jobs", "no submission in the body; send at least one line")])

    def batch(self) -> NewBatch:
        """Returns the batch of these lines, once all have arrived. Its id is made when it is recorded."""
        key = IdempotencyKey(self._key, self._digest.digest()) if self._key is not None else None
        return NewBatch(self._origin.tenant_id, SMALLEST, self._name, None, key)


def _name(query: bytes) -> str | None:
    """Returns the query parameter `name`, the only one there is."""
    try:
        members = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid.at([PathError("", "malformed query string")]) from None
    if errors := [PathError(member, _UNKNOWN.get(member, _NAME_ONLY)) for member, _ in members if member != "name"]:
        raise Invalid.at(errors)
    if len(members) > 1:
        raise Invalid.at([PathError("name", "repeated; send it once")])
    name = members[0][1] if members else None
    if name is not None and (len(name) > LONGEST_NAME or "\0" in name):
        raise Invalid.at([PathError("name", f"must have at most {LONGEST_NAME} characters and no U+0000")])
    return name


_NAME_ONLY = "unknown query parameter; allowed: name"
_UNKNOWN = {"then": "supported for application/json only"}


async def _send_accepted(node: Node, tenant_id: int, accepted: AcceptedSpooledBatch, send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"location", f"/api/v1/batches/{accepted.batch_id}".encode()),
    ]
    if accepted.block is None:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    begin = f'{{"batchId":"{accepted.batch_id}","jobIds":['.encode()
    await send({"type": "http.response.body", "body": begin, "more_body": True})
    separator = b""
    async for job_ids in _job_ids(node, tenant_id, accepted):
        piece = separator + orjson.dumps([str(job_id) for job_id in job_ids])[1:-1]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)  # lets it be written: only then is it known whether the client keeps up
        separator = b","
    end = f'],"status":"pending","createdAt":"{rfc3339(accepted.created_at)}"}}'.encode()
    await send({"type": "http.response.body", "body": end})


async def _job_ids(node: Node, tenant_id: int, accepted: AcceptedSpooledBatch) -> AsyncIterator[list[UUID]]:
    """Yields job ids, some at a time; those of a batch that an earlier request recorded come from the database."""
    ids = accepted.job_ids()
    while some := list(islice(ids, IDS_AT_A_TIME)):
        yield some
    if accepted.block is not None:
        return
    async with node.database.connection() as connection:
        batch = await view_batch(connection, tenant_id, accepted.batch_id)
    after, index = SMALLEST, 0
    while batch is not None:
        async with node.database.connection() as connection:
            fresh = await read_job_ids_after(connection, tenant_id, batch, after=after, limit=IDS_AT_A_TIME)
        if some := list(all_ids(iter(fresh), accepted.others, start=index)):
            yield some
        if not fresh:
            return
        after, index = fresh[-1], index + len(some)
