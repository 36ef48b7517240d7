"""Behaviours: waiting and following streams, also across restarts of the service."""

import asyncio
from contextlib import aclosing
from typing import Any

from tests.client.behaviours.jobs import items, submitted
from tests.client.behaviours.stage import Stage
from tests.support.handlers import gate, has_entered

BOUND_SECONDS = 60


async def a_stream_yields_the_history_of_a_job_and_ends_with_it(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "progress", {"steps": 3})
    frames = await items(stage.caller, "stream", jobId=job_id)
    assert [frame["sequence"] for frame in frames] == list(range(len(frames)))
    assert [frames[0]["type"], frames[1]["type"], frames[-1]["type"]] == [
        "job_submitted",
        "job_started",
        "job_completed",
    ]
    assert frames[-1]["result"] == "done"
    assert await items(stage.caller, "stream", jobId=job_id, lastEventId="1") == frames[2:]
    assert await items(stage.caller, "stream", jobId=job_id, lastEventId=str(frames[-1]["sequence"])) == []


async def a_stream_of_a_retried_job_goes_on_past_its_first_end(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "fail")
    await stage.caller.call("wait", jobId=job_id, timeout=BOUND_SECONDS)
    await stage.caller.call("retry", jobId=job_id)
    frames = await items(stage.caller, "stream", jobId=job_id)
    assert [frame["sequence"] for frame in frames] == list(range(len(frames)))
    assert [frame["type"] for frame in frames].count("job_failed") == 2


async def a_stream_continues_across_a_restart_without_gap_or_repetition(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "wait-for-gate", {"name": "restarted"})
    frames: list[Any] = []
    async with asyncio.timeout(BOUND_SECONDS), aclosing(stage.caller.items("stream", jobId=job_id)) as stream:
        async for frame in stream:
            frames.append(frame)
            if frame["type"] == "job_started" and len(frames) < 3:
                await stage.restart()
                gate("restarted").set()
    assert [frame["sequence"] for frame in frames] == list(range(len(frames)))
    assert frames[-1]["type"] == "job_completed"


async def waiting_continues_across_a_restart(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "wait-for-gate", {"name": "waited for"})
    waiting = asyncio.create_task(stage.caller.call("wait", jobId=job_id))
    await has_entered("waited for").wait()
    await stage.requested(f"{job_id}/events/stream")  # a first request that fails is given up soon
    await stage.restart()
    gate("waited for").set()
    async with asyncio.timeout(BOUND_SECONDS):
        assert (await waiting)["result"] == "let go"


async def several_calls_wait_at_the_same_time(stage: Stage) -> None:
    ids = [await submitted(stage.caller, "wait-for-gate", {"name": name}) for name in ("one", "two", "three")]
    waiting = [asyncio.create_task(stage.caller.call("wait", jobId=job_id)) for job_id in ids]
    for name in ("three", "two", "one"):
        gate(name).set()
    async with asyncio.timeout(BOUND_SECONDS):
        assert [job["result"] for job in await asyncio.gather(*waiting)] == ["let go"] * 3


async def the_stream_of_all_jobs_yields_what_matches_across_a_restart(stage: Stage) -> None:
    frames: list[Any] = []
    ids: list[str] = []
    stream = stage.caller.items("streamAll", labels={"followed": "yes"})
    first = asyncio.create_task(anext(stream))
    # The stream begins now: a job that is submitted before it is open is not on it.
    while not first.done():
        ids.append(await submitted(stage.caller, "plain", labels={"followed": "yes"}))
        await asyncio.wait([first], timeout=0.2)
    frames.append(await first)
    async with asyncio.timeout(BOUND_SECONDS), aclosing(stream):
        await stage.restart()
        last = await submitted(stage.caller, "plain", labels={"followed": "yes"})
        await submitted(stage.caller, "plain", labels={"followed": "no"})
        async for frame in stream:
            frames.append(frame)
            if (frame["jobId"], frame["type"]) == (last, "job_completed"):
                break
    seen = [(frame["jobId"], frame["sequence"]) for frame in frames]
    assert len(set(seen)) == len(seen)
    assert {job_id for job_id, _ in seen} <= {*ids, last}
    again = stage.caller.items("streamAll", lastEventId=frames[0]["id"], labels={"followed": "yes"})
    async with asyncio.timeout(BOUND_SECONDS), aclosing(again):
        assert [await anext(again) for _ in frames[1:]] == frames[1:]
