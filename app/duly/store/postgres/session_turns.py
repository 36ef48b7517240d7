"""Line of flows that wait for a session, or for room to open one, in order of arrival."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class _HasSettings(Protocol):
    settings: Mapping[str, str]


_Session = TypeVar("_Session", bound=_HasSettings)


@dataclass(frozen=True, slots=True, eq=False)
class _Turn(Generic[_Session]):
    """Flow that waits for a session since this time; for None, it opens one."""

    session: "asyncio.Future[_Session | None]"
    settings: Mapping[str, str]
    since: float

    @property
    def has_result(self) -> bool:
        """Returns whether it got one, perhaps just before its wait ended."""
        return self.session.done() and not self.session.cancelled()


class SessionTurns(Generic[_Session]):
    """Flows that wait for their turn.

    Busy flows use their sessions again at once, so those that wait would never find one free.

    Args:
        pass_on: takes back what a flow was given that was cancelled just then.
    """

    def __init__(self, *, pass_on: Callable[[_Session | None], None]) -> None:
        self._pass_on = pass_on
        self._waiting: list[_Turn[_Session]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, settings: Mapping[str, str], *, seconds: float) -> _Session | None:
        """Waits in line for a session. Returns None if there is room to open one, or after these seconds.

        Args:
            settings: those that the session should have already.
            seconds: longest wait.
        """
        turn: _Turn[_Session] = _Turn(asyncio.get_running_loop().create_future(), settings, time.monotonic())
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                return await turn.session
        except TimeoutError:
            return turn.session.result() if turn.has_result else None
        except asyncio.CancelledError:
            if turn.has_result:
                self._pass_on(turn.session.result())
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def hand_over(self, session: _Session | None, *, prefer_settings_seconds: float) -> bool:
        """Gives a flow in line a session, or room to open one. Returns False if none waits.

        Args:
            session: a session that is released; None for room.
            prefer_settings_seconds: for so long, the first flow lets one pass that needs the settings of the session:
                changing them costs as much as a small statement.
        """
        waiting = [turn for turn in self._waiting if not turn.session.done()]
        if not waiting:
            return False
        turn = waiting[0]
        if session is not None and time.monotonic() - turn.since < prefer_settings_seconds:
            turn = next((one for one in waiting if one.settings == session.settings), turn)
        turn.session.set_result(session)
        self._waiting.remove(turn)
        return True
