"""Changes of the configuration are made once, over HTTP, and are in force in every cell."""

from collections.abc import Callable, Container
from typing import Any

import pytest

from duly.cells import local_call
from duly.domain.cells import cell_of_key
from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_TENANT
from tests.support import handlers as signals
from tests.support.cells import CELLS, CellService
from tests.support.scheduled_handlers import NAMES
from tests.support.service import eventually
from tests.support.webhook_receiver import Receiver

AWAY = 2


async def sent(
    cells: CellService, method: str, path: str, body: Any = None, *, key: str | None = None, away: Container[int] = ()
) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    return await cells.request(method, f"/api/v1/{path}", away=away, json=body, headers=headers)


async def in_force(cells: CellService) -> None:
    """Waits until all cells have the last change, since a copy may take too long on a busy machine."""

    async def look() -> bool:
        return not cells.group.copier.behind

    await eventually(look)


async def counts(cells: CellService, statement: str) -> list[int]:
    return [row[0] for row in await cells.sql(statement)]


async def job_in(cells: CellService, cell: int, type_: str = "echo", **members: Any) -> str:
    """Submits a job to a cell, by an id of the client's. Returns the id."""
    while cells.cell_of(job_id := new_job_id()) != cell:
        pass
    answer = await sent(cells, "PUT", f"jobs/{job_id}", {"type": type_, "parameters": {}, **members})
    assert answer.status_code == 202, answer.text
    return str(job_id)


async def test_a_paused_queue_is_paused_in_each_cell(cells: CellService) -> None:
    assert (await sent(cells, "POST", "queues/slow/pause")).status_code == 200
    await in_force(cells)
    jobs = [await job_in(cells, cell, queue="slow") for cell in range(CELLS)]
    assert await counts(cells, "select count(*) from queues where paused_at is not null") == [1] * CELLS
    assert {(await cells.job(job_id))["waitingFor"] for job_id in jobs} == {"paused"}
    await sent(cells, "POST", "queues/slow/resume")
    await in_force(cells)
    for job_id in jobs:
        assert (await cells.ended(job_id))["status"] == "completed"


async def test_a_cell_that_is_away_during_changes_gets_them_when_it_is_back(cells: CellService) -> None:
    made = (await sent(cells, "POST", "keys", {"name": "all", "scopes": ["admin", "webhooks", "jobs:read"]})).json()
    key = made["key"]
    other = (await sent(cells, "POST", "keys", {"name": "other", "scopes": ["jobs:read"]}, key=key)).json()
    await cells.take_away(AWAY)
    changes = [
        ("POST", "queues/slow/pause", None),
        ("PUT", "queues/mail/limits", {"concurrency": 2}),
        ("POST", "webhooks", {"url": "https://example.com/hook", "events": ["*"]}),
        ("DELETE", f"keys/{other['keyId']}", None),
    ]
    for method, path, body in changes:
        answer = await sent(cells, method, path, body, key=key)
        assert answer.status_code < 300, answer.text
        assert str(AWAY) in answer.headers["Duly-Cells-Behind"].split(", ")
    await cells.bring_back(AWAY)
    await in_force(cells)
    for table in ("queues", "endpoints", "limits where scope = 1", "api_keys where revoked_at is not null"):
        assert await counts(cells, f"select count(*) from {table}") == [1] * CELLS, table  # noqa: S608
    for _ in range(2 * CELLS):
        assert (await sent(cells, "GET", "queues/slow", key=other["key"])).status_code == 401


async def test_the_configuration_is_read_from_a_copy_while_cell_0_is_away(cells: CellService) -> None:
    made = (await sent(cells, "POST", "webhooks", {"url": "https://example.com/hook", "events": ["*"]})).json()
    await in_force(cells)
    await cells.take_away(0)
    assert (await sent(cells, "GET", f"webhooks/{made['webhookId']}")).json()["url"] == "https://example.com/hook"
    refused = await sent(cells, "POST", "queues/slow/pause", away={0})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "CELL_AWAY")
    assert (await cells.submit("echo"))["jobId"]
    await cells.bring_back(0)


