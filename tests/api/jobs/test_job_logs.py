"""`GET /api/v1/jobs/{jobId}/logs`: log lines of a handler by attempt, in pages, oldest first."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from duly.api.jobs.job_logs import LogPage
from tests.support import handlers as support
from tests.support.response_checks import TIME, invalid_paths, refused
from tests.support.service import BOUND_SECONDS, Service, eventually, running_service

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.log_and_checkpoint_handlers")
LINES = [("debug", "begins", {}), ("info", "read it", {"rows": 3, "name": "é"}), ("error", "broken", {"at": None})]

HELD_UP = "select from pg_stat_activity where query like '%insert into job_logs%' and wait_event_type = 'Lock'"


@pytest.fixture
async def talking(start_service: StartService) -> Service:
    """Returns a service whose handlers log."""
    return await start_service(handlers=HANDLERS)


async def page_of(service: Service, job_id: str, **query: Any) -> dict[str, Any]:
    response = await service.client.get(f"/api/v1/jobs/{job_id}/logs", params=query)
    assert response.status_code == 200, response.text
    LogPage.model_validate_json(response.content, strict=True)
    page: dict[str, Any] = response.json()
    return page


async def logs_of(service: Service, job_id: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await page_of(service, job_id, limit=200, **query))["items"]
    return items


@pytest.mark.parametrize("type_", ["say", "say-thread", "say-process"])
async def test_each_attempt_has_its_lines_wherever_its_handler_runs(talking: Service, type_: str) -> None:
    view = await talking.run(type_, {"lines": LINES, "succeed_on": 2})
    assert view["result"] == "said"
    lines = await logs_of(talking, view["jobId"])
    assert [list(line) for line in lines] == [["attempt", "line", "level", "message", "fields", "at"]] * 6
    assert [(line["attempt"], line["line"]) for line in lines] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    for attempt in (lines[:3], lines[3:]):
        assert [(line["level"], line["message"], line["fields"]) for line in attempt] == LINES
    assert all(TIME.fullmatch(line["at"]) for line in lines)
    times = [view["createdAt"], *(line["at"] for line in lines), view["completedAt"]]
    assert times == sorted(times)


async def test_the_lines_are_there_when_the_end_is(talking: Service) -> None:
    """A client of the same node that sees a job's end finds all lines of its handler."""
    for _ in range(20):
        response = await talking.client.post(
            "/api/v1/jobs", json={"type": "say-much", "parameters": {"lines": 30}}, headers={"Prefer": "wait=60"}
        )
        assert response.json()["status"] == "completed"
        assert len(await logs_of(talking, response.json()["jobId"])) == 30


async def test_the_lines_reach_other_nodes(start_service: StartService) -> None:
    worker = await start_service(handlers=HANDLERS)
    reader = await start_service(roles=("api",))
    view = await worker.run("say", {"lines": LINES})

    async def look() -> bool:
        return len(await logs_of(reader, view["jobId"])) == 3

    await eventually(look)


async def test_the_lines_of_a_running_attempt_can_be_read(talking: Service) -> None:
    job_id = (await talking.submit("say-and-wait", {"name": "running"}))["jobId"]
    await support.has_entered("running").wait()
    assert [line["message"] for line in await logs_of(talking, job_id)] == ["waits"]
    support.gate("running").set()
    await talking.ended(job_id)
    assert [line["message"] for line in await logs_of(talking, job_id)] == ["waits", "goes"]


async def test_logs_can_be_filtered_by_attempt_and_level(talking: Service) -> None:
    view = await talking.run("say", {"lines": LINES, "succeed_on": 2})
    for query, wanted in (
        ({"attempt": 2}, [(2, 1), (2, 2), (2, 3)]),
        ({"level": "info"}, [(1, 2), (1, 3), (2, 2), (2, 3)]),
        ({"level": "warning"}, [(1, 3), (2, 3)]),
        ({"level": "debug", "attempt": 1}, [(1, 1), (1, 2), (1, 3)]),
        ({"level": "error", "attempt": 2}, [(2, 3)]),
        ({"attempt": 3}, []),
    ):
        lines = await logs_of(talking, view["jobId"], **query)
        assert [(line["attempt"], line["line"]) for line in lines] == wanted, query


