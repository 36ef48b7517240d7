"""Wake-ups between nodes: all are sent, none is too long, and a malformed one is ignored."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.api.jobs import long_poll
from duly.domain.ids import new_job_id
from duly.domain.job import Lane
from duly.lifecycle.claim import claim
from duly.lifecycle.cluster import follow_filter
from duly.lifecycle.cluster.follow_filter import BUCKETS, buckets_of
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.worker import pool
from tests.support.handlers import gate
from tests.support.service import Service, eventually

StartService = Callable[..., Any]
LANE = Lane(1, "reports", "report-generation", -5)
NOTIFY_LIMIT = 8000


class Heard:
    """A node's listeners, which note what they hear."""

    def __init__(self) -> None:
        self.ready: list[tuple[Lane, UUID]] = []
        self.changed: list[UUID] = []
        self.cancelled: list[UUID] = []
        self.deliveries = 0
        self.wakeups = Wakeups()
        self.wakeups.local.ready = lambda lane, oldest: self.ready.append((lane, oldest))
        self.wakeups.local.changed = self._changed
        self.wakeups.local.cancel = self.cancelled.append
        self.wakeups.local.deliveries = self._deliveries

    def _changed(self, job_ids: Iterable[UUID]) -> None:
        self.changed += job_ids

    def _deliveries(self) -> None:
        self.deliveries += 1

    @property
    def nothing(self) -> bool:
        return not (self.ready or self.changed or self.cancelled or self.deliveries)


def sending() -> Wakeups:
    signals = Wakeups(wake_sender=lambda: None)
    signals.alone = False
    signals.follow_filter.note("other", buckets_of(UUID(int=n) for n in range(BUCKETS)), replace=True)
    return signals


def carried(signals: Wakeups, heard: Heard) -> None:
    """Takes what the one node sends, in the form that it travels in, to the other."""
    for hint in signals.take_outgoing():
        heard.wakeups.receive(json.loads(json.dumps(hint)))


def test_each_hint_arrives_as_it_was_given() -> None:
    signals, heard = sending(), Heard()
    oldest, changed, cancelled = uuid4(), uuid4(), uuid4()
    signals.ready(LANE, oldest)
    signals.changed([changed])
    signals.cancel(cancelled)
    signals.deliveries()
    carried(signals, heard)
    assert heard.ready == [(LANE, oldest)]
    assert (heard.changed, heard.cancelled, heard.deliveries) == ([changed], [cancelled], 1)


@pytest.mark.parametrize("tenant", [1, 2])
def test_a_ready_lane_arrives_with_its_tenant(tenant: int) -> None:
    signals, heard = sending(), Heard()
    lane, oldest = LANE._replace(tenant_id=tenant), uuid4()
    signals.ready(lane, oldest)
    carried(signals, heard)
    assert heard.ready == [(lane, oldest)]


def test_a_node_of_the_previous_release_understands_lanes_of_the_default_tenant() -> None:
    signals, heard = sending(), Heard()
    oldest = uuid4()
    signals.ready(LANE, oldest)
    as_before = ["ready", LANE.queue, LANE.type, LANE.priority, str(oldest)]
    assert signals.take_outgoing() == [as_before]
    heard.wakeups.receive(as_before)
    heard.wakeups.receive([*as_before, "not a tenant"])
    heard.wakeups.receive([*as_before, 2, 3])
    assert heard.ready == [(LANE, oldest)]


def test_what_was_taken_is_not_taken_again() -> None:
    signals = sending()
    signals.ready(LANE, uuid4())
    signals.changed([uuid4()])
    signals.cancel(uuid4())
    signals.deliveries()
    assert len(signals.take_outgoing()) == 4
    assert signals.take_outgoing() == []


def test_hints_that_say_the_same_travel_once() -> None:
    signals, heard = sending(), Heard()
    job_id = uuid4()
    older, newer = sorted((uuid4(), uuid4()))
    for oldest in (newer, older, newer):
        signals.ready(LANE, oldest)
        signals.changed([job_id])
        signals.deliveries()
    carried(signals, heard)
    assert heard.ready == [(LANE, older)]
    assert (heard.changed, heard.deliveries) == ([job_id], 1)


def test_no_hint_is_longer_than_a_notification_may_be() -> None:
    signals, heard = sending(), Heard()
    job_ids = [new_job_id() for _ in range(1000)]
    signals.changed(job_ids)
    signals.ready(Lane(1, "q" * 128, "t" * 128, -100), uuid4())
    texts = [json.dumps(hint, ensure_ascii=False) for hint in signals.take_outgoing()]
    assert max(len(text.encode()) for text in texts) < NOTIFY_LIMIT
    for text in texts:
        heard.wakeups.receive(json.loads(text))
    assert heard.changed == job_ids


