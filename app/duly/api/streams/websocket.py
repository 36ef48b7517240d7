"""`/ws/jobs`: submitting, following and cancelling over one WebSocket."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, assert_never, cast
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send

from duly.api.contract.error_responses import as_duly_error, encoded, error_content
from duly.api.contract.responses import accepted_body
from duly.api.jobs.jobs import refuse_when_draining, tenant_job
from duly.api.jobs.submission_reader import SubmissionReader, digest_of
from duly.api.server.access_lines import line_of
from duly.api.server.allowed_origins import SOCKET
from duly.api.streams.socket_messages import (
    BadMessage,
    CancelJob,
    Message,
    Ping,
    SubmitJob,
    Subscribe,
    Unsubscribe,
    read_message,
)
from duly.api.streams.subscriptions import Subscriptions, Target
from duly.api.streams.ticket_rights import granted_submission, read_granted
from duly.domain.events import Status
from duly.domain.grant import Grant
from duly.domain.job import DEFAULT_TENANT, IdempotencyKey
from duly.errors import Forbidden, IdempotencyKeyReused, NotFound
from duly.lifecycle.end.cancel import CancelResult
from duly.lifecycle.submit.submission_errors import nested_under
from duly.lifecycle.submit.submission_model import SubmissionOrigin, with_exact_parameters
from duly.node import Node

# RFC 6455, section 7.4.1, and the registry it made: going away for good reason, and come back later.
SERVICE_RESTART, TRY_AGAIN_LATER = 1012, 1013
# So many submissions of one socket may wait for the ledger at a time.
AT_ONCE = 64
# Written in one go; then the loop gets a round, in which a slow reader shows.
BURST_BYTES = 64 << 10
LAST_FRAMES_SECONDS = 2.0


# Logs a message: its status, the code of its refusal, and the names of what it changed.
_Note = Callable[[int, str | None, Mapping[str, str]], None]


class _Over(Exception):
    """The conversation ends. `code` closes the socket; None: its client has left."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class SocketEndpoint:
    """Answers at the one address."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the client's wish to connect
        await send({"type": "websocket.accept"})
        with self._node.stream_capacity.place() as found:
            if not found:
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "too many streams"})
                return
            conversation = _Conversation(self._node, self._reader, receive=receive, send=send, scope=scope)
            code = await conversation.hold()
        if code is not None:
            await send({"type": "websocket.close", "code": code})


class _Conversation:
    """One socket. All that is said waits for the client to take it, so nothing gathers here."""

    def __init__(self, node: Node, reader: SubmissionReader, *, receive: Receive, send: Send, scope: Scope) -> None:
        self._node = node
        self._reader = reader
        self._receive = receive
        self._send = send
        self._scope = scope
        self._request_id: str = scope["duly.request_id"]
        self._root_path: str = scope["root_path"]
        self._grant: Grant | None = scope.get("duly.grant")
        self._turn = asyncio.Lock()
        self._burst = 0
        self._submitting = asyncio.Semaphore(AT_ONCE)

    async def hold(self) -> int | None:
        """Until one of both ends it. Returns the code to close with; None where the client has left."""
        codes: list[int | None] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._subscriptions = Subscriptions(
                    self._node, tasks, grant=self._grant, say=self._say, overflow=self._overflow
                )
                tasks.create_task(self._listen())
                tasks.create_task(self._leave_in_time())
        except* _Over as over:
            codes = [error.code for error in over.exceptions if isinstance(error, _Over)]
        return codes[0] if codes else None

    async def _listen(self) -> None:
        settings = self._node.settings
        while True:
            received = await self._receive()
            if received["type"] == "websocket.disconnect":
                raise _Over(None)
            try:
                message, value = read_message(
                    received.get("text"), limit=settings.body_limit, max_depth=settings.json_depth
                )
            except BadMessage as bad:
                await self._refuse(bad.ref, bad.cause, self._noted("message"))
            else:
                await self._answer(message, value)

    async def _answer(self, message: Message, value: dict[str, object]) -> None:
        match message:
            case SubmitJob():
                await self._submitting.acquire()
                task = self._tasks.create_task(self._tried(message, self._submit(message, value)))
                task.add_done_callback(lambda _: self._submitting.release())
            case Subscribe():
                await self._tried(message, self._subscribe(message))
            case Unsubscribe():
                await self._tried(message, self._unsubscribe(message))
            case CancelJob():
                await self._tried(message, self._cancel(message))
            case Ping():
                await self._say_object({"type": "pong"}, message.ref)
            case _:
                assert_never(message)

    async def _tried(self, message: Message, doing: Coroutine[Any, Any, UUID | None]) -> None:
        """Answers a message; an error in it does not end the conversation. `doing` returns the job that it changed."""
        note = self._noted(message.type)
        try:
            job_id = await doing
        except _Over:
            raise
        except Exception as error:  # noqa: BLE001  # told to the client, and logged where it is ours
            await self._refuse(message.ref, error, note)
        else:
            if job_id is not None:
                note(202, None, {"jobId": str(job_id)})

    def _noted(self, method: str) -> _Note:
        """Returns a function that writes a message, received now, to the access log."""
        began = time.perf_counter()

        def note(status: int, code: str | None, names: Mapping[str, str]) -> None:
            line = line_of(self._scope, (SOCKET, names), method=method, status=status, code=code, began=began)
            self._node.access.put(line)

        return note

    async def _submit(self, message: SubmitJob, value: dict[str, object]) -> UUID:
        refuse_when_draining(self._node)
        self._subscriptions.make_sure_of_room()
        key = message.idempotencyKey
        asked = cast("dict[str, object]", value["job"])
        granted_submission(self._grant, message.job, asked)
        idempotency = IdempotencyKey(key, digest_of(asked)) if key is not None else None
        with nested_under("job"):
            job = self._reader.job(with_exact_parameters(message.job, asked), SubmissionOrigin(None, None, idempotency))
        if self._node.submission_limiter.enabled:
            await self._node.submission_limiter.admit({job.queue: 1})
        accepted = await self._node.submitter.submit(job)
        if not accepted.fresh:
            await self._make_sure_it_is_shown(accepted.job_id)
        body: dict[str, object] = orjson.loads(
            accepted_body(
                str(accepted.job_id),
                accepted.created_at,
                root_path=self._root_path,
                status=accepted.status or Status.PENDING,
                deduplicated=accepted.deduplicated,
            )
        )
        await self._say_object({"type": "job_accepted", "ref": message.ref, **body})
        self._subscriptions.to_own(accepted.job_id)
        return accepted.job_id

    async def _make_sure_it_is_shown(self, job_id: UUID) -> None:
        """Raises:
        IdempotencyKeyReused: an earlier submission made this job, which is not this ticket's to see.
        """
        try:
            await read_granted(self._node, self._grant, job_id, own=self._subscriptions.own)
        except NotFound:
            raise IdempotencyKeyReused("This idempotency key was used for another job.") from None

    async def _subscribe(self, message: Subscribe) -> None:
        self._subscriptions.make_sure_of_room()
        if message.filter is not None:
            start = await self._subscriptions.start_of_many(message.after)
            await self._acknowledge("subscribed", message.ref, {"after": str(start)})
            self._subscriptions.to_many(message.filter, after=start)
            return
        job_id = tenant_job(message.jobId or "")
        after = await self._subscriptions.start_of_job(job_id, message.after)
        await self._acknowledge("subscribed", message.ref, {"jobId": str(job_id)})
        self._subscriptions.to_job(job_id, after=after)

    async def _unsubscribe(self, message: Unsubscribe) -> None:
        target: Target = message.filter.as_wanted() if message.filter else tenant_job(message.jobId or "")
        self._subscriptions.end(target)
        told: dict[str, object] = {"jobId": message.jobId} if message.jobId else {}
        await self._acknowledge("unsubscribed", message.ref, told)

    async def _cancel(self, message: CancelJob) -> UUID:
        job_id = tenant_job(message.jobId)
        if self._grant is not None and job_id not in self._subscriptions.own:
            await read_granted(self._node, self._grant, job_id)
            raise Forbidden("A ticket cancels only the jobs that were submitted on this socket.")
        answer = await self._node.canceller.cancel(DEFAULT_TENANT, job_id)
        status = Status.CANCELLED if answer is CancelResult.CANCELLED else Status.RUNNING
        await self._acknowledge("cancel_accepted", message.ref, {"jobId": str(job_id), "status": status})
        return job_id

    async def _acknowledge(self, type_: str, ref: str | None, told: dict[str, object]) -> None:
        """For who gave a `ref`, and so waits for an answer."""
        if ref is not None:
            await self._say_object({"type": type_, "ref": ref, **told})

    async def _refuse(self, ref: str | None, error: Exception, note: _Note) -> None:
        failure = as_duly_error(error, request_id=self._request_id)
        note(failure.status, failure.code, {})
        self._node.metrics.refused.labels(failure.code).inc()
        if failure.retry_after_seconds is not None:  # what a header says over HTTP
            failure.details["retryAfterSeconds"] = failure.retry_after_seconds
        await self._say_object({"type": "error", "ref": ref, "error": error_content(failure)})

    async def _say_object(self, told: dict[str, object], ref: str | None = None) -> None:
        members = told | ({"ref": ref} if ref is not None else {})
        await self._say(encoded(members).decode())

    async def _say(self, text: str) -> None:
        """Returns once the socket takes more.

        Raises:
            _Over: the client has left.
        """
        async with self._turn:
            try:
                await self._send({"type": "websocket.send", "text": text})
            except OSError:
                raise _Over(None) from None
            self._burst += len(text)
            if self._burst > BURST_BYTES:
                self._burst = 0
                await asyncio.sleep(0)

    async def _overflow(self) -> None:
        await self._say('{"type":"overflow"}')
        raise _Over(TRY_AGAIN_LATER)

    async def _leave_in_time(self) -> None:
        """While the service goes down: the last frames, then a code that says to come back."""
        await self._node.hub.closed.wait()
        await self._subscriptions.ended(seconds=LAST_FRAMES_SECONDS)
        raise _Over(SERVICE_RESTART)
