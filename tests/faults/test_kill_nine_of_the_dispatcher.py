"""`kill -9` at every await of the dispatcher: no webhook is lost, none is invented, and a repeated one is the same."""

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from duly.domain.event_views import WEBHOOK_EVENT_OF
from duly.domain.events import EventKind
from duly.domain.ids import event_id
from duly.domain.webhook_events import ENDPOINT_BITS
from tests.support.fault_point_services import FaultPointService, FaultPointServices, fault_point_services
from tests.support.fault_points import MODULES, points_of
from tests.support.inserted_endpoints import ENDS, EVERYTHING, keep_endpoint
from tests.support.misbehaving_receiver import (
    MisbehavingReceiver,
    after,
    answers,
    at_first,
    misbehaving_receiver,
    waits_for,
)
from tests.support.service import Service, eventually

# The behavior of a process does not depend on the server's version.
pytestmark = [
    pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session"),
    pytest.mark.timeout(1_200),  # a hundred services are killed in turn, which takes minutes on a busy machine
]
StartService = Callable[..., Any]

# Points that a service with these roles need not pass; every other one must be passed.
SELDOM_PASSED = (
    "duly.outbound.client:OutboundClient.__aexit__:",  # a service closes its client by name
    "duly.outbound.connection_pool:ConnectionPool.connection:2:",  # waits only while all connections are in use
    "duly.store.webhooks.receivers:delete_idle_receivers:",  # the last of housekeeping: a slow service stops before it
)
RETRY_SECONDS = "0.05," * 30
DYING = {
    "DULY_ROLES": "dispatcher,sweeper",
    "DULY_WEBHOOK_TIMEOUT_SECONDS": "10",
    "DULY_WEBHOOK_RETRY_SECONDS": RETRY_SECONDS,
}
# One delivery attempt of each webhook cannot be recorded, because Postgres rejects it, as in an unforeseen case.
REFUSES = "alter table delivery_attempts add constraint no_teapots check (status_code <> 418)"
REFUSES_NO_MORE = "alter table delivery_attempts drop constraint no_teapots"
EVENTS = {"/every": EVERYTHING, "/limited": EVERYTHING, "/flaky": ENDS, "/teapot": ENDS}
TRIES = 6
LIMITS = {"/limited": 30}
LARGE = "x" * 700_000
# The claims of a dead dispatcher are aged instead of waited for. No webhook was sent while all dispatchers were dead,
# so receivers due for a retry count as failing only from now on.
# In the order of the service, whose locks it would cross otherwise.
FORGIVEN = """
update receivers set failing_since = now(), probe_at = null, opened_at = null, state = 0
where receiver_id in (select receiver_id from receivers where failures > 0 order by receiver_id for update)
"""
AGED = ("update deliveries set due_at = now()", FORGIVEN)


