"""The stream of a job: its history, then new events, each exactly once, from any node at any time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.store.postgres.hot_sessions import MOST_WHEN_STUCK
from duly.stream import job_feed
from tests.support.handlers import gate, has_entered
from tests.support.job_stream import following, read_stream
from tests.support.service import Service, eventually, running_service

StartService = Callable[..., Any]
FOLLOWERS = 30
RUN_AGAIN = """
insert into events (job_id, tenant_id, sequence, kind, attempt, source, data)
values ($1, 1, $2 + 1, 6, 1, 'test', '{}'),
       ($1, 1, $2 + 2, 1, 2, 'test', null),
       ($1, 1, $2 + 3, 10, 2, 'test', '"again"')
"""


def path_of(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}/events/stream"


async def sequences_to_the_end(frames: AsyncIterator[dict[str, Any]]) -> list[int]:
    return [frame["sequence"] async for frame in frames]


async def nobody_follows(service: Service) -> None:
    async def look() -> bool:
        return not service.node.hub._watches

    await eventually(look)


async def test_a_stream_tells_the_history_and_then_what_happens(service: Service) -> None:
    submitted = await service.submit("tell-at-gates", {"name": "live", "steps": 2})
    gate("live-1").set()
    await has_entered("live-2").wait()
    async with following(service, submitted["jobId"]) as frames:
        history = [(await anext(frames))["type"] for _ in range(3)]
        assert history == ["job_submitted", "job_started", "job_progress"]
        gate("live-2").set()
        live = [frame async for frame in frames]
    assert [frame["type"] for frame in live] == ["job_progress", "job_completed"]
    assert (live[0]["progress"], live[0]["message"]) == (2, "step 2")
    assert live[1]["result"] == "told"
    await nobody_follows(service)


async def test_each_end_is_told_with_its_error(service: Service) -> None:
    failed = await service.run("fail")
    assert (await read_stream(service, failed["jobId"]))[-1]["error"] == failed["error"]
    waiting = await service.submit("echo", delaySeconds=3600)
    await service.client.post(f"/api/v1/jobs/{waiting['jobId']}/cancel")
    last = (await read_stream(service, waiting["jobId"]))[-1]
    assert (last["type"], last["error"]["code"]) == ("job_cancelled", "CANCELLED")


async def test_a_retry_is_told_and_the_stream_goes_on(service: Service) -> None:
    job = await service.run("raise", {"succeed_on": 2})
    frames = await read_stream(service, job["jobId"])
    assert [frame["type"] for frame in frames] == [
        "job_submitted",
        "job_started",
        "job_retrying",
        "job_started",
        "job_completed",
    ]
    assert frames[2]["error"]["code"] == "TASK_FAILED"


async def test_from_every_place_a_stream_resumes_with_exactly_the_rest(service: Service) -> None:
    job = await service.run("progress", {"steps": 4})
    whole = await read_stream(service, job["jobId"])
    assert [frame["sequence"] for frame in whole] == list(range(job["sequence"] + 1))
    for last in range(job["sequence"]):
        assert await read_stream(service, job["jobId"], last_event_id=str(last)) == whole[last + 1 :]
        answer = await service.client.get(path_of(job["jobId"]), params={"lastEventId": last})
        lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [json.loads(line.removeprefix("data: ")) for line in lines] == whole[last + 1 :]


async def test_the_header_counts_before_the_query_for_a_browser_keeps_its_url(service: Service) -> None:
    job = await service.run("progress", {"steps": 4})
    headers = {"Last-Event-ID": str(job["sequence"] - 1)}
    answer = await service.client.get(path_of(job["jobId"]), params={"lastEventId": 0}, headers=headers)
    assert answer.text.count("data: ") == 1


async def test_who_has_it_all_is_told_so_without_a_body(service: Service) -> None:
    job = await service.run("echo")
    for last in (job["sequence"], job["sequence"] + 5):
        async with asyncio.timeout(60):
            answer = await service.client.get(path_of(job["jobId"]), headers={"Last-Event-ID": str(last)})
        assert (answer.status_code, answer.content) == (204, b"")


async def test_a_stream_is_never_compressed_nor_kept(service: Service) -> None:
    job = await service.run("echo", {"text": "x" * 5000})
    answer = await service.client.get(path_of(job["jobId"]), headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers


async def test_a_history_as_long_as_a_page_ends_all_the_same(service: Service) -> None:
    for steps in range(job_feed.PAGE - 4, job_feed.PAGE + 1):
        job = await service.run("progress", {"steps": steps})
        frames = await read_stream(service, job["jobId"])
        assert [frame["sequence"] for frame in frames] == list(range(steps + 3))
        rest = await read_stream(service, job["jobId"], last_event_id="0")
        assert [frame["sequence"] for frame in rest] == list(range(1, steps + 3))


async def test_an_end_in_the_middle_of_the_history_does_not_end_the_stream(service: Service) -> None:
    # It is the last of the first page, and a retry by hand came after it.
    job = await service.run("progress", {"steps": job_feed.PAGE - 2})
    assert job["sequence"] == job_feed.PAGE
    await service.sql(RUN_AGAIN, UUID(job["jobId"]), job_feed.PAGE)
    frames = await read_stream(service, job["jobId"])
    assert [frame["sequence"] for frame in frames] == list(range(job_feed.PAGE + 4))


async def test_many_followers_from_before_the_start_miss_nothing_and_see_nothing_twice(service: Service) -> None:
    submitted = await service.submit("tell-at-gates", {"name": "crowd", "steps": 20}, delaySeconds=0.5)
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(following(service, submitted["jobId"])) for _ in range(FOLLOWERS)]
        for frames in crowd:
            assert (await anext(frames))["type"] == "job_submitted"
        seen = [asyncio.create_task(sequences_to_the_end(frames)) for frames in crowd]
        for step in range(1, 21):
            gate(f"crowd-{step}").set()
        assert await asyncio.gather(*seen) == [list(range(1, 23))] * FOLLOWERS
    await nobody_follows(service)


async def test_a_quiet_stream_says_now_and_then_that_it_is_still_there(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert job_feed.KEEP_ALIVE_SECONDS + job_feed.LOOK_SECONDS < 15
    monkeypatch.setattr(job_feed, "KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(job_feed, "LOOK_SECONDS", 0.05)
    submitted = await service.submit("wait-for-gate", {"name": "quiet"})
    lines: list[str] = []
    async with asyncio.timeout(60), service.client.stream("GET", path_of(submitted["jobId"])) as answer:
        async for line in answer.aiter_lines():
            lines.append(line)
            if lines.count(": still here") == 3:
                gate("quiet").set()
    assert lines.count(": still here") >= 3
    # A blank line behind a comment would be a message without data to some clients.
    assert all(before.startswith("id: ") for before, line in pairwise(lines) if line == "")


async def test_a_stream_without_news_begins_at_once_all_the_same(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_feed, "KEEP_ALIVE_SECONDS", 600.0)
    submitted = await service.submit("wait-for-gate", {"name": "no-news"})
    await has_entered("no-news").wait()
    running = await service.until(submitted["jobId"], lambda view: view["status"] == "running")
    headers = {"Last-Event-ID": str(running["sequence"])}
    async with (
        asyncio.timeout(60),
        service.client.stream("GET", path_of(submitted["jobId"]), headers=headers) as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        gate("no-news").set()
        assert await anext(lines) == "event: job_completed"


async def test_a_stream_goes_on_across_a_restart(start_service: StartService, database_url: str) -> None:
    async with running_service(database_url) as first:
        submitted = await first.submit("tell-at-gates", {"name": "restart", "steps": 2})
        gate("restart-1").set()
        async with following(first, submitted["jobId"]) as frames:
            before = [await anext(frames) for _ in range(3)]
            going = asyncio.create_task(first.node.drain())
            before += [frame async for frame in frames]
            await going
    gate("restart-2").set()
    second = await start_service()
    last = before[-1]["sequence"]
    after = await read_stream(second, submitted["jobId"], last_event_id=str(last))
    told = [frame["sequence"] for frame in before + after]
    assert told == list(range(len(told)))
    assert after[-1]["type"] == "job_completed"
    assert [frame["sequence"] for frame in await read_stream(second, submitted["jobId"])] == told


@pytest.mark.parametrize("pooled", [False, True], ids=["hints", "no hints"])
async def test_a_job_can_be_followed_on_another_node_than_it_runs_on(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    if pooled:  # each event is seen at a regular look
        monkeypatch.setattr(job_feed, "LOOK_SECONDS", 0.2)
    shown = await start_service(roles=("api",), transaction_pooling=pooled)
    await start_service(roles=("worker",), transaction_pooling=pooled)
    submitted = await shown.submit("tell-at-gates", {"name": "afar", "steps": 3})
    async with following(shown, submitted["jobId"]) as frames:
        for step in range(1, 4):
            gate(f"afar-{step}").set()
        told = await sequences_to_the_end(frames)
    assert told == list(range(6))


async def test_a_stream_lives_on_lost_hints(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_feed, "LOOK_SECONDS", 0.2)
    service.node.wakeups.local.changed = lambda _job_ids: None
    submitted = await service.submit("tell-at-gates", {"name": "deaf", "steps": 2})
    async with following(service, submitted["jobId"]) as frames:
        assert (await anext(frames))["sequence"] == 0
        gate("deaf-1").set()
        gate("deaf-2").set()
        assert await sequences_to_the_end(frames) == [1, 2, 3, 4]


async def test_a_stream_of_an_unknown_job_is_not_found(service: Service) -> None:
    for job_id in (str(uuid4()), "no-id"):
        answer = await service.client.get(path_of(job_id))
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "NOT_FOUND"
        assert answer.json()["error"]["details"]["retryable"] is False


async def test_an_id_of_no_frame_is_refused(service: Service) -> None:
    submitted = await service.submit("wait-for-gate", {"name": "open"})
    path = path_of(submitted["jobId"])
    for last in ("-1", "abc", "1.0", "1e3", "9" * 10, "9" * 30, "2147483648", "50", "0x1", "²"):
        for answer in (
            await service.client.get(path, params={"lastEventId": last}),
            await service.client.get(path, headers={b"Last-Event-ID": last.encode("latin-1")}),
        ):
            assert answer.status_code == 422, (last, answer.text)
            assert answer.json()["error"]["details"]["errors"][0]["path"] == "Last-Event-ID"
    gate("open").set()


async def test_a_client_that_goes_leaves_nothing_behind(service: Service) -> None:
    submitted = await service.submit("wait-for-gate", {"name": "left"})
    async with AsyncExitStack() as stack:
        for _ in range(5):
            frames = await stack.enter_async_context(following(service, submitted["jobId"]))
            await anext(frames)
        assert sum(len(watches) for watches in service.node.hub._watches.values()) == 5
    await nobody_follows(service)
    gate("left").set()
    await service.ended(submitted["jobId"])


async def test_open_streams_hold_no_connection_to_the_database(start_service: StartService) -> None:
    service = await start_service()
    submitted = await service.submit("wait-for-gate", {"name": "many"})
    await has_entered("many").wait()
    before = await _connections(service)
    async with AsyncExitStack() as stack:
        for _ in range(50):
            frames = await stack.enter_async_context(following(service, submitted["jobId"]))
            assert (await anext(frames))["sequence"] == 0
        # Those of the pool may be open by now, and of flows that a busy machine makes wait for each other.
        assert await _connections(service) <= before + 2 * MOST_WHEN_STUCK
        async with asyncio.timeout(60):
            assert (await service.job(submitted["jobId"]))["status"] == "running"
            assert (await service.run("echo"))["status"] == "completed"
        gate("many").set()


async def _connections(service: Service) -> int:
    rows = await service.sql(
        "select count(*) as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    return int(rows[0]["n"])
