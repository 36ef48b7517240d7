"""`/ws/jobs`: submitting, following, signalling and cancelling jobs over one WebSocket."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from typing import Any, Final, assert_never, cast
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send

from duly.api.contract.error_responses import as_duly_error, error_content
from duly.api.contract.path_ids import job_id_in_path
from duly.api.jobs.job_body import accepted_body
from duly.api.jobs.signals import check_signal_name, check_signal_size
from duly.api.jobs.submission_reader import reader_of
from duly.api.jobs.submission_steps import accept, load_job_types, refuse_when_draining
from duly.api.server.access_lines import line_of
from duly.api.server.allowed_origins import SOCKET
from duly.api.server.route_scopes import MESSAGE_SCOPES, require_scope
from duly.api.server.scope_values import actor_of, grant_of, node_of, principal_of, tenant_of
from duly.api.streams.socket_channel import SocketChannel, SocketClosed
from duly.api.streams.socket_messages import (
    BadMessage,
    CancelJob,
    Message,
    Ping,
    SendSignal,
    SubmitJob,
    Subscribe,
    Unsubscribe,
    read_message,
)
from duly.api.streams.subscriptions import Subscriptions, Target
from duly.api.streams.ticket_rights import granted_submission
from duly.domain.events import Status
from duly.domain.job import Accepted, IdempotencyKey, NewJob
from duly.domain.json_writer import digest_of, dump_text
from duly.errors import Forbidden, IdempotencyKeyReused, NotFound
from duly.lifecycle.end.cancel import CancelResult
from duly.lifecycle.submit.submission_errors import nested_under
from duly.lifecycle.submit.submission_model import SubmissionOrigin
from duly.lifecycle.submit.traced_submission import TracedSubmission

# RFC 6455, section 7.4.1, and the IANA registry of close codes: policy violation, service restart, try again later.
POLICY_VIOLATION, SERVICE_RESTART, TRY_AGAIN_LATER = 1008, 1012, 1013
# In the scope: True if another conversation of the same socket has a place among the streams of the process.
SHARES_PLACE: Final = "duly.shares_place"
# Submissions of one socket that may be in progress at a time.
AT_ONCE = 64
LAST_FRAMES_SECONDS = 2.0


# Logs a message: its status, the code of its error, and the names of the resources that it changed.
_Note = Callable[[int, str | None, Mapping[str, str]], None]


async def job_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves one WebSocket, as bare ASGI."""
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    place = nullcontext(True) if scope.get(SHARES_PLACE) else node_of(scope).stream_capacity.place()  # noqa: FBT003
    with place as found:
        if not found:
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "too many streams"})
            return
        conversation = Conversation(scope, receive, send)
        with node_of(scope).key_verifier.holding(principal_of(scope), conversation.key_refused.set):
            code = await conversation.run()
    if code is not None:
        await send({"type": "websocket.close", "code": code})


