"""Heartbeats over HTTP: they extend leases, and record progress, checkpoints and log lines."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.response_checks import refused
from tests.support.service import Service, eventually

AN_HOUR, ALMOST_AN_HOUR = timedelta(seconds=3601), timedelta(seconds=3599)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_heartbeat_extends_the_lease_by_its_length(api: Service) -> None:
    await api.submit("echo")
    lease = await claim_one(api, leaseSeconds=3600)
    started = _time(lease["job"]["startedAt"])
    assert started + ALMOST_AN_HOUR <= _time(lease["leaseExpiresAt"]) <= api.node.clock.now() + AN_HOUR
    await api.sql("update leases set expires_at = now() + interval '1 minute'")
    extended = (await post(api, lease, "heartbeat")).json()
    assert started + ALMOST_AN_HOUR <= _time(extended["leaseExpiresAt"]) <= api.node.clock.now() + AN_HOUR
    await post(api, lease, "complete")


async def test_progress_and_message_are_events_of_the_job(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    await post(api, lease, "heartbeat", {"progress": 12.5, "message": "250 rows"})
    read = await api.job(job["jobId"])
    assert (read["progress"], read["progressMessage"]) == (12.5, "250 rows")
    assert await api.event_types(job["jobId"]) == ["JobSubmitted", "JobStarted", "JobProgressed"]
    await post(api, lease, "complete")


async def test_the_next_attempt_receives_the_newest_checkpoint_with_its_digits(api: Service) -> None:
    await api.submit("echo")
    lease = await claim_one(api)
    await post(api, lease, "heartbeat", {"checkpoint": {"row": 1}})
    text = '{"checkpoint": {"row": 250, "sum": 0.10}, "progress": 1e1}'
    headers = {"content-type": "application/json"}
    answer = await api.client.post(f"{LEASES}/{lease['leaseId']}/heartbeat", content=text, headers=headers)
    assert answer.status_code == 200
    await post(api, lease, "heartbeat")
    await post(api, lease, "fail", {"error": {"message": "no"}, "retryAfterSeconds": 0})
    answer = await api.client.post(LEASES, json={"types": ["echo"], "waitSeconds": 10})
    assert '"checkpoint":{"row":250,"sum":0.10}' in answer.text
    [again] = answer.json()["leases"]
    assert again["job"]["progress"] == 10
    await post(api, again, "complete")


async def test_log_lines_are_numbered_over_all_heartbeats_and_nodes(api: Service, start_service: Any) -> None:
    other = await start_service(roles=("api",))
    job = await api.submit("echo")
    lease = await claim_one(api)
    lines = [{"message": f"line {n}", "level": "warning" if n == 2 else "info"} for n in range(1, 4)]
    await post(api, lease, "heartbeat", {"logs": lines[:2]})
    await post(other, lease, "heartbeat", {"logs": lines[2:]})
    await asyncio.gather(*(post(api, lease, "heartbeat", {"logs": [{"message": "together"}]}) for _ in range(4)))
    await post(api, lease, "complete")

    async def logged() -> list[dict[str, Any]] | None:
        items = (await api.client.get(f"/api/v1/jobs/{job['jobId']}/logs")).json()["items"]
        return items if len(items) == 7 else None

    found = await eventually(logged)
    assert [line["message"] for line in found] == ["line 1", "line 2", "line 3", *4 * ["together"]]
    assert [line["level"] for line in found[:3]] == ["info", "warning", "info"]


async def test_lines_beyond_the_limit_of_an_attempt_leave_a_note(start_service: Any) -> None:
    api = await start_service(roles=("api",), log_lines=2)
    job = await api.submit("echo")
    lease = await claim_one(api)
    await post(api, lease, "heartbeat", {"logs": [{"message": str(n)} for n in range(5)]})

    async def logged() -> list[str] | None:
        items = (await api.client.get(f"/api/v1/jobs/{job['jobId']}/logs")).json()["items"]
        return [line["message"] for line in items] if len(items) == 3 else None

    assert (await eventually(logged))[2] == "Log limit reached: only the first 2 lines of an attempt are kept."
    await post(api, lease, "complete")


async def test_many_leases_are_extended_at_once_each_by_itself(api: Service) -> None:
    ids = [(await api.submit("echo"))["jobId"] for _ in range(3)]
    leases = await claim(api, max=3)
    await post(api, leases[1], "release")
    await api.client.post(f"/api/v1/jobs/{ids[2]}/cancel")
    asked = [*(lease["leaseId"] for lease in leases), "nonsense"]
    answer = await api.client.post(f"{LEASES}/heartbeat", json={"leaseIds": asked})
    items = answer.json()["leases"]
    assert [item["leaseId"] for item in items] == asked
    assert [item.get("cancelRequested", item.get("error", {}).get("code")) for item in items] == [
        False,
        "LEASE_LOST",
        True,
        "NOT_FOUND",
    ]
    for lease in (leases[0], leases[2]):
        await post(api, lease, "complete")


async def test_an_expired_lease_is_not_extended(api: Service) -> None:
    await api.submit("echo")
    lease = await claim_one(api)
    await api.sql("update leases set expires_at = now() - interval '1 millisecond'")
    refused(await post(api, lease, "heartbeat", {"progress": 50}), 409, "LEASE_LOST")


async def test_a_job_runs_again_once_its_lease_has_expired(api: Service) -> None:
    job = await api.submit("echo", maxAttempts=3)
    lease = await claim_one(api)
    await api.sql("update leases set expires_at = now() - interval '1 second'")
    again = await claim_one(api)
    assert (again["job"]["jobId"], again["attempt"]) == (job["jobId"], 2)
    refused(await post(api, lease, "complete", {"result": "late"}), 409, "LEASE_LOST")
    [expired] = [event for event in await api.events(job["jobId"]) if event["eventType"] == "JobLeaseExpired"]
    assert expired["data"]["error"]["code"] == "WORKER_LOST"
    assert expired["data"]["error"]["details"]["reason"] == "Its worker did not extend the lease in time."
    await post(api, again, "complete", {"result": "in time"})
    assert (await api.job(job["jobId"]))["result"] == "in time"


async def test_an_attempt_outlives_the_node_that_leased_it(api: Service, start_service: Any) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    await api.sql("update running set node_id = gen_random_uuid()")
    await api.node.sweeper.repair(api.node.node_id, lease_seconds=15)
    assert (await api.job(job["jobId"]))["status"] == "running"
    await post(api, lease, "complete")


async def test_the_timeout_of_the_job_holds_however_often_the_lease_is_extended(api: Service) -> None:
    job = await api.submit("echo", timeoutSeconds=60, maxAttempts=1)
    lease = await claim_one(api)
    await post(api, lease, "heartbeat")
    await api.sql("update running set deadline = now() - interval '6 seconds' where job_id = $1", UUID(job["jobId"]))
    ended = await api.ended(job["jobId"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "TIMED_OUT")
    refused(await post(api, lease, "heartbeat"), 409, "LEASE_LOST")


async def test_a_worker_is_told_of_a_cancel_request_before_others_end_the_job(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    await api.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")
    await api.sql("update running set cancel_requested_at = now() - interval '1 minute'")
    await api.node.sweeper.repair(api.node.node_id, lease_seconds=15)
    assert (await post(api, lease, "heartbeat")).json()["cancelRequested"] is True
    await api.sql("update leases set cancel_told_at = now() - interval '6 seconds'")
    assert (await api.ended(job["jobId"]))["status"] == "cancelled"
    refused(await post(api, lease, "heartbeat"), 409, "LEASE_LOST")


async def test_why_names_the_worker_and_the_expiry_of_its_lease(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api, workerName="worker-7")
    await api.sql("update running set node_id = gen_random_uuid()")  # the node that leased it has gone
    why = (await api.client.get(f"/api/v1/jobs/{job['jobId']}/why")).json()
    assert (why["data"]["workerName"], why["data"]["leaseExpiresAt"]) == ("worker-7", lease["leaseExpiresAt"])
    assert 'on the worker "worker-7" over HTTP, whose lease expires at' in why["message"]
    await post(api, lease, "complete")
