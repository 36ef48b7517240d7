"""The TypeScript client across cuts, restarts and proxies that hold back streams, and what only JavaScript has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.client.behaviours.callers import Caller
from tests.support.client_site import Site
from tests.support.handlers import gate, has_entered
from tests.support.restarts import Restarts, restarts
from tests.support.service import BOUND_SECONDS, Service, eventually, running_service
from tests.support.typescript_client import Clients

STEPS = 3
WHOLE = [
    (0, "job_submitted"),
    (1, "job_started"),
    *((n + 1, "job_progress") for n in range(1, STEPS + 1)),
    (5, "job_completed"),
]
LARGE = 12345678901234567890


class Heard:
    """Items of a call, as they arrive."""

    def __init__(self, caller: Caller, name: str, **arguments: Any) -> None:
        self.items: list[Any] = []
        self.task = asyncio.create_task(self._listen(caller, name, arguments))

    async def _listen(self, caller: Caller, name: str, arguments: dict[str, Any]) -> None:
        async with aclosing(caller.items(name, **arguments)) as items:
            async for item in items:
                self.items.append(item)

    async def has(self, reached: Callable[[list[Any]], bool]) -> None:
        """Waits until the items meet the condition; raises the error of a call that failed."""

        async def look() -> bool:
            if self.task.done():
                self.task.result()
            return reached(self.items)

        await eventually(look)

    async def end(self) -> None:
        async with asyncio.timeout(BOUND_SECONDS):
            await self.task


@dataclass
class Story:
    """Job that reports a step at a time, the nodes that show it, and a client that follows it."""

    job_id: str
    api: Restarts
    caller: Caller
    site: Site

    async def step(self, number: int) -> None:
        gate(f"story-{number}").set()
        async with asyncio.timeout(BOUND_SECONDS):
            await has_entered(f"story-{number}:told").wait()


@asynccontextmanager
async def told(database_url: str, clients: Clients) -> AsyncIterator[Story]:
    async with running_service(database_url) as worker, restarts(database_url, clients.site) as api:
        job = await worker.submit("tell-at-gates", {"name": "story", "steps": STEPS})
        assert clients.site.target is not None
        async with clients.open(clients.site.target, None) as caller:
            yield Story(job["jobId"], api, caller, clients.site)


async def relayed(site: Site, part: str) -> None:
    """Waits until a request whose target has this part has been relayed."""

    async def look() -> bool:
        return any(part in target for target in site.relayed)

    await eventually(look)


async def test_a_stream_shows_each_event_once_across_a_cut_and_a_restart(clients: Clients, database_url: str) -> None:
    async with told(database_url, clients) as story:
        heard = Heard(story.caller, "stream", jobId=story.job_id)
        await story.step(1)
        await heard.has(lambda items: len(items) == 3)
        story.site.cut()
        await story.step(2)
        await heard.has(lambda items: len(items) == 4)
        await story.api.stop()
        await story.step(3)
        await story.api.start()
        await heard.end()
        assert [(item["sequence"], item["type"]) for item in heard.items] == WHOLE


async def test_waiting_tells_progress_across_a_cut_and_a_restart(clients: Clients, database_url: str) -> None:
    async with told(database_url, clients) as story:
        heard = Heard(story.caller, "progress", jobId=story.job_id)
        await relayed(story.site, "/events/stream")
        await story.step(1)
        await heard.has(lambda items: len(items) == 1)
        story.site.cut()
        await story.step(2)
        await heard.has(lambda items: len(items) == 2)
        await story.api.stop()
        await story.step(3)
        await story.api.start()
        await heard.end()
        assert [(update["sequence"], update["progress"]) for update in heard.items] == [(2, 1), (3, 2), (4, 3)]


async def test_waiting_polls_behind_a_proxy_that_holds_back_streams(clients: Clients, database_url: str) -> None:
    async with told(database_url, clients) as story:
        story.site.holds_streams = True
        heard = Heard(story.caller, "progress", jobId=story.job_id, firstByteSeconds=0.3)
        await relayed(story.site, "wait=30")
        await story.step(1)
        await heard.has(lambda items: len(items) == 1)
        await story.api.stop()
        await story.step(2)
        story.site.cuts_polls = True
        await story.api.start()
        await heard.has(lambda items: len(items) == 2)
        await story.step(3)
        await heard.end()
        assert [update["progress"] for update in heard.items[:2]] == [1, 2]


def streams(service: Service, count: int) -> Callable[[], Any]:
    async def look() -> bool:
        return service.node.stream_capacity.taken == count

    return look


async def test_a_loop_that_is_left_closes_its_stream(clients: Clients, service: Service) -> None:
    job = await service.submit("wait-for-gate", {"name": "left"})
    async with clients.open(service.url, None) as caller:
        async with aclosing(caller.items("stream", jobId=job["jobId"])) as frames:
            assert (await anext(frames))["type"] == "job_submitted"
            await eventually(streams(service, 1))
        await eventually(streams(service, 0))
    gate("left").set()


async def test_integers_keep_their_digits_in_both_directions(clients: Clients, service: Service) -> None:
    parameters = {"n": LARGE, "negative": -LARGE, "half": 0.5, "text": str(LARGE)}
    async with clients.open(service.url, None) as caller:
        job = await caller.call("submit", jobType="echo", parameters=parameters)
        assert (await caller.call("wait", jobId=job["jobId"]))["result"] == parameters
        assert (await caller.call("get", jobId=job["jobId"]))["parameters"] == parameters
        *_, last = [frame async for frame in caller.items("stream", jobId=job["jobId"])]
        assert last["result"] == parameters
        batch = await caller.call("submitLines", jobs=[{"type": "echo", "parameters": parameters}])
        assert (await caller.call("get", jobId=batch["jobIds"][0]))["parameters"] == parameters
