"""`POST /api/v1/jobs/batch` as `application/x-ndjson`: one submission a line, any number of them, all or nothing.

The lines are checked as they come and kept in a file, so that a slow client holds no transaction open and a large batch
no memory. What is recorded then is recorded at once, and the answer is written as it is read.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from itertools import islice
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send

from duly.api.contract.batch_errors import all_ids, at_place, refused_by_ledger, with_index
from duly.api.jobs.jobs import refuse_when_draining
from duly.api.jobs.submission_reader import MOST_ERRORS, SubmissionReader, key_text, origin_of
from duly.api.server.ndjson_reader import ClientGone, lines_of, too_large
from duly.domain.ids import SMALLEST
from duly.domain.job import DEFAULT_TENANT, IdempotencyKey, NewBatch
from duly.domain.json_reader import JsonRefused
from duly.domain.json_writer import canonical
from duly.domain.timestamps import rfc3339
from duly.errors import BodyTooLarge, Invalid, Overloaded, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submit import BatchRefused
from duly.lifecycle.submit.submit_spooled import AcceptedSpooledBatch, SpooledJobs
from duly.node import Node
from duly.store.submit.batches import page_of_job_ids, view_batch

# So many lines are read in one go; then other requests have their turn.
BREATH = 200
# Each may fill a file; more are told to come back.
AT_ONCE = 16
MOST_NAME = 200
IDS_AT_ONCE = 1_000
# Names of queues that are kept of one request; where it has more, their backlogs are checked as they come.
MOST_QUEUES = 1_000


class SubmitLinesEndpoint:
    """As bare ASGI: reads its body by itself."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_when_draining(self._node)
        headers = scope["duly.headers"]
        name = _name(scope["query_string"])
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._node.settings.ndjson_limit:
            raise too_large(self._node.settings.ndjson_limit)
        try:
            accepted = await self._accept(name, headers, receive)
        except ClientGone:
            return
        await _answer(self._node, accepted, send)

    async def _accept(self, name: str | None, headers: Mapping[bytes, bytes], receive: Receive) -> AcceptedSpooledBatch:
        if self._under_way >= AT_ONCE:
            raise Overloaded("As many large batches as can be taken in are on their way; try again shortly.")
        self._under_way += 1
        try:
            longest = self._node.settings.body_limit
            async with SpooledJobs() as jobs:
                intake = _Intake(self._reader, headers, jobs, name=name, longest=longest)
                await self._read(intake, receive)
                if self._node.submission_limiter.enabled:
                    await self._node.submission_limiter.admit(intake.queues, checked=intake.checked)
                return await self._node.spooled_submitter.submit(intake.batch(), jobs)
        except BatchRefused as error:
            raise refused_by_ledger(error) from None
        finally:
            self._under_way -= 1

    async def _read(self, intake: "_Intake", receive: Receive) -> None:
        settings = self._node.settings
        async with aclosing(lines_of(receive, longest=settings.body_limit, most=settings.ndjson_limit)) as pieces:
            async for lines in pieces:
                for start in range(0, len(lines), BREATH):
                    await intake.take(lines[start : start + BREATH])
                    if len(intake.queues) > MOST_QUEUES:
                        await self._node.submission_limiter.check(intake.take_queues())
                    await asyncio.sleep(0)
                refuse_when_draining(self._node)
        intake.check()


