"""Child jobs: each is submitted once, however the attempt ends, and waited for without a slot."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from duly.domain.ids import child_id, new_job_id
from duly.worker import child_jobs
from tests.support import handlers as support
from tests.support import parent_handlers
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.parent_handlers")
CORRELATED = {
    "X-Correlation-Id": "order-7",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


@pytest.fixture(autouse=True)
def no_children_yet() -> None:
    parent_handlers.submitted.clear()


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service whose handlers submit jobs."""
    return await start_service(handlers=HANDLERS)


def echo(**parameters: Any) -> dict[str, Any]:
    return {"type": "echo", "parameters": parameters}


async def children_of(service: Service, parent: str) -> list[dict[str, Any]]:
    rows = await service.sql("select job_id::text from jobs where parent_id = $1 order by job_id", UUID(parent))
    return [await service.job(row[0]) for row in rows]


async def begin(service: Service, type_: str, name: str, *jobs: dict[str, Any], **parameters: Any) -> str:
    """Submits a parent and waits until it has submitted its children."""
    accepted = await service.submit(type_, {"name": name, "jobs": list(jobs), **parameters})
    await asyncio.wait_for(support.has_entered(name).wait(), 60)
    job_id: str = accepted["jobId"]
    return job_id


@pytest.mark.parametrize("type_", ["parent", "parent-thread", "parent-at-once"])
async def test_a_handler_submits_jobs_and_gets_their_results(service: Service, type_: str) -> None:
    view = await service.run(type_, {"jobs": [echo(n=1), echo(n=2), {"type": "echo"}]})
    assert (view["status"], view["result"]) == ("completed", [{"n": 1}, {"n": 2}, {}])


async def test_a_child_names_its_parent_and_carries_its_correlation_and_trace(service: Service) -> None:
    body = {"type": "parent", "parameters": {"jobs": [{"type": "context"}]}}
    accepted = (await service.client.post("/api/v1/jobs", json=body, headers=CORRELATED)).json()
    [seen] = (await service.ended(accepted["jobId"]))["result"]
    assert (seen["correlationId"], seen["traceparent"]) == ("order-7", CORRELATED["traceparent"])
    [child] = await children_of(service, accepted["jobId"])
    assert (child["parentId"], child["correlationId"]) == (accepted["jobId"], "order-7")


async def test_without_a_correlation_the_parents_id_is_the_childs(service: Service) -> None:
    view = await service.run("parent", {"jobs": [echo()]})
    [child] = await children_of(service, view["jobId"])
    assert child["correlationId"] == view["jobId"]


async def test_a_submission_may_say_what_it_may_over_http(service: Service) -> None:
    options = {
        "queue": "aside",
        "priority": 7,
        "labels": {"customer": "c-42"},
        "max_attempts": 2,
        "timeout_seconds": 9,
        "delay_seconds": 0.01,
        "expires_in_seconds": 60,
        "concurrency_key": "one",
    }
    view = await service.run("parent", {"jobs": [{**echo(n=1), **options}]})
    assert view["result"] == [{"n": 1}]
    [child] = await children_of(service, view["jobId"])
    assert (child["queue"], child["priority"], child["maxAttempts"], child["labels"]) == (
        "aside",
        7,
        2,
        {"customer": "c-42"},
    )
    [row] = await service.sql(
        "select timeout_seconds, concurrency_key, expires_at is null from jobs where queue = 'aside'"
    )
    assert tuple(row) == (9, "one", False)


@pytest.mark.parametrize("type_", ["parent", "parent-thread"])
async def test_a_child_that_failed_is_raised_with_its_error(service: Service, type_: str) -> None:
    job = {"type": "fail-with", "parameters": {"reason": "no such customer", "code": "CUSTOMER_UNKNOWN"}}
    view = await service.run(type_, {"jobs": [job], "catch": True})
    assert view["status"] == "completed"
    [child] = await children_of(service, view["jobId"])
    assert view["result"] == {
        "code": "CUSTOMER_UNKNOWN",
        "message": "no such customer",
        "reason": "no such customer",
        "jobId": child["jobId"],
    }


async def test_a_childs_failure_that_nobody_catches_is_the_parents_and_is_not_tried_again(service: Service) -> None:
    view = await service.run("parent", {"jobs": [{"type": "raise", "parameters": {"text": "it broke"}}]})
    assert (view["status"], view["attempt"], view["error"]["code"]) == ("failed", 1, "TASK_FAILED")
    [child] = await children_of(service, view["jobId"])
    assert view["error"]["message"] == (
        f"Child job {child['jobId']} did not complete: TASK_FAILED: ValueError: it broke"
    )


