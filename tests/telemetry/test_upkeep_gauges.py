"""Gauges of the installation: how long jobs have been ready, nodes, vacuum, snapshots, connections, disk, schedules."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from duly import gauges
from duly.gauges import GaugeReader
from duly.loop import Loop, Loops
from duly.store.ledger.stream_blockers import Held
from duly.store.postgres.connection_pool import MOST_WHEN_STUCK
from duly.store.postgres.database import Database
from duly.store.webhooks.receivers import count_open
from duly.telemetry.metrics import Metrics
from tests.support import handlers as signals
from tests.support.gauges import read_gauges
from tests.support.reused_connections import asking
from tests.support.service import BOUND_SECONDS, Service, eventually
from tests.telemetry.test_metrics import samples_of

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
HOUR = 3_600


async def _samples(service: Service) -> dict[str, float]:
    await read_gauges(service)
    return samples_of((await service.client.get("/metrics")).content)


async def _submitted(service: Service, queue: str, **members: Any) -> UUID:
    return UUID((await service.submit("echo", 1, queue=queue, **members))["jobId"])


AGE = "update jobs set created_at = created_at - interval '1 hour' where job_id = $1"
RELEASE = """
with gone as (delete from scheduled where job_id = $1 returning *)
insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events,
                   marks, queue, type)
select tenant_id, job_id, token, {sequence}, timeout_seconds, priority, attempt, crashes, callback_events, marks,
       queue, type from gone
"""
EVENT = """
insert into events (tenant_id, job_id, sequence, kind, attempt, source)
select tenant_id, job_id, 1, 9, 0, 'test' from jobs where job_id = $1
"""
NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values (gen_random_uuid(), 'n', '1', '{worker}', '{echo,fail}', now() - $1 * interval '1 second')
"""


async def test_the_age_of_a_queue_counts_from_when_its_jobs_were_ready(start_service: Any) -> None:
    service: Service = await start_service(roles=("api", "worker"), worker_slots=1)
    parent = await service.run("echo", 1)
    await service.submit("wait-for-gate")
    await signals.has_entered("default").wait()
    waiting = await _submitted(service, "waiting")
    delayed = await _submitted(service, "delayed", delaySeconds=HOUR)
    resumed = await _submitted(service, "resumed", delaySeconds=HOUR)
    behind = await _submitted(service, "behind", dependsOn=[parent["jobId"]])
    hidden = [await _submitted(service, "hidden") for _ in range(2)]
    for job_id in (waiting, delayed, resumed, behind, *hidden):
        await service.sql(AGE, job_id)
    await service.sql("update jobs set run_at = now() where job_id = $1", delayed)
    await service.sql(RELEASE.format(sequence=0), delayed)
    await service.sql(EVENT, resumed)
    await service.sql(RELEASE.format(sequence=1), resumed)
    # In front of a job that has waited for an hour, one with a smaller id that was ready again a moment ago.
    await service.sql(EVENT, hidden[0])
    await service.sql("update ready set sequence = 1 where job_id = $1", hidden[0])

    samples = await _samples(service)
    ages = {
        queue: samples[f'duly_queue_oldest_seconds{{queue="{queue}"}}'] > HOUR / 2
        for queue in ("waiting", "delayed", "resumed", "behind", "hidden")
    }
    assert ages == {"waiting": True, "delayed": False, "resumed": False, "behind": False, "hidden": True}
    queues = (await service.client.get("/api/v1/queues")).json()["items"]
    assert {each["queue"]: each["oldestAgeSeconds"] > HOUR / 2 for each in queues if each["queue"] in ages} == ages
    for job_id in (resumed, hidden[0]):  # the invariants are checked after each test
        await service.sql("delete from events where job_id = $1 and kind = 9", job_id)
        await service.sql("update ready set sequence = 0 where job_id = $1", job_id)
    signals.gate("default").set()


async def test_types_without_a_live_worker_are_counted_while_their_jobs_wait(start_service: Any) -> None:
    service: Service = await start_service(roles=("api", "sweeper"))
    before = await _samples(service)
    assert (before["duly_types_without_worker"], before['duly_nodes{role="worker"}']) == (0, 0)
    await service.submit("echo", 1)
    await service.submit("fail")
    await service.submit("echo", 1, delaySeconds=60)
    now = await _samples(service)
    assert now["duly_types_without_worker"] == 2
    assert now['duly_nodes{role="api"}'] == 1
    # A node without a heartbeat for a minute does not count.
    await service.sql(NODE, HOUR)
    assert (await _samples(service))["duly_types_without_worker"] == 2
    await service.sql("delete from nodes where name = 'n'")
    await service.sql(NODE, 0)
    after = await _samples(service)
    assert (after["duly_types_without_worker"], after['duly_nodes{role="worker"}']) == (0, 1)


async def test_dead_rows_and_old_snapshots_are_shown(start_service: Any) -> None:
    service: Service = await start_service(roles=("api",))
    reading = {"isolation": "repeatable_read"}
    async with asking(service.database_url) as connection, connection.transaction(**reading):
        await connection.fetchval("select count(*) from ready")
        for _ in range(3):
            await service.submit("echo", 1)
        samples = await _samples(service)
    assert samples['duly_oldest_snapshot_transactions{by="session"}'] >= 3
    assert samples['duly_oldest_snapshot_seconds{by="session"}'] > 0
    assert samples['duly_table_size_bytes{table="ready"}'] > 0
    assert samples['duly_table_dead_rows{table="ready"}'] >= 0
    assert {name for name in samples if name.startswith("duly_oldest_snapshot_seconds")} == {
        f'duly_oldest_snapshot_seconds{{by="{kind}"}}'
        for kind in ("session", "prepared_transaction", "replication_slot")
    }
    assert 0 < samples["duly_database_sessions"] < samples["duly_database_sessions_limit"]