def test_a_change_is_told_only_where_somebody_may_follow_the_job() -> None:
    here, there = Wakeups(wake_sender=lambda: None, alone=False), Wakeups(wake_sender=lambda: None, alone=False)
    followed, other = UUID(int=5), UUID(int=6)
    here.changed([followed, other])
    assert here.take_outgoing() == []
    assert there.follow_job(followed)
    for hint in there.take_outgoing():
        here.receive(json.loads(json.dumps(hint)))
    here.changed([followed, other])
    assert here.take_outgoing() == [["changed", str(followed)]]


def test_that_the_ledger_has_grown_is_told_once_and_only_where_somebody_follows_all_jobs() -> None:
    here, there = Wakeups(wake_sender=lambda: None, alone=False), Wakeups(wake_sender=lambda: None, alone=False)
    grown: list[None] = []
    there.local.ledger_grew = lambda: grown.append(None)
    here.submitted([(1, "default")])
    assert here.take_outgoing() == []
    there.follow_all(True)
    for hint in there.take_outgoing():
        here.receive(json.loads(json.dumps(hint)))
    assert here.follow_filter.followed_elsewhere([UUID(int=5)]) == []
    here.submitted([(1, "default")])
    here.changed([UUID(int=5)])
    hints = here.take_outgoing()
    assert hints == [["news"]]
    there.receive(hints[0])
    assert len(grown) == 1
    there.repeat_follows([])  # said again, for a hint may be lost
    here.receive(there.take_outgoing()[0])
    assert here.follow_filter.all_followed
    there.follow_all(False)
    there.repeat_follows([])
    here.receive(there.take_outgoing()[0])
    assert not here.follow_filter.all_followed


def test_what_is_no_longer_followed_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Wakeups(wake_sender=lambda: None, alone=False)
    first, second = UUID(int=1), UUID(int=2)
    here.receive(["follows", "other", f"{buckets_of([first]):x}"])
    here.receive(["follows", "other", f"{buckets_of([second]):x}"])
    assert here.follow_filter.followed_elsewhere([first, second]) == [first, second]
    here.receive(["follows-still", "other", f"{buckets_of([second]):x}"])
    assert here.follow_filter.followed_elsewhere([first, second]) == [second]
    monkeypatch.setattr(follow_filter, "LIFETIME_SECONDS", -1.0)
    here.receive(["follows-still", "other", f"{buckets_of([second]):x}"])
    here.repeat_follows([])
    assert here.follow_filter.followed_elsewhere([first, second]) == []


def test_a_node_that_is_alone_tells_itself_and_keeps_nothing_for_others() -> None:
    heard = Heard()
    heard.wakeups.wake_sender = lambda: None
    job_id = uuid4()
    heard.wakeups.changed([job_id])
    heard.wakeups.ready(LANE, job_id)
    heard.wakeups.cancel(job_id)
    heard.wakeups.deliveries()
    assert (heard.changed, heard.ready, heard.cancelled) == ([job_id], [(LANE, job_id)], [job_id])
    assert heard.wakeups.take_outgoing() == []


def test_a_node_that_cannot_send_keeps_nothing_for_others() -> None:
    signals = Wakeups()
    signals.alone = False
    for _ in range(100):
        signals.changed([uuid4()])
        signals.cancel(uuid4())
        signals.deliveries()
        signals.ready(LANE, uuid4())
    assert signals.take_outgoing() == []


def test_a_node_that_hears_hello_is_no_longer_alone() -> None:
    heard = Heard()
    heard.wakeups.receive(["hello"])
    assert not heard.wakeups.alone


def test_a_node_that_listens_only_after_the_hello_of_another_is_not_alone_either() -> None:
    earlier, later = Heard().wakeups, Wakeups(wake_sender=lambda: None, alone=False)
    later.receive(["hello"])  # of the one that was listed first and listens last
    later.repeat_follows([])
    for hint in later.take_outgoing():
        earlier.receive(hint)
    assert not earlier.alone


