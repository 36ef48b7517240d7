"""Responses without what differs between any two, and the statements that led to them."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest

from duly.domain.events import Status
from duly.store.access.api_keys import FIND, USED
from duly.store.ledger.event_tail import READ_TAIL
from duly.store.read.access_paths import ListFilter, access_paths_of, find_statement, floors_statement
from duly.store.read.run_times import READ_RUN_TIMES
from tests.support.isolation_cases import Sent
from tests.support.service import BOUND_SECONDS, Service
from tests.support.sql_tables import TENANT_TABLES

# Loops whose statements are those of requests.
COMBINING = ("loop:submit", "loop:read-jobs")
# Streams read at intervals, run times are kept for a while, and keys are verified again after any change of a key.
_RUN = ListFilter(types=[], statuses=[Status.COMPLETED])
_RUN_TIMES = (floors_statement(access_paths_of(_RUN)), *(find_statement(_RUN, path) for path in access_paths_of(_RUN)))
AT_INTERVALS = {READ_TAIL, FIND, USED, READ_RUN_TIMES, *_RUN_TIMES}
# Headers that differ between any two responses.
VARYING = {"x-request-id", "date", "x-correlation-id", "content-length"}
MASKS = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "<id>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z": "<time>",
    r"duly_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}": "<key>",
    r"new-\d{6}": "<new>",
    r'"(oldestAgeSeconds|inPerSecond|outPerSecond)":[\d.]+': '"\\1":<number>',
    r"/api/v1/keys/[0-9A-Za-z]{16}": "/api/v1/keys/<key id>",
    r'"keyId":"[0-9A-Za-z]{16}"': '"keyId":"<key id>"',
    r'"ticket":"[^"]+"': '"ticket":"<ticket>"',
    r'"secret":"whsec_[^"]+"': '"secret":"<secret>"',
}


class Answer(NamedTuple):
    """Response, without what differs between any two."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


@contextmanager
def recorded_statements() -> Iterator[set[str]]:
    """Records the statements over data of tenants that any connection of this process runs for requests."""
    seen: set[str] = set()
    patch = pytest.MonkeyPatch()
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        original = getattr(asyncpg.Connection, name)

        def run(self: Any, query: str, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            if not _of_a_loop() and query not in AT_INTERVALS and any(table in query for table in TENANT_TABLES):
                seen.add(query)
            return original(self, query, *args, **kwargs)

        patch.setattr(asyncpg.Connection, name, run)
    try:
        yield seen
    finally:
        patch.undo()


def _of_a_loop() -> bool:
    """Returns whether a loop of the service runs, except those that combine the statements of requests."""
    task = asyncio.current_task()
    return task is not None and task.get_name().startswith("loop:") and not task.get_name().startswith(COMBINING)


async def answer_to(service: Service, headers: Mapping[str, str], sent: Sent, value: str = "") -> Answer:
    """Sends a request that names this value. Of a stream, only the first frame is read."""
    arguments: dict[str, Any] = {"params": sent.params, "headers": {**headers, **sent.headers}}
    if sent.json is not None:
        arguments["json"] = sent.json
    async with (
        asyncio.timeout(BOUND_SECONDS),
        service.client.stream(sent.method, sent.path, **arguments) as response,
    ):
        endless = sent.streams and response.status_code == httpx.codes.OK
        text = await _first_frame(response) if endless else (await response.aread()).decode()
    shown = {name: masked(text_, value) for name, text_ in response.headers.items() if name not in VARYING}
    return Answer(response.status_code, tuple(sorted(shown.items())), masked(text, value))


async def _first_frame(response: httpx.Response) -> str:
    lines: list[str] = []
    async for line in response.aiter_lines():
        if not line and any(each.startswith("data:") for each in lines):
            break
        lines.append(line)
    return re.sub(r"id: \S+", "id: <position>", "\n".join(lines))


def masked(text: str, value: str) -> str:
    """Returns a text without the value that the request named, ids and times."""
    if value:
        text = text.replace(value, "<value>")
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text)
    return text
