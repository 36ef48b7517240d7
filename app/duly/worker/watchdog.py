"""Watchdog: a thread that notices when a handler blocks the event loop, and names it."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType

import structlog

from duly.worker.attempt import run_attempt
from duly.worker.batch_handlers import run_group

log = structlog.stdlib.get_logger("duly.watchdog")

LIMIT_SECONDS = 0.5
# Pause between two questions to the event loop.
ASK_SECONDS = 0.25
# Pause between two looks for running handlers, should `wake` not be called when one begins.
IDLE_SECONDS = 5.0


class Watchdog:
    """Warns once for each time that the event loop is blocked for longer than half a second while handlers run. Without
    them, the cause is the start of the service or a busy machine, which no user can mend in a handler.

    Args:
        handlers_run: returns True while handlers run. Called in the watchdog's thread.
    """

    def __init__(self, *, handlers_run: Callable[[], bool]) -> None:
        self._handlers_run = handlers_run
        self._over = threading.Event()
        self._woken = threading.Event()
        self._answered = threading.Event()
        self._loop_thread = threading.get_ident()
        self.warnings = 0

    def start(self) -> None:
        """Watches the running event loop from a thread of its own."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name="duly-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stops watching."""
        self._over.set()
        self._woken.set()

    def wake(self) -> None:
        """Reports that handlers begin to run. Called for each round of claims."""
        if not self._woken.is_set():
            self._woken.set()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Asks the loop for an answer now and then while handlers run. Without them, neither is woken."""
        while not self._over.wait(ASK_SECONDS):
            self._woken.clear()  # before the look: a handler that begins after it sets it again
            if not self._handlers_run():
                self._woken.wait(IDLE_SECONDS)
                continue
            asked_at = time.monotonic()
            self._answered.clear()
            try:
                loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # it is closed
                return
            if not self._answered.wait(LIMIT_SECONDS) and self._handlers_run() and not self._over.is_set():
                self._warn(time.monotonic() - asked_at)
            while not self._over.is_set() and not self._answered.wait(ASK_SECONDS):
                pass

    def _warn(self, seconds: float) -> None:
        """Logs where the event loop is blocked, and by which job type if a handler runs."""
        self.warnings += 1
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  # the documented way to see another thread
        job, location = _culprit(frame)
        by = f" by a handler of {job}; make it a plain function or use asyncio.to_thread" if job else ""
        log.warning(
            f"event loop blocked for {seconds:.1f} s at {location}{by}",
            action="loop_blocked",
            **({"job_type": job} if job else {}),
            location=location,
            seconds=round(seconds, 2),
        )


def _culprit(frame: FrameType | None) -> tuple[str | None, str]:
    """Returns the job type whose attempt or batch call is on the stack, and its current line."""
    if frame is None:
        return None, "an unknown place"
    location = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    attempt_code: CodeType = run_attempt.__code__
    group_code: CodeType = run_group.__code__
    above: FrameType | None = frame
    while above is not None:
        if above.f_code is attempt_code:
            return above.f_locals["attempt"].claimed.type, location
        if above.f_code is group_code:
            return above.f_locals["group"].handler.type, location
        above = above.f_back
    return None, location
