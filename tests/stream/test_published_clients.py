"""Published EventSource clients follow a job and all jobs through cuts and a restart: each event exactly once."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import pytest

from duly.client import Client
from duly.domain.event_views import VIEWS
from tests.support import handlers as test_handlers
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.database_pool import TestDatabases
from tests.support.handlers import gate
from tests.support.node_packages import node_20, node_packages
from tests.support.postgres_servers import Server
from tests.support.service import NO_TLS, Service, eventually, running_service
from tests.support.tenant_stream import PATH, in_order

PROGRAM = Path(__file__).parents[1] / "support" / "eventsource" / "follow.mjs"
ON_NODE = (
    *("eventsource 4", "eventsource 5", "event-source-polyfill", "undici", "eventsource-client", "fetch-event-source"),
    *("launchdarkly-eventsource", "reconnecting-eventsource", "event-source-plus"),
)
# `duly.client` yields events only.
SHOWING_POSITIONS = (*ON_NODE, "httpx-sse")
ALL = (*SHOWING_POSITIONS, "duly.client")
# The polyfill treats the missing body of a 204 as a broken connection; the other client always reconnects.
STOPPING_AT_204 = tuple(set(ALL) - {"event-source-polyfill", "reconnecting-eventsource"})
STEPS = 4


@dataclass
class Heard:
    """Calls of the handlers of one client, on one stream."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    ended: str | None = None

    @property
    def turned_away(self) -> bool:
        return {"type": "overflow"} in self.messages

    @property
    def events(self) -> list[tuple[str, int]]:
        return [(data["jobId"], data["sequence"]) for data in self.messages if data["type"].startswith("job_")]


@dataclass
class Followers:
    """All clients, each on its streams."""

    url: str
    heard: dict[tuple[str, str], Heard] = field(default_factory=lambda: defaultdict(Heard))
    errors: list[str] = field(default_factory=list)
    last_job: str = ""

    def note(self, line: dict[str, Any]) -> None:
        heard = self.heard[line["client"], line["name"]]
        if "ended" in line:
            heard.ended = line["ended"]
            return
        assert line["type"] == line["data"]["type"]
        heard.messages.append(line["data"])

    async def all_have(self, name: str, has: Callable[[Heard], bool], *, clients: tuple[str, ...]) -> None:
        """Waits until each of these clients has received what the predicate requires."""

        async def look() -> bool:
            assert not self.errors, self.errors
            return all(has(self.heard[client, name]) for client in clients)

        try:
            await eventually(look)
        except TimeoutError:
            late = [client for client in clients if not has(self.heard[client, name])]
            raise AssertionError(f"{name}: not heard by {late}") from None