async def test_a_child_that_is_cancelled_is_raised_too(service: Service) -> None:
    parent = await begin(service, "parent", "cancelled-child", {"type": "wait-for-gate"}, catch=True)
    [child] = await children_of(service, parent)
    await service.client.post(f"/api/v1/jobs/{child['jobId']}/cancel")
    assert (await service.ended(parent))["result"]["code"] == "CANCELLED"


@pytest.mark.parametrize(("window", "page"), [(500, 20), (4, 7)])
async def test_many_are_one_batch_and_their_results_come_in_order(
    service: Service, monkeypatch: pytest.MonkeyPatch, window: int, page: int
) -> None:
    monkeypatch.setattr(child_jobs, "WINDOW", window)
    monkeypatch.setattr(child_jobs, "PAGE", page)
    view = await service.run("parent-of-many", {"jobs": [echo(n=n) for n in range(30)]})
    assert view["result"]["results"] == [{"n": n} for n in range(30)]
    found = await children_of(service, view["jobId"])
    assert {child["batchId"] for child in found} == {view["result"]["batchId"]}
    [row] = await service.sql("select batch_id::text, name, total from batches")
    assert tuple(row) == (view["result"]["batchId"], "many", 30)


async def test_failures_may_stand_among_the_results(service: Service) -> None:
    failing = {"type": "fail-with", "parameters": {"reason": "no", "code": "NO"}}
    view = await service.run("parent-of-many", {"jobs": [echo(n=0), failing, echo(n=2)], "catch": True})
    first, second, third = view["result"]["results"]
    assert (first, second["code"], third) == ({"n": 0}, "NO", {"n": 2})
    view = await service.run("parent-of-many", {"jobs": [echo(n=0), failing, echo(n=2)]})
    assert (view["status"], view["error"]["details"]["reason"]) == ("failed", "no")


async def test_a_plain_function_reads_a_batch_in_every_way(service: Service) -> None:
    view = await service.run("parent-of-many-in-thread", {"jobs": [echo(n=0), echo(n=1)]})
    assert view["result"] == [[{"n": 0}, {"n": 1}]] * 3 + [2]


async def test_of_many_all_are_recorded_or_none(service: Service) -> None:
    jobs = [
        echo(),
        {"type": "sleep", "parameters": {"seconds": -1}},
        {"type": "ecco"},
        {**echo(), "delay_seconds": "x"},
    ]
    view = await service.run("parent-of-many", {"jobs": jobs}, maxAttempts=1)
    words = view["error"]["message"]
    assert words.startswith("HandlerError: job.submit_many: jobs[1].parameters.seconds: ")
    assert '; jobs[2].type: Unknown job type "ecco"' in words
    assert "; jobs[3].delay_seconds: " in words
    assert await children_of(service, view["jobId"]) == []
    assert await service.sql("select from batches") == []


async def test_what_is_refused_later_refuses_all_of_them_too(service: Service) -> None:
    nobody = "0199c1f0-0000-7000-8000-000000000000"
    view = await service.run("parent-of-many", {"jobs": [echo(), {**echo(), "depends_on": [nobody]}]}, maxAttempts=1)
    assert view["error"]["message"].endswith(f"job.submit_many: depends_on[0]: no job has the id {nobody}")
    assert await children_of(service, view["jobId"]) == []
    assert await service.sql("select from batches") == []


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"type": "sleep", "parameters": {"seconds": -1}}, 'job.submit("sleep"): parameters.seconds: '),
        ({"type": "ecco"}, 'job.submit("ecco"): type: Unknown job type "ecco". Similar types: echo'),
        ({**echo(), "priority": 1000}, 'job.submit("echo"): priority: '),
        ({**echo(), "run_at": "tomorrow"}, 'job.submit("echo"): run_at: must be an RFC 3339 time'),
        ({**echo(), "depends_on": ["nobody"]}, 'job.submit("echo"): depends_on[0]: no job has the id nobody'),
        (
            {**echo(), "depends_on": ["0199c1f0-0000-7000-8000-000000000000"]},
            'job.submit("echo"): depends_on[0]: no job has the id 0199c1f0',
        ),
        ({**echo(), "delaySeconds": 5}, "job.submit(\"echo\") has no option 'delaySeconds'"),
        (echo(text="a\x00b"), 'job.submit("echo"): parameters.text: '),
    ],
)
async def test_what_is_refused_over_http_is_refused_here_and_names_its_place(
    service: Service, job: dict[str, Any], words: str
) -> None:
    body = {"type": "unfit-parent", "parameters": {"nul": "\x00" in str(job)}, "maxAttempts": 1}
    parent_handlers.unfit[:] = [job]
    answer = await service.client.post("/api/v1/jobs", json=body)
    view = await service.ended(answer.json()["jobId"])
    assert view["status"] == "failed"
    assert view["error"]["message"].startswith(f"HandlerError: {words}")
    assert await children_of(service, view["jobId"]) == []