@dataclass
class Scene:
    """A service that records deliveries, receivers that can fail, and dispatchers that die."""

    service: Service
    receiver: MisbehavingReceiver
    slow: MisbehavingReceiver
    dying: FaultPointServices
    held: asyncio.Event
    teapot: UUID
    parted: list[UUID]
    result: str = "small"

    async def something_to_tell(self) -> None:
        """Jobs whose webhooks make a dispatcher do all that it can do."""
        path = f"/parting/{len(self.parted)}"
        self.receiver.manners[path] = answers(400, headers={"webhook-delivery": "disable"})
        self.parted.append(await keep_endpoint(self.service, self.receiver.url(path), events=ENDS))
        every = [name for name, bit in ENDPOINT_BITS.items() if bit & EVERYTHING and name.startswith("job.")]
        callback, flaky = self.receiver.url("/callback"), self.receiver.url("/flaky-callback")
        await asyncio.gather(
            self._twice_ended(callbackUrl=flaky),
            self.service.run("echo", self.result, callbackUrl=callback, callbackEvents=every),
        )

    async def _twice_ended(self, **members: Any) -> None:
        """Submits a job that fails, and fails again when it is retried: the second end is delivered after the first."""
        job = await self.service.run("fail", **members)
        answer = await self.service.client.post(f"/api/v1/jobs/{job['jobId']}/retry")
        assert answer.status_code == 202, answer.text
        ended = job["sequence"]
        await self.service.until(job["jobId"], lambda view: view["sequence"] > ended and view["status"] == "failed")

    async def age(self) -> None:
        for statement in AGED:
            await self.service.sql(statement)

    async def dispatched(self, *, dies_at: str = "", drains: bool) -> tuple[int, list[str], list[str]]:
        """Lets a dispatcher work until it dies or has sent everything, and then stops it if asked to. Returns how it
        ended, and the points that it passed before and after the stop.
        """
        await self.age()
        # Before the start, since a post that an earlier dispatcher left behind may come at once, and hold as well.
        before = len(self.slow.posts)
        if drains:
            self.held.clear()
        service = await self.dying.start(self.service.database_url, dies_at=dies_at, **DYING)
        if not drains:
            return await self._died(service), service.passed, []
        await self.service.run("echo", callbackUrl=self.slow.url("/held"))
        await eventually(lambda: self._holds(service, before))
        passed = [] if dies_at else await self._all_done(service)
        service.stop()
        await service.passes(":Dispatcher.drain:")
        self.held.set()
        code = await service.ended()
        return code, passed, [point for point in service.passed if point not in passed]

    async def _died(self, service: FaultPointService) -> int:
        """Returns how the dispatcher ended. Until it passes its point, which it need not do for each webhook, there is
        more to send.
        """
        for _ in range(TRIES):
            await self._all_done(service)
            if not service.alive:
                break
            await self.something_to_tell()
        return await service.ended()

    async def _holds(self, service: FaultPointService, before: int) -> bool:
        """Returns True if the dispatcher waits for the receiver that holds, or has died before."""
        return not service.alive or len(self.slow.posts) > before

    async def _all_done(self, service: FaultPointService) -> list[str]:
        async def look() -> bool:
            return not service.alive or await self.left() <= 1

        await eventually(look)
        return service.passed

    async def left(self) -> int:
        """Returns the number of deliveries still to send, without those whose attempt was not recorded and those behind
        them.
        """
        (row,) = await self.service.sql("select count(*) from deliveries where receiver_id <> $1", self.teapot)
        return int(row[0])


@pytest.fixture
async def scene(start_service: StartService, tmp_path: Path) -> AsyncIterator[Scene]:
    held = asyncio.Event()
    manners = {
        "/flaky": at_first(answers(500), then=answers(204)),
        "/flaky-callback": at_first(answers(503), then=answers(204)),
        "/teapot": at_first(answers(418), then=answers(204)),
        "/limited": after(0.05, then=answers(204)),
    }
    holding = {"/held": waits_for(held, then=answers(204))}
    service = await start_service(roles=("api", "worker"), parameters_limit=1 << 20)
    await service.sql(REFUSES)
    async with (
        misbehaving_receiver(manners) as receiver,
        misbehaving_receiver(holding) as slow,
        fault_point_services(tmp_path) as dying,
    ):
        ids = {
            path: await keep_endpoint(service, receiver.url(path), events=events, concurrency=LIMITS.get(path))
            for path, events in EVENTS.items()
        }
        yield Scene(service, receiver, slow, dying, held, ids["/teapot"], [])


@pytest.mark.parametrize(
    "modules", ["duly.webhooks.dispatcher", "duly.webhooks.s", "duly.store.webhooks", "duly.outbound"]
)
async def test_wherever_a_dispatcher_is_killed_no_webhook_is_lost_and_repeated_ones_are_the_same(
    scene: Scene, start_service: StartService, modules: str
) -> None:
    scene.result = LARGE if modules == "duly.outbound" else "small"
    at_work, leaving = await _passed(scene, modules)
    for points, drains in ((at_work, False), (leaving, True)):
        for point in _chosen(points, modules):
            assert await _killed(scene, point, drains=drains) == -signal.SIGKILL, point

    await scene.age()
    await scene.service.sql(REFUSES_NO_MORE)
    await start_service(roles=("dispatcher",), webhook_retry_seconds=(0.05,) * 30, webhook_timeout_seconds=1)
    await scene.something_to_tell()
    await eventually(lambda: _told(scene), seconds=60)
    await _nothing_is_lost(scene)
    _repeats_are_the_same(scene.receiver)
    _ends_of_a_job_came_in_order(scene.receiver)
    await _who_asked_for_it_is_disabled(scene)


