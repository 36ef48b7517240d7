"""One child process, seen from its node: runs one attempt at a time, can be killed, and its end is noticed."""

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import anyio.to_thread
from anyio import CapacityLimiter

from duly.handlers.exceptions import HandlerError
from duly.worker.process.frames import Frames, encode_frame
from duly.worker.process.main import Setup, serve
from duly.worker.process.report_channel import Inbox

PART = 1 << 18
# Longest time from an order until the child begins; a child that hangs is killed.
BEGIN_SECONDS = 4.0
LAST_SECONDS = 5.0


class ProcessDied(Exception):
    """The process has ended. `exit_code` is negative if a signal ended it; `begun`: during a call."""

    def __init__(self, exit_code: int | None, *, begun: bool) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code
        self.begun = begun


# Answers a request of a child: what, and its content. Raises HandlerError for a refusal.
Answer = Callable[[str, Sequence[Any]], Awaitable[Any]]


class ChildCall(NamedTuple):
    """One attempt in a child: whether it has begun, its end, and what answers its requests."""

    begun: asyncio.Future[None]
    end: asyncio.Future[tuple[str, Any]]
    answer: Answer


class ChildProcess:
    """A child process. Its methods run on the event loop.

    Args:
        setup: configuration of the child.
        hear: called with each message of its handlers: job, kind and content.
        ready: called once it can run attempts.
        ended: called once when it is dead; `why` is set if it reported why it cannot be used.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        hear: Callable[[UUID, str, list[Any]], None],
        ready: Callable[["ChildProcess"], None],
        ended: Callable[["ChildProcess"], None],
    ) -> None:
        self.inbox = Inbox(hear)
        self._ready = ready
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._call: ChildCall | None = None
        self._socket, self._child_end = socket.socketpair()
        self._socket.settimeout(0)
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(self._child_end, self.inbox.child_end, setup), name="duly-handlers"
        )
        self._death: int | None = None
        self._answering: asyncio.Task[None] | None = None
        self.was_ready = False
        self.why: str | None = None
        self.dead = asyncio.Event()

    async def start(self) -> None:
        """Starts the process.

        Raises:
            OSError: the system cannot start it.
        """
        try:
            # A thread of its own: handlers may use all threads of the loop's pool.
            await anyio.to_thread.run_sync(self._process.start, limiter=CapacityLimiter(1))
        except BaseException:
            self._socket.close()
            self.inbox.close()
            raise
        finally:
            self._child_end.close()
            self.inbox.child_end.close()
        # A pidfd if available: a copy that a handler forks keeps the sentinel open.
        pidfd = getattr(os, "pidfd_open", None)
        self._death = pidfd(self._process.pid) if pidfd else os.dup(self._process.sentinel)
        self._loop.add_reader(self._death, self._on_death)
        self._loop.add_reader(self._socket.fileno(), self._read)

    @property
    def pid(self) -> int | None:
        """Process id; None before the start."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.exitcode

    @property
    def signalled(self) -> bool:
        """True if a signal ended it."""
        return (self.exit_code or 0) < 0

    async def call(self, fields: Sequence[Any], *, begins: Callable[[], None], answer: Answer) -> tuple[str, Any]:
        """Runs one attempt; calls `begins` when the child begins it, and `answer` for each of its requests.

        Raises:
            ProcessDied: the process ended.
        """
        call = self._call = ChildCall(self._loop.create_future(), self._loop.create_future(), answer)
        call.end.add_done_callback(_retrieve_exception)
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                await self._loop.sock_sendall(self._socket, encode_frame(fields))
                await call.begun
        except (OSError, TimeoutError):  # it is dead or about to be
            self.kill()
            raise ProcessDied(self.exit_code, begun=False) from None
        begins()
        kind, value = await call.end
        self._call = None
        return kind, value

    @property
    def calling(self) -> bool:
        """True if a call is in progress, or was left before its end."""
        return self._call is not None

    def kill(self) -> None:
        """Kills the process with all processes that its handler started; `ended` follows."""
        if self.pid is None or self.exit_code is not None:
            return
        if self.was_ready:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()

    def _read(self) -> bool:
        """Reads what has arrived. Returns False if there is nothing."""
        try:
            part = self._socket.recv(PART)
        except BlockingIOError:
            return False
        except OSError:
            part = b""
        if not part:  # it closed its end: it is dead or unusable
            self._loop.remove_reader(self._socket.fileno())
            self.kill()
            return False
        try:
            for message in self._frames.take_in(part):
                self._on_message(*message)
        except (TypeError, ValueError):  # not a frame of this program
            self.kill()
            return False
        return True

    def _on_message(self, kind: str, *words: Any) -> None:
        """Handles a frame of the child."""
        match kind:
            case "ready":
                self.was_ready = True
                self._ready(self)
            case "unusable":
                self.why = "\n".join(words)
            case "begun" if self._call and not self._call.begun.done():
                self._call.begun.set_result(None)
            case "request" if self._call:
                self._answering = self._loop.create_task(self._answer(self._call.answer, *words))
            case "end" if self._call and not self._call.end.done():
                self._call.end.set_result((words[0], words[1]))

    async def _answer(self, answer: Answer, what: str, content: Sequence[Any]) -> None:
        """Answers a request of the child, which waits for it."""
        try:
            reply = [None, await answer(what, content)]
        except HandlerError as error:
            reply = [str(error), None]
        except Exception as error:  # noqa: BLE001  # the child must not wait forever
            reply = [f"{type(error).__name__}: {error}", None]
        with suppress(OSError):
            await self._loop.sock_sendall(self._socket, encode_frame(reply))

    def _on_death(self) -> None:
        """Handles the end of the process: its last messages, then the call that it ends."""
        if self._death is None:
            return
        self._loop.remove_reader(self._death)
        while self._read():  # its last message
            pass
        if self.exit_code is None:
            self._process.join(1)
        if self._answering is not None:
            self._answering.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self.inbox.close()
        os.close(self._death)
        self._death = None
        if self._call is not None:
            for awaited in self._call[:2]:
                if not awaited.done():
                    awaited.set_exception(ProcessDied(self.exit_code, begun=self._call.begun.done()))
                    _retrieve_exception(awaited)
        self.dead.set()
        self._ended(self)


def _retrieve_exception(future: "asyncio.Future[Any]") -> None:
    """Retrieves the exception so that asyncio does not warn."""
    if not future.cancelled():
        future.exception()