async def test_the_connections_of_the_pool_in_use_are_counted(start_service: Any) -> None:
    service: Service = await start_service(roles=("api",))
    async with service.node.database.connection(), service.node.database.connection():
        samples = await _samples(service)
    assert samples["duly_database_pool_connections"] >= 2
    assert samples["duly_database_pool_limit"] == MOST_WHEN_STUCK


async def test_an_overdue_schedule_is_late_and_a_paused_one_is_not(start_service: Any) -> None:
    service: Service = await start_service(roles=("api",))
    daily = {"cron": "0 3 * * *", "submission": {"type": "echo"}}
    for name in ("late", "paused"):
        assert (await service.client.put(f"/api/v1/schedules/{name}", json=daily)).status_code == 201
    assert (await _samples(service))["duly_schedules_late_seconds"] == 0
    await service.sql("update schedules set next_run_at = now() - interval '1 hour' where name = 'late'")
    await service.sql(
        "update schedules set next_run_at = now() - interval '1 day', paused = true where name = 'paused'"
    )
    assert HOUR <= (await _samples(service))["duly_schedules_late_seconds"] < 2 * HOUR


async def test_the_disk_is_that_of_the_embedded_database(start_service: Any, tmp_path: Path) -> None:
    service: Service = await start_service(roles=("api",))
    assert (await _samples(service))["duly_disk_free_bytes"] == -1
    metrics = Metrics()
    reader = GaugeReader(service.node.database, metrics, Loops())
    reader.database_folder = tmp_path
    await reader.step()
    samples = samples_of(metrics.render())
    assert 0 < samples["duly_disk_free_bytes"] < samples["duly_disk_size_bytes"]


async def test_gauges_are_read_more_rarely_where_counting_takes_long_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    reader, now, slow = GaugeReader(database, Metrics(), Loops()), [0.0], [0.0]

    async def counted(*arguments: Any) -> int:
        now[0] += slow[0]
        return await count_open(*arguments)

    monkeypatch.setattr(gauges, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(gauges, "count_open", counted)
    pauses = []
    for seconds in (0, 8, 0, 8, 4):
        slow[0] = seconds
        pauses.append(await reader.step())
    await database.close()
    assert pauses == [5, 5, 5, 5, 4 / gauges.SHARE]


class Asked:
    """A reader with a clock of the test's, and the number of its readings. Its loop is `step_if_due`."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.readings = 0
        loops = Loops()
        self.reader = GaugeReader(database, Metrics(), loops)
        self.loop = Loop("gauges", self.reader.step_if_due)
        loops.add(self.loop)
        self.held = False
        monkeypatch.setattr(gauges, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(gauges, "read_held", self._read_held)
        monkeypatch.setattr(gauges, "ASKED_SECONDS", 150.0)

    async def _read_held(self, _connection: object) -> Held:
        self.readings += 1
        return Held(1, 2 if self.held else 1, None)

    async def has_begun(self) -> bool:
        return self.loop.rounds > 0

    async def after(self, seconds: float) -> int:
        """Returns the number of readings while the loop runs for these seconds."""
        before, until = self.readings, self.now + seconds
        while self.now < until:
            pause = await self.reader.step_if_due()
            self.now = min(self.now + pause, until)
        return self.readings - before


async def test_gauges_that_nobody_asks_for_are_read_once_a_minute(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    asked = Asked(database, monkeypatch)
    assert await asked.after(300) == 5
    asked.held = True  # one that is held back is watched, so that it is reported after a minute
    assert await asked.after(120) >= 12
    asked.held = False
    assert await asked.after(300) <= 6
    await database.close()


async def test_the_first_request_for_metrics_waits_for_a_reading_and_the_others_find_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    asked = Asked(database, monkeypatch)
    running = asyncio.create_task(asked.loop.run())
    monkeypatch.setattr(gauges, "FRESH_SECONDS", BOUND_SECONDS)
    for rests in (30.0, 400.0, 59.0):  # since the reading before, without a request in between
        asked.now += 2 * gauges.ASKED_SECONDS
        await eventually(asked.has_begun)
        asked.now += rests
        await asyncio.gather(asked.reader.refresh(), asked.reader.refresh())
        assert asked.reader._read_at == asked.now
    running.cancel()
    await asyncio.wait([running])
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 0.0)  # no loop runs that a request could wait for
    before = asked.readings
    for _ in range(20):
        await asked.after(15)
        await asked.reader.refresh()
    assert asked.readings - before in {59, 60}  # as often as before, as long as there are requests
    await database.close()


async def test_requests_for_metrics_wait_for_a_database_that_is_away_once_and_not_for_long(
    server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(Database("postgresql://127.0.0.1:1/none"), monkeypatch)
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 0.05)
    await asked.reader.refresh()  # the loop does not even run
    asked.now += gauges.FRESH_SECONDS
    monkeypatch.setattr(gauges, "asyncio", None)  # none of these waits
    await asked.reader.refresh()
    asked.now += 30
    await asked.reader.refresh()
    assert asked.readings == 0


async def test_a_scrape_after_a_rest_has_what_is_true_now(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "FRESH_SECONDS", BOUND_SECONDS)
    await read_gauges(service)
    await service.submit("echo", 1, queue="later", delaySeconds=600)
    reader, loops = service.node.gauges, service.node.loops
    reader._asked_at = reader._read_at = float("-inf")  # as after minutes without a request
    loop = Loop("gauges", reader.step_if_due)
    loops.add(loop)
    running = asyncio.create_task(loop.run())
    samples = samples_of((await service.client.get("/metrics")).content)
    running.cancel()
    assert samples['duly_queue_scheduled{queue="later"}'] == 1
