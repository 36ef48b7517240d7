"""Retries of failed deliveries: which ones, when and for how long, and the record of each attempt."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from duly.node import shutdown
from duly.outbound.resolver import AddressInfo
from duly.store.webhooks.delivery_attempts import DeliveryOutcome
from tests.support.raw_receiver import address_info
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Any]

TRIES = "select * from delivery_attempts order by attempt"
WAITING = "select attempt, extract(epoch from due_at - now())::float8 as seconds from deliveries"
QUICK = (0.02, 0.02, 0.02)


async def tries(service: Service, number: int) -> list[Any]:
    """Returns the recorded delivery attempts, once there is this number of them."""

    async def look() -> list[Any] | None:
        rows = await service.sql(TRIES)
        return rows if len(rows) >= number else None

    rows: list[Any] = await eventually(look)
    assert len(rows) == number
    return rows


async def given_up(service: Service, number: int) -> list[Any]:
    """The recorded tries, the last of which ended the delivery: nothing is left in the outbox."""
    rows = await tries(service, number)
    assert [row["outcome"] for row in rows] == [DeliveryOutcome.TRY_AGAIN] * (number - 1) + [DeliveryOutcome.GIVEN_UP]
    assert await service.sql(WAITING) == []
    return rows


async def test_a_failure_is_tried_again_with_the_same_id_and_the_same_body(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=QUICK)
    receiver.statuses = [500, 503, 204]
    job = await service.run("echo", {"n": 1e-7, "text": "grün"}, callbackUrl=receiver.url, labels={"b": "1", "a": "2"})
    first, second, third = [await receiver.next() for _ in range(3)]
    assert first.body == second.body == third.body
    ids = {sent.headers["webhook-id"] for sent in (first, second, third)}
    assert ids == {(await service.events(job["jobId"]))[-1]["eventId"]}
    for sent in (first, second, third):
        sent.verify("whsec_dGVzdA==")
    rows = await tries(service, 3)
    assert [row["outcome"] for row in rows] == [
        DeliveryOutcome.TRY_AGAIN,
        DeliveryOutcome.TRY_AGAIN,
        DeliveryOutcome.DELIVERED,
    ]
    assert [row["status_code"] for row in rows] == [500, 503, 204]
    assert [row["attempt"] for row in rows] == [1, 2, 3]
    assert await service.sql(WAITING) == []


async def test_each_try_is_recorded_with_what_came_of_it(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=())
    receiver.statuses, receiver.answer_body = [500], b"nul \x00 and \xff, " + b"x" * 9000
    job = await service.run("echo", callbackUrl=receiver.url)
    (row,) = await given_up(service, 1)
    assert (str(row["job_id"]), row["sequence"], row["kind"]) == (job["jobId"], job["sequence"], 10)
    assert (row["status_code"], row["error"]) == (500, "the receiver answered 500")
    assert row["answer"] == ("nul \ufffd and \ufffd, " + "x" * 1024)[:1024]
    assert 0 <= row["duration_ms"] < 15_000


async def test_the_default_schedule_begins_with_five_seconds_give_or_take_a_fifth(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(roles=("api", "worker"))
    receiver.statuses = [500]
    for _ in range(5):
        await service.run("echo", callbackUrl=receiver.url)
    await start_service(roles=("dispatcher",))  # it sends all of them at once, before the first is due again
    await tries(service, 5)
    [[due]] = await service.sql("select array_agg(due_at) from deliveries")
    [[recorded, now]] = await service.sql("select min(attempted_at), now() from delivery_attempts")
    assert len(due) == len(set(due)) == 5
    # Each delay began when its attempt was recorded, at some time after it.
    assert all(recorded + timedelta(seconds=4) <= each <= now + timedelta(seconds=6) for each in due)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_longer_retry_after_puts_the_next_try_off(service: Service, receiver: Receiver, form: str) -> None:
    receiver.statuses = [503]
    moment = datetime.now(UTC) + timedelta(seconds=100)
    asked = "100" if form == "seconds" else format_datetime(moment, usegmt=True)
    receiver.answer_headers = {"Retry-After": asked}
    await service.run("echo", callbackUrl=receiver.url)
    await tries(service, 1)
    (row,) = await service.sql(WAITING)
    assert 90 < row["seconds"] <= 100


async def test_a_receiver_that_is_gone_is_not_tried_again(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=QUICK)
    receiver.statuses = [410]
    await service.run("echo", callbackUrl=receiver.url)
    (row,) = await given_up(service, 1)
    assert row["status_code"] == 410


async def test_a_receiver_may_end_one_delivery(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=QUICK)
    receiver.statuses, receiver.answer_headers = [400], {"webhook-delivery": "abort-message"}
    await service.run("echo", callbackUrl=receiver.url)
    await given_up(service, 1)
    receiver.statuses, receiver.answer_headers = [204], {}
    await service.run("echo", callbackUrl=receiver.url)
    rows = await tries(service, 2)
    assert {row["status_code"]: row["outcome"] for row in rows} == {
        400: DeliveryOutcome.GIVEN_UP,
        204: DeliveryOutcome.DELIVERED,
    }


async def test_a_redirect_is_a_failure_and_is_not_followed(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=(0.02,))
    receiver.statuses, receiver.answer_headers = [302, 307], {"Location": receiver.url}
    await service.run("echo", callbackUrl=receiver.url)
    rows = await given_up(service, 2)
    assert [row["status_code"] for row in rows] == [302, 307]
    assert receiver.hits == 2


async def test_a_refused_connection_is_tried_again(start_service: StartService) -> None:
    service = await start_service(webhook_retry_seconds=(0.02,))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        await service.run("echo", callbackUrl=f"http://127.0.0.1:{closed.getsockname()[1]}/hook?token=hush")
        rows = await given_up(service, 2)
    assert [(row["status_code"], row["answer"]) for row in rows] == [(None, None)] * 2
    assert all(row["error"].startswith("CONNECT_FAILED: ") for row in rows)
    assert all("hush" not in row["error"] for row in rows)


async def test_a_receiver_that_never_answers_is_given_up_waiting_for(
    start_service: StartService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(webhook_retry_seconds=(0.02,))
    monkeypatch.setattr(service.node.outbound, "_total_seconds", 0.2)
    receiver.hold = asyncio.Event()
    await service.run("echo", callbackUrl=receiver.url)
    rows = await given_up(service, 2)
    assert all(row["error"].startswith("TIMED_OUT: ") and row["duration_ms"] >= 190 for row in rows)


async def test_a_used_up_schedule_ends_the_delivery(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=QUICK)
    receiver.statuses = [500]
    await service.run("echo", callbackUrl=receiver.url)
    await given_up(service, len(QUICK) + 1)
    assert receiver.hits == len(QUICK) + 1


async def test_hostile_headers_of_an_answer_do_not_break_a_delivery(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(0.02,))
    receiver.statuses = [503]
    receiver.answer_headers = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
    await service.run("echo", callbackUrl=receiver.url)
    await given_up(service, 2)


async def test_a_loopback_callback_is_refused_at_submission_where_it_is_not_allowed(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_allow_networks=())
    answer = await service.client.post("/api/v1/jobs", json={"type": "echo", "callbackUrl": receiver.url})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["errors"][0]["path"] == "callbackUrl"
    assert await service.sql("select from jobs") == []


async def test_a_name_that_leads_to_loopback_is_given_up_without_a_connection(
    start_service: StartService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(webhook_allow_networks=())

    async def resolve(_host: str, port: int) -> list[AddressInfo]:
        return [address_info("127.0.0.1", port)]

    monkeypatch.setattr(service.node.outbound._lookup.lookup, "resolve", resolve)
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    await service.run("echo", callbackUrl=f"http://rebinding.example.com:{port}/hook")
    (row,) = await given_up(service, 1)
    assert row["error"].startswith("BLOCKED_ADDRESS: ")
    assert (receiver.hits, receiver.writers) == (0, [])


async def test_a_callback_accepted_under_other_rules_is_not_called_once_they_forbid_it(
    start_service: StartService, receiver: Receiver
) -> None:
    accepting = await start_service(roles=("api", "worker"))
    await accepting.run("echo", callbackUrl=receiver.url)
    await start_service(roles=("dispatcher",), webhook_allow_networks=())
    (row,) = await given_up(accepting, 1)
    assert row["error"].startswith("BLOCKED_ADDRESS: ")
    assert (receiver.hits, receiver.writers) == (0, [])


async def test_a_try_under_way_at_shutdown_is_waited_for_and_recorded(
    start_service: StartService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "LAST_RECORDS_SECONDS", 60.0)
    service = await start_service()
    receiver.hold = asyncio.Event()
    job = await service.run("echo", callbackUrl=receiver.url)
    await receiver.next()
    draining = asyncio.create_task(service.node.drain())
    # Streams end when all jobs have; from then on only the webhooks are waited for.
    await eventually(_closing(service))
    receiver.hold.set()
    await draining
    (row,) = await tries(service, 1)
    assert (row["outcome"], row["status_code"], str(row["job_id"])) == (DeliveryOutcome.DELIVERED, 204, job["jobId"])


def _closing(service: Service) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return service.node.hub.closing

    return look
