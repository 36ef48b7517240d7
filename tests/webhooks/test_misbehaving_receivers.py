"""Receivers with every kind of misbehavior, and a whole service.

Each delivery attempt is recorded with its result, the service is unaffected, and other receivers get their webhooks.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from duly.store.webhooks.delivery_attempts import DeliveryOutcome
from tests.support.inserted_endpoints import SECRET, keep_endpoint
from tests.support.misbehaving_receiver import (
    BOMB,
    BOMB_HEAD,
    CHUNK,
    CHUNKED,
    MisbehavingReceiver,
    answers,
    hangs,
    misbehaving_receiver,
    repeats,
    resets,
    sends,
)
from tests.support.service import Service, ServiceClient, eventually
from tests.support.service_process import Processes, starting_processes

StartService = Callable[..., Any]

JOBS = 4
MOST_BYTES = 48 << 20
OK = b"HTTP/1.1 200 OK\r\n"
DELIVERED, TRY_AGAIN, GIVEN_UP = DeliveryOutcome

MANNERS = {
    "/silent": hangs(),
    "/stops-in-headers": hangs(first=OK + b"x-one: 1\r\nx-tw"),
    "/stops-in-body": hangs(first=OK + b"content-length: 9\r\n\r\nabc"),
    "/trickled-headers": repeats(b"x", first=OK + b"x-slow: ", pause=0.02),
    "/trickled-body": repeats(b"x", first=OK + b"content-length: 60000\r\n\r\n", pause=0.02),
    "/endless-body": repeats(CHUNK, first=CHUNKED),
    "/bomb": sends(BOMB_HEAD + BOMB),
    "/many-headers": repeats(b"x-more: and more\r\n" * 50, first=OK),
    "/long-header": repeats(b"x" * 4096, first=OK + b"x-long: "),
    "/long-status-line": repeats(b"x" * 4096, first=b"HTTP/1.1 200 "),
    "/many-interim-answers": repeats(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "/switches-protocols": sends(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\n\r\n"),
    "/closes": sends(b"", then_closes=True),
    "/breaks-off": sends(OK + b"content-length: 100\r\n\r\nabc", then_closes=True),
    "/resets": resets,
    "/garbage": sends(b"\x00\xff\x16\x03\x01 what\r\n\r\n"),
    "/negative-length": sends(OK + b"content-length: -5\r\n\r\n"),
    "/two-lengths": sends(OK + b"content-length: 3\r\ncontent-length: 5\r\n\r\nabcde"),
    "/answers-twice": sends(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Or Not\r\ncontent-length: 0\r\n\r\n"),
    "/longer-than-it-says": sends(OK + b"content-length: 3\r\n\r\nabc" + b"d" * 100_000),
    "/redirects": answers(307, headers={"location": "/sink"}),
    "/redirects-to-get": answers(302, headers={"location": "/sink"}),
    "/asks-for-a-name": answers(401, headers={"www-authenticate": "Basic realm=x"}),
    "/too-busy": answers(429, headers={"retry-after": "120"}),
    "/ends-this-one": answers(400, headers={"webhook-delivery": "abort-message"}),
}
TIMED_OUT, BROKEN = (TRY_AGAIN, "TIMED_OUT"), (TRY_AGAIN, "INVALID_RESPONSE")
EXPECTED = {
    "/silent": TIMED_OUT,
    "/stops-in-headers": TIMED_OUT,
    "/stops-in-body": TIMED_OUT,
    "/trickled-headers": TIMED_OUT,
    "/trickled-body": TIMED_OUT,
    "/endless-body": (DELIVERED, None),  # it did say 200; the rest is not wanted
    "/bomb": (TRY_AGAIN, "the receiver answered 500"),
    "/many-headers": BROKEN,
    "/long-header": BROKEN,
    "/long-status-line": BROKEN,
    "/many-interim-answers": BROKEN,
    "/switches-protocols": BROKEN,
    "/closes": BROKEN,
    "/breaks-off": BROKEN,
    "/resets": BROKEN,
    "/garbage": BROKEN,
    "/negative-length": BROKEN,
    "/two-lengths": BROKEN,
    "/answers-twice": (DELIVERED, None),
    "/longer-than-it-says": (DELIVERED, None),
    "/redirects": (TRY_AGAIN, "the receiver answered 307"),
    "/redirects-to-get": (TRY_AGAIN, "the receiver answered 302"),
    "/asks-for-a-name": (TRY_AGAIN, "the receiver answered 401"),
    "/too-busy": (TRY_AGAIN, "the receiver answered 429"),
    "/ends-this-one": (GIVEN_UP, "the receiver answered 400"),
    "/well": (DELIVERED, None),
}

# It names the time that passed: a busy machine may look later.
TIMED_OUT_AT = r"TIMED_OUT: {here}: no complete response within \d+\.\d seconds\."


@pytest.fixture
async def receiver() -> AsyncIterator[MisbehavingReceiver]:
    async with misbehaving_receiver(MANNERS) as running:
        yield running


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


async def recorded(service: ServiceClient, endpoint_id: UUID, *, tries: int = 1) -> list[Any]:
    """Returns the recorded delivery attempts of one endpoint, once there is this number of them."""

    async def look() -> list[Any]:
        rows = await service.sql("select * from delivery_attempts where receiver_id = $1", endpoint_id)
        return rows if len(rows) >= tries else []

    rows: list[Any] = await eventually(look)
    return rows


async def test_each_misbehaviour_is_recorded_for_what_it_is_and_costs_no_memory_and_nobody_else_anything(
    database_url: str, processes: Processes, receiver: MisbehavingReceiver
) -> None:
    service = await processes.serve(database_url, DULY_WEBHOOK_TIMEOUT_SECONDS="10")
    process = psutil.Process(service.command.pid)
    ids = {path: await keep_endpoint(service, receiver.url(f"{path}?token=hush")) for path in EXPECTED}
    await asyncio.gather(*(service.run("quick") for _ in range(JOBS)))
    await receiver.has("/well", times=JOBS)
    before = process.memory_info().rss
    rows = {path: await recorded(service, endpoint_id, tries=JOBS) for path, endpoint_id in ids.items()}
    assert process.memory_info().rss - before < MOST_BYTES

    came = {path: {(row["outcome"], _kind(row["error"])) for row in tries} for path, tries in rows.items()}
    assert came == {path: {expected} for path, expected in EXPECTED.items()}
    assert receiver.at("/sink") == []
    for path, tries in rows.items():
        for row in tries:
            assert len(row["answer"] or "") <= 1024
            assert not any(secret in (row["error"] or "") for secret in (path, "hush", SECRET, "token")), row["error"]
    # And it has not grown tired of it.
    await service.run("quick")
    await receiver.has("/well", times=JOBS + 1)


def _kind(error: str | None) -> str | None:
    return error if error is None else error.partition(":")[0]


async def test_a_failure_by_code_says_host_and_port_and_what_happened(
    start_service: StartService, receiver: MisbehavingReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service()
    paths, silent = ("/breaks-off", "/many-headers"), "/silent"
    ids = [await keep_endpoint(service, receiver.url(path)) for path in paths]
    await service.run("echo")
    errors = [(await recorded(service, endpoint_id))[0]["error"] for endpoint_id in ids]
    monkeypatch.setattr(service.node.outbound, "_total_seconds", 0.3)  # no other need be that fast
    endpoint_id = await keep_endpoint(service, receiver.url(silent))
    await service.run("echo")
    errors.insert(0, (await recorded(service, endpoint_id))[0]["error"])
    here = f"127.0.0.1:{receiver.port}"
    assert re.fullmatch(TIMED_OUT_AT.format(here=here), errors[0])
    assert errors[1:] == [
        f"INVALID_RESPONSE: {here}: the response is incomplete.",
        f"INVALID_RESPONSE: {here}: not a valid HTTP response within the limits (too many headers).",
    ]


DAY = 86_400
IN_A_WEEK = format_datetime(datetime.now(UTC) + timedelta(days=7), usegmt=True)


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (500, "3600", 3600),
        (429, "120", 120),
        (503, str(7 * DAY), DAY),
        (503, "9" * 400, DAY),
        (503, IN_A_WEEK, DAY),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 5),
        (503, "-1", 5),
        (503, "soon", 5),
    ],
    ids=["seconds", "429", "a week", "too many digits", "a date", "a date that has passed", "negative", "unreadable"],
)
async def test_it_is_left_alone_for_as_long_as_it_asks_but_a_day_at_most(
    service: Service, receiver: MisbehavingReceiver, status: int, asked: str, seconds: float
) -> None:
    receiver.manners["/later"] = answers(status, headers={"retry-after": asked})
    endpoint_id = await keep_endpoint(service, receiver.url("/later"))
    await service.run("echo")
    (tried,) = await recorded(service, endpoint_id)
    assert tried["outcome"] == TRY_AGAIN
    # The attempt and its record take any time, after which the delay begins.
    [[least, most]] = await service.sql(
        "select extract(epoch from due_at - $1)::float8, extract(epoch from due_at - now())::float8 from deliveries",
        tried["attempted_at"],
    )
    assert 0.79 * seconds <= least and most <= 1.21 * seconds


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (answers(410), "GONE"),
        (answers(410, headers={"retry-after": "10"}), "GONE"),
        (answers(400, headers={"webhook-delivery": "disable"}), "REQUESTED"),
        (answers(500, headers={"webhook-delivery": " Disable "}), "REQUESTED"),
    ],
    ids=["410", "410 with a delay", "disable", "disable in other words"],
)
async def test_an_endpoint_that_wants_no_more_is_sent_no_more_and_the_others_are_told(
    service: Service, receiver: MisbehavingReceiver, manner: Any, reason: str
) -> None:
    receiver.manners["/parting"] = manner
    parting = await keep_endpoint(service, receiver.url("/parting"))
    await keep_endpoint(service, receiver.url("/well"))
    await service.run("echo")
    told = [json.loads(post.body) for post in await receiver.has("/well", times=2)]
    (announced,) = [said for said in told if said["type"] == "endpoint.disabled"]
    assert announced["webhookId"] == str(parting)
    assert announced["reason"].startswith(f"{reason}: ")
    (tried,) = await recorded(service, parting)
    assert tried["outcome"] == GIVEN_UP
    await service.run("echo")
    await receiver.has("/well", times=3)
    assert len(receiver.at("/parting")) == 1


async def test_one_delivery_may_be_ended_and_the_endpoint_stays(
    service: Service, receiver: MisbehavingReceiver
) -> None:
    endpoint_id = await keep_endpoint(service, receiver.url("/ends-this-one"))
    await service.run("echo")
    await recorded(service, endpoint_id)
    receiver.manners["/ends-this-one"] = answers(204)
    await service.run("echo")
    rows = await recorded(service, endpoint_id, tries=2)
    assert sorted((row["status_code"], row["outcome"]) for row in rows) == [(204, DELIVERED), (400, GIVEN_UP)]


async def test_a_callback_that_misbehaves_is_treated_alike(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    service = await start_service(webhook_timeout_seconds=0.3)
    await service.run("echo", callbackUrl=receiver.url("/trickled-body?token=hush"), callbackSecret="quite-a-secret")
    await service.run("echo", callbackUrl=receiver.url("/well"))
    await receiver.has("/well")

    # On a busy machine the well one may be too slow once.
    rows = await eventually(
        lambda: service.sql("select distinct error, outcome from delivery_attempts where outcome <> 1")
    )
    expected = TIMED_OUT_AT.format(here=f"127.0.0.1:{receiver.port}")
    assert all(re.fullmatch(expected, row["error"]) and row["outcome"] == TRY_AGAIN for row in rows)
