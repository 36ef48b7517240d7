"""Requests that a server has read, while their responses are still to come."""

import asyncio
from typing import Any

import httpx

from tests.support.service import BOUND_SECONDS, NO_TLS


async def read_by_server(client: httpx.AsyncClient, url: str, **options: Any) -> "asyncio.Task[httpx.Response]":
    """Sends a GET request. Returns the task that awaits its response, once the server has read the request.

    A server reads a request that was written before a connection was opened no later than the request on that one.
    """
    written = asyncio.Event()

    async def trace(event: str, _: dict[str, Any]) -> None:
        if event == "http11.send_request_body.complete":
            written.set()

    task = asyncio.create_task(client.get(url, extensions={"trace": trace}, **options))
    await asyncio.wait_for(written.wait(), BOUND_SECONDS)
    async with httpx.AsyncClient(base_url=client.base_url, timeout=BOUND_SECONDS, verify=NO_TLS) as later:
        assert (await later.get("/healthz")).status_code == 200
    return task
