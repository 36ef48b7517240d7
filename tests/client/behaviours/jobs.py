"""Behaviours: submitting, reading, cancelling and retrying jobs."""

from typing import Any
from uuid import UUID

import pytest
from uuid_utils import uuid7

from tests.client.behaviours.callers import Caller, CallFailed
from tests.client.behaviours.stage import Stage
from tests.support.handlers import gate, has_entered

UNKNOWN_ID = "01a1ff45-97c1-76a3-b3a7-d9cf614361e1"


async def submitted(caller: Caller, job_type: str, parameters: Any = None, **options: Any) -> str:
    """Submits a job through the client. Returns its ID."""
    accepted = await caller.call("submit", jobType=job_type, parameters=parameters, **options)
    assert accepted["status"] == "pending"
    return str(UUID(accepted["jobId"]))


async def failure(caller: Caller, name: str, /, **arguments: Any) -> CallFailed:
    """Returns the error of a call."""
    with pytest.raises(CallFailed) as caught:
        await caller.call(name, **arguments)
    return caught.value


async def items(caller: Caller, name: str, /, **arguments: Any) -> list[Any]:
    """Returns the items of a call that ends by itself."""
    return [item async for item in caller.items(name, **arguments)]


async def a_submitted_job_runs_and_its_result_is_returned(stage: Stage) -> None:
    text = "½ grün 🎉 \u2028"
    job_id = await submitted(stage.caller, "plain", {"text": text}, labels={"customer": "c-42"}, maxAttempts=2)
    job = await stage.caller.call("wait", jobId=job_id, timeout=60)
    assert (job["status"], job["result"]) == ("completed", {"thread": True, "text": text})
    assert (job["labels"], job["maxAttempts"]) == ({"customer": "c-42"}, 2)
    assert await stage.caller.call("get", jobId=job_id) == job
    assert await stage.caller.call("wait", jobId=job_id) == job


async def the_same_idempotency_key_submits_one_job(stage: Stage) -> None:
    first = await submitted(stage.caller, "plain", {"n": 1}, idempotencyKey="order-1001")
    assert await submitted(stage.caller, "plain", {"n": 1}, idempotencyKey="order-1001") == first
    reused = await failure(stage.caller, "submit", jobType="plain", parameters={"n": 2}, idempotencyKey="order-1001")
    assert (reused.kind, reused.code, reused.status) == ("InvalidRequest", "IDEMPOTENCY_KEY_REUSED", 422)


async def a_job_id_of_the_caller_submits_one_job(stage: Stage) -> None:
    job_id = str(uuid7())
    assert await submitted(stage.caller, "wait-for-gate", {"name": "own id"}, jobId=job_id) == job_id
    again = await stage.caller.call("submit", jobType="wait-for-gate", parameters={"name": "own id"}, jobId=job_id)
    assert again["jobId"] == job_id
    other = await failure(stage.caller, "submit", jobType="plain", jobId=job_id)
    assert (other.kind, other.code) == ("Conflict", "JOB_EXISTS")
    gate("own id").set()


async def an_invalid_submission_names_each_path(stage: Stage) -> None:
    unknown = await failure(stage.caller, "submit", jobType="plian")
    assert (unknown.kind, unknown.code, unknown.status) == ("InvalidRequest", "UNKNOWN_JOB_TYPE", 422)
    invalid = await failure(stage.caller, "submit", jobType="wait-for-gate", parameters={"name": 7}, priority=101)
    assert {error["path"] for error in invalid.details["errors"]} >= {"priority"}
    assert invalid.details["retryable"] is False


async def an_unknown_job_is_not_found(stage: Stage) -> None:
    for name in ("get", "wait", "cancel", "retry", "why", "signal"):
        more = {"name": "approval"} if name == "signal" else {}
        error = await failure(stage.caller, name, jobId=UNKNOWN_ID, **more)
        assert (error.kind, error.code, error.status) == ("NotFound", "NOT_FOUND", 404)
    for name in ("events", "stream", "steps"):
        with pytest.raises(CallFailed) as caught:
            await items(stage.caller, name, jobId="../webhooks?x=/")
        assert caught.value.kind == "NotFound"


async def waiting_gives_up_in_time_and_the_job_goes_on(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "wait-for-gate", {"name": "late"})
    assert (await failure(stage.caller, "wait", jobId=job_id, timeout=0.3)).kind == "TimeoutError"
    gate("late").set()
    assert (await stage.caller.call("wait", jobId=job_id, timeout=60))["result"] == "let go"


async def a_job_is_cancelled_once(stage: Stage) -> None:
    waiting = await submitted(stage.caller, "plain", delaySeconds=3600)
    assert (await stage.caller.call("cancel", jobId=waiting))["status"] == "cancelled"
    running = await submitted(stage.caller, "wait-for-gate", {"name": "cancelled"})
    await has_entered("cancelled").wait()
    await stage.caller.call("cancel", jobId=running)
    assert (await stage.caller.call("wait", jobId=running, timeout=60))["error"]["code"] == "CANCELLED"
    error = await failure(stage.caller, "cancel", jobId=waiting)
    assert (error.kind, error.code) == ("Conflict", "JOB_ALREADY_ENDED")


