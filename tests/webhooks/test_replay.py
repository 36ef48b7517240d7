"""Replays: deliveries that failed since a given time are sent again in steps, with visible progress."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from duly.domain.ids import new_job_id
from duly.domain.timestamps import rfc3339
from duly.lifecycle.maintenance import redeliver
from duly.store.postgres.database import Database
from duly.store.webhooks.replays import collect, hold_replay
from tests.support.endpoints import WEBHOOKS, deliveries_of, register, until_all_are
from tests.support.service import Service, eventually, running_service
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Any]
BEGINNING = "2026-01-01T00:00:00.000Z"
WITHOUT_DISPATCHER = ("api", "worker")


async def replay(service: Service, webhook_id: str, since: str = BEGINNING) -> dict[str, Any]:
    answer = await service.client.post(f"{WEBHOOKS}/{webhook_id}/replay", json={"since": since})
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{WEBHOOKS}/{webhook_id}/replays/{body['replayId']}"
    return body


async def progress(service: Service, begun: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.get(f"{WEBHOOKS}/{begun['webhookId']}/replays/{begun['replayId']}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def until(service: Service, begun: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The replay once these members of it are as wanted."""

    async def look() -> dict[str, Any] | None:
        body = await progress(service, begun)
        return body if members.items() <= body.items() else None

    body: dict[str, Any] = await eventually(look)
    return body


async def failures(service: Service, receiver: Receiver, number: int, **members: Any) -> tuple[str, list[str]]:
    """Registers a webhook with this number of failed deliveries; returns their `webhook-id`s, oldest first."""
    receiver.statuses = [500]
    webhook_id = await register(service, receiver.url, **members)
    for _ in range(number):
        await service.run("echo")
    shown = await until_all_are(service, webhook_id, "failed", number=number)
    for _ in range(number):
        await receiver.next()
    return webhook_id, [each["eventId"] for each in reversed(shown)]


async def received(receiver: Receiver, number: int) -> list[str]:
    return [(await receiver.next()).headers["webhook-id"] for _ in range(number)]