async def test_a_limited_queue_is_in_one_cell_and_its_limit_is_exact(cells: CellService) -> None:
    earlier = [await job_in(cells, cell, "wait-for-gate", queue="mail") for cell in range(CELLS)]
    for job_id in earlier:
        await cells.until(job_id, lambda view: view["status"] == "running")
    await sent(cells, "PUT", "queues/mail/limits", {"concurrency": 1})
    await in_force(cells)
    later = [(await cells.submit("wait-for-gate", queue="mail"))["jobId"] for _ in range(3)]
    home = cell_of_key(DEFAULT_TENANT, "mail", CELLS)
    assert {cells.cell_of(job_id) for job_id in later} == {home}
    # Jobs of other cells, from before, are counted in theirs.
    assert await counts(cells, "select count(*) from running") == [1] * CELLS
    signals.gate("default").set()
    for job_id in (*earlier, *later):
        assert (await cells.ended(job_id))["status"] == "completed"


async def test_a_declared_type_is_known_in_each_cell_and_each_defends_its_jobs(cells: CellService) -> None:
    assert (await sent(cells, "PUT", "job-types/elsewhere", {"description": "first"})).status_code == 201
    await in_force(cells)
    job_id = await job_in(cells, 3, "elsewhere", parameters={"n": 1})
    assert await counts(cells, "select count(*) from declared_types where tenant_id = 1") == [1] * CELLS
    schema = {"type": "object", "properties": {"n": {"type": "string"}}}
    for refused in (
        await sent(cells, "PUT", "job-types/elsewhere", {"parametersSchema": schema, "description": "second"}),
        await sent(cells, "DELETE", "job-types/elsewhere"),
    ):
        assert refused.status_code == 409, refused.text
        await in_force(cells)
        found = await cells.sql("select description from declared_types where tenant_id = 1")
        assert [row[0] for row in found] == ["first"] * CELLS
    await sent(cells, "POST", f"jobs/{job_id}/cancel")
    assert (await sent(cells, "DELETE", "job-types/elsewhere")).status_code == 204
    await in_force(cells)
    assert await counts(cells, "select count(*) from declared_types where tenant_id = 1") == [0] * CELLS


async def test_a_schema_is_refused_with_the_number_of_unfit_jobs_of_all_cells(start_cells: Callable[..., Any]) -> None:
    cells: CellService = await start_cells(roles=("api",))
    assert (await sent(cells, "PUT", "job-types/elsewhere", {})).status_code == 201
    await in_force(cells)
    for cell in range(CELLS):
        await job_in(cells, cell, "elsewhere", parameters={"n": "one"})
    changed = {"parametersSchema": {"type": "object", "properties": {"n": {"type": "string"}}}}
    for count, cell in enumerate((0, 2, 2), start=1):
        await job_in(cells, cell, "elsewhere", parameters={"n": 1})
        refused = await sent(cells, "PUT", "job-types/elsewhere", changed)
        assert refused.status_code == 409, refused.text
        details = refused.json()["error"]["details"]
        assert (details["jobs"], details["examined"]) == (count, CELLS + count)
        await in_force(cells)
        assert (
            await counts(cells, "select count(*) from declared_types where parameters_schema::text = '{}'")
            == [1] * CELLS
        )
    assert (await sent(cells, "PUT", "job-types/elsewhere?force=true", changed)).status_code == 200


