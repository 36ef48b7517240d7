"""Guarantees of the outbox under faults: order of terminal events, no loss, no invention, no delay of others."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from duly.domain.events import EventKind
from duly.domain.ids import SMALLEST, event_id
from duly.store.postgres.database import Database
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome, settle_if_held
from duly.store.webhooks.take_deliveries import DueDelivery, Rooms, take_due
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver, running_receiver

StartService = Callable[..., Any]

# A second life of a job that has ended, as a retry by hand would record it.
RUN_AGAIN = """
insert into events (job_id, tenant_id, sequence, kind, attempt, source, data)
values ($1, 1, $2 + 1, 6, 1, 'test', '{}'),
       ($1, 1, $2 + 2, 1, 2, 'test', null),
       ($1, 1, $2 + 3, 10, 2, 'test', '"again"')
"""
SECOND_DELIVERY = """
insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id)
select 1, job_id, $2 + 3, 10, receiver_id from deliveries where job_id = $1
"""
JOBS = 200


async def ended_twice(service: Service, url: str) -> tuple[UUID, int]:
    """Creates a job with two undelivered terminal events. Returns it and the sequence of the first."""
    job = await service.run("echo", callbackUrl=url)
    job_id, sequence = UUID(job["jobId"]), int(job["sequence"])
    await service.sql(RUN_AGAIN, job_id, sequence)
    await service.sql(SECOND_DELIVERY, job_id, sequence)
    return job_id, sequence


async def all_sent(service: Service) -> None:
    async def look() -> bool:
        return not await service.sql("select from deliveries limit 1")

    await eventually(look)


@pytest.mark.parametrize("lanes", [1, 2])
async def test_the_ends_of_one_job_are_told_in_their_order(
    start_service: StartService, receiver: Receiver, lanes: int
) -> None:
    service = await start_service(roles=("api", "worker"))
    _, sequence = await ended_twice(service, receiver.url)
    if lanes > 1:  # a node of another release put it into another lane
        await service.sql("update deliveries set receiver_id = gen_random_uuid() where sequence = $1", sequence)
    # The later one is even due earlier.
    await service.sql("update deliveries set due_at = now() - interval '1 hour' where sequence > $1", sequence)
    receiver.statuses = [500, 500, 204]
    await start_service(roles=("dispatcher",), webhook_retry_seconds=(0.1, 0.1))
    sent = [json.loads((await receiver.next()).body)["sequence"] for _ in range(4)]
    assert sent == [sequence] * 3 + [sequence + 3]
    await all_sent(service)


async def test_an_end_that_must_wait_for_another_does_not_keep_the_dispatcher_busy(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(roles=("api", "worker"))
    _, sequence = await ended_twice(service, receiver.url)
    receiver.statuses = [500, 204]
    telling = await start_service(roles=("dispatcher",), webhook_retry_seconds=(1,))
    sent = [json.loads((await receiver.next()).body)["sequence"] for _ in range(3)]
    assert sent == [sequence, sequence, sequence + 3]
    (dispatch,) = [loop for loop in telling.node.loops if loop.name == "dispatch"]
    assert dispatch.rounds < 60


async def test_a_webhook_held_by_a_dispatcher_that_died_is_sent_by_another(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(roles=("api", "worker"))
    job = await service.run("echo", callbackUrl=receiver.url)
    (held,) = await _taken(service, hold_seconds=0.5)
    await start_service(roles=("dispatcher",))
    sent = await receiver.next()
    assert sent.headers["webhook-id"] == str(event_id(held.job_id, held.sequence))
    assert json.loads(sent.body)["jobId"] == job["jobId"]
    await all_sent(service)
    (row,) = await service.sql("select attempt, outcome from delivery_attempts")
    assert (row["attempt"], row["outcome"]) == (2, DeliveryOutcome.DELIVERED)
    assert receiver.hits == 1


async def test_nobody_takes_a_webhook_that_another_holds(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(roles=("api", "worker"))
    await service.run("echo", callbackUrl=receiver.url)
    assert len(await _taken(service, hold_seconds=60)) == 1
    assert await _taken(service, hold_seconds=60) == []


async def test_a_stale_token_settles_nothing(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(roles=("api", "worker"))
    await service.run("echo", callbackUrl=receiver.url)
    (stale,) = await _taken(service, hold_seconds=0)
    (held,) = await _taken(service, hold_seconds=60)
    assert held.token == stale.token + 1
    before = await service.sql("select * from deliveries")
    assert await _settled(service, _tried(stale, DeliveryOutcome.TRY_AGAIN)) == 0
    assert await service.sql("select * from deliveries") == before
    assert await _settled(service, _tried(stale._replace(attempt=9), DeliveryOutcome.DELIVERED)) == 0
    assert await service.sql("select * from deliveries") == before
    assert await _settled(service, _tried(held, DeliveryOutcome.DELIVERED)) == 1
    assert await service.sql("select * from deliveries") == []
    # Delivery attempts are always kept, because they did happen.
    assert len(await service.sql("select from delivery_attempts")) == 3


async def test_the_end_and_its_webhook_are_recorded_together_or_not_at_all(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=())
    await service.alter("alter table deliveries add constraint no_room check (kind < 10)")
    submitted = await service.submit("echo", callbackUrl=receiver.url)

    async def refused() -> bool:
        return len(service.node.finisher.set_aside) == 1

    await eventually(refused)
    assert (await service.job(submitted["jobId"]))["status"] == "running"
    assert await service.event_types(submitted["jobId"]) == ["JobSubmitted", "JobStarted"]
    assert (await service.sql("select from deliveries"), receiver.hits) == ([], 0)
    await service.alter("alter table deliveries drop constraint no_room")
    assert (await service.ended(submitted["jobId"]))["status"] == "completed"
    assert json.loads((await receiver.next()).body)["type"] == "job.completed"


async def test_two_nodes_lose_none_of_many_webhooks(start_service: StartService, receiver: Receiver) -> None:
    services = [await start_service() for _ in range(2)]
    turns = asyncio.Semaphore(50)

    async def submit(place: int) -> str:
        async with turns:
            accepted = await services[place % 2].submit("echo", place, callbackUrl=receiver.url)
            return str(accepted["jobId"])

    submitted = await asyncio.gather(*(submit(place) for place in range(JOBS)))
    told: dict[str, int] = {}
    while len(told) < JOBS:
        body = json.loads((await receiver.next()).body)
        told[body["jobId"]] = body["result"]
    assert told == {job_id: place for place, job_id in enumerate(submitted)}
    await all_sent(services[0])


async def test_a_receiver_that_hangs_holds_up_no_other(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_timeout_seconds=3600)
    async with running_receiver() as hanging:
        hanging.hold = asyncio.Event()
        jobs = [{"type": "echo", "callbackUrl": hanging.url}] * 300
        assert (await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs})).status_code == 202
        await hanging.next()
        await service.run("echo", callbackUrl=receiver.url)
        await receiver.next()  # long before any of those that hang is given up
        hanging.hold.set()


async def _taken(service: Service, *, hold_seconds: float) -> list[DueDelivery]:
    """Returns the deliveries that a dispatcher would take now, and abandons them as a crash would."""
    database = Database(service.database_url)
    try:
        async with database.hot().use() as driver:
            return await take_due(
                driver,
                limit=100,
                hold_seconds=hold_seconds,
                rooms=Rooms({}, others=100),
                after=SMALLEST,
                since=SMALLEST,
            )
    finally:
        await database.close()


async def _settled(service: Service, tried: AttemptResult) -> int:
    database = Database(service.database_url)
    try:
        async with database.hot().use() as driver:
            return (await settle_if_held(driver, [tried])).held
    finally:
        await database.close()


def _tried(held: DueDelivery, outcome: DeliveryOutcome) -> AttemptResult:
    return AttemptResult(
        tenant_id=held.tenant_id,
        job_id=held.job_id,
        delivery_id=held.delivery_id,
        token=held.token,
        sequence=held.sequence,
        kind=EventKind.COMPLETED,
        attempt=held.attempt,
        outcome=outcome,
        duration_ms=1,
        status_code=500,
        error=None,
        answer=None,
        delay_seconds=0.0,
        receiver_id=held.receiver_id,
        registered=held.registered,
    )
