"""An open stream keeps nothing of the routes that began it: their frames took a third of its memory."""

import asyncio
from types import CoroutineType
from typing import Any

from tests.support.service import Service
from tests.support.tenant_stream import following_all


def waiting_in(task: "asyncio.Task[Any]") -> list[str]:
    """Returns the files of the coroutines in which a task waits, the outermost first."""
    files: list[str] = []
    waits: Any = task.get_coro()
    while isinstance(waits, CoroutineType):
        files.append(waits.cr_code.co_filename)
        waits = waits.cr_await
    return files


async def test_a_stream_is_sent_after_the_routes_have_returned(service: Service) -> None:
    async with following_all(service) as frames:
        assert (await anext(frames)).id
        streams = [
            files
            for files in map(waiting_in, asyncio.all_tasks())
            if any(file.endswith("duly/api/streams/stream_response.py") for file in files)
            and any(file.endswith("duly/api/server/middleware.py") for file in files)
        ]
        assert len(streams) == 1
        assert [file for file in streams[0] if "/fastapi/" in file or "/middleware/" in file] == []
        assert (await service.run("echo"))["status"] == "completed"
        assert (await anext(frames)).id