async def test_a_type_is_in_use_by_the_jobs_of_all_cells(start_cells: Callable[..., Any]) -> None:
    cells: CellService = await start_cells(roles=("api",))
    assert (await sent(cells, "PUT", "job-types/elsewhere", {})).status_code == 201
    await in_force(cells)
    jobs = []
    for count, cell in enumerate((2, 0, 3, 3), start=1):
        jobs.append(await job_in(cells, cell, "elsewhere"))
        refused = await sent(cells, "DELETE", "job-types/elsewhere")
        assert refused.status_code == 409, refused.text
        error = refused.json()["error"]
        assert (error["code"], error["details"]["jobs"]) == ("JOB_TYPE_IN_USE", count)
        assert f"in use by {count} unfinished job" in error["message"]
        await in_force(cells)
        assert await counts(cells, "select count(*) from declared_types where tenant_id = 1") == [1] * CELLS
    for job_id in jobs:
        await sent(cells, "POST", f"jobs/{job_id}/cancel")
    assert (await sent(cells, "DELETE", "job-types/elsewhere")).status_code == 204


async def test_a_change_of_all_cells_is_in_the_audit_log_once(cells: CellService) -> None:
    for method, path, body in (
        ("PUT", "job-types/elsewhere", {}),
        ("POST", "jobs/cancel?type=elsewhere", None),
        ("POST", "jobs/retry?type=elsewhere", None),
        ("POST", "queues/slow/pause", None),
        ("DELETE", "job-types/elsewhere", None),
    ):
        answer = await sent(cells, method, path, body)
        assert answer.status_code < 300, answer.text
        await in_force(cells)
    entries = (await cells.whole("/api/v1/audit")).json()["items"]
    assert [entry["action"] for entry in reversed(entries)] == [
        *("job-type.declared", "jobs.cancelled", "jobs.retried", "queue.paused", "job-type.deleted")
    ]


async def test_the_answer_says_whether_the_queue_is_paused_now(cells: CellService) -> None:
    for _ in range(5):  # the other cells follow while the answer is written
        for verb, paused in (("pause", True), ("resume", False)):
            answer = await sent(cells, "POST", f"queues/slow/{verb}")
            assert (answer.status_code, answer.json()["paused"]) == (200, paused)
            assert (answer.json()["pausedAt"] is not None) == paused


async def test_a_schedule_is_in_the_cell_of_its_name_and_fires_there_once(cells: CellService) -> None:
    cell = cell_of_key(DEFAULT_TENANT, "often", CELLS)
    created = await sent(cells, "POST", "schedules", {"name": "often", "cron": "0 0 1 1 *", "submission": ECHO})
    assert created.status_code == 201, created.text
    assert await counts(cells, "select count(*) from schedules") == [int(n == cell) for n in range(CELLS)]
    run = (await sent(cells, "POST", "schedules/often/run")).json()
    assert cells.cell_of(run["jobId"]) == cell
    await cells.sql(cell, "update schedules set next_run_at = now()")

    async def fired() -> bool:
        return await counts(cells, "select count(*) from schedule_runs") == [2 * (n == cell) for n in range(CELLS)]

    await eventually(fired)
    assert (await sent(cells, "PATCH", "schedules/often", {"paused": True})).status_code == 200
    assert (await sent(cells, "DELETE", "schedules/often")).status_code == 204


async def test_a_schedule_that_code_declares_is_in_the_cell_of_its_name(start_cells: Callable[..., Any]) -> None:
    cells: CellService = await start_cells(handlers=("tests.support.scheduled_handlers",))
    for cell in range(CELLS):
        own = {name for name in NAMES if cell_of_key(DEFAULT_TENANT, name, CELLS) == cell}
        assert {row[0] for row in await cells.sql(cell, "select name from schedules where declared")} == own


async def test_the_workers_that_declare_a_schedule_are_those_of_its_cell(start_cells: Callable[..., Any]) -> None:
    cells: CellService = await start_cells(handlers=("tests.support.scheduled_handlers",))
    await cells.sql(0, "update nodes set schedules = '{}'")  # as if the workers of cell 0 were of another release
    own = {name: int(cell_of_key(DEFAULT_TENANT, name, CELLS) != 0) for name in NAMES}
    assert set(own.values()) == {0, 1}
    for _ in range(CELLS):
        items = (await cells.whole("/api/v1/schedules")).json()["items"]
        assert {item["name"]: item["workers"] for item in items} == own
        for name, workers in own.items():
            assert (await sent(cells, "GET", f"schedules/{name}")).json()["workers"] == workers


