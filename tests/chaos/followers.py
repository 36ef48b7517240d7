"""Readers of streams that continue on another node where theirs ends: server-sent events and WebSocket."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import httpx
from httpx_sse import aconnect_sse
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.chaos.facts import TERMINAL, Glimpse, Streamed
from tests.chaos.traffic import Nodes
from tests.support.service import NO_TLS

PAUSE_SECONDS = 0.1
SILENT_SECONDS = 20.0
POLL_SECONDS = 1.0


async def follow_all(urls: Sequence[str], reader: str, seen: list[Streamed], ready: asyncio.Event) -> None:
    """Follows the stream of all jobs until it is cancelled."""
    position = ""
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=SILENT_SECONDS), verify=NO_TLS) as client:
        for url in itertools.cycle(urls):
            with suppress(httpx.HTTPError, OSError):
                async for last, streamed in _frames(client, f"{url}/api/v1/events/stream", position, reader, ready):
                    position = last or position
                    if streamed is not None:
                        seen.append(streamed)
            await asyncio.sleep(PAUSE_SECONDS)


async def follow_job(urls: Sequence[str], job_id: str, seen: list[Streamed]) -> None:
    """Follows the stream of one job to its end. One that does not exist is left to the checker."""
    with suppress(LookupError):
        await _follow_to_end(urls, job_id, seen)


async def _follow_to_end(urls: Sequence[str], job_id: str, seen: list[Streamed]) -> None:
    position, reader = "", f"stream of job {job_id}"
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=SILENT_SECONDS), verify=NO_TLS) as client:
        for url in itertools.cycle(urls):
            with suppress(httpx.HTTPError, OSError):
                path = f"{url}/api/v1/jobs/{job_id}/events/stream"
                async for last, streamed in _frames(client, path, position, reader, asyncio.Event()):
                    position = last or position
                    if streamed is not None:
                        seen.append(streamed)
                        if streamed.event in {"job_completed", "job_failed", "job_cancelled"}:
                            return
            await asyncio.sleep(PAUSE_SECONDS)


async def _frames(
    client: httpx.AsyncClient, url: str, position: str, reader: str, ready: asyncio.Event
) -> AsyncIterator[tuple[str, Streamed | None]]:
    headers = {"Last-Event-ID": position} if position else {}
    async with aconnect_sse(client, "GET", url, headers=headers) as source:
        if source.response.status_code == 404:
            raise LookupError(url)
        if source.response.status_code != 200:
            return
        ready.set()
        async for frame in source.aiter_sse():
            data = json.loads(frame.data) if frame.data else {}
            known = "jobId" in data and "sequence" in data
            yield frame.id, Streamed(reader, data["jobId"], data["sequence"], frame.event) if known else None


async def follow_by_socket(urls: Sequence[str], reader: str, seen: list[Streamed], ready: asyncio.Event) -> None:
    """Follows all jobs over WebSockets until it is cancelled."""
    position = None
    for url in itertools.cycle(urls):
        with suppress(OSError, WebSocketException, TimeoutError):
            async with connect(f"ws{url.removeprefix('http')}/ws/jobs", open_timeout=5) as socket:
                asked = {"type": "subscribe", "ref": "all", "filter": {}, **({"after": position} if position else {})}
                await socket.send(json.dumps(asked))
                async for text in socket:
                    frame = json.loads(text)
                    if frame["type"] == "error":  # as without a database: the socket stays open, and shows nothing
                        break
                    if frame["type"] == "subscribed":
                        position = position or frame["after"]
                        ready.set()
                    position = frame.get("id", position)
                    if "sequence" in frame:
                        seen.append(Streamed(reader, frame["jobId"], frame["sequence"], frame["type"]))
        await asyncio.sleep(PAUSE_SECONDS)


async def poll_events(nodes: Nodes, job_id: str, seen: list[Streamed]) -> None:
    """Reads the events of a job from one node after another, to its end."""
    known = 0
    while True:
        answer = await nodes.request("GET", f"/api/v1/jobs/{job_id}/events?limit=200")
        if answer.status_code == 404:  # the checker finds that it does not exist
            return
        events = answer.json()["items"]
        new = events[known:]
        seen += [Streamed(f"poll of job {job_id}", job_id, event["sequence"], event["eventType"]) for event in new]
        known = max(known, len(events))
        if new and new[-1]["eventType"] in TERMINAL:
            return
        await asyncio.sleep(POLL_SECONDS)


async def poll_state(nodes: Nodes, job_id: str, seen: list[Glimpse]) -> None:
    """Long-polls the state of a job, on one node after another, to its end."""
    tag = ""
    while True:
        headers = {"If-None-Match": tag} if tag else {}
        answer = await nodes.request("GET", f"/api/v1/jobs/{job_id}?wait=5", headers=headers)
        if answer.status_code == 404:
            return
        if answer.status_code == 200:
            view, tag = answer.json(), answer.headers["etag"]
            seen.append(Glimpse(job_id, view["sequence"], view["status"]))
            if view["status"] in TERMINAL.values():
                return