UNKNOWN = [
    ["of-a-newer-version", 1, 2],
    ["ready"],
    ["ready", "q", "t", "not a number", str(UUID(int=1))],
    ["ready", "q", "t", 0, str(UUID(int=1)), "more"],
    ["cancel"],
    ["deliveries", "more"],
    ["follows", "name"],
    ["follows-still", "name", 7],
    [],
    {},
    {"changed": []},
    None,
    7,
    "changed",
]
MALFORMED = [
    ["ready", "q", "t", 0, "no id"],
    ["changed", "no id"],
    ["changed", 7],
    ["changed", None],
    ["cancel", "no id"],
    ["follows", "name", "no mask"],
]


@pytest.mark.parametrize("hint", UNKNOWN + MALFORMED, ids=repr)
def test_a_hint_that_is_not_understood_is_passed_over(hint: Any) -> None:
    heard = Heard()
    heard.wakeups.receive(hint)
    assert heard.nothing


async def notify(service: Service, *payloads: str) -> None:
    async with service.connection() as connection:
        for payload in payloads:
            await connection.execute("select pg_notify('duly', $1)", payload)


async def test_malformed_notifications_do_not_end_the_listening(service: Service) -> None:
    (hints,) = [loop for loop in service.node.loops if loop.name == "notify"]

    async def listens() -> bool:
        return hints.rounds > 0

    await eventually(listens)
    heard = asyncio.Event()
    job_id = uuid4()

    def changed(job_ids: Iterable[UUID]) -> None:
        if job_id in list(job_ids):
            heard.set()

    loop = asyncio.get_running_loop()
    broken: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: broken.append(context))
    service.node.wakeups.local.changed = changed
    await notify(
        service, "", "no json", "[", "[1e999]", "[" * 4000, *(json.dumps(hint) for hint in UNKNOWN + MALFORMED)
    )
    await notify(service, json.dumps(["changed", str(job_id)]))
    async with asyncio.timeout(60):
        await heard.wait()
    assert broken == []


async def test_a_job_submitted_on_one_node_starts_quickly_on_another(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (claim, pool):  # without a wake-up, it would start after an hour
        monkeypatch.setattr(module, "LOOK_SECONDS", 3600.0)
    taking = await start_service(roles=("api",))
    working = await start_service(roles=("worker",))
    await eventually(lambda: _know_each_other(taking, working))
    for _ in range(9):
        assert (await taking.run("echo"))["status"] == "completed"


async def test_a_cancellation_reaches_the_node_that_runs_the_job(start_service: StartService) -> None:
    # Without a wake-up, the next heartbeat would tell it, after twenty minutes.
    taking = await start_service(roles=("api",), lease_seconds=3600)
    working = await start_service(roles=("worker",), lease_seconds=3600)
    await eventually(lambda: _know_each_other(taking, working))
    submitted = await taking.submit("wait-for-gate", {"name": "elsewhere"})
    await taking.until(submitted["jobId"], lambda view: view["status"] == "running")
    await taking.client.post(f"/api/v1/jobs/{submitted['jobId']}/cancel")
    assert (await taking.ended(submitted["jobId"]))["status"] == "cancelled"


async def _know_each_other(*services: Service) -> bool:
    """Returns whether each listens and sends."""
    return all(
        not service.node.wakeups.alone and loop.rounds
        for service in services
        for loop in service.node.loops
        if loop.name == "notify"
    )


async def test_a_change_elsewhere_reaches_whoever_follows_the_job_here_and_no_one_else(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_poll, "LOOK_SECONDS", 3600.0)
    running = await start_service(roles=("worker",))
    following = await start_service(roles=("api",))
    told: list[UUID] = []
    hear = following.node.wakeups.local.changed

    def listen(job_ids: Iterable[UUID]) -> None:
        told.extend(job_ids)
        hear(told)

    following.node.wakeups.local.changed = listen
    followed = (await following.submit("wait-for-gate", {"name": "followed"}))["jobId"]
    await following.until(followed, lambda view: view["status"] == "running")
    others = [(await following.submit("echo"))["jobId"] for _ in range(20)]
    wait = asyncio.create_task(following.client.get(f"/api/v1/jobs/{followed}", params={"wait": 60}))
    await eventually(lambda: _followed(running, UUID(followed)))
    gate("followed").set()
    assert (await asyncio.wait_for(wait, 60)).json()["status"] == "completed"
    await eventually(lambda: following.sql("select from events where kind >= 10 having count(*) = 21"))
    assert UUID(followed) in told
    assert len({str(job_id) for job_id in told} & set(others)) < 5  # some may share the bucket


async def _followed(service: Service, job_id: UUID) -> bool:
    return service.node.wakeups.follow_filter.followed_elsewhere([job_id]) == [job_id]
