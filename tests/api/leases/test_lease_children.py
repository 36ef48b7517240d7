"""Child jobs of attempts over HTTP: identified by their positions, in every attempt."""

from typing import Any

from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.response_checks import refused
from tests.support.service import Service

PAGES = {"jobs": [{"type": "echo", "parameters": {"page": n}, "queue": "pages"} for n in range(3)]}


async def parent(api: Service, **members: Any) -> dict[str, Any]:
    await api.submit("echo", **members)
    return await claim_one(api, queues=["default"])


async def finish_children(api: Service, lease: dict[str, Any]) -> None:
    for each in [lease, *await claim(api, max=10, queues=["pages"])]:
        await post(api, each, "complete")


async def test_children_are_a_batch_with_the_parent_and_its_correlation_id(api: Service) -> None:
    lease = await parent(api)
    answer = await post(api, lease, "jobs", PAGES)
    assert answer.status_code == 202
    body = answer.json()
    for job_id in body["jobIds"]:
        child = await api.job(job_id)
        assert child["parentId"] == lease["job"]["jobId"]
        assert child["correlationId"] == lease["job"]["correlationId"]
        assert child["batchId"] == body["batchId"]
    batch = (await api.client.get(f"/api/v1/batches/{body['batchId']}")).json()
    assert (batch["total"], batch["pending"]) == (3, 3)
    await finish_children(api, lease)


async def test_the_same_jobs_again_are_the_same_children_also_in_the_next_attempt(api: Service) -> None:
    lease = await parent(api)
    first = await post(api, lease, "jobs", PAGES)
    assert (await post(api, lease, "jobs", PAGES)).json() == first.json()
    await post(api, lease, "fail", {"error": {"message": "no"}, "retryAfterSeconds": 0})
    again = await claim_one(api, queues=["default"])
    assert (await post(api, again, "jobs", PAGES)).json() == first.json()
    refused(await post(api, lease, "jobs", PAGES), 409, "LEASE_LOST")
    await finish_children(api, again)


async def test_other_jobs_need_a_key_of_their_own(api: Service) -> None:
    lease = await parent(api)
    await post(api, lease, "jobs", PAGES)
    other = {"jobs": [*PAGES["jobs"][:2], {"type": "echo", "queue": "pages", "parameters": {"page": 9}}]}
    refused(await post(api, lease, "jobs", other), 409, "JOB_EXISTS")
    url, headers = f"{LEASES}/{lease['leaseId']}/jobs", {"Idempotency-Key": "second"}
    keyed = await api.client.post(url, json=other, headers=headers)
    assert keyed.status_code == 202
    assert (await api.client.post(url, json=other, headers=headers)).json() == keyed.json()
    await finish_children(api, lease)


async def test_an_invalid_child_is_named_and_none_is_recorded(api: Service) -> None:
    lease = await parent(api)
    body = {"jobs": [{"type": "echo"}, {"type": "nonsense"}]}
    answer = await post(api, lease, "jobs", body)
    error = refused(answer, 422, "VALIDATION_FAILED")
    assert [(each["path"], each["index"]) for each in error["details"]["errors"]] == [("jobs[1].type", 1)]
    assert len((await api.client.get("/api/v1/jobs")).json()["items"]) == 1
    await post(api, lease, "complete")


async def test_a_job_that_is_being_cancelled_submits_no_more(api: Service) -> None:
    lease = await parent(api)
    await api.client.post(f"/api/v1/jobs/{lease['job']['jobId']}/cancel")
    refused(await post(api, lease, "jobs", PAGES), 409, "CANCEL_REQUESTED")
    await post(api, lease, "complete")
