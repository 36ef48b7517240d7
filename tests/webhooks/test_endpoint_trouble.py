"""Registered endpoints with a failing receiver, a receiver that requests a pause, or a limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from tests.support.registered_endpoints import (
    Looks,
    all_of,
    attempts,
    changed,
    nothing_waits,
    registered,
    sends_test,
    shown,
    types_of,
)
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver, running_receiver

StartService = Callable[..., Awaitable[Service]]
# None of what fails is tried again during a test, unless the test makes it due.
RARELY = (3600.0,) * 9
MAKE_DUE = "update deliveries set due_at = now() where receiver_id = $1"
AGE_FAILURES = "update receivers set failing_since = failing_since - $2 * interval '1 second' where receiver_id = $1"
PROBE_NOW = "update receivers set probe_at = now() where receiver_id = $1"


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    """Another receiver on loopback."""
    async with running_receiver() as running:
        yield running


def id_of(endpoint: dict[str, Any]) -> UUID:
    return UUID(endpoint["webhookId"])


async def on(service: Service, statement: str, endpoint: dict[str, Any], *arguments: object) -> None:
    await service.sql(statement, id_of(endpoint), *arguments)
    service.node.wakeups.deliveries()


async def until(service: Service, endpoint: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """The endpoint, once these members are as wanted; of the circuit too."""

    async def look() -> dict[str, Any] | None:
        found = await shown(service, endpoint)
        members = found | found["circuit"]
        return found if all(members[name] == value for name, value in wanted.items()) else None

    found: dict[str, Any] = await eventually(look)
    return found


# Disabling


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (410, {}, "GONE: the receiver answered 410"),
        (503, {"webhook-delivery": "disable"}, "REQUESTED: the receiver answered with webhook-delivery: disable"),
    ],
)
async def test_an_endpoint_whose_receiver_wants_no_more_is_disabled_and_the_others_hear_of_it(
    start_service: StartService,
    receiver: Receiver,
    other: Receiver,
    status: int,
    headers: dict[str, str],
    reason: str,
) -> None:
    service = await start_service(webhook_retry_seconds=RARELY)
    looks = Looks(service)
    receiver.statuses = [500]
    endpoint = await registered(service, receiver.url, "job.completed")
    told = await registered(service, other.url, "job.failed", types=["none"], labels={"a": "1"})
    for n in range(2):
        await service.run("echo", {"n": n})
    await until(service, endpoint, failures=2)
    receiver.statuses, receiver.answer_headers = [status], headers
    await service.run("echo", {"n": 2})

    disabled = await until(service, endpoint, status="disabled")
    assert disabled["disabledReason"] == reason
    await on(service, MAKE_DUE, endpoint)
    *_, last, first, second = await attempts(service, endpoint, 5)
    assert (last["outcome"], last["status_code"]) == (3, status)
    for row in (first, second):
        assert (row["outcome"], row["status_code"], row["error"][:17]) == (3, None, "ENDPOINT_DISABLED")
    announced = await other.next()
    announced.verify(told["secret"])
    body = json.loads(announced.body)
    assert body == {
        "type": "endpoint.disabled",
        "timestamp": body["timestamp"],
        "webhookId": endpoint["webhookId"],
        "reason": reason,
    }
    assert service.node.metrics.endpoints_disabled._value.get() == 1

    await service.run("echo", {})
    await looks.more()
    assert receiver.hits == 3
    await attempts(service, endpoint, 5)
    await nothing_waits(service)

    receiver.statuses, receiver.answer_headers = [204], {}
    await changed(service, endpoint, disabled=False)
    await service.run("echo", {})
    await eventually(lambda: _hits(receiver, 4))
    assert all_of(other) == []


async def _hits(receiver: Receiver, number: int) -> bool:
    return receiver.hits >= number


async def test_one_that_is_disabled_over_the_api_is_announced_too(
    service: Service, receiver: Receiver, other: Receiver
) -> None:
    endpoint = await registered(service, receiver.url, "job.completed", paused=True)
    await registered(service, other.url, "job.failed")
    await service.run("echo", {})
    await changed(service, endpoint, disabled=True, paused=False)
    assert json.loads((await other.next()).body)["reason"] == "REQUESTED: disabled over the API"
    (row,) = await attempts(service, endpoint, 1)
    assert (row["error"][:17], receiver.hits) == ("ENDPOINT_DISABLED", 0)
    await changed(service, endpoint, disabled=True)
    await nothing_waits(service)
    assert all_of(other) == []


async def test_five_days_of_nothing_but_failure_disable_an_endpoint(
    start_service: StartService, receiver: Receiver, other: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=RARELY)
    receiver.statuses = [500]
    endpoint = await registered(service, receiver.url, "job.completed")
    await registered(service, other.url, "job.failed")
    await service.run("echo", {})
    await until(service, endpoint, failures=1)
    await on(service, AGE_FAILURES, endpoint, 5 * 86_400 - 60)
    await sends_test(service, endpoint)
    assert (await until(service, endpoint, failures=2))["status"] == "enabled"
    await on(service, AGE_FAILURES, endpoint, 60)
    await sends_test(service, endpoint)
    disabled = await until(service, endpoint, status="disabled")
    assert disabled["disabledReason"] == "FAILING: only failures for 5 days; last: the receiver answered 500"
    assert json.loads((await other.next()).body)["reason"] == disabled["disabledReason"]
    await on(service, MAKE_DUE, endpoint)
    rows = await attempts(service, endpoint, 6)
    assert sum((row["error"] or "").startswith("ENDPOINT_DISABLED") for row in rows) == 3
    assert receiver.hits == 3


async def test_a_success_ends_the_days_of_failure(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=RARELY)
    receiver.statuses = [500, 204, 500]
    endpoint = await registered(service, receiver.url, "job.completed")
    await service.run("echo", {})
    await until(service, endpoint, failures=1)
    await on(service, AGE_FAILURES, endpoint, 6 * 86_400)
    await sends_test(service, endpoint)
    await until(service, endpoint, failures=0, failingSince=None)
    await sends_test(service, endpoint)
    assert (await until(service, endpoint, failures=1))["status"] == "enabled"


# The circuit


async def test_a_receiver_that_keeps_failing_is_left_alone_probed_one_at_a_time_and_goes_on_when_it_is_well(
    start_service: StartService, receiver: Receiver, other: Receiver
) -> None:
    service = await start_service(webhook_retry_seconds=RARELY)
    looks = Looks(service)
    receiver.statuses = [500]
    failing = await registered(service, receiver.url, "job.completed")
    healthy = await registered(service, other.url, "job.completed")
    await service.run("echo", {"n": 0})
    await until(service, failing, failures=1)
    await on(service, AGE_FAILURES, failing, 1200)  # it is left alone for five minutes
    for n in range(4):
        await service.run("echo", {"n": n})
    opened = await until(service, failing, state="open", failures=5)
    assert opened["circuit"]["nextProbeAt"] > opened["circuit"]["failingSince"]
    assert (opened["circuit"]["lastError"], opened["status"]) == ("the receiver answered 500", "enabled")

    for n in range(3):  # they wait, while a healthy endpoint gets its webhooks
        await service.run("echo", {"n": n})
    await attempts(service, healthy, 8)
    await looks.more()
    assert receiver.hits == 5

    receiver.hold = asyncio.Event()
    await on(service, PROBE_NOW, failing)
    await eventually(lambda: _hits(receiver, 6))
    await looks.more()
    assert receiver.hits == 6
    receiver.hold.set()
    still_open = await until(service, failing, failures=6)
    assert (still_open["circuit"]["state"], still_open["status"]) == ("open", "enabled")
    await looks.more()
    assert receiver.hits == 6

    receiver.statuses = [204]
    await on(service, MAKE_DUE, failing)
    await on(service, PROBE_NOW, failing)
    await nothing_waits(service)
    assert receiver.hits == 6 + 8
    well = await until(service, failing, state="closed")
    assert well["circuit"] == {
        "state": "closed",
        "failures": 0,
        "failingSince": None,
        "nextProbeAt": None,
        "lastError": None,
    }


# Limits


class Turnstile(asyncio.Event):
    """Lets requests through in groups, and knows how many were under way at once."""

    def __init__(self, looks: Looks, group: int) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._looks = looks
        self._group = asyncio.Barrier(group)

    async def wait(self) -> Any:
        self._now += 1
        self.most = max(self.most, self._now)
        await self._group.wait()
        await self._looks.more()  # more could come now, and must not
        self._now -= 1


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_than_its_limit_are_under_way_at_once(
    service: Service, receiver: Receiver, concurrency: int
) -> None:
    receiver.hold = turnstile = Turnstile(Looks(service), concurrency)
    endpoint = await registered(
        service, receiver.url, "job.completed", limits={"concurrency": concurrency}, paused=True
    )
    for n in range(2 * concurrency):
        await service.run("echo", {"n": n})
    await changed(service, endpoint, paused=False)
    await nothing_waits(service)
    assert (receiver.hits, turnstile.most) == (2 * concurrency, concurrency)


async def test_no_more_are_sent_in_a_time_than_its_rate(service: Service, receiver: Receiver) -> None:
    looks = Looks(service)
    rate = {"count": 2, "seconds": 7200}
    endpoint = await registered(service, receiver.url, "job.completed", limits={"rate": rate})
    for n in range(5):
        await service.run("echo", {"n": n})
    await attempts(service, endpoint, 2)
    await looks.more()
    assert receiver.hits == 2
    earlier = "update receivers set refilled_at = refilled_at - interval '1 hour' where receiver_id = $1"
    await on(service, earlier, endpoint)
    await attempts(service, endpoint, 3)
    await looks.more()
    assert receiver.hits == 3
    await changed(service, endpoint, limits={})
    await nothing_waits(service)
    assert types_of(all_of(receiver)) == ["job.completed"] * 5


async def test_a_limit_set_later_holds_from_then_on(service: Service, receiver: Receiver) -> None:
    looks = Looks(service)
    endpoint = await registered(service, receiver.url, "job.completed")
    await service.run("echo", {})
    await attempts(service, endpoint, 1)
    await changed(service, endpoint, limits={"rate": {"count": 1, "seconds": 7200}})
    for n in range(3):
        await service.run("echo", {"n": n})
    await attempts(service, endpoint, 2)
    await looks.more()
    assert receiver.hits == 2
