"""One delivery or replay that the database does not take holds up no other."""

from collections.abc import Callable
from typing import Any

import asyncpg

from tests.support.endpoints import deliveries_of, register, until_all_are
from tests.support.refusing_triggers import refusing
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver, running_receiver
from tests.webhooks.test_replay import failures, replay, until

StartService = Callable[..., Any]


def refused(service: Service, statement: str) -> float:
    return float(service.node.metrics.items_refused.labels(statement)._value.get())


async def test_an_attempt_that_is_refused_holds_up_no_other(service: Service, receiver: Receiver) -> None:
    async with running_receiver() as other:
        bad, good = await register(service, receiver.url), await register(service, other.url)
        async with refusing(service, "delivery_attempts", f"new.receiver_id = '{bad}'"):
            for _ in range(5):
                await service.run("echo")
            await until_all_are(service, good, "delivered", number=5)
            assert [one["status"] for one in await deliveries_of(service, bad)] == ["pending"] * 5

            async def counted() -> bool:
                return refused(service, "settle") >= 5

            await eventually(counted)

            async def put_off() -> bool:
                rows = await service.sql("select due_at > now() + interval '50 seconds' from deliveries")
                return [row[0] for row in rows] == [True] * 5

            await eventually(put_off)
        assert receiver.hits == 5


async def test_an_answer_that_cannot_be_kept_is_left_out_and_the_delivery_is_done(
    service: Service, receiver: Receiver
) -> None:
    webhook = await register(service, receiver.url)
    async with refusing(service, "delivery_attempts", "new.error is null"):
        await service.run("echo")
        await until_all_are(service, webhook, "delivered", number=1)


async def test_a_receiver_whose_row_is_locked_holds_up_no_other(service: Service, receiver: Receiver) -> None:
    async with running_receiver() as other:
        receiver.statuses = [500]
        bad, good = await register(service, receiver.url), await register(service, other.url)
        holder = await asyncpg.connect(service.database_url)
        try:
            async with holder.transaction():
                await holder.execute("select from receivers where receiver_id = $1::text::uuid for update", bad)
                await service.run("echo")
                await service.run("echo")
                await until_all_are(service, good, "delivered", number=2)
        finally:
            await holder.close()


async def test_a_replay_that_is_refused_holds_up_no_other(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=())
    async with running_receiver() as other:
        bad, _ = await failures(service, receiver, 1)
        good, _ = await failures(service, other, 2)
        receiver.statuses = other.statuses = [200]
        async with refusing(service, "deliveries", f"new.replay_id is not null and new.receiver_id = '{bad}'"):
            begun = await replay(service, bad)
            await until(service, await replay(service, good), status="completed", delivered=2)
            assert refused(service, "replay") == 1
        await until(service, begun, status="completed")