async def test_pages_lead_through_all_lines(talking: Service) -> None:
    view = await talking.run("say", {"lines": LINES, "succeed_on": 3})
    everything = [(attempt, line) for attempt in (1, 2, 3) for line in (1, 2, 3)]
    for limit, query in ((1, {}), (4, {}), (8, {}), (9, {}), (10, {}), (2, {"level": "info"})):
        seen: list[tuple[int, int]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await page_of(talking, view["jobId"], limit=limit, **query, **cursor)
            assert len(page["items"]) <= limit
            seen += [(line["attempt"], line["line"]) for line in page["items"]]
            assert len(seen) <= len(everything)
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert seen == (everything if not query else [place for place in everything if place[1] > 1]), limit


async def test_what_is_no_query_of_logs_is_refused(talking: Service) -> None:
    one, other = [(await talking.run("say", {"lines": LINES}))["jobId"] for _ in range(2)]
    cursor = (await page_of(talking, other, limit=1))["nextCursor"]
    for query, place in (
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": cursor}, "cursor"),
        ({"attempt": 0}, "attempt"),
        ({"attempt": 99999}, "attempt"),
        ({"level": "loud"}, "level"),
        ({"since": 3}, "since"),
    ):
        response = await talking.client.get(f"/api/v1/jobs/{one}/logs", params=query)
        assert invalid_paths(response) == [place], query


@pytest.mark.parametrize("job_id", ["0199c1f0-0000-7000-8000-000000000000", "not-an-id"])
async def test_a_job_that_does_not_exist_has_no_logs(talking: Service, job_id: str) -> None:
    refused(await talking.client.get(f"/api/v1/jobs/{job_id}/logs"), 404, "NOT_FOUND")


async def test_a_job_of_another_tenant_has_none_either(talking: Service) -> None:
    view = await talking.run("say", {"lines": LINES})
    assert await logs_of(talking, view["jobId"]) != []  # they are recorded now
    await talking.sql("update job_logs set tenant_id = 2")
    assert await logs_of(talking, view["jobId"]) == []
    await talking.sql("update jobs set tenant_id = 2")
    refused(await talking.client.get(f"/api/v1/jobs/{view['jobId']}/logs"), 404, "NOT_FOUND")
    await talking.sql("update jobs set tenant_id = 1")


async def test_a_job_that_said_nothing_has_an_empty_page(talking: Service) -> None:
    view = await talking.run("echo")
    assert await page_of(talking, view["jobId"]) == {"items": [], "nextCursor": None}


@pytest.mark.parametrize("type_", ["say-oddly", "say-oddly-process"])
async def test_whatever_a_handler_says_is_recorded(talking: Service, type_: str) -> None:
    view = await talking.run(type_)
    assert view["status"] == "completed"
    lines = await logs_of(talking, view["jobId"])
    assert [line["message"][:25] for line in lines] == [
        "nul \ufffd and \ufffd in words",
        "no JSON",
        "x" * 25,
        "no such level",
        "404",
    ]
    assert lines[0]["fields"] == {"nul": "\ufffd", "lone": "\ufffd", "emoji": "😀"}
    assert lines[1]["fields"] == {
        "nan": "nan",
        "object": "(cannot be shown)",
        "names": "{(1, 2): 'pair'}",
        "circle": "[[...]]",
    }
    assert (len(lines[2]["message"]), len(lines[2]["fields"])) == (8_000, 20)
    assert lines[3]["level"] == "info"


@pytest.mark.parametrize(("said", "kept"), [(2, 2), (3, 3), (4, 4), (50, 4)])
async def test_of_an_attempt_so_many_lines_are_kept_and_one_says_that_there_were_more(
    start_service: StartService, said: int, kept: int
) -> None:
    service = await start_service(handlers=HANDLERS, log_lines=3)
    view = await service.run("say-much", {"lines": said})
    lines = await logs_of(service, view["jobId"])
    assert [line["line"] for line in lines] == list(range(1, kept + 1))
    assert [line["message"] for line in lines[:3]] == [f"line {number}" for number in range(1, min(said, 3) + 1)]
    if said > 3:
        assert lines[-1]["level"] == "warning"
        assert lines[-1]["message"] == "Log limit reached: only the first 3 lines of an attempt are kept."


async def test_recording_can_be_switched_off(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, log_lines=0)
    with capture_logs() as logs:
        view = await service.run("say-much", {"lines": 2})
    assert await logs_of(service, view["jobId"]) == []
    assert [line["event"] for line in logs if line.get("action") == "job_log"] == ["line 1", "line 2"]


async def test_what_a_handler_says_while_its_node_goes_down_is_recorded(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node waits some seconds for a slow database."""
    monkeypatch.setattr("duly.node.shutdown.LAST_RECORDS_SECONDS", BOUND_SECONDS)
    async with running_service(database_url, handlers=HANDLERS, shutdown_grace_seconds=0) as service:
        job_id = (await service.submit("say-and-wait", {"name": "down"}))["jobId"]
        await support.has_entered("down").wait()
        await service.node.job_logs.flushed(seconds=60)
        holder = await asyncpg.connect(database_url)
        async with holder.transaction():
            await holder.execute("lock table job_logs in exclusive mode")
            draining = asyncio.create_task(service.node.drain())
            await eventually(lambda: service.sql(HELD_UP))
            done, _ = await asyncio.wait({draining}, timeout=1)
            assert not done
        await holder.close()
        await draining
    rows = await service.sql("select message from job_logs where job_id = $1 order by token, line", UUID(job_id))
    assert [row[0] for row in rows] == ["waits", "goes"]
