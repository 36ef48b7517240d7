"""Compensation: completed steps are undone in reverse before a job ends as failed or cancelled."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from duly.domain.events import EventKind
from tests.support.handlers import gate, has_entered
from tests.support.saga_handlers import journal
from tests.support.service import Service, running_service

HANDLERS = ("tests.support.handlers", "tests.support.saga_handlers")


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, handlers=HANDLERS) as service:
        yield service


async def notes_of(service: Service, job_id: str, kind: EventKind) -> list[dict[str, Any]]:
    rows = await service.sql(
        "select data::text from events where job_id = $1 and kind = $2 order by sequence", job_id, kind
    )
    return [json.loads(row[0]) for row in rows]


async def cancel(service: Service, job_id: str) -> int:
    return (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code


async def retry(service: Service, job_id: str, **body: Any) -> int:
    return (await service.client.post(f"/api/v1/jobs/{job_id}/retry", json=body)).status_code


async def test_the_steps_of_a_failed_job_are_undone_in_reverse(service: Service) -> None:
    view = await service.run("order", {"name": "reverse"})
    assert (view["status"], view["error"]["code"], "compensating" in view) == ("failed", "SOLD_OUT", False)
    assert journal["reverse"] == ["reserve", "quote", "charge", "end", "uncharge", "unreserve"]
    started, step, undone = "JobStarted", "JobStepCompleted", "JobStepCompensated"
    assert await service.event_types(view["jobId"]) == [
        *("JobSubmitted", started, step, step, step, "JobCompensating", started, undone, undone, "JobFailed")
    ]
    [began] = await notes_of(service, view["jobId"], EventKind.COMPENSATING)
    assert (began["end"], began["error"]["code"], began["steps"]) == ("failed", "SOLD_OUT", ["charge", "reserve"])
    undone_notes = await notes_of(service, view["jobId"], EventKind.STEP_COMPENSATED)
    assert undone_notes == [{"step": "charge", "attempts": 1}, {"step": "reserve", "attempts": 1}]


@pytest.mark.parametrize("ends", ["compensate", "error"])
async def test_any_final_failure_compensates(service: Service, ends: str) -> None:
    view = await service.run("order", {"name": ends, "ends": ends})
    assert (view["status"], view["error"]["code"]) == ("failed", "TASK_FAILED")
    assert journal[ends][-2:] == ["uncharge", "unreserve"]


async def test_a_completed_job_compensates_nothing(service: Service) -> None:
    view = await service.run("order", {"name": "done", "ends": "complete"})
    assert (view["status"], view["result"]) == ("completed", "shipped")
    assert journal["done"] == ["reserve", "quote", "charge", "end"]


async def test_concurrent_steps_are_undone_each_once(service: Service) -> None:
    view = await service.run("order-together", {"name": "together"})
    assert view["status"] == "failed"
    done = set(journal["together"])
    assert {f"un{what}" for what in done if not what.startswith("un")} == {
        what for what in done if what.startswith("un")
    }
    assert len(journal["together"]) == len(done)


async def test_a_plain_function_is_compensated_as_well(service: Service) -> None:
    view = await service.run("order-thread", {"name": "thread"})
    assert (view["status"], view["error"]["code"]) == ("failed", "SOLD_OUT")
    assert journal["thread"] == ["reserve", "charge", "uncharge", "unreserve"]


async def test_a_handler_in_a_process_is_compensated_there(service: Service, tmp_path: Path) -> None:
    view = await service.run("order-process", {"path": str(tmp_path / "journal")})
    assert (view["status"], view["error"]["code"]) == ("failed", "SOLD_OUT")
    assert (tmp_path / "journal").read_text().split() == ["reserve", "charge", "uncharge", "unreserve"]


async def test_a_running_job_that_is_cancelled_is_compensated_first(service: Service) -> None:
    job_id = (await service.submit("order", {"name": "cancelled", "ends": "wait", "stops": "reserve"}))["jobId"]
    await has_entered("cancelled").wait()
    assert await cancel(service, job_id) == 202
    await has_entered("cancelled:unreserve").wait()
    view = await service.job(job_id)
    assert (view["status"], view["compensating"], view["waitingFor"]) == ("running", True, None)
    assert await cancel(service, job_id) == 409
    gate("cancelled:unreserve").set()
    view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("cancelled", "CANCELLED")
    assert journal["cancelled"][-2:] == ["uncharge", "unreserve"]


async def test_a_parked_job_that_is_cancelled_is_compensated_first(service: Service) -> None:
    job_id = (await service.submit("order", {"name": "parked", "ends": "signal"}))["jobId"]
    await service.until(job_id, lambda view: view["waitingFor"] == "signal")
    assert await cancel(service, job_id) == 202
    view = await service.ended(job_id)
    assert (view["status"], journal["parked"][-2:]) == ("cancelled", ["uncharge", "unreserve"])


async def test_the_children_of_a_cancelled_job_are_compensated_too(service: Service) -> None:
    job_id = (await service.submit("order", {"name": "parent", "ends": "child"}))["jobId"]
    await has_entered("parent-child").wait()
    assert await cancel(service, job_id) == 202
    assert (await service.ended(job_id))["status"] == "cancelled"
    [(child,)] = await service.sql("select job_id from jobs where parent_id = $1", job_id)
    assert (await service.ended(str(child)))["status"] == "cancelled"
    assert journal["parent"][-2:] == journal["parent-child"][-2:] == ["uncharge", "unreserve"]


async def test_a_compensation_is_tried_again(service: Service) -> None:
    view = await service.run("order", {"name": "again", "refuses": "reserve", "times": 3})
    assert (view["status"], view["error"]["code"]) == ("failed", "SOLD_OUT")
    assert journal["again"].count("uncharge") == 1
    assert journal["again"][-4:] == ["refused unreserve"] * 3 + ["unreserve"]


async def test_a_compensation_has_the_retry_policy_of_its_step(service: Service) -> None:
    view = await service.run("order-retried-steps", {"name": "policy", "refuses": "reserve", "times": 2})
    assert view["status"] == "failed"
    [note] = await notes_of(service, view["jobId"], EventKind.STEP_COMPENSATED)
    assert note == {"step": "reserve", "attempts": 3}


async def test_a_failed_compensation_names_the_steps_that_are_left(service: Service) -> None:
    view = await service.run("order", {"name": "left", "refuses": "reserve", "times": 99})
    error = view["error"]
    assert (view["status"], error["code"]) == ("failed", "COMPENSATION_FAILED")
    assert error["details"]["steps"] == ["reserve"]
    assert "cannot unreserve yet" in error["message"]
    assert journal["left"].count("refused unreserve") == 5
    assert journal["left"].count("uncharge") == 1


async def test_an_error_that_is_not_retried_fails_the_compensation_at_once(service: Service) -> None:
    view = await service.run("order", {"name": "never", "never": "charge"})
    assert view["error"]["code"] == "COMPENSATION_FAILED"
    assert view["error"]["details"]["steps"] == ["charge", "reserve"]
    assert journal["never"].count("never uncharge") == 1


async def test_a_retry_by_hand_continues_a_failed_compensation(service: Service) -> None:
    job_id = (await service.run("order", {"name": "by-hand", "refuses": "reserve", "times": 6}))["jobId"]
    assert await retry(service, job_id) == 202
    await service.until(job_id, lambda view: view["error"] is not None and view["error"]["code"] == "SOLD_OUT")
    view = await service.job(job_id)
    assert (view["status"], "compensating" in view) == ("failed", False)
    assert journal["by-hand"].count("uncharge") == journal["by-hand"].count("unreserve") == 1
    first, second = await notes_of(service, job_id, EventKind.COMPENSATING)
    assert (first["steps"], second["steps"], second["end"]) == (["charge", "reserve"], ["reserve"], "failed")


async def test_a_retry_of_a_compensated_job_does_its_steps_again(service: Service) -> None:
    job_id = (await service.run("order", {"name": "forgotten"}))["jobId"]
    journal["forgotten"].clear()
    assert await retry(service, job_id) == 202
    await service.until(job_id, lambda view: view["sequence"] > 12 and view["completedAt"] is not None)
    assert journal["forgotten"] == ["reserve", "charge", "end", "uncharge", "unreserve"]
    [note] = await notes_of(service, job_id, EventKind.REQUEUED)
    assert note == {"reason": "retried", "forgotten": ["reserve", "charge"]}


async def test_a_step_whose_compensation_is_gone_is_named_as_left(service: Service) -> None:
    view = await service.run("order-changed", {"name": "changed"})
    assert view["error"]["code"] == "COMPENSATION_FAILED"
    assert view["error"]["details"]["steps"] == ["charge", "reserve"]
    assert 'step "charge"' in view["error"]["message"]


async def test_a_held_job_is_compensated_when_it_is_cancelled(service: Service) -> None:
    job_id = (await service.submit("order-held", {"name": "held", "ends": "error"}))["jobId"]
    await service.until(job_id, lambda view: view["waitingFor"] == "held")
    assert await cancel(service, job_id) == 202
    view = await service.ended(job_id)
    assert (view["status"], journal["held"]) == ("cancelled", ["reserve", "charge", "uncharge", "unreserve"])


async def test_a_retry_from_a_step_forgets_it_and_the_later_ones(service: Service) -> None:
    job_id = (await service.submit("order-held", {"name": "from", "ends": "error"}))["jobId"]
    await service.until(job_id, lambda view: view["waitingFor"] == "held")
    assert await retry(service, job_id, fromStep="quote") == 422
    assert await retry(service, job_id, fromStep="charge") == 202
    await service.until(job_id, lambda view: view["waitingFor"] == "held" and view["sequence"] > 6)
    assert journal["from"] == ["reserve", "charge", "charge"]
    [note] = await notes_of(service, job_id, EventKind.REQUEUED)
    assert note == {"reason": "retried", "fromStep": "charge", "forgotten": ["charge"]}
    assert await retry(service, job_id) == 202
    await service.until(job_id, lambda view: view["waitingFor"] == "held" and view["sequence"] > 10)
    assert journal["from"] == ["reserve", "charge", "charge"]


async def test_why_and_lists_show_a_compensating_job_as_running(service: Service) -> None:
    job_id = (await service.submit("order", {"name": "why", "stops": "reserve"}))["jobId"]
    await has_entered("why:unreserve").wait()
    why = (await service.client.get(f"/api/v1/jobs/{job_id}/why")).json()
    assert (why["status"], why["cause"]) == ("running", "COMPENSATING")
    assert "compensated before it ends: attempt 1" in why["message"]
    for query in ("status=running", "status=running&type=order", "status=running&status=failed"):
        page = (await service.client.get(f"/api/v1/jobs?{query}")).json()
        assert [(job["jobId"], job["compensating"]) for job in page["items"]] == [(job_id, True)]
    assert (await service.client.get("/api/v1/jobs?status=pending")).json()["items"] == []
    gate("why:unreserve").set()
    assert (await service.ended(job_id))["status"] == "failed"


async def test_a_job_that_waits_for_its_compensation_is_listed_as_running(service: Service) -> None:
    job_id = (await service.submit("order", {"name": "paused", "ends": "signal"}, queue="paused"))["jobId"]
    await service.until(job_id, lambda view: view["waitingFor"] == "signal")
    await service.client.post("/api/v1/queues/paused/pause")
    assert await cancel(service, job_id) == 202
    for query in ("status=running", "status=running&queue=paused", "status=running&type=order&status=pending"):
        page = (await service.client.get(f"/api/v1/jobs?{query}")).json()
        assert [(job["jobId"], job["compensating"]) for job in page["items"]] == [(job_id, True)]
    assert "uncharge" not in journal["paused"]
    await service.client.post("/api/v1/queues/paused/resume")
    assert (await service.ended(job_id))["status"] == "cancelled"
