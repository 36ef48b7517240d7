"""Hosts of a database URL, of which one serves: after a fail-over another one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

import asyncpg

# A host that has not answered for this long does not delay the next one: after the loss of a machine, nothing refuses
# connections to it.
HEAD_START_SECONDS = 0.5
# Errors after which the next host is tried, as libpq does: a standby, a starting server, too many connections.
ELSEWHERE = (
    OSError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)


class Terminable(Protocol):
    """Session that can be closed at once."""

    def terminate(self) -> None:
        """Closes the session without waiting for the server."""


AnySession = TypeVar("AnySession", bound=Terminable)


class DatabaseHosts(Generic[AnySession]):
    """Hosts of one database.

    Args:
        urls: URL of each host, in order of preference until one has served.
        exclusive: only one host serves at a time, so that sessions on another one are outdated.
    """

    def __init__(self, urls: tuple[str, ...], *, exclusive: bool) -> None:
        self._urls = urls
        self._exclusive = exclusive
        self._serving = urls[0]
        self._sessions: dict[str, WeakSet[AnySession]] = {url: WeakSet() for url in urls}
        self._races: list[_Race[AnySession]] = []

    async def connect(self, connect: Callable[[str], Awaitable[AnySession]]) -> AnySession:
        """Connects to a host that serves: first to the one that served last. The next one is tried when a host fails or
        has not answered for a moment; meanwhile the slow one may still answer.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: no host serves; a host that answered says why.
        """
        if len(self._urls) == 1:
            return await connect(self._serving)
        race = _Race(connect, sorted(self._urls, key=lambda url: url != self._serving))
        self._races.append(race)
        try:
            url, session = await race.run()
        finally:
            self._races.remove(race)
        self._sessions[url].add(session)
        self._serve(url)
        return session

    def _serve(self, url: str) -> None:
        """Notes which host serves. Sessions on a former one end: its server may be silent for long, or read-only."""
        if url == self._serving:
            return
        self._serving = url
        for race in self._races:
            race.try_next(url)
        if self._exclusive:
            for other in self._urls:
                for session in list(self._sessions[other]) if other != url else ():
                    session.terminate()


class _Race(Generic[AnySession]):
    """Attempts of one caller, each begun when the one before has failed or lost its head start."""

    def __init__(self, connect: Callable[[str], Awaitable[AnySession]], urls: list[str]) -> None:
        self._connect = connect
        self._left = urls
        self._trying: dict[asyncio.Future[AnySession], str] = {}
        self._failures: list[BaseException] = []
        self._called = asyncio.Event()

    def try_next(self, url: str) -> None:
        """Tries this host at once, again if it did not serve a moment ago."""
        self._left.insert(0, url)
        self._called.set()

    async def run(self) -> tuple[str, AnySession]:
        """Returns the session that came first, and the URL of its host."""
        try:
            while self._left or self._trying:
                if self._left:
                    url = self._left.pop(0)
                    self._trying[asyncio.ensure_future(self._connect(url))] = url
                for attempt in await self._ended():
                    if (found := self._result(attempt)) is not None:
                        return found
        finally:
            for attempt in self._trying:
                attempt.cancel()
                attempt.add_done_callback(_close_unused)
        raise _most_telling(self._failures)

    async def _ended(self) -> set["asyncio.Future[AnySession]"]:
        """Waits until an attempt ends, the next one is due, or another caller has found the host that serves."""
        called = asyncio.ensure_future(self._called.wait())
        patience = HEAD_START_SECONDS if self._left else None
        try:
            awaited: set[asyncio.Future[Any]] = {*self._trying, called}
            await asyncio.wait(awaited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            called.cancel()
        self._called.clear()
        return {attempt for attempt in self._trying if attempt.done()}

    def _result(self, attempt: "asyncio.Future[AnySession]") -> tuple[str, AnySession] | None:
        """Returns the session of an attempt that ended, or None if another host is to be tried."""
        failure = attempt.exception()
        if failure is not None and not isinstance(failure, ELSEWHERE):
            raise failure
        url = self._trying.pop(attempt)
        if failure is None:
            return url, attempt.result()
        self._failures.append(failure)
        return None


def _close_unused(attempt: "asyncio.Future[AnySession]") -> None:
    """Closes the session of an attempt that lost the race."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()


def _most_telling(failures: list[BaseException]) -> BaseException:
    """Returns the failure of a server that answered, or else the last one."""
    return next((failure for failure in failures if not isinstance(failure, OSError)), failures[-1])