async def test_what_failed_is_sent_again_oldest_first_and_what_was_delivered_is_not(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, missed = await failures(service, receiver, 3, limits={"concurrency": 1})
    receiver.statuses = [204]
    await service.run("echo")
    await received(receiver, 1)
    begun = await replay(service, webhook_id)
    assert (begun["webhookId"], begun["since"], begun["status"]) == (webhook_id, BEGINNING, "collecting")
    done = await until(service, begun, status="completed")
    counts = {name: done[name] for name in ("found", "delivered", "failed", "waiting")}
    assert counts == {"found": 3, "delivered": 3, "failed": 0, "waiting": 0}
    assert done["createdAt"] <= done["collectedAt"]
    assert await received(receiver, 3) == missed
    await until_all_are(service, webhook_id, "delivered", number=4)
    assert receiver.hits == 3 + 1 + 3


async def test_what_fails_again_has_the_whole_schedule_and_is_counted(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(0.02,))
    receiver.statuses = [500]
    webhook_id = await register(service, receiver.url)
    for _ in range(2):
        await service.run("echo")
    await until_all_are(service, webhook_id, "failed", number=2)
    before = receiver.hits
    done = await until(service, await replay(service, webhook_id), status="completed")
    assert (done["found"], done["delivered"], done["failed"], done["waiting"]) == (2, 0, 2, 0)
    assert receiver.hits == before + 2 * 2


async def test_only_what_was_made_since_then_is_sent_again(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, _ = await failures(service, receiver, 2)
    await service.run("echo")
    newest, *_ = await until_all_are(service, webhook_id, "failed", number=3)
    receiver.statuses = [204]
    done = await until(service, await replay(service, webhook_id, newest["createdAt"]), status="completed")
    assert done["found"] == 1
    assert (await deliveries_of(service, webhook_id, status="delivered"))[0]["deliveryId"] == newest["deliveryId"]
    assert len(await deliveries_of(service, webhook_id, status="failed")) == 2


async def test_progress_is_seen_while_the_receiver_takes_its_time(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, _ = await failures(service, receiver, 3)
    receiver.statuses, receiver.hold = [204], asyncio.Event()
    begun = await replay(service, webhook_id)
    under_way = await until(service, begun, status="sending", found=3)
    assert (under_way["delivered"], under_way["waiting"]) == (0, 3)
    assert under_way["collectedAt"] is not None
    receiver.hold.set()
    assert (await until(service, begun, status="completed"))["delivered"] == 3


async def test_to_a_paused_webhook_they_go_once_it_is_resumed(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, missed = await failures(service, receiver, 2)
    receiver.statuses = [204]
    await service.client.patch(f"{WEBHOOKS}/{webhook_id}", json={"paused": True})
    begun = await replay(service, webhook_id)
    await until(service, begun, status="sending", waiting=2)
    hits = receiver.hits
    await service.client.patch(f"{WEBHOOKS}/{webhook_id}", json={"paused": False})
    await until(service, begun, status="completed", delivered=2)
    assert hits == 2
    assert sorted(await received(receiver, 2)) == sorted(missed)


async def test_two_replays_at_once_send_nothing_twice(start_service: StartService, receiver: Receiver) -> None:
    services = [await start_service(webhook_retry_seconds=()) for _ in range(2)]
    webhook_id, _ = await failures(services[0], receiver, 6)
    receiver.statuses, receiver.hold = [204], asyncio.Event()
    both = await asyncio.gather(*(replay(service, webhook_id) for service in services))

    async def all_collected() -> list[dict[str, Any]] | None:
        states = [await progress(services[0], begun) for begun in both]
        return states if all(state["collectedAt"] for state in states) else None

    collected = await eventually(all_collected)
    assert sum(state["found"] for state in collected) == 6
    receiver.hold.set()
    done = [await until(services[0], begun, status="completed") for begun in both]
    assert sum(state["delivered"] for state in done) == 6
    assert sorted(await received(receiver, 6)) == sorted(
        each["eventId"] for each in await deliveries_of(services[0], webhook_id)
    )
    assert receiver.hits == 6 + 6


async def test_a_replay_that_was_cut_short_goes_on_where_it_was(
    database_url: str, start_service: StartService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops a replay between two steps, and within one, which is rolled back."""
    async with running_service(database_url, webhook_retry_seconds=()) as failing:
        webhook_id, missed = await failures(failing, receiver, 5)
    receiver.statuses = [204]
    service = await start_service(roles=WITHOUT_DISPATCHER)
    begun = await replay(service, webhook_id)
    key = (1, UUID(begun["replayId"]))
    database = Database(service.database_url)
    async with database.connection() as connection:
        async with connection.transaction():
            held = await hold_replay(connection, key)
            assert held is not None
            assert (await collect(connection, held, limit=2)).added == 2
        dies = connection.transaction()
        await dies.start()
        held = await hold_replay(connection, key)
        assert held is not None
        assert (await collect(connection, held, limit=2)).added == 2
        await dies.rollback()
    await database.close()
    assert await progress(service, begun) | {"status": "collecting", "found": 2} == await progress(service, begun)
    monkeypatch.setattr(redeliver, "BATCH", 1)
    await start_service(roles=("dispatcher",), webhook_retry_seconds=())
    done = await until(service, begun, status="completed")
    assert (done["found"], done["delivered"]) == (5, 5)
    assert sorted(await received(receiver, 5)) == sorted(missed)
    assert receiver.hits == 5 + 5


async def test_what_happens_meanwhile_is_not_told_of_after_all_the_old_ones(
    start_service: StartService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redeliver, "MOST_DUE", 2)
    service = await start_service(webhook_retry_seconds=())
    webhook_id, _ = await failures(service, receiver, 5)
    receiver.statuses = [204]
    await service.client.patch(f"{WEBHOOKS}/{webhook_id}", json={"paused": True})
    begun = await replay(service, webhook_id)
    await until(service, begun, found=2)
    assert await service.node.replayer.step() > 0  # it waits for room
    assert (await progress(service, begun))["status"] == "collecting"
    await service.client.patch(f"{WEBHOOKS}/{webhook_id}", json={"paused": False})
    await until(service, begun, status="completed", found=5, delivered=5)


async def test_one_that_is_sent_again_by_hand_meanwhile_is_counted_once(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, _ = await failures(service, receiver, 2)
    first = (await deliveries_of(service, webhook_id))[-1]["deliveryId"]
    done = await until(service, await replay(service, webhook_id), status="completed")
    assert (done["found"], done["failed"]) == (2, 2)
    receiver.statuses = [204]
    assert (await service.client.post(f"/api/v1/deliveries/{first}/redeliver")).status_code == 202
    await until_delivered(service, webhook_id, first)
    assert await progress(service, done) == done
    again = await until(service, await replay(service, webhook_id), status="completed")
    assert (again["found"], again["delivered"]) == (1, 1)


async def until_delivered(service: Service, webhook_id: str, delivery_id: str) -> None:
    async def look() -> bool:
        return delivery_id in {
            each["deliveryId"] for each in await deliveries_of(service, webhook_id, status="delivered")
        }

    await eventually(look)


async def test_a_waiting_one_of_a_replay_that_is_hastened_by_hand_still_counts_for_it(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=(600,))
    receiver.statuses = [400]
    receiver.answer_headers = {"webhook-delivery": "abort-message"}
    webhook_id = await register(service, receiver.url)
    await service.run("echo")
    (delivery,) = await until_all_are(service, webhook_id, "failed", number=1)
    receiver.statuses, receiver.answer_headers = [500, 204], {}
    begun = await replay(service, webhook_id)

    async def waits() -> bool:
        (shown,) = await deliveries_of(service, webhook_id)
        return shown["nextAttemptAt"] is not None and shown["lastStatusCode"] == 500

    await eventually(waits)
    assert (await service.client.post(f"/api/v1/deliveries/{delivery['deliveryId']}/redeliver")).status_code == 202
    done = await until(service, begun, status="completed")
    assert (done["found"], done["delivered"], done["failed"]) == (1, 1, 0)


async def test_replays_are_listed_newest_first(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, other_id = [await register(service, receiver.url) for _ in range(2)]
    begun = [await until(service, await replay(service, webhook_id), status="completed") for _ in range(3)]
    path, shown, query = f"{WEBHOOKS}/{webhook_id}/replays", [], {"limit": "2"}
    for _ in range(2):
        page = (await service.client.get(path, params=query)).json()
        shown += page["items"]
        query = {"limit": "2", "cursor": page["nextCursor"]}
    assert page["nextCursor"] is None
    assert shown == begun[::-1]
    assert (await service.client.get(f"{WEBHOOKS}/{other_id}/replays")).json() == {"items": [], "nextCursor": None}
    others = await service.client.get(f"{WEBHOOKS}/{other_id}/replays/{begun[0]['replayId']}")
    assert others.status_code == 404


async def test_nothing_is_replayed_to_a_webhook_that_is_disabled_or_not_there(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service()
    webhook_id = await register(service, receiver.url)
    foreign = await register(service, receiver.url)
    begun = await replay(service, foreign)
    await service.sql("update endpoints set tenant_id = 2 where endpoint_id = $1", UUID(foreign))
    await service.client.patch(f"{WEBHOOKS}/{webhook_id}", json={"disabled": True})
    answer = await service.client.post(f"{WEBHOOKS}/{webhook_id}/replay", json={"since": BEGINNING})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ENDPOINT_DISABLED")
    bodies = set()
    for name in (foreign, str(new_job_id()), "no-id"):
        answers = [
            await service.client.post(f"{WEBHOOKS}/{name}/replay", json={"since": BEGINNING}),
            await service.client.get(f"{WEBHOOKS}/{name}/replays"),
            await service.client.get(f"{WEBHOOKS}/{name}/replays/{begun['replayId']}"),
        ]
        assert {answer.status_code for answer in answers} == {404}
        bodies |= {answer.text for answer in answers}
    assert len(bodies) == 1
    answer = await service.client.get(f"{WEBHOOKS}/{webhook_id}/replays/no-id")
    assert (answer.status_code, json.loads(answer.text)["error"]["message"]) == (404, "Replay not found.")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": rfc3339(datetime.now(UTC) + timedelta(days=1))}, "since"),
        ({"since": BEGINNING, "from": BEGINNING}, "from"),
    ],
)
async def test_a_replay_names_a_time_of_the_past(
    service: Service, receiver: Receiver, body: dict[str, Any], path: str
) -> None:
    webhook_id = await register(service, receiver.url)
    answer = await service.client.post(f"{WEBHOOKS}/{webhook_id}/replay", json=body)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["error"]["details"]["errors"]] == [path]
    assert await service.sql("select from replays") == []


async def test_a_time_before_all_that_is_kept_means_all_that_is_kept(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id, _ = await failures(service, receiver, 1)
    receiver.statuses = [204]
    done = await until(service, await replay(service, webhook_id, "1970-01-01T00:00:00.000Z"), status="completed")
    assert done["delivered"] == 1