async def test_in_a_process_of_its_own_a_handler_cannot_submit_and_is_told_so(service: Service) -> None:
    view = await service.run("parent-process")
    assert view["error"]["message"].endswith('HandlerError: child jobs are not available with isolation="process"')


async def test_an_attempt_that_is_run_again_finds_the_children_of_the_last_one(service: Service) -> None:
    jobs = [echo(n=1), {"type": "wait-for-gate", "parameters": {"name": "again"}}]
    accepted = await service.submit("parent", {"jobs": jobs, "breaks": [1, 2]})
    await asyncio.wait_for(support.has_entered("again").wait(), 60)
    support.gate("again").set()
    view = await service.ended(accepted["jobId"])
    assert (view["attempt"], view["result"]) == (3, [{"n": 1}, "let go"])
    first, second, third = parent_handlers.submitted["parent"]
    assert first == second == third
    assert len(await children_of(service, view["jobId"])) == 2
    assert support.calls["again"] == [1]


async def test_a_batch_is_found_again_too(service: Service) -> None:
    view = await service.run("parent-of-many", {"jobs": [echo(n=n) for n in range(5)], "breaks": [1, 2]})
    assert (view["attempt"], view["result"]["results"]) == (3, [{"n": n} for n in range(5)])
    assert len(await children_of(service, view["jobId"])) == 5
    assert [tuple(row) for row in await service.sql("select total, completed from batches")] == [(5, 5)]


@pytest.mark.parametrize("type_", ["parent", "parent-of-many"])
@pytest.mark.parametrize("other", [[echo(n=1), echo(n=3)], [echo(n=1), {"type": "sleep"}]])
async def test_an_attempt_that_submits_something_else_is_told_so(
    service: Service, type_: str, other: list[dict[str, Any]]
) -> None:
    jobs = [echo(n=1), echo(n=2)]
    view = await service.run(type_, {"jobs": jobs, "other_jobs": other, "breaks": [1]}, maxAttempts=2)
    assert view["status"] == "failed"
    assert view["error"]["message"].endswith(": the handler did not submit the same jobs as in its last attempt")
    assert len(await children_of(service, view["jobId"])) == 2


async def test_a_child_whose_id_was_taken_before_fails_its_parent_and_keeps_its_own_state(service: Service) -> None:
    parent = new_job_id()
    taken = child_id(parent, "=one")
    put = {"type": "echo", "parameters": {"n": "stranger"}}
    assert (await service.client.put(f"/api/v1/jobs/{taken}", json=put)).status_code in {200, 201, 202}
    body = {"type": "parent", "parameters": {"jobs": [echo(n=1)], "keys": ["one"]}, "maxAttempts": 1}
    await service.client.put(f"/api/v1/jobs/{parent}", json=body)
    assert (await service.ended(str(parent)))["status"] == "failed"
    assert (await service.ended(str(taken)))["result"] == {"n": "stranger"}
    assert not await children_of(service, str(parent))


async def test_a_batch_of_another_size_is_another_submission(service: Service) -> None:
    more = [echo(n=n) for n in range(3)]
    view = await service.run("parent-of-many", {"jobs": more[:2], "other_jobs": more, "breaks": [1]}, maxAttempts=2)
    assert view["error"]["message"].endswith(": the handler did not submit the same jobs as in its last attempt")
    assert len(await children_of(service, view["jobId"])) == 2


async def test_when_a_child_is_to_start_is_not_part_of_what_it_is(service: Service) -> None:
    jobs, later = [{**echo(n=1), "delay_seconds": 0.01}], [{**echo(n=1), "run_at": "2026-01-27T10:00:00Z"}]
    view = await service.run("parent", {"jobs": jobs, "other_jobs": later, "breaks": [1]})
    assert (view["attempt"], view["result"]) == (2, [{"n": 1}])


