"""Client of the stream of a job."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.service import STREAM_SECONDS, Service


async def read_stream(service: Service, job_id: str, *, last_event_id: str | None = None) -> list[dict[str, Any]]:
    """Returns all frames until the end of the stream, checking that ids are sequences, with a time limit."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    frames: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(STREAM_SECONDS),
        service.client.stream("GET", f"/api/v1/jobs/{job_id}/events/stream", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join([piece async for piece in answer.aiter_text()])
    *blocks, rest = text.split("\n\n")
    assert rest in {"", "retry: 1000\n"}
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        data = json.loads(fields["data"])
        assert (fields["id"], fields["event"]) == (str(data["sequence"]), data["type"])
        frames.append(data)
    return frames


@asynccontextmanager
async def following(
    service: Service, job_id: str, *, last_event_id: str | None = None
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Follows the stream of a job frame by frame, on a connection that ends with the block."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    path = f"/api/v1/jobs/{job_id}/events/stream"
    async with asyncio.timeout(STREAM_SECONDS), service.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        frames = _frames(answer.aiter_lines())
        try:
            yield frames
        finally:
            await frames.aclose()


async def _frames(lines: AsyncIterator[str]) -> AsyncGenerator[dict[str, Any], None]:
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