@asynccontextmanager
async def _on_node(followers: Followers, packages: Path) -> AsyncIterator[Process]:
    """The clients for JavaScript, in one process."""
    process = await asyncio.create_subprocess_exec(
        node_20(), str(PROGRAM), str(packages), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    tasks = [
        asyncio.create_task(_read(process.stdout, lambda line: followers.note(json.loads(line)), followers)),
        asyncio.create_task(_read(process.stderr, followers.errors.append, followers)),
    ]
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.gather(*tasks)


async def _read(lines: asyncio.StreamReader, note: Callable[[str], None], followers: Followers) -> None:
    async for line in lines:
        try:
            note(line.decode())
        except Exception as error:  # raised in the test
            followers.errors.append(f"{line!r}: {error!r}")


async def _follow_with_httpx_sse(followers: Followers, name: str, path: str) -> None:
    """The loop that its documentation leaves to its user."""
    last, retry = "", 1000
    async with httpx.AsyncClient(base_url=followers.url, verify=NO_TLS, timeout=60) as client:
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                async with httpx_sse.aconnect_sse(client, "GET", path, headers=headers) as source:
                    if source.response.status_code == 204:
                        break
                    async for sse in source.aiter_sse():
                        last, retry = sse.id or last, sse.retry or retry
                        followers.note({"client": "httpx-sse", "name": name, "type": sse.event, "data": sse.json()})
            except httpx.TransportError:
                pass
            await asyncio.sleep(retry / 1000)
    followers.note({"client": "httpx-sse", "name": name, "ended": "204"})


def _follow_with_duly_client(followers: Followers, name: str, job_id: str | None) -> None:
    with Client(followers.url) as client:
        for data in client.stream(job_id) if job_id else client.stream_all():
            followers.note({"client": "duly.client", "name": name, "type": data["type"], "data": data})
            if job_id is None and data["jobId"] == followers.last_job and data["type"] == "job_completed":
                break
    followers.note({"client": "duly.client", "name": name, "ended": "returned"})


class Story:
    """Course of events while all of them follow."""

    def __init__(self, followers: Followers, proxy: CuttingProxy, process: Process, tasks: asyncio.TaskGroup) -> None:
        self._followers = followers
        self._proxy = proxy
        self._process = process
        self._tasks = tasks

    def follow(self, name: str, path: str, *, job_id: str | None = None) -> None:
        """Begins to follow, with every client."""
        assert self._process.stdin is not None
        for client in ON_NODE:
            asked = {"client": client, "name": name, "url": self._proxy.url + path}
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._tasks.create_task(_follow_with_httpx_sse(self._followers, name, path), name=f"httpx-sse {name}")
        self._tasks.create_task(asyncio.to_thread(_follow_with_duly_client, self._followers, name, job_id))

    async def cut_before_the_first_event(self, service: Service) -> None:
        """All jobs are followed, nothing happened, and what happens is missed while the connections are cut."""
        self.follow("all", PATH)
        await self._followers.all_have("all", lambda heard: bool(heard.messages), clients=SHOWING_POSITIONS)
        await eventually(lambda: _is(len(service.node.tails.of(1)._watches) == len(ALL)))
        self._proxy.target = None
        self._proxy.reset_all()
        job = await service.run("echo")
        self._proxy.target = service.url
        await self._all_have("all", (job["jobId"], 2))

    async def cut_in_the_middle(self, job_id: str) -> None:
        """Both streams are cut within a message: within its data, and within its id."""
        self.follow("job", f"/api/v1/jobs/{job_id}/events/stream", job_id=job_id)
        await self._all_have("job", (job_id, 1))
        for step, marker in ((1, b'event: job_progress\ndata: {"type":"job_pro'), (2, b"\nid: ")):
            cuts = self._proxy.cut_each_after(marker)
            gate(f"followed-{step}").set()
            await eventually(self._has_cut(cuts))
            await self.all_have((job_id, 1 + step))

    async def all_have(self, event: tuple[str, int]) -> None:
        """Waits until each has heard this event on both streams."""
        await self._all_have("all", event)
        await self._all_have("job", event)

    async def find_no_room_at_first(self, service: Service) -> None:
        """Refuses each client once, on both streams, with a time to come back."""
        room, service.node.stream_capacity._places = service.node.stream_capacity._places, 0
        self._proxy.target = service.url
        for name in ("all", "job"):
            await self._followers.all_have(name, lambda heard: heard.turned_away, clients=SHOWING_POSITIONS)
        service.node.stream_capacity._places = room

    def _has_cut(self, cuts: int) -> Callable[[], Awaitable[bool]]:
        return lambda: _is(self._proxy.cuts == cuts)

    async def _all_have(self, name: str, event: tuple[str, int]) -> None:
        await self._followers.all_have(name, lambda heard: event in heard.events, clients=ALL)


async def _is(holds: bool) -> bool:
    return holds


@dataclass
class Outcome:
    """Events that were heard, and those expected."""

    followers: Followers
    all_events: list[tuple[str, int]]
    job_events: list[tuple[str, int]]


@pytest.fixture(scope="module")
async def outcome(
    request: pytest.FixtureRequest, embedded_server_18: Server, databases_of: Callable[[Server], TestDatabases]
) -> AsyncIterator[Outcome]:
    """All clients, in one story."""
    packages = node_packages(request.config, PROGRAM.parent)
    test_handlers.forget()
    async with databases_of(embedded_server_18).lent() as database_url:
        yield await _outcome(database_url, packages)


async def _outcome(database_url: str, packages: Path) -> Outcome:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(cutting_proxy(""))
        followers = Followers(proxy.url)
        process = await stack.enter_async_context(_on_node(followers, packages))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        story = Story(followers, proxy, process, tasks)
        async with running_service(database_url) as first:
            proxy.target = first.url
            await story.cut_before_the_first_event(first)
            job_id = (await first.submit("tell-at-gates", {"name": "followed", "steps": STEPS}))["jobId"]
            await story.cut_in_the_middle(job_id)
            proxy.target = None
        async with running_service(database_url) as second:
            await story.find_no_room_at_first(second)
            followers.last_job = job_id
            for step in range(STEPS):
                gate(f"followed-{step + 1}").set()
            job = await second.ended(job_id)
            await followers.all_have("job", lambda heard: heard.ended is not None, clients=STOPPING_AT_204)
            last = (job_id, job["sequence"])
            await story.all_have(last)
            all_events = await in_order(second)
            _stop(tasks)
    assert not followers.errors
    return Outcome(followers, all_events, [event for event in all_events if event[0] == job_id])


def _stop(tasks: asyncio.TaskGroup) -> None:
    """Stops clients that follow all jobs, since they never end by themselves."""
    for task in asyncio.all_tasks():
        if task.get_name() == "httpx-sse all":
            task.cancel()


@pytest.mark.parametrize("client", ALL)
async def test_a_published_client_sees_every_event_of_all_jobs_exactly_once(outcome: Outcome, client: str) -> None:
    assert outcome.followers.heard[client, "all"].events == outcome.all_events


@pytest.mark.parametrize("client", ALL)
async def test_a_published_client_sees_every_event_of_a_job_exactly_once_and_stops(
    outcome: Outcome, client: str
) -> None:
    heard = outcome.followers.heard[client, "job"]
    assert heard.events == outcome.job_events
    assert (heard.ended is not None) == (client in STOPPING_AT_204)


@pytest.mark.parametrize("client", SHOWING_POSITIONS)
async def test_handlers_are_called_with_what_has_a_type(outcome: Outcome, client: str) -> None:
    for name in ("all", "job"):
        kinds = {data["type"] for data in outcome.followers.heard[client, name].messages}
        assert kinds - {"position", "overflow"} <= {view.frame for view in VIEWS.values()}
        assert ("position" in kinds) == (name == "all")