async def _killed(scene: Scene, point: str, *, drains: bool) -> int:
    """Returns how a dispatcher ended that dies at this point; repeats where one stopped without passing it."""
    code = 0
    for _ in range(TRIES):
        await scene.something_to_tell()
        code, _, _ = await scene.dispatched(dies_at=point, drains=drains)
        if code != 0:
            break
    return code


async def _passed(scene: Scene, modules: str) -> tuple[list[str], list[str]]:
    """Returns the points that a dispatcher passes at work, and those that it passes as it stops."""
    at_work, leaving = list[str](), list[str]()
    for _ in range(TRIES):
        await scene.something_to_tell()
        code, *passed = await scene.dispatched(drains=True)
        assert code == 0
        at_work += [point for point in passed[0] if point not in at_work]
        leaving += [point for point in passed[1] if point not in at_work + leaving]
        if not (missed := _points(modules) - {point.rpartition(" ")[0] for point in at_work + leaving}):
            return at_work, leaving
    raise AssertionError(missed)


def _points(modules: str) -> set[str]:
    chosen = [module for module in MODULES if module.startswith(modules)]
    return {point for module in chosen for point in points_of(module) if not point.startswith(SELDOM_PASSED)}


def _chosen(passed: list[str], modules: str) -> list[str]:
    """Each point once: in the middle of things, where it is passed often."""
    return [
        f"{point} {3 if f'{point} 30' in passed else 1}"
        for point, _, times in (line.rpartition(" ") for line in passed)
        if times == "1" and point.startswith(modules)
    ]


async def _told(scene: Scene) -> bool:
    """Returns whether all webhooks are sent. A receiver that fails the first try of each fails each probe as well."""
    await scene.service.sql(FORGIVEN)
    return not await scene.service.sql("select from deliveries limit 1")


async def _nothing_is_lost(scene: Scene) -> None:
    told = {(post.path, post.webhook_id) for post in scene.receiver.posts + scene.slow.posts}
    rows = await scene.service.sql(
        "select job_id, sequence, kind, callback_url, callback_events from events join jobs using (tenant_id, job_id)"
    )
    to_tell = set()
    for job_id, sequence, kind, url, asked in rows:
        bit = ENDPOINT_BITS.get(WEBHOOK_EVENT_OF.get(EventKind(kind), ""), 0)
        paths = [path for path, events in EVENTS.items() if events & bit]
        if asked & bit:
            paths.append("/" + url.rpartition("/")[2])
        to_tell |= {(path, str(event_id(job_id, sequence))) for path in paths}
    announced = await scene.service.sql("select message_id from messages where kind = 22")
    to_tell |= {(path, str(event_id(row[0], 0))) for path in EVENTS for row in announced}
    parting = {told_of for told_of in told if told_of[0].startswith("/parting/")}
    assert told - parting == to_tell


def _repeats_are_the_same(receiver: MisbehavingReceiver) -> None:
    bodies = defaultdict(set)
    for post in receiver.posts:
        bodies[post.webhook_id].add(post.body)
    assert [webhook_id for webhook_id, sent in bodies.items() if len(sent) > 1] == []
    # And what differs has another id.
    assert len({body for sent in bodies.values() for body in sent}) == len(bodies)


def _ends_of_a_job_came_in_order(receiver: MisbehavingReceiver) -> None:
    came = defaultdict(list)
    for post in receiver.posts:
        said = json.loads(post.body)
        if "completedAt" in said:
            came[post.path, said["jobId"]].append(said["sequence"])
    assert {key: order for key, order in came.items() if order != sorted(order)} == {}
    assert any(len(set(order)) > 1 for order in came.values())


async def _who_asked_for_it_is_disabled(scene: Scene) -> None:
    rows = await scene.service.sql("select endpoint_id, disabled_at is not null from endpoints")
    disabled = {endpoint_id for endpoint_id, is_disabled in rows if is_disabled}
    assert disabled == set(scene.parted)
    told = [json.loads(post.body) for post in scene.receiver.at("/every")]
    announced = [said["webhookId"] for said in told if said["type"] == "endpoint.disabled"]
    assert set(announced) == {str(endpoint_id) for endpoint_id in scene.parted}