ECHO = {"type": "echo", "parameters": {}}


async def test_a_schedule_whose_job_is_of_another_cell_is_refused_with_a_name_that_fits(cells: CellService) -> None:
    key = next(f"k{n}" for n in range(99) if cell_of_key(1, f"k{n}", CELLS) != cell_of_key(1, "nightly", CELLS))
    body = {"cron": "0 0 1 1 *", "submission": {**ECHO, "concurrencyKey": key}}
    refused = await sent(cells, "PUT", "schedules/nightly", body)
    [error] = refused.json()["error"]["details"]["errors"]
    assert (refused.status_code, error["path"]) == (422, "submission.concurrencyKey")
    fitting = error["message"].split('"')[-2]
    assert (await sent(cells, "PUT", f"schedules/{fitting}", body)).status_code == 201


async def test_an_endpoint_gets_the_deliveries_of_all_cells_once(cells: CellService, receiver: Receiver) -> None:
    made = await sent(cells, "POST", "webhooks", {"url": receiver.url, "events": ["job.completed"]})
    webhook = made.json()["webhookId"]
    await in_force(cells)
    receiver.statuses = [500, 204]
    jobs = [await job_in(cells, cell) for cell in range(CELLS)]
    for job_id in jobs:
        await cells.ended(job_id)

    async def delivered() -> bool:
        found = (await sent(cells, "GET", f"webhooks/{webhook}/deliveries")).json()["items"]
        return len(found) == CELLS and receiver.hits >= CELLS

    await eventually(delivered)
    found = (await sent(cells, "GET", f"webhooks/{webhook}/deliveries")).json()["items"]
    assert {item["jobId"] for item in found} == set(jobs)
    for item in found:
        assert cells.cell_of(item["deliveryId"]) == cells.cell_of(item["jobId"])
        assert (await sent(cells, "GET", f"deliveries/{item['deliveryId']}")).status_code == 200


async def test_a_replay_has_one_id_and_a_part_in_each_cell(cells: CellService, receiver: Receiver) -> None:
    made = await sent(cells, "POST", "webhooks", {"url": receiver.url, "events": ["job.completed"]})
    webhook = made.json()["webhookId"]
    await in_force(cells)
    since = (await cells.job(await job_in(cells, 0)))["createdAt"]
    begun = await sent(cells, "POST", f"webhooks/{webhook}/replay", {"since": since})
    assert begun.status_code == 202, begun.text
    assert await counts(cells, "select count(distinct replay_id) from replays") == [1] * CELLS
    [listed] = (await sent(cells, "GET", f"webhooks/{webhook}/replays")).json()["items"]
    assert listed["replayId"] == begun.json()["replayId"]
    assert (await sent(cells, "GET", f"webhooks/{webhook}/replays/{listed['replayId']}")).status_code == 200


@pytest.mark.parametrize("limit", [{"rate": {"count": 4, "seconds": 3600}}])
async def test_a_submission_rate_is_divided_over_the_cells(
    cells: CellService, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]
) -> None:
    monkeypatch.setattr(local_call, "TURN_SECONDS", 0)  # each submission goes to the next cell, however quick it is
    assert (await sent(cells, "PUT", "limits", limit)).status_code == 200
    await in_force(cells)
    statuses = [(await sent(cells, "POST", "jobs", ECHO)).status_code for _ in range(CELLS + 1)]
    assert statuses == [202] * CELLS + [429]
    assert (await sent(cells, "GET", "limits")).json()["rate"] == limit["rate"]