class _Intake:
    """What has come of one request."""

    def __init__(
        self,
        reader: SubmissionReader,
        headers: Mapping[bytes, bytes],
        jobs: SpooledJobs,
        *,
        name: str | None,
        longest: int,
    ) -> None:
        self._reader = reader
        self._jobs = jobs
        self._name = name
        self._longest = longest
        self._origin = origin_of(headers)
        self._key = key_text(headers)
        self._digest = hashlib.sha256(canonical(name))
        self._errors: list[PathError] = []
        self._place = 0
        self.queues: Counter[str] = Counter()
        self.checked = 0

    async def take(self, lines: Iterable[bytes | None]) -> None:
        """Takes in the next lines.

        Raises:
            Invalid: there have been enough errors.
            Unavailable: see `SpooledJobs`.
        """
        for line in lines:
            try:
                await self._take_one(line)
            except (Invalid, BodyTooLarge, ParametersInvalid, JsonRefused) as error:
                self._errors += at_place(self._place, error)
            if len(self._errors) >= MOST_ERRORS:
                self.check()
            self._place += 1

    async def _take_one(self, line: bytes | None) -> None:
        if line is None:
            raise Invalid.at(
                [PathError("", f"is longer than the {self._longest:,} bytes that one submission may have")]
            )
        job, value = self._reader.read_line(line, self._origin)
        if self._errors:
            return  # nothing will be recorded
        if self._key is not None:
            self._digest.update(b"\n" + canonical(value))
        await self._jobs.put(job)
        self.queues[job.queue] += 1

    def take_queues(self) -> Mapping[str, int]:
        """Returns the number of jobs of each queue so far, and keeps only their sum."""
        taken, self.queues = self.queues, Counter()
        self.checked += taken.total()
        return taken

    def check(self) -> None:
        """Raises:
        Invalid: something was wrong, or nothing came.
        """
        if self._errors:
            raise with_index(Invalid.at(self._errors[:MOST_ERRORS]))
        if not self._jobs.count:
            raise Invalid.at([PathError("jobs", "there is no line with a submission")])

    def batch(self) -> NewBatch:
        """Returns the batch of these lines, once all have arrived. Its id is made when it is recorded."""
        key = IdempotencyKey(self._key, self._digest.digest()) if self._key is not None else None
        return NewBatch(DEFAULT_TENANT, SMALLEST, self._name, None, key)


def _name(query: bytes) -> str | None:
    """The only query member that there is."""
    try:
        members = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid.at([PathError("", "the query is not readable")]) from None
    if errors := [PathError(member, _NO_MEMBERS.get(member, _NO_MEMBER)) for member, _ in members if member != "name"]:
        raise Invalid.at(errors)
    if len(members) > 1:
        raise Invalid.at([PathError("name", "is named more than once")])
    name = members[0][1] if members else None
    if name is not None and (len(name) > MOST_NAME or "\0" in name):
        raise Invalid.at([PathError("name", f"must have {MOST_NAME} characters at most, none of them U+0000")])
    return name


_NO_MEMBER = "is no query member here; name would be"
_NO_MEMBERS = {"then": "comes with a batch as application/json only"}


async def _answer(node: Node, accepted: AcceptedSpooledBatch, send: Send) -> None:
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
    async for job_ids in _job_ids(node, accepted):
        piece = separator + orjson.dumps([str(job_id) for job_id in job_ids])[1:-1]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)  # lets it leave: only then is it known whether the client keeps up
        separator = b","
    end = f'],"status":"pending","createdAt":"{rfc3339(accepted.created_at)}"}}'.encode()
    await send({"type": "http.response.body", "body": end})


async def _job_ids(node: Node, accepted: AcceptedSpooledBatch) -> AsyncIterator[list[UUID]]:
    """Some at a time; those of a batch that an earlier request recorded are read from the ledger."""
    ids = accepted.job_ids()
    while some := list(islice(ids, IDS_AT_ONCE)):
        yield some
    if accepted.block is not None:
        return
    async with node.database.connection() as connection:
        batch = await view_batch(connection, DEFAULT_TENANT, accepted.batch_id)
    after, place = SMALLEST, 0
    while batch is not None:
        async with node.database.connection() as connection:
            fresh = await page_of_job_ids(connection, DEFAULT_TENANT, batch, after=after, limit=IDS_AT_ONCE)
        if some := list(all_ids(iter(fresh), accepted.others, start=place)):
            yield some
        if not fresh:
            return
        after, place = fresh[-1], place + len(some)