class Conversation:
    """Messages of one socket and the responses to them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._node, self._tenant_id, self._grant = node_of(scope), tenant_of(scope), grant_of(scope)
        self._scope = scope
        self._receive = receive
        self._channel = SocketChannel(send)
        self._submitting = asyncio.Semaphore(AT_ONCE)
        self.key_refused = asyncio.Event()

    async def run(self) -> int | None:
        """Runs until either side ends it. Returns the code to close with; None if the client has left."""
        codes: list[int | None] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._subscriptions = Subscriptions(
                    self._scope, tasks, send_text=self._channel.send_text, overflow=self._overflow
                )
                tasks.create_task(self._listen())
                tasks.create_task(self._close_on_shutdown())
                tasks.create_task(self._close_with_key())
        except* SocketClosed as closed:
            codes = [error.code for error in closed.exceptions if isinstance(error, SocketClosed)]
        return codes[0] if codes else None

    async def _listen(self) -> None:
        settings = self._node.settings
        while True:
            received = await self._receive()
            if received["type"] == "websocket.disconnect":
                raise SocketClosed(None)
            try:
                message, value = read_message(
                    received.get("text"), limit=settings.body_limit, max_depth=settings.json_depth
                )
            except BadMessage as bad:
                await self._send_error(bad.ref, bad.cause, self._note_of("message"))
            else:
                await self._handle(message, value)

    async def _handle(self, message: Message, value: dict[str, object]) -> None:
        match message:
            case SubmitJob():
                await self._submitting.acquire()
                task = self._tasks.create_task(self._respond(message, self._submit(message, value)))
                task.add_done_callback(lambda _: self._submitting.release())
            case Subscribe():
                await self._respond(message, self._subscribe(message))
            case Unsubscribe():
                await self._respond(message, self._unsubscribe(message))
            case CancelJob():
                await self._respond(message, self._cancel(message))
            case SendSignal():
                await self._respond(message, self._signal(message, value.get("body")))
            case Ping():
                await self._channel.send_object({"type": "pong"}, ref=message.ref)
            case _:
                assert_never(message)

    async def _respond(self, message: Message, handling: Coroutine[Any, Any, UUID | None]) -> None:
        """Handles a message; its error does not end the conversation. `handling` returns the job that it changed."""
        note = self._note_of(message.type)
        try:
            job_id = await handling
        except SocketClosed:
            raise
        except Exception as error:  # noqa: BLE001  # sent to the client, and logged if it is a fault of the service
            await self._send_error(message.ref, error, note)
        else:
            if job_id is not None:
                note(202, None, {"jobId": str(job_id)})

    def _note_of(self, method: str) -> _Note:
        """Returns a function that writes a message, received now, to the access log."""
        began = time.perf_counter()

        def note(status: int, code: str | None, names: Mapping[str, str]) -> None:
            line = line_of(self._scope, (SOCKET, names), method=method, status=status, code=code, began=began)
            self._node.access.put(line)

        return note

    async def _submit(self, message: SubmitJob, value: dict[str, object]) -> UUID:
        self._require_scope(message)
        refuse_when_draining(self._node)
        self._subscriptions.check_limit()
        await load_job_types(self._node, self._tenant_id)
        job = self._job_of(message, cast("dict[str, object]", value["job"]))
        traced = TracedSubmission(self._node.tracing, (job,))
        accepted = await accept(self._node, traced.jobs[0])
        traced.recorded((accepted,))
        if not accepted.fresh:
            await self._check_readable(accepted.job_id)
        await self._channel.send_object({"type": "job_accepted", "ref": message.ref, **self._accepted_body(accepted)})
        self._subscriptions.follow_own(accepted.job_id)
        return accepted.job_id

    def _job_of(self, message: SubmitJob, value: dict[str, object]) -> NewJob:
        granted_submission(self._grant, message.job, value)
        key = message.idempotencyKey
        idempotency = IdempotencyKey(key, digest_of(value)) if key is not None else None
        origin = SubmissionOrigin(self._tenant_id, None, None, idempotency)
        with nested_under("job"):
            return reader_of(self._scope).builder.job(message.job, origin)

    def _accepted_body(self, accepted: Accepted) -> dict[str, object]:
        body: dict[str, object] = orjson.loads(
            accepted_body(
                str(accepted.job_id),
                accepted.created_at,
                root_path=self._scope["root_path"],
                status=accepted.status or Status.PENDING,
                deduplicated=accepted.deduplicated,
            )
        )
        return body

    async def _check_readable(self, job_id: UUID) -> None:
        """Raises IdempotencyKeyReused if an earlier submission made a job that the ticket does not grant."""
        try:
            await self._subscriptions.read_granted(job_id)
        except NotFound:
            raise IdempotencyKeyReused("This idempotency key was used for another job.") from None

    async def _subscribe(self, message: Subscribe) -> None:
        self._require_scope(message)
        self._subscriptions.check_limit()
        if message.filter is not None:
            start = await self._subscriptions.start_of_filter(message.after)
            await self._acknowledge("subscribed", message.ref, {"after": str(start)})
            self._subscriptions.follow_filter(message.filter, after=start)
            return
        job_id = job_id_in_path(message.jobId or "")
        after = await self._subscriptions.start_of_job(job_id, message.after)
        await self._acknowledge("subscribed", message.ref, {"jobId": str(job_id)})
        self._subscriptions.follow_job(job_id, after=after)

    async def _unsubscribe(self, message: Unsubscribe) -> None:
        target: Target = message.filter.as_filter() if message.filter else job_id_in_path(message.jobId or "")
        self._subscriptions.end(target)
        await self._acknowledge("unsubscribed", message.ref, {"jobId": message.jobId} if message.jobId else {})

    async def _cancel(self, message: CancelJob) -> UUID:
        job_id = await self._changeable(message, "cancelling")
        result = await self._node.canceller.cancel(self._tenant_id, job_id)
        status = Status.CANCELLED if result is CancelResult.CANCELLED else Status.RUNNING
        await self._acknowledge("cancel_accepted", message.ref, {"jobId": str(job_id), "status": status})
        return job_id

    async def _signal(self, message: SendSignal, body: object) -> UUID:
        job_id = await self._changeable(message, "signalling")
        check_signal_name(message.name)
        check_signal_size(len(dump_text(body).encode()))
        by = actor_of(self._scope)
        sent, _ = await self._node.signals.send(self._tenant_id, job_id, message.name, body, by=by, source="api")
        members = {"jobId": str(job_id), "name": message.name, "sequence": sent.sequence}
        await self._acknowledge("signal_accepted", message.ref, members)
        return job_id

    async def _changeable(self, message: CancelJob | SendSignal, action: str) -> UUID:
        """Returns the job of a message that changes it.

        Raises:
            ScopeMissing, Forbidden, NotFound: the key or the ticket does not allow it.
        """
        self._require_scope(message)
        job_id = job_id_in_path(message.jobId)
        if self._grant is not None and job_id not in self._subscriptions.own:
            await self._subscriptions.read_granted(job_id)
            raise Forbidden(f"A ticket allows {action} only jobs that were submitted on this socket.")
        return job_id

    async def _acknowledge(self, type_: str, ref: str | None, members: dict[str, object]) -> None:
        """Acknowledges a message that has a `ref`."""
        if ref is not None:
            await self._channel.send_object({"type": type_, "ref": ref, **members})

    async def _send_error(self, ref: str | None, error: Exception, note: _Note) -> None:
        failure = as_duly_error(error, request_id=self._scope["duly.request_id"])
        note(failure.status, failure.code, {})
        self._node.metrics.refused.labels(failure.code).inc()
        if failure.retry_after_seconds is not None:  # a header over HTTP
            failure.details["retryAfterSeconds"] = failure.retry_after_seconds
        await self._channel.send_object({"type": "error", "ref": ref, "error": error_content(failure)})

    async def _overflow(self) -> None:
        await self._channel.send_text('{"type":"overflow"}')
        raise SocketClosed(TRY_AGAIN_LATER)

    def _require_scope(self, message: Message) -> None:
        """Raises ScopeMissing if the key may not send this message. Tickets have rights of their own."""
        if self._grant is None:
            require_scope(principal_of(self._scope), MESSAGE_SCOPES[message.type])

    async def _close_with_key(self) -> None:
        """Closes the socket once its key has expired or was revoked."""
        await self.key_refused.wait()
        raise SocketClosed(POLICY_VIOLATION)

    async def _close_on_shutdown(self) -> None:
        """Closes the socket when the node shuts down, after its last frames."""
        await self._node.hub.closed.wait()
        await self._subscriptions.wait_ended(seconds=LAST_FRAMES_SECONDS)
        raise SocketClosed(SERVICE_RESTART)
