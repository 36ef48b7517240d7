"""Sessions with pinned plans that the flows of hot statements share.

A busy flow keeps the session that it used last, so that no other waits for it. The others take turns on few sessions,
which idle flows would otherwise hold one each. Sessions are opened when all are in use, and closed when idle. Opening
takes several times as long as a statement, so a flow borrows a session that is kept but free meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from duly.store.postgres.database_connector import Session
from duly.store.postgres.database_errors import LOST, DatabaseError
from duly.store.postgres.session_turns import SessionTurns

GRACE_SECONDS = 2.0
# A flow is busy after this number of uses, each within this time of the one before; it then keeps its session as long.
BUSY_USES = 8
BUSY_SECONDS = 0.1
# Sessions that are open when the service is idle: one for each kind of lock timeout.
IDLE_SESSIONS = 2
# Time after which other sessions that nothing uses are closed.
IDLE_SECONDS = 15.0
# Wait for a session that a statement of milliseconds uses, before another one is opened.
TURN_SECONDS = 0.05
# Pause after a session could not be opened while others can be borrowed.
REFUSED_SECONDS = 1.0
# With as many sessions as they may have, flows take turns on them. If none is released for longer, all hang, and more
# are opened.
LONG_TURN_SECONDS = 2.0
MOST_WHEN_STUCK = 10


class Flow(Protocol):
    """User of sessions, which needs one at a time."""

    settings: Mapping[str, str]
    uses: int
    released_at: float

    @property
    def busy(self) -> bool:
        """Returns whether it will need a session again at once."""


@dataclass(slots=True)
class _NoFlow:
    """Last user of a session that no flow has used yet."""

    settings: Mapping[str, str]
    uses: int = 0
    released_at: float = 0.0
    busy: bool = False


class HotSession:
    """Session, and who used it last."""

    __slots__ = ("connection", "flow", "free", "released_at", "settings")

    def __init__(self, connection: Session, settings: Mapping[str, str], flow: Flow) -> None:
        self.connection = connection
        self.settings = settings
        self.flow = flow
        self.free = False
        self.released_at = float("-inf")

    def kept(self, now: float) -> bool:
        """Returns whether the flow that used it last is busy, and will use it again."""
        return self.flow.busy and now - self.released_at < BUSY_SECONDS


class HotSessions:
    """Open sessions of one process.

    Args:
        connect: opens a session with these settings.
        most: number of sessions, unless all are stuck.
    """

    def __init__(self, connect: Callable[[Mapping[str, str]], Awaitable[Session]], *, most: int) -> None:
        self._connect = connect
        self._most = most
        # Flows that wait while no more may be opened.
        self._turns = SessionTurns[HotSession](pass_on=self._pass_on)
        self._sessions: list[HotSession] = []
        self._opening = 0
        # Waits for fewer sessions, which close those that are released.
        self._shrinking = 0
        self._released = asyncio.Event()
        self._pruning: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._opening_ahead: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def connections(self) -> list[Session]:
        """The open connections."""
        return [session.connection for session in self._sessions]

    async def take(self, flow: Flow, last: HotSession | None) -> HotSession:
        """Returns a session for one use.

        Args:
            flow: its user.
            last: the session that it used last.

        Raises:
            DatabaseOutage: none can be opened.
        """
        flow.uses = flow.uses + 1 if time.monotonic() - flow.released_at < BUSY_SECONDS else 0
        if flow.busy and last is not None and last.flow is flow and last.free and not last.connection.is_closed():
            last.free = False
            return last
        session = self._free(flow) or self._borrowed(flow) or await self._in_turn(flow)
        if session is None:
            return await self._open(flow)
        session.free, session.flow = False, flow
        if session.settings != flow.settings:
            await self._change_settings(session, flow.settings)
        return session

    async def _change_settings(self, session: HotSession, settings: Mapping[str, str]) -> None:
        try:
            await session.connection.change_settings(settings)
        except BaseException:
            self.drop(session)
            raise
        session.settings = settings

    def release(self, session: HotSession) -> None:
        """Takes a session back. One that was left within a transaction is closed."""
        too_many = self._shrinking > 0 and self._count > self._most
        if too_many or session.connection.is_closed() or session.connection.is_in_transaction():
            self.drop(session)
            return
        session.released_at = session.flow.released_at = time.monotonic()
        if not self._hand_over(session):
            session.free = True
            self._released.set()
        if len(self._sessions) > IDLE_SESSIONS and self._pruning is None:
            self._prune_later()

    def drop(self, session: HotSession) -> "asyncio.Task[None]":
        """Closes a session. Returns the task that closes it."""
        if session in self._sessions:
            self._sessions.remove(session)
        session.free = False  # the flow that used it last may not take it again
        self._room()
        task = asyncio.get_running_loop().create_task(_close(session.connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def keep_within(self, most: int) -> None:
        """Limits the number of sessions from now on. Closes those that are too many: free ones, and those that are
        released within some time.
        """
        self._most = most
        self._room()
        self._shrinking += 1
        try:
            async with asyncio.timeout(LONG_TURN_SECONDS):
                while self._count > self._most:
                    if free := [one for one in self._sessions if one.free]:
                        await asyncio.shield(self.drop(min(free, key=lambda one: one.released_at)))
                    else:
                        self._released.clear()
                        await self._released.wait()
        except TimeoutError:
            pass  # all hang
        finally:
            self._shrinking -= 1

    async def close(self) -> None:
        """Closes all sessions, also those in use."""
        if self._pruning is not None:
            self._pruning.cancel()
            self._pruning = None
        if self._opening_ahead is not None:
            self._opening_ahead.cancel()
            await asyncio.wait([self._opening_ahead])
        for session in list(self._sessions):
            self.drop(session)
        while self._closing:
            await asyncio.wait(self._closing)

    def _free(self, flow: Flow) -> HotSession | None:
        """Returns the free session that was released last, if possible one with the settings of the flow."""
        now = time.monotonic()
        found: HotSession | None = None
        for session in list(self._sessions):
            if session.free and session.connection.is_closed():
                self._sessions.remove(session)
            elif session.free and (self._full or session.flow is flow or not session.kept(now)):
                same = session.settings == flow.settings
                if found is None or (same, session.released_at) > (found.settings == flow.settings, found.released_at):
                    found = session
        return found

    def _borrowed(self, flow: Flow) -> HotSession | None:
        """Returns a free session that a busy flow keeps, and has another one opened for the next use."""
        free = [one for one in self._sessions if one.free]
        if not free or self._full:
            return None
        if self._opening_ahead is None:
            self._opening_ahead = asyncio.get_running_loop().create_task(self._open_ahead(flow.settings))
        return min(free, key=lambda one: (one.settings != flow.settings, one.released_at))

    async def _open_ahead(self, settings: Mapping[str, str]) -> None:
        """Opens a session that no flow waits for. The connector notes a failure; flows share what is open meanwhile."""
        try:
            self.release(await self._open(_NoFlow(settings)))
        except DatabaseError:
            await asyncio.sleep(REFUSED_SECONDS)  # else each statement would try again on a server that refuses
        finally:
            self._opening_ahead = None

    async def _in_turn(self, flow: Flow) -> HotSession | None:
        """Waits a moment for a session that another flow uses. Returns None if another one has to be opened."""
        if self._count < min(IDLE_SESSIONS, self._most):
            return None
        if not self._full:
            session = await self._released_within(TURN_SECONDS, flow)
            if session is not None or not self._full:
                return session
        most = max(MOST_WHEN_STUCK, self._most)
        while True:
            session = await self._turns.wait(flow.settings, seconds=LONG_TURN_SECONDS)
            if session is not None or self._count < most:
                return session

    def _pass_on(self, session: HotSession | None) -> None:
        if session is None:
            self._room()
        else:
            self.release(session)

    def _hand_over(self, session: HotSession | None) -> bool:
        return self._turns.hand_over(session, prefer_settings_seconds=TURN_SECONDS)

    def _room(self) -> None:
        """Notifies a flow that another session may be opened, if so."""
        if not self._full:
            self._hand_over(None)
        self._released.set()

    async def _released_within(self, seconds: float, flow: Flow) -> HotSession | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._full or self._soon:
                    self._released.clear()
                    await self._released.wait()
                    if (session := self._free(flow)) is not None:
                        return session
        return None

    @property
    def _soon(self) -> bool:
        """Returns whether a session will be free that no busy flow keeps."""
        return self._opening > 0 or any(not (session.free or session.flow.busy) for session in self._sessions)

    @property
    def _count(self) -> int:
        return len(self._sessions) + self._opening

    @property
    def _full(self) -> bool:
        return self._count >= self._most

    async def _open(self, flow: Flow) -> HotSession:
        self._opening += 1
        try:
            connection = await self._connect(flow.settings)
        except BaseException:
            self._opening -= 1
            self._room()
            raise
        self._opening -= 1
        session = HotSession(connection, flow.settings, flow)
        self._sessions.append(session)
        self._released.set()
        return session

    def _prune_later(self) -> None:
        """Prunes when the session that has been free for longest has been idle; if none is free, after a release."""
        released = [one.released_at for one in self._sessions if one.free]
        if released:
            seconds = min(released) + IDLE_SECONDS - time.monotonic()
            self._pruning = asyncio.get_running_loop().call_later(max(0.0, seconds), self._prune)

    def _prune(self) -> None:
        """Closes sessions that have been idle, except the few that stay open."""
        self._pruning = None
        now = time.monotonic()
        idle = [one for one in self._sessions if one.free and now - one.released_at >= IDLE_SECONDS]
        for session in sorted(idle, key=lambda one: one.released_at)[: len(self._sessions) - IDLE_SESSIONS]:
            self.drop(session)
        if len(self._sessions) > IDLE_SESSIONS:
            self._prune_later()


async def _close(connection: Session) -> None:
    """Closes a connection; drops it if the server does not respond."""
    if connection.is_closed():
        return
    try:
        await connection.close(timeout=GRACE_SECONDS)
    except LOST:
        connection.terminate()
