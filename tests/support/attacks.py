"""An attack on a running service, and what must not have happened after it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.support.raw_client import RawResponse, raw_client, request
from tests.support.service import Service

# Sent in each attack as a secret: no response and no log line may repeat it.
SECRET = "attack-s3cret"
AUTHORIZATION = f"Authorization: Bearer {SECRET}"
JSON = "Content-Type: application/json"
NDJSON = "Content-Type: application/x-ndjson"
# A header that only an injection could have added.
INJECTED = "x-injected"
ALIVE = request("GET", "/healthz")

_RECORDED = (
    *("jobs", "events", "ready", "scheduled", "blocked", "batches", "dependencies", "unique_keys", "concurrency"),
    *("idempotency", "schedules", "endpoints", "limits", "queues", "stream_tickets", "deliveries", "messages"),
    *("replays", "job_logs"),
)
_COUNTS = "select " + ", ".join(f"(select count(*) from {table})" for table in _RECORDED)  # noqa: S608  # constants
_LOG_MEMBERS = frozenset({"message", "level", "action", "timestamp", "requestId", "status"})


class Attack(NamedTuple):
    """One attack.

    Attributes:
        name: what is attacked, and with what.
        sent: the whole request.
        status: the expected status.
        code: the expected error code; None for a request that is accepted.
        path: the place that the refusal names, or its beginning; None where it names none.
    """

    name: str
    sent: bytes
    status: int
    code: str | None
    path: str | None = None


def attack(name: str, call: str, status: int, code: str | None = None, path: str | None = None, **parts: Any) -> Attack:
    """Returns an attack by a call such as `POST /api/v1/jobs`, with `headers` and a `body`."""
    method, target = call.split(" ", 1)
    body = parts.get("body", b"")
    body = body.encode() if isinstance(body, str) else body
    headers = [AUTHORIZATION, *parts.get("headers", ())]
    if body and not any(header.startswith("Content-Type") for header in headers):
        headers.append(JSON)
    return Attack(name, request(method, target, *headers, body=body), status, code, path)


@asynccontextmanager
async def nothing_recorded(service: Service) -> AsyncIterator[None]:
    """Checks that no table has more or fewer rows at the end of the block."""
    before = await service.sql(_COUNTS)
    yield
    after = await service.sql(_COUNTS)
    assert dict(zip(_RECORDED, after[0], strict=True)) == dict(zip(_RECORDED, before[0], strict=True))


@asynccontextmanager
async def clean_log(service: Service) -> AsyncIterator[list[dict[str, Any]]]:
    """Checks each line of the access log that is written in the block: one JSON object of known members, without the
    secret. Yields the lines, which are complete when the block has ended.
    """
    access = service.node.access
    written: list[bytes] = []
    lines: list[dict[str, Any]] = []
    access.flush()
    before, access.write = access.write, written.append
    try:
        yield lines
        access.flush()
    finally:
        access.write = before
    text = b"".join(written).decode()
    assert SECRET not in text
    for line in text.split("\n")[:-1]:
        lines.append(json.loads(line))
        assert lines[-1].keys() >= _LOG_MEMBERS
        assert not re.search(r"[\x00-\x1f]", line)


async def answered(service: Service, sent: bytes) -> RawResponse:
    """Sends a request, and checks that exactly one response came back, with no header of the attacker's."""
    async with raw_client(service) as client:
        response = await client.ask(sent)
        assert SECRET.encode() not in response.body
        assert INJECTED not in response.headers
        assert all(value.isprintable() for value in response.headers.values())
        if response.headers.get("connection") == "close":
            assert await client.closed()
        else:
            assert (await client.ask(ALIVE)).json()["status"] == "up"
    return response


async def carried_out(service: Service, one: Attack) -> RawResponse:
    """Carries out an attack that must be refused, and checks the refusal."""
    response = await answered(service, one.sent)
    assert one.code is not None
    response.refused(one.status, one.code)
    if one.path is not None:
        paths = [error["path"] for error in response.json()["error"]["details"]["errors"]]
        assert len(paths) == 1
        assert paths[0].startswith(one.path), paths
    assert len(response.body) < 8_000
    return response