async def test_children_with_keys_may_come_in_another_order(service: Service) -> None:
    parameters = {"jobs": [echo(n=1)], "keys": ["one", "two"], "breaks": [1]}
    view = await service.run("parent", {**parameters, "other_jobs": [echo(n=1), echo(n=2)]})
    assert view["result"] == [{"n": 1}, {"n": 2}]
    assert len(await children_of(service, view["jobId"])) == 2


async def test_after_a_redrive_children_that_failed_run_again_and_others_do_not(service: Service) -> None:
    later = {"type": "succeeds-later", "parameters": {"name": "later"}}
    once = {"type": "wait-for-gate", "parameters": {"name": "once"}}
    support.gate("once").set()
    accepted = await service.submit("parent", {"jobs": [once, later]})
    assert (await service.ended(accepted["jobId"]))["status"] == "failed"
    support.gate("later").set()
    answer = await service.client.post(f"/api/v1/jobs/{accepted['jobId']}/retry")
    assert answer.status_code == 202, answer.text
    view = await service.ended(accepted["jobId"])
    assert (view["status"], view["result"]) == ("completed", ["let go", "at last"])
    assert (support.calls["once"], support.calls["later"]) == ([1], [1, 1])
    first, second = parent_handlers.submitted["parent"]
    assert first == second
    assert len(await children_of(service, view["jobId"])) == 2


async def test_a_child_that_failed_runs_again_once_for_each_redrive(service: Service) -> None:
    later = {"type": "succeeds-later", "parameters": {"name": "child"}}
    accepted = await service.submit("stubborn-parent", {"jobs": [later]})
    assert (await service.ended(accepted["jobId"]))["status"] == "failed"
    assert (support.calls["parent"], support.calls["child"]) == ([1, 2], [1])
    await service.client.post(f"/api/v1/jobs/{accepted['jobId']}/retry")
    assert (await service.ended(accepted["jobId"]))["status"] == "failed"
    assert (support.calls["parent"], support.calls["child"]) == ([1, 2, 1, 2], [1, 1])


async def test_a_child_may_wait_for_another_one(service: Service) -> None:
    view = await service.run("parent-of-a-chain")
    assert view["result"] == [["first"], ["second"]]


async def test_a_needless_child_is_the_job_that_made_it_so(service: Service) -> None:
    held = {"parameters": {"name": "unique"}, "uniqueKey": "u"}
    holder = (await service.client.post("/api/v1/jobs", json={"type": "wait-for-gate", **held})).json()["jobId"]
    child = {"type": "wait-for-gate", "parameters": {"name": "other"}, "unique_key": "u"}
    parent = await begin(service, "parent", "needless", child)
    assert parent_handlers.submitted["needless"] == [[holder]]
    support.gate("unique").set()
    assert (await service.ended(parent))["result"] == ["let go"]
    assert await children_of(service, parent) == []


@pytest.mark.parametrize(("window", "page"), [(500, 20), (7, 3), (1, 1)])
async def test_a_job_that_follows_a_batch_reads_its_results_in_order(
    service: Service, monkeypatch: pytest.MonkeyPatch, window: int, page: int
) -> None:
    monkeypatch.setattr(child_jobs, "WINDOW", window)
    monkeypatch.setattr(child_jobs, "PAGE", page)
    failing = {"type": "fail-with", "parameters": {"reason": "no", "code": "NO"}}
    body = {"jobs": [*(echo(n=n) for n in range(45)), failing], "then": {"type": "follows-a-batch"}}
    accepted = (await service.client.post("/api/v1/jobs/batch", json=body)).json()

    async def followed() -> Any:
        [row] = await service.sql("select then_job_id::text from batches")
        return row[0]

    view = await service.ended(await eventually(followed))
    *items, last = view["result"]
    assert [item["jobId"] for item in view["result"]] == accepted["jobIds"]
    assert items == [
        {"jobId": job_id, "status": "completed", "result": {"n": n}, "error": None}
        for n, job_id in enumerate(accepted["jobIds"][:-1])
    ]
    assert (last["status"], last["result"], last["error"]["code"]) == ("failed", None, "NO")


@pytest.mark.parametrize("batch_id", ["nonsense", "0199c1f0-0000-7000-8000-000000000000"])
async def test_a_batch_that_does_not_exist_cannot_be_read(service: Service, batch_id: str) -> None:
    view = await service.run("follows-a-batch", {"batch": {"batchId": batch_id}})
    assert (view["status"], batch_id in view["error"]["message"]) == ("failed", True)
