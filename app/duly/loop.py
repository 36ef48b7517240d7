"""The one supervised loop: every moving part of a node is a step that this class repeats, come what may."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from duly.errors import DulyError

log = structlog.stdlib.get_logger("duly.loop")

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 5.0


class Loop:
    """Repeats a step until it is stopped. An error is logged and backed off from, never fatal and never silent.

    Args:
        name: the moving part, as in logs and metrics.
        step: does one round and returns the seconds until the next; `wake` cuts them short.
        expected: errors that mean that the database does not do its part: one line when it begins, one when it ends.
    """

    def __init__(
        self, name: str, step: Callable[[], Awaitable[float]], *, expected: tuple[type[Exception], ...] = ()
    ) -> None:
        self.name = name
        self.failures = 0
        self.rounds = 0
        self.last_success = time.monotonic()
        self._step = step
        self._expected = expected
        self._wake = asyncio.Event()
        self._failing = 0
        self._ending = False

    def wake(self) -> None:
        """Ends the present pause; a wake during a step cuts the pause after it."""
        self._wake.set()

    def end(self) -> None:
        """Lets the present round finish, and begins no other."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Runs until it is told to end, or cancelled."""
        while not self._ending:
            self._wake.clear()
            pause = await self._round()
            if pause > 0 and not self._ending:
                await self._rest(pause)

    async def _round(self) -> float:
        try:
            pause = await self._step()
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return self._failed(error)  # something that the step waited for was cancelled, not this loop
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a loop outlives every error of its step
            return self._failed(error)
        if self._failing:
            log.info(f"{self.name} works again", action="loop_recovered", loop=self.name, after_failures=self._failing)
        self._failing = 0
        self.rounds += 1
        self.last_success = time.monotonic()
        return pause

    def _failed(self, error: BaseException) -> float:
        self.failures += 1
        self._failing += 1
        if not isinstance(error, (*self._expected, DulyError)):
            log.error(f"{self.name} failed", action="loop_failed", loop=self.name, exc_info=error)
        elif self._failing == 1:
            why = getattr(error, "line", None) or str(error)
            log.warning(f"{self.name} waits: {why}", action="loop_waits", loop=self.name, error=why)
        backoff = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failing, 10), LAST_BACKOFF_SECONDS)
        return backoff * random.uniform(0.5, 1)  # noqa: S311  # jitter, not a secret

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
