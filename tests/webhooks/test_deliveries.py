"""Deliveries can be read, attempt by attempt, and sent again."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from duly.domain.ids import event_id, made_at, new_job_id
from duly.domain.timestamps import rfc3339
from duly.store.webhooks.replays import MOST_ATTEMPTS
from tests.support.endpoints import WEBHOOKS, deliveries_of, register, until_all_are
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Any]
NOTHING = "Delivery not found."


async def read(service: Service, delivery_id: str) -> dict[str, Any]:
    answer = await service.client.get(f"/api/v1/deliveries/{delivery_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def redeliver(service: Service, delivery_id: str) -> Any:
    return await service.client.post(f"/api/v1/deliveries/{delivery_id}/redeliver")


async def until_read(service: Service, delivery_id: str, **members: Any) -> dict[str, Any]:
    """The delivery once these members of it are as wanted."""

    async def look() -> dict[str, Any] | None:
        body = await read(service, delivery_id)
        return body if members.items() <= body.items() else None

    body: dict[str, Any] = await eventually(look)
    return body


async def failed_one(service: Service, receiver: Receiver) -> tuple[str, dict[str, Any]]:
    """A webhook, and its one delivery, which has failed."""
    receiver.statuses = [500]
    webhook_id = await register(service, receiver.url)
    await service.run("echo")
    (delivery,) = await until_all_are(service, webhook_id, "failed", number=1)
    await receiver.next()
    return webhook_id, delivery


async def test_a_delivery_is_shown_with_every_attempt_and_what_the_receiver_answered(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(0.02, 0.02))
    receiver.statuses, receiver.answer_body = [500, 503, 200], b"no \xff" + b"x" * 5_000
    webhook_id = await register(service, receiver.url)
    job = await service.run("echo")
    (delivery,) = await until_all_are(service, webhook_id, "delivered", number=1)
    made = rfc3339(made_at(UUID(delivery["deliveryId"])))
    whole = await read(service, delivery["deliveryId"])
    attempts = whole.pop("attempts")
    assert whole == delivery
    assert delivery == {
        "deliveryId": delivery["deliveryId"],
        "webhookId": webhook_id,
        "jobId": job["jobId"],
        "eventId": (await service.events(job["jobId"]))[-1]["eventId"],
        "eventType": "job.completed",
        "sequence": job["sequence"],
        "url": receiver.url,
        "status": "delivered",
        "attemptCount": 3,
        "nextAttemptAt": None,
        "createdAt": made,
        "completedAt": delivery["completedAt"],
        "lastStatusCode": 200,
        "lastError": None,
    }
    assert (await receiver.next()).headers["webhook-id"] == delivery["eventId"]
    assert [(each["attempt"], each["statusCode"], each["error"]) for each in attempts] == [
        (1, 500, "the receiver answered 500"),
        (2, 503, "the receiver answered 503"),
        (3, 200, None),
    ]
    assert {each["answer"] for each in attempts} == {"no \ufffd" + "x" * 1020}  # of its first 1,024 bytes
    times = [made, *(each["attemptedAt"] for each in attempts), delivery["completedAt"]]
    assert times == sorted(times)
    assert all(0 <= each["durationMs"] < 15_000 for each in attempts)


async def test_a_list_shows_what_each_delivery_is_newest_first_and_filters_it(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(600,))
    webhook_id = await register(service, receiver.url, "job.completed", "job.failed")
    other_id = await register(service, receiver.url, "job.cancelled")
    completed = [(await service.run("echo"))["jobId"] for _ in range(3)]
    await until_all_are(service, webhook_id, "delivered", number=3)
    between = datetime.now(UTC)
    receiver.statuses = [400]
    receiver.answer_headers = {"webhook-delivery": "abort-message"}
    failed = (await service.run("fail"))["jobId"]
    await until(service, webhook_id, "failed", 1)
    receiver.statuses, receiver.answer_headers = [503], {}
    waiting = (await service.run("echo"))["jobId"]

    async def tried() -> bool:
        shown = await deliveries_of(service, webhook_id, status="pending")
        return [each["lastStatusCode"] for each in shown] == [503]

    await eventually(tried)

    async def jobs(**query: Any) -> list[str]:
        return [each["jobId"] for each in await deliveries_of(service, webhook_id, **query)]

    everything = [waiting, failed, *reversed(completed)]
    assert await jobs() == everything
    assert await jobs(limit=1) == everything
    assert await jobs(status="delivered") == everything[2:]
    assert await jobs(status="failed") == [failed]
    assert await jobs(status="pending") == [waiting]
    assert await jobs(status=["pending", "failed"]) == everything[:2]
    assert await jobs(status=["pending", "delivered", "failed"], limit=2) == everything
    assert await jobs(event="job.failed") == [failed]
    assert await jobs(event=["job.failed", "job.completed"]) == everything
    assert await jobs(event="job.completed", status="delivered", limit=2) == everything[2:]
    assert await jobs(event="batch.completed") == []
    assert await jobs(since=rfc3339(between)) == everything[:2]
    assert await jobs(until=rfc3339(between)) == everything[2:]
    assert await jobs(since=rfc3339(between), until=rfc3339(between)) == []
    assert await deliveries_of(service, other_id) == []
    (pending,) = await deliveries_of(service, webhook_id, status="pending")
    assert (pending["attemptCount"], pending["completedAt"]) == (1, None)
    assert pending["lastError"] == "the receiver answered 503"
    assert pending["nextAttemptAt"] > rfc3339(datetime.now(UTC) + timedelta(seconds=400))


async def until(service: Service, webhook_id: str, status: str, number: int) -> None:
    async def look() -> bool:
        return len(await deliveries_of(service, webhook_id, status=status)) == number

    await eventually(look)


async def test_a_job_shows_its_deliveries_to_its_callback_and_to_webhooks(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service()
    webhook_id = await register(service, receiver.url, "job.started", "job.completed")
    callback = receiver.url + "/own"
    job = await service.run("echo", callbackUrl=callback)
    await service.run("echo")
    await until_all_are(service, webhook_id, "delivered", number=4)
    path, shown = f"/api/v1/jobs/{job['jobId']}/deliveries", []
    cursor: dict[str, str | None] = {}
    for _ in range(3):
        answer = await service.client.get(path, params={"limit": 1, **cursor})
        (item,) = answer.json()["items"]
        shown.append((item["webhookId"], item["eventType"], item["url"]))
        cursor = {"cursor": answer.json()["nextCursor"]}
    assert cursor == {"cursor": None}
    assert shown[2] == (webhook_id, "job.started", receiver.url)
    assert sorted(shown[:2], key=str) == sorted(
        [(webhook_id, "job.completed", receiver.url), (None, "job.completed", callback)], key=str
    )


async def test_what_tells_of_no_job_is_shown_without_one(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service()
    webhook_id = await register(service, receiver.url)
    sent = (await service.client.post(f"{WEBHOOKS}/{webhook_id}/test")).json()
    (delivery,) = await until_all_are(service, webhook_id, "delivered", number=1)
    assert (delivery["deliveryId"], delivery["eventId"]) == (sent["deliveryId"], sent["eventId"])
    assert (delivery["eventType"], delivery["jobId"], delivery["sequence"]) == ("webhook.test", None, None)
    assert (await receiver.next()).headers["webhook-id"] == delivery["eventId"]
    answer = await redeliver(service, delivery["deliveryId"])
    assert answer.status_code == 202, answer.text
    assert (await receiver.next()).headers["webhook-id"] == delivery["eventId"]


@pytest.mark.parametrize("status", [204, 500])
async def test_a_delivery_that_has_ended_is_sent_again_under_its_own_id(
    start_service: StartService, receiver: Receiver, status: int
) -> None:
    service = await start_service(webhook_retry_seconds=())
    receiver.statuses = [status]
    webhook_id = await register(service, receiver.url)
    await service.run("echo")
    (before,) = await until_all_are(service, webhook_id, "delivered" if status == 204 else "failed", number=1)
    first = await receiver.next()
    receiver.statuses = [200]
    answer = await redeliver(service, before["deliveryId"])
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/deliveries/{before['deliveryId']}"
    assert answer.json()["deliveryId"] == before["deliveryId"]
    again = await receiver.next()
    assert (again.body, again.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    after = await until_read(service, before["deliveryId"], lastStatusCode=200)
    assert [each["statusCode"] for each in after["attempts"]] == [status, 200]
    assert after["createdAt"] == before["createdAt"]
    assert [each["status"] for each in await deliveries_of(service, webhook_id)] == ["delivered"]
    assert await deliveries_of(service, webhook_id, status="failed") == []
    assert receiver.hits == 2


async def test_a_delivery_that_is_sent_again_has_the_whole_schedule_anew(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(0.02, 0.02))
    _, delivery = await failed_one(service, receiver)
    await redeliver(service, delivery["deliveryId"])
    after = await until_read(service, delivery["deliveryId"], status="failed", attemptCount=6)
    assert [each["attempt"] for each in after["attempts"]] == [1, 2, 3, 4, 5, 6]
    assert receiver.hits == 6


async def test_one_that_waits_for_its_next_attempt_is_sent_at_once(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(600, 900))
    receiver.statuses = [500, 500, 204]
    webhook_id = await register(service, receiver.url)
    await service.run("echo")
    await receiver.next()
    (delivery,) = await until_all_are(service, webhook_id, "pending", number=1)
    await until_read(service, delivery["deliveryId"], lastStatusCode=500)
    answer = await redeliver(service, delivery["deliveryId"])
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    await receiver.next()
    # The first delay once more, not the second.
    waits = await until_read(service, delivery["deliveryId"], attemptCount=2, lastStatusCode=500, status="pending")
    await eventually(settled(service, delivery["deliveryId"]))
    waits = await read(service, delivery["deliveryId"])
    assert waits["nextAttemptAt"] < rfc3339(datetime.now(UTC) + timedelta(seconds=600 * 1.2))
    assert (await redeliver(service, delivery["deliveryId"])).status_code == 202
    await until_read(service, delivery["deliveryId"], status="delivered")
    assert receiver.hits == 3


def settled(service: Service, delivery_id: str) -> Callable[[], Any]:
    async def look() -> bool:
        body = await read(service, delivery_id)
        return body["nextAttemptAt"] is not None and len(body["attempts"]) == 2

    return look


async def test_one_that_is_being_sent_is_not_sent_twice(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service()
    receiver.hold = asyncio.Event()
    webhook_id = await register(service, receiver.url)
    await service.run("echo")
    await receiver.next()
    (delivery,) = await deliveries_of(service, webhook_id)
    assert (delivery["status"], delivery["attemptCount"], delivery["nextAttemptAt"]) == ("pending", 1, None)
    answer = await redeliver(service, delivery["deliveryId"])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["retryable"]) == (409, "DELIVERY_IN_FLIGHT", True)
    receiver.hold.set()
    await until_all_are(service, webhook_id, "delivered", number=1)
    assert receiver.hits == 1


async def test_twenty_who_want_one_sent_again_at_once_have_it_sent_once(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    _, delivery = await failed_one(service, receiver)
    receiver.statuses, receiver.hold = [204], asyncio.Event()
    answers = await asyncio.gather(*(redeliver(service, delivery["deliveryId"]) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert answers[0].status_code == 202 or 202 in {answer.status_code for answer in answers}
    await receiver.next()
    receiver.hold.set()
    await until_read(service, delivery["deliveryId"], status="delivered", attemptCount=2)
    assert receiver.hits == 2


async def test_nothing_is_sent_again_to_a_webhook_that_is_disabled_or_deleted(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, delivery = await failed_one(service, receiver)
    await service.client.patch(f"{WEBHOOKS}/{webhook_id}", json={"disabled": True})
    codes = [await refusal(service, delivery["deliveryId"])]
    await service.client.delete(f"{WEBHOOKS}/{webhook_id}")
    codes.append(await refusal(service, delivery["deliveryId"]))
    assert codes == ["ENDPOINT_DISABLED", "ENDPOINT_DELETED"]
    assert (await read(service, delivery["deliveryId"]))["url"] is None
    assert await service.sql("select from deliveries") == []


async def refusal(service: Service, delivery_id: str) -> str:
    answer = await redeliver(service, delivery_id)
    assert answer.status_code == 409, answer.text
    error = answer.json()["error"]
    assert error["details"]["retryable"] is False
    code: str = error["code"]
    return code


async def test_nothing_is_sent_again_that_was_tried_hundreds_of_times_or_whose_job_is_gone(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    _, delivery = await failed_one(service, receiver)
    await service.sql("update delivery_attempts set attempt = $1", MOST_ATTEMPTS)
    codes = [await refusal(service, delivery["deliveryId"])]
    await service.sql("update delivery_attempts set attempt = 1")
    await service.alter("truncate events, jobs")
    codes.append(await refusal(service, delivery["deliveryId"]))
    assert codes == ["ATTEMPTS_EXHAUSTED", "JOB_DELETED"]
    assert await service.sql("select from deliveries") == []


async def test_ids_that_are_unknown_bad_or_another_tenants_are_all_answered_alike(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, delivery = await failed_one(service, receiver)
    foreign = new_job_id()
    await service.sql("update delivery_attempts set tenant_id = 2")
    await service.sql(
        "insert into deliveries (tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered, due_at) "
        "values (2, $1, $2, 0, 20, $3, true, now() + interval '1 day')",
        *(foreign, new_job_id(), UUID(webhook_id)),
    )
    bodies = set()
    for name in (delivery["deliveryId"], str(foreign), str(new_job_id()), "no-id"):
        for answer in (await service.client.get(f"/api/v1/deliveries/{name}"), await redeliver(service, name)):
            assert answer.status_code == 404
            bodies.add(answer.text)
    assert [json.loads(body)["error"]["message"] for body in bodies] == [NOTHING]
    assert await deliveries_of(service, webhook_id) == []
    await service.sql("update endpoints set tenant_id = 2")
    lists = [
        (await service.client.get(f"{WEBHOOKS}/{name}/deliveries")) for name in (webhook_id, str(foreign), "no-id")
    ]
    assert {(answer.status_code, answer.text) for answer in lists} == {(404, lists[0].text)}
    answer = await service.client.get(f"/api/v1/jobs/{foreign}/deliveries")
    assert answer.status_code == 404
    (held,) = await service.sql("select attempt, due_at > now() as waits from deliveries")
    assert tuple(held) == (0, True)
    await service.sql("update delivery_attempts set tenant_id = 1")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("status=done", "status[0]"),
        ("event=job.done", "event[0]"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=abc", "cursor"),
        ("states=failed", "states"),
    ],
)
async def test_a_filter_that_does_not_exist_is_refused(
    service: Service, receiver: Receiver, query: str, path: str
) -> None:
    webhook_id = await register(service, receiver.url)
    answer = await service.client.get(f"{WEBHOOKS}/{webhook_id}/deliveries?{query}")
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["error"]["details"]["errors"]] == [path]


async def test_a_cursor_of_one_webhook_is_none_of_another(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service()
    first, second = [await register(service, receiver.url) for _ in range(2)]
    for _ in range(2):
        await service.run("echo")
    await until_all_are(service, first, "delivered", number=2)
    cursor = (await service.client.get(f"{WEBHOOKS}/{first}/deliveries?limit=1")).json()["nextCursor"]
    answers = [
        await service.client.get(f"{WEBHOOKS}/{name}/deliveries", params={"cursor": cursor}) for name in (first, second)
    ]
    assert [answer.status_code for answer in answers] == [200, 422]


async def test_an_event_has_one_id_whoever_is_told(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service()
    webhook_id = await register(service, receiver.url)
    job = await service.run("echo", callbackUrl=receiver.url)
    await until_all_are(service, webhook_id, "delivered", number=1)
    ids = {(await receiver.next()).headers["webhook-id"] for _ in range(2)}
    assert ids == {str(event_id(UUID(job["jobId"]), job["sequence"]))}
