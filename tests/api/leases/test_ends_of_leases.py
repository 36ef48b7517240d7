"""Ends of attempts over HTTP: each is recorded once, and a repeated request gets the same response."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.response_checks import refused
from tests.support.service import Service


async def test_a_claimed_job_is_as_in_a_read_and_completes_with_its_result(api: Service) -> None:
    job = await api.submit("echo", {"n": 1.50}, labels={"customer": "c-1"}, priority=3)
    lease = await claim_one(api, workerName="worker-1")
    assert lease["job"] == await api.job(job["jobId"])
    assert lease["attempt"] == 1
    assert lease["idempotencyToken"] == f"duly-{job['jobId']}"
    assert (lease["checkpoint"], lease["steps"]) == (None, [])

    ended = await post(api, lease, "complete", {"result": {"pages": 3}})
    assert ended.json() == {"jobId": job["jobId"], "status": "completed", "sequence": 2}
    read = await api.job(job["jobId"])
    assert (read["status"], read["result"], read["progress"]) == ("completed", {"pages": 3}, 100)
    assert await api.event_types(job["jobId"]) == ["JobSubmitted", "JobStarted", "JobCompleted"]


async def test_a_claimed_job_with_all_members_is_as_in_a_read(api: Service) -> None:
    headers = {"X-Correlation-Id": 'a"b\\c'}
    body = {"type": "echo", "parameters": {"text": 'quo"te\\ é\n'}, "labels": {"k": 'v"\\'}, "queue": "a/b.c:d"}
    parent = await api.submit("echo")
    blocking = await claim_one(api)
    answer = await api.client.post("/api/v1/jobs", json={**body, "dependsOn": [parent["jobId"]]}, headers=headers)
    assert answer.status_code == 202
    await post(api, blocking, "complete")
    first = await claim_one(api)
    report = {"progress": 12.5, "message": 'half "done"\\', "checkpoint": {"at": ['"']}}
    assert (await post(api, first, "heartbeat", report)).status_code == 200
    await post(api, first, "release")
    second = await claim_one(api)
    assert second["job"] == await api.job(answer.json()["jobId"])
    assert (second["job"]["progress"], second["job"]["progressMessage"]) == (12.5, report["message"])
    assert second["checkpoint"] == report["checkpoint"]
    await post(api, second, "complete")


@pytest.mark.parametrize("verb", ["complete", "heartbeat"])
async def test_requests_for_several_leases_have_no_query(api: Service, verb: str) -> None:
    answer = await api.client.post(f"{LEASES}/{verb}?dry=1", json={"leases": [{"leaseId": "a"}], "leaseIds": ["a"]})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["errors"][0]["path"] == "dry"


async def test_a_result_keeps_its_text(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    text = '{"result": {"price": 0.10, "big": 123456789012345678901234567890, "small": 1e-400, "zero": -0, "n": 1e1}}'
    answer = await api.client.post(
        f"{LEASES}/{lease['leaseId']}/complete", content=text, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200
    shown = (await api.client.get(f"/api/v1/jobs/{job['jobId']}")).text
    for number in ("0.10", "123456789012345678901234567890", "1e-400", "-0", "1e1"):
        assert number in shown


ENDS: list[tuple[str, Any, str]] = [
    ("complete", {"result": {"b": 1, "a": [2]}}, "completed"),
    ("complete", None, "completed"),
    ("fail", {"error": {"message": "no"}, "retryable": False}, "failed"),
    ("fail", {"error": {"message": "no"}, "retryAfterSeconds": 60}, "pending"),
    ("release", None, "pending"),
]


@pytest.mark.parametrize(("verb", "body", "status"), ENDS)
async def test_the_same_request_again_gets_the_same_response(api: Service, verb: str, body: Any, status: str) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    first = await post(api, lease, verb, body)
    assert (first.status_code, first.json()["status"]) == (200, status)
    events = await api.event_types(job["jobId"])
    again = await asyncio.gather(*(post(api, lease, verb, body) for _ in range(5)))
    assert {answer.text for answer in again} == {first.text}
    assert await api.event_types(job["jobId"]) == events


async def test_other_members_in_another_order_are_the_same_request(api: Service) -> None:
    await api.submit("echo")
    lease = await claim_one(api)
    url, headers = f"{LEASES}/{lease['leaseId']}/complete", {"content-type": "application/json"}
    first = await api.client.post(url, content='{"result": {"a": 1, "b": 2}}', headers=headers)
    again = await api.client.post(url, content='{"result":{"b":2,"a":1}}', headers=headers)
    assert first.text == again.text


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("complete", {"result": 2}),
        ("fail", {"error": {"message": "late"}}),
        ("release", None),
        ("heartbeat", None),
        ("jobs", {"jobs": [{"type": "echo"}]}),
    ],
)
async def test_another_request_for_an_ended_attempt_changes_nothing(api: Service, verb: str, body: Any) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    await post(api, lease, "complete", {"result": 1})
    before = await api.events(job["jobId"])
    refused(await post(api, lease, verb, body), 409, "LEASE_LOST")
    assert await api.events(job["jobId"]) == before
    assert len((await api.client.get("/api/v1/jobs")).json()["items"]) == 1


async def test_two_ends_at_once_record_one(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    answers = await asyncio.gather(*(post(api, lease, "complete", {"result": n}) for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + 7 * [409]
    won = next(n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert (await api.job(job["jobId"]))["result"] == won


async def test_a_failed_attempt_is_retried_by_another_lease_and_fences_the_first(api: Service) -> None:
    job = await api.submit("echo", maxAttempts=2)
    first = await claim_one(api)
    await post(api, first, "fail", {"error": {"code": "CUSTOMER_UNKNOWN", "message": "no"}, "retryAfterSeconds": 0})
    second = await claim_one(api)
    assert (second["attempt"], second["job"]["jobId"]) == (2, job["jobId"])
    assert second["leaseId"] != first["leaseId"]
    refused(await post(api, first, "complete", {"result": "late"}), 409, "LEASE_LOST")

    ended = await post(api, second, "fail", {"error": {"code": "CUSTOMER_UNKNOWN", "message": "no"}})
    assert ended.json()["status"] == "failed"
    error = (await api.job(job["jobId"]))["error"]
    assert error == {
        "code": "CUSTOMER_UNKNOWN",
        "message": "no",
        "details": {"reason": "no", "retryable": False, "attempt": 2},
    }


async def test_a_released_attempt_is_not_counted(api: Service) -> None:
    await api.submit("echo", maxAttempts=1)
    await post(api, await claim_one(api), "release")
    lease = await claim_one(api)
    assert lease["attempt"] == 1
    await post(api, lease, "complete")


async def test_an_end_is_recognised_hours_later_on_another_node_and_after_a_restart(
    api: Service, start_service: Any
) -> None:
    await api.submit("echo")
    lease = await claim_one(api)
    first = await post(api, lease, "complete", {"result": 1})
    other = await start_service(roles=("api",))
    assert (await post(other, lease, "complete", {"result": 1})).text == first.text
    refused(await post(other, lease, "complete", {"result": 2}), 409, "LEASE_LOST")


async def test_any_node_ends_an_attempt_that_another_one_leased(api: Service, start_service: Any) -> None:
    other = await start_service(roles=("api",))
    job = await api.submit("echo")
    lease = await claim_one(api)
    assert (await post(other, lease, "heartbeat")).status_code == 200
    assert (await post(other, lease, "complete")).status_code == 200
    assert (await api.job(job["jobId"]))["status"] == "completed"


async def test_many_are_completed_at_once_each_by_itself(api: Service) -> None:
    ids = [(await api.submit("echo", {"n": n}))["jobId"] for n in range(4)]
    leases = await claim(api, max=10)
    assert [lease["job"]["jobId"] for lease in leases] == ids
    await post(api, leases[1], "complete", {"result": "before"})
    items = [
        {"leaseId": leases[0]["leaseId"], "result": 0},
        {"leaseId": leases[1]["leaseId"], "result": "other"},
        {"leaseId": "nonsense", "result": 0},
        {"leaseId": leases[2]["leaseId"], "result": "x" * (2 << 20)},
        {"leaseId": leases[3]["leaseId"]},
    ]
    answer = await api.client.post(f"{LEASES}/complete", json={"leases": items})
    assert answer.status_code == 200, answer.text
    found = answer.json()["leases"]
    assert [item["leaseId"] for item in found] == [item["leaseId"] for item in items]
    assert [item.get("status", item.get("error", {}).get("code")) for item in found] == [
        "completed",
        "LEASE_LOST",
        "NOT_FOUND",
        "BODY_TOO_LARGE",
        "completed",
    ]
    assert (await api.job(ids[2]))["status"] == "running"
    await post(api, leases[2], "release")


async def test_a_job_that_was_cancelled_meanwhile_ends_as_cancelled(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    assert (await post(api, lease, "heartbeat")).json()["cancelRequested"] is False
    assert (await api.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")).status_code == 202
    assert (await post(api, lease, "heartbeat")).json()["cancelRequested"] is True
    ended = await post(api, lease, "complete", {"result": 1})
    assert ended.json()["status"] == "cancelled"
    assert (await post(api, lease, "complete", {"result": 1})).text == ended.text
    assert (await api.job(job["jobId"]))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("complete", {"result": 1, "more": 2}),
        ("fail", {}),
        ("fail", {"error": {"code": "lower", "message": "no"}}),
        ("fail", {"error": {"message": "no"}, "retryAfterSeconds": -1}),
        ("release", {"reason": "no"}),
        ("heartbeat", {"progress": 101}),
        ("heartbeat", {"message": "without progress"}),
        ("heartbeat", {"logs": [{"level": "loud", "message": "no"}]}),
        ("jobs", {"jobs": []}),
    ],
)
async def test_an_invalid_request_changes_nothing(api: Service, verb: str, body: Any) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    refused(await post(api, lease, verb, body), 422, "VALIDATION_FAILED")
    assert len(await api.events(job["jobId"])) == 2
    await post(api, lease, "complete")


async def test_a_result_beyond_the_limit_is_refused_and_the_attempt_goes_on(start_service: Any) -> None:
    api = await start_service(roles=("api",), result_limit=1024)
    await api.submit("echo")
    lease = await claim_one(api)
    refused(await post(api, lease, "complete", {"result": "x" * 1023}), 413, "BODY_TOO_LARGE")
    refused(await post(api, lease, "heartbeat", {"checkpoint": "x" * 1023}), 413, "BODY_TOO_LARGE")
    assert (await post(api, lease, "complete", {"result": "x" * 1022})).status_code == 200


@pytest.mark.parametrize("text", ["x", "A" * 72, "A" * 600, "..%2f", "é"])
async def test_a_text_that_is_no_lease_id_is_not_found(api: Service, text: str) -> None:
    for verb, body in (("heartbeat", None), ("complete", None), ("release", None)):
        refused(await api.client.post(f"{LEASES}/{text}/{verb}", json=body), 404, "NOT_FOUND")


async def test_a_checkpoint_recorded_beside_the_end_is_not_left_behind(api: Service) -> None:
    job = await api.submit("echo")
    lease = await claim_one(api)
    answers = await asyncio.gather(
        *(post(api, lease, "heartbeat", {"checkpoint": n}) for n in range(5)), post(api, lease, "complete")
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert await api.sql("select from checkpoints where job_id = $1", UUID(job["jobId"])) == []
