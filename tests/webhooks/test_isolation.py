"""One receiver's trouble is its own: black holes, circuits, limits and pauses, on one node and on several."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.store.ledger.outbox import callback_receiver
from tests.support.inserted_endpoints import keep_endpoint
from tests.support.misbehaving_receiver import (
    Behavior,
    MisbehavingReceiver,
    after,
    answers,
    hangs,
    misbehaving_receiver,
    waits_for,
)
from tests.support.service import Service, ServiceClient, eventually
from tests.support.service_process import Processes, starting_processes

StartService = Callable[..., Any]

BLACK_HOLES = 50
JOBS = 60
MANY_TRIES = (0.05,) * 50


@pytest.fixture
async def receiver() -> AsyncIterator[MisbehavingReceiver]:
    async with misbehaving_receiver() as running:
        yield running


@pytest.fixture
async def black_holes() -> AsyncIterator[list[MisbehavingReceiver]]:
    """Each on a port of its own; they accept, and never answer."""
    async with AsyncExitStack() as stack:
        manners = {"/hook": hangs(), "/callback": hangs()}
        yield [await stack.enter_async_context(misbehaving_receiver(manners)) for _ in range(BLACK_HOLES)]


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


async def run_many(service: ServiceClient, number: int, **members: Any) -> None:
    turns = asyncio.Semaphore(20)

    async def run() -> None:
        async with turns:
            await service.run("echo", **members)

    await asyncio.gather(*(run() for _ in range(number)))


async def more_looks(*services: Service, number: int = 3) -> None:
    """Waits until each dispatcher has made this number of further queries for due deliveries."""
    loops = [loop for service in services for loop in service.node.loops if loop.name == "dispatch"]
    wanted = {loop.name + str(place): loop.rounds + number for place, loop in enumerate(loops)}

    async def look() -> bool:
        for loop in loops:
            loop.wake()
        return all(loop.rounds >= wanted[loop.name + str(place)] for place, loop in enumerate(loops))

    await eventually(look)


async def all_sent(service: ServiceClient) -> None:
    async def look() -> bool:
        return not await service.sql("select from deliveries limit 1")

    await eventually(look)


async def test_beside_fifty_black_holes_a_healthy_endpoint_is_told_everything_before_the_first_of_them_is_given_up(
    start_service: StartService, receiver: MisbehavingReceiver, black_holes: list[MisbehavingReceiver]
) -> None:
    service = await start_service(webhook_timeout_seconds=3600)
    for hole in black_holes:
        await keep_endpoint(service, hole.url("/hook"))
    # They start first, so that the maximum number of requests hangs.
    await asyncio.gather(*(service.run("echo", callbackUrl=hole.url("/callback")) for hole in black_holes))
    await asyncio.gather(*(hole.has("/hook") for hole in black_holes))
    await keep_endpoint(service, receiver.url("/well"))
    await run_many(service, JOBS)
    await receiver.has("/well", times=JOBS)
    tried = await service.sql("select distinct receiver_id, error from delivery_attempts where outcome <> 1")
    assert tried == []
    assert all(hole.busy["/hook"] for hole in black_holes)


async def test_a_receiver_that_was_well_goes_on_where_all_that_may_hang_hangs(
    start_service: StartService, receiver: MisbehavingReceiver, black_holes: list[MisbehavingReceiver]
) -> None:
    service = await start_service(webhook_timeout_seconds=3600)
    await keep_endpoint(service, receiver.url("/well"))
    await service.run("echo")
    await receiver.has("/well")
    for hole in black_holes:
        for _ in range(3):
            await keep_endpoint(service, hole.url("/hook"))
    await run_many(service, 8)
    await receiver.has("/well", times=9)

    async def all_that_may_hang() -> bool:
        return sum(hole.busy["/hook"] for hole in black_holes) > 200

    await eventually(all_that_may_hang)
    await run_many(service, JOBS)
    await receiver.has("/well", times=9 + JOBS)
    assert await service.sql("select from delivery_attempts where outcome <> 1") == []
    assert await all_that_may_hang()


async def opened(service: Service, receiver: MisbehavingReceiver) -> UUID:
    """An endpoint whose circuit is open: it has failed five times, as it were over twenty minutes."""
    receiver.manners["/ill"] = answers(500)
    endpoint_id = await keep_endpoint(service, receiver.url("/ill"))
    await run_many(service, 5)
    await eventually(lambda: _state(service, endpoint_id, "failures >= 4"))
    await service.sql("update receivers set failing_since = now() - interval '20 minutes'")
    await eventually(lambda: _state(service, endpoint_id, "state = 1"))
    return endpoint_id


async def _state(service: ServiceClient, receiver_id: UUID, condition: str) -> list[Any]:
    return await service.sql(f"select from receivers where receiver_id = $1 and {condition}", receiver_id)


async def test_what_comes_for_an_open_circuit_waits_uncharged(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    service = await start_service(webhook_retry_seconds=MANY_TRIES)
    await opened(service, receiver)
    await keep_endpoint(service, receiver.url("/well"))
    # Each of those under way when it opened was tried once more at most.
    await eventually(lambda: _nothing_held(service))
    before, tries = len(receiver.at("/ill")), "select count(*), sum(attempt) from deliveries where attempt > 0"
    charged = await service.sql(tries)
    await run_many(service, 5)
    await receiver.has("/well", times=5)
    await more_looks(service)
    assert await service.sql(tries) == charged
    assert len(receiver.at("/ill")) == before
    (row,) = await service.sql("select count(*) from deliveries where attempt = 0 and not taken")
    assert row[0] == 5


async def _nothing_held(service: ServiceClient) -> bool:
    return not await service.sql("select from deliveries where taken limit 1")


async def test_a_fleet_probes_with_one_webhook_at_a_time_and_goes_on_when_it_is_well(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    services = [await start_service(webhook_retry_seconds=MANY_TRIES) for _ in range(2)]
    endpoint_id = await opened(services[0], receiver)
    await run_many(services[0], 5)
    await eventually(lambda: _nothing_held(services[0]))
    # A probe that fails: it is left alone again.
    sent = len(receiver.at("/ill"))
    await services[0].sql("update receivers set probe_at = now()")
    await receiver.has("/ill", times=sent + 1)
    await eventually(lambda: _state(services[0], endpoint_id, "state = 1 and probe_at > now() + interval '5 seconds'"))
    await eventually(lambda: _nothing_held(services[0]))
    await more_looks(*services)
    assert len(receiver.at("/ill")) == sent + 1

    gate = asyncio.Event()
    receiver.manners["/ill"] = waits_for(gate, then=answers(204))
    await services[1].sql("update receivers set probe_at = now()")
    await receiver.has("/ill", times=sent + 2)
    await more_looks(*services, number=5)
    assert (len(receiver.at("/ill")), receiver.busy["/ill"]) == (sent + 2, 1)
    gate.set()
    await all_sent(services[0])
    assert await _state(services[0], endpoint_id, "state = 0 and failures = 0 and failing_since is null")
    assert len({post.webhook_id for post in receiver.at("/ill")}) == 10


async def test_a_host_of_callbacks_has_a_circuit_of_its_own(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    service = await start_service(webhook_retry_seconds=MANY_TRIES)
    receiver.manners["/ill"] = answers(500)
    await run_many(service, 5, callbackUrl=receiver.url("/ill"))
    await eventually(lambda: service.sql("select from receivers where failures >= 4"))
    await service.sql("update receivers set failing_since = now() - interval '20 minutes'")
    await eventually(lambda: service.sql("select from receivers where state = 1"))
    await eventually(lambda: _nothing_held(service))
    sent = len(receiver.posts)
    # An endpoint at the same host is another receiver.
    await keep_endpoint(service, receiver.url("/well"))
    await service.run("echo", callbackUrl=receiver.url("/ill"))
    await receiver.has("/well")
    assert len(receiver.posts) == sent + 1
    receiver.manners["/ill"] = answers(204)
    await service.sql("update receivers set probe_at = now() where state = 1")
    await all_sent(service)


LANE = f"select {callback_receiver(tenant='1', url='$1::text')}"  # the service's own


async def path_beside(service: ServiceClient, receiver: MisbehavingReceiver, other: str) -> str:
    """A path of another circuit; of the few that a host has, two may share one by chance."""
    [[taken]] = await service.sql(LANE, receiver.url(other))
    for number in range(9):
        [[lane]] = await service.sql(LANE, receiver.url(f"/well{number}"))
        if lane != taken:
            return f"/well{number}"
    raise AssertionError("nine paths in one lane")


@pytest.mark.parametrize("manner", [answers(500), hangs()], ids=["fails", "hangs"])
async def test_a_bad_path_of_callbacks_leaves_the_rest_of_its_host_alone(
    start_service: StartService, receiver: MisbehavingReceiver, manner: Behavior
) -> None:
    service = await start_service(webhook_retry_seconds=MANY_TRIES, webhook_timeout_seconds=0.5)
    well = await path_beside(service, receiver, "/ill")
    receiver.manners["/ill"] = manner
    await run_many(service, 5, callbackUrl=receiver.url("/ill"))
    await eventually(lambda: service.sql("select from receivers where failures >= 4"))
    await service.sql("update receivers set failing_since = now() - interval '20 minutes'")
    await eventually(lambda: service.sql("select from receivers where state = 1"))
    await run_many(service, 5, callbackUrl=receiver.url(well))
    await receiver.has(well, times=5)
    assert len(await service.sql("select from receivers where state = 1")) == 1


async def test_callbacks_to_addresses_of_the_jobs_own_share_a_circuit(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    service = await start_service(webhook_retry_seconds=MANY_TRIES)
    jobs = [f"/callbacks/{uuid4()}" for _ in range(5)]
    receiver.manners |= dict.fromkeys(jobs, answers(500))
    await asyncio.gather(*(service.run("echo", callbackUrl=receiver.url(path)) for path in jobs))
    await eventually(lambda: service.sql("select from receivers where failures >= 5"))
    assert len(await service.sql("select from receivers")) == 1


async def test_a_limit_of_concurrency_is_kept_and_used_by_a_fleet(
    database_url: str, processes: Processes, receiver: MisbehavingReceiver
) -> None:
    commands = [processes.begin(database_url, DULY_WEBHOOK_TIMEOUT_SECONDS="60") for _ in range(2)]
    services = [await processes.ready(command, database_url) for command in commands]
    gate = asyncio.Event()
    receiver.manners["/limited"] = waits_for(gate, then=after(0.02, then=answers(204)))
    await keep_endpoint(services[0], receiver.url("/limited"), concurrency=3)
    await asyncio.gather(*(services[place % 2].run("quick") for place in range(JOBS)))
    await receiver.until(lambda: receiver.busy["/limited"] == 3)
    gate.set()
    await receiver.has("/limited", times=JOBS)
    await all_sent(services[0])
    assert receiver.busiest["/limited"] == 3
    assert len(receiver.at("/limited")) == JOBS


async def test_a_limit_of_rate_is_kept_by_a_fleet_and_what_waits_is_not_charged(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    services = [await start_service() for _ in range(2)]
    # One every twelve minutes, five at once.
    await keep_endpoint(services[0], receiver.url("/limited"), rate=(5, 3600))
    await run_many(services[0], 12)
    await receiver.has("/limited", times=5)
    await more_looks(*services)
    assert len(receiver.at("/limited")) == 5
    await eventually(lambda: _nothing_held(services[0]))
    waiting = "select count(*) from deliveries where attempt = 0"
    assert (await services[0].sql(waiting))[0][0] == 7

    await services[0].sql("update receivers set refilled_at = refilled_at - interval '24 minutes 5 seconds'")
    await receiver.has("/limited", times=7)
    await more_looks(*services)
    assert len(receiver.at("/limited")) == 7
    # However long nothing is sent, no more is saved up than one burst.
    await services[0].sql("update receivers set refilled_at = refilled_at - interval '30 days'")
    await receiver.has("/limited", times=12)
    await all_sent(services[0])


async def test_a_paused_endpoint_is_sent_nothing_until_it_goes_on_and_then_everything(
    start_service: StartService, receiver: MisbehavingReceiver
) -> None:
    service = await start_service()
    endpoint_id = await keep_endpoint(service, receiver.url("/paused"), paused=True)
    await keep_endpoint(service, receiver.url("/well"))
    await run_many(service, 5)
    await receiver.has("/well", times=5)
    await more_looks(service)
    assert receiver.at("/paused") == []
    await service.sql("update receivers set paused_at = null where receiver_id = $1", endpoint_id)
    assert len(await receiver.has("/paused", times=5)) == 5
    await all_sent(service)
    rows = await service.sql("select attempt from delivery_attempts where receiver_id = $1", endpoint_id)
    assert [row["attempt"] for row in rows] == [1] * 5
