"""The hosts of a URL: the choice among them, and the end of sessions on a former one."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from duly.store.postgres.database_hosts import DatabaseHosts

BOUND_SECONDS = 60.0


class Session:
    """Stands for a session; notes its end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.open = True

    def terminate(self) -> None:
        self.open = False


class Servers:
    """Servers by URL: each serves, fails with an error, or is silent until `answers` is set."""

    def __init__(self, **behavior: BaseException | asyncio.Event | None) -> None:
        self.behavior = behavior
        self.asked: list[str] = []
        self.made: list[Session] = []

    async def connect(self, url: str) -> Session:
        self.asked.append(url)
        found = self.behavior[url]
        if isinstance(found, asyncio.Event):
            await found.wait()
        elif found is not None:
            raise found
        self.made.append(Session(url))
        return self.made[-1]


def _standby() -> asyncpg.TargetServerAttributeNotMatched:
    return asyncpg.TargetServerAttributeNotMatched("read-write")


def _hosts(*, exclusive: bool = True) -> DatabaseHosts[Session]:
    return DatabaseHosts(("a", "b"), exclusive=exclusive)


async def _soon(connecting: Awaitable[Session]) -> Session:
    return await asyncio.wait_for(connecting, BOUND_SECONDS)


@pytest.mark.parametrize("failure", [ConnectionRefusedError(), _standby(), asyncpg.CannotConnectNowError("starting")])
async def test_the_host_that_served_last_is_asked_first(failure: BaseException) -> None:
    servers, hosts = Servers(a=failure, b=None), _hosts()
    assert (await _soon(hosts.connect(servers.connect))).url == "b"
    assert (await _soon(hosts.connect(servers.connect))).url == "b"
    assert servers.asked == ["a", "b", "b"]
    servers.behavior.update(a=None, b=failure)
    assert (await _soon(hosts.connect(servers.connect))).url == "a"


async def test_a_silent_host_does_not_hold_up_the_next_one() -> None:
    servers, hosts = Servers(a=asyncio.Event(), b=None), _hosts()
    assert (await _soon(hosts.connect(servers.connect))).url == "b"
    assert servers.asked == ["a", "b"]


async def test_a_search_ends_when_another_one_finds_the_host_that_serves() -> None:
    """Checks that an attempt at a silent host does not last to its timeout after the promotion of the other one."""
    servers, hosts = Servers(a=asyncio.Event(), b=_standby()), _hosts()
    searching = asyncio.ensure_future(hosts.connect(servers.connect))
    while "b" not in servers.asked:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    servers.behavior.update(b=None)
    assert (await _soon(hosts.connect(servers.connect))).url == "b"
    assert (await _soon(searching)).url == "b"


async def test_a_slow_host_serves_where_the_next_one_does_not() -> None:
    answers = asyncio.Event()
    servers, hosts = Servers(a=answers, b=_standby()), _hosts()
    connecting = asyncio.ensure_future(hosts.connect(servers.connect))
    while "b" not in servers.asked:
        await asyncio.sleep(0.01)
    answers.set()
    assert (await _soon(connecting)).url == "a"


async def test_sessions_on_a_former_primary_are_closed() -> None:
    servers, hosts = Servers(a=None, b=_standby()), _hosts()
    old = [await _soon(hosts.connect(servers.connect)) for _ in range(2)]
    servers.behavior.update(a=_standby(), b=None)
    new = await _soon(hosts.connect(servers.connect))
    assert [session.open for session in (*old, new)] == [False, False, True]


async def test_sessions_on_equal_hosts_stay_open() -> None:
    servers, hosts = Servers(a=None, b=None), _hosts(exclusive=False)
    first = await _soon(hosts.connect(servers.connect))
    servers.behavior.update(a=ConnectionRefusedError())
    assert (await _soon(hosts.connect(servers.connect))).url == "b"
    assert first.open


@pytest.mark.parametrize(
    ("first", "other", "told"),
    [
        (_standby, ConnectionRefusedError, asyncpg.TargetServerAttributeNotMatched),
        (ConnectionRefusedError, _standby, asyncpg.TargetServerAttributeNotMatched),
        (ConnectionRefusedError, TimeoutError, TimeoutError),
    ],
)
async def test_where_no_host_serves_a_server_that_answered_says_why(
    first: Callable[[], BaseException], other: Callable[[], BaseException], told: type[BaseException]
) -> None:
    with pytest.raises(told):
        await _soon(_hosts().connect(Servers(a=first(), b=other()).connect))


async def test_an_error_that_is_the_same_everywhere_ends_the_search() -> None:
    servers = Servers(a=asyncpg.InvalidPasswordError("no"), b=None)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _soon(_hosts().connect(servers.connect))
    assert servers.asked == ["a"]


async def test_a_session_of_the_host_that_came_second_is_closed() -> None:
    answers = asyncio.Event()

    async def connect(url: str) -> Session:
        session = Session(url)
        made.append(session)
        await answers.wait()
        return session

    made: list[Session] = []
    connecting = asyncio.ensure_future(_hosts().connect(connect))
    while len(made) < 2:
        await asyncio.sleep(0.01)
    answers.set()  # both answer in the same moment
    chosen = await _soon(connecting)
    await asyncio.sleep(0)
    assert [session.open for session in made if session is not chosen] == [False]
    assert chosen.open