async def a_failed_job_is_retried(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "fail")
    job = await stage.caller.call("wait", jobId=job_id, timeout=60)
    assert (job["status"], job["result"], job["error"]["code"]) == ("failed", None, "CUSTOMER_UNKNOWN")
    assert (await failure(stage.caller, "retry", jobId=job_id, fromStep="charge")).code == "STEP_UNKNOWN"
    assert (await stage.caller.call("retry", jobId=job_id))["jobId"] == job_id
    job = await stage.caller.call("wait", jobId=job_id, timeout=60)
    assert (job["status"], job["attempt"]) == ("failed", 1)
    done = await submitted(stage.caller, "plain")
    await stage.caller.call("wait", jobId=done, timeout=60)
    assert (await failure(stage.caller, "retry", jobId=done)).code == "JOB_NOT_RETRYABLE"


async def a_batch_is_submitted_as_a_whole(stage: Stage) -> None:
    jobs = [{"type": "plain", "parameters": {"n": n}} for n in range(3)]
    batch = await stage.caller.call("submitMany", jobs=jobs, name="nightly", then={"type": "plain"})
    assert len(batch["jobIds"]) == 3
    for job_id in batch["jobIds"]:
        await stage.caller.call("wait", jobId=job_id, timeout=60)
    found = await stage.caller.call("batches.get", batchId=batch["batchId"])
    assert (found["name"], found["total"]) == ("nightly", 3)
    bad = await failure(stage.caller, "submitMany", jobs=[*jobs, {"type": "plian"}])
    assert [error["index"] for error in bad.details["errors"]] == [3]


async def a_batch_is_cancelled(stage: Stage) -> None:
    jobs = [{"type": "plain", "delaySeconds": 3600}] * 2
    batch = await stage.caller.call("submitMany", jobs=jobs)
    listed = await items(stage.caller, "batches.list")
    assert [each["total"] for each in listed if each["batchId"] == batch["batchId"]] == [2]
    await stage.caller.call("batches.cancel", batchId=batch["batchId"])
    statuses = [(await stage.caller.call("get", jobId=job_id))["status"] for job_id in batch["jobIds"]]
    assert statuses == ["cancelled"] * 2


async def lines_of_any_number_are_one_batch(stage: Stage) -> None:
    jobs = [{"type": "plain", "parameters": {"n": n}, "delaySeconds": 3600} for n in range(1000)]
    batch = await stage.caller.call("submitLines", jobs=jobs, name="import")
    assert len(set(batch["jobIds"])) == 1000
    job = await stage.caller.call("get", jobId=batch["jobIds"][999])
    assert (job["parameters"], job["batchId"]) == ({"n": 999}, batch["batchId"])
    bad = await failure(stage.caller, "submitLines", jobs=[*jobs[:9], {"type": "plian"}])
    assert [error["index"] for error in bad.details["errors"]] == [9]
    assert await stage.caller.call("cancelMany", batchIds=[batch["batchId"]]) == {"cancelled": 1000}


async def a_list_yields_each_match_once_over_all_pages(stage: Stage) -> None:
    jobs = [{"type": "plain", "labels": {"list": "long"}, "delaySeconds": 3600}] * 250
    batch = await stage.caller.call("submitMany", jobs=jobs)
    await submitted(stage.caller, "plain", labels={"list": "other"})
    found = await items(stage.caller, "list", labels={"list": "long"}, types=["plain"], statuses=["pending"])
    assert sorted(job["jobId"] for job in found) == sorted(batch["jobIds"])
    assert await items(stage.caller, "list", labels={"list": "none"}) == []


async def all_failed_jobs_that_match_are_retried(stage: Stage) -> None:
    jobs = [{"type": "fail", "queue": "retried"}] * 3
    for job_id in (await stage.caller.call("submitMany", jobs=jobs))["jobIds"]:
        await stage.caller.call("wait", jobId=job_id, timeout=60)
    assert await stage.caller.call("retryMany", queues=["retried"]) == {"retried": 3}
    assert (await failure(stage.caller, "cancelMany")).kind == "InvalidRequest"


async def the_history_and_the_reason_of_a_state_are_read(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "context")
    await stage.caller.call("wait", jobId=job_id, timeout=60)
    events = await items(stage.caller, "events", jobId=job_id)
    assert [event["eventType"] for event in events] == ["JobSubmitted", "JobStarted", "JobCompleted"]
    logs = await items(stage.caller, "logs", jobId=job_id)
    assert [line["message"] for line in logs] == ["hello from a handler"]
    assert (await stage.caller.call("why", jobId=job_id))["cause"] == "ENDED"


async def a_signal_is_sent_once_and_listed(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "plain", delaySeconds=3600)
    signal = {"jobId": job_id, "name": "approval", "body": {"approved": True}}
    sent = await stage.caller.call("signal", **signal)
    assert (sent["jobId"], sent["name"], sent["sequence"]) == (job_id, "approval", 1)
    assert await stage.caller.call("signal", **signal) == sent
    other = await failure(stage.caller, "signal", **signal | {"body": {"approved": False}})
    assert (other.kind, other.code) == ("Conflict", "SIGNAL_ALREADY_SENT")
    await stage.caller.call("signal", jobId=job_id, name="paid")
    steps = await items(stage.caller, "steps", jobId=job_id)
    assert [(step["name"], step["kind"], step["status"], step["result"]) for step in steps] == [
        ("approval", "signal", "completed", {"approved": True}),
        ("paid", "signal", "completed", None),
    ]
    await stage.caller.call("cancel", jobId=job_id)


async def a_service_that_is_away_is_unreachable(stage: Stage) -> None:
    await stage.stop()
    assert (await failure(stage.caller, "get", jobId=UNKNOWN_ID)).kind == "Unreachable"
    await stage.start()
    assert (await failure(stage.caller, "get", jobId=UNKNOWN_ID)).kind == "NotFound"
