"""Keys of workers: their scope, the types and queues that they are bound to, and their tenant."""

from typing import Any

import pytest

from tests.support.keys import OWN, bearer, make_key, make_tenant
from tests.support.lease_worker import LEASES, claim, post
from tests.support.response_checks import refused
from tests.support.service import Service


@pytest.fixture
async def keyed(start_service: Any) -> Service:
    """Returns a service that requires keys and runs no handlers."""
    service: Service = await start_service(roles=("api", "sweeper"), api_key=OWN)
    service.client.headers.update(bearer(OWN))
    return service


async def test_workers_need_the_scope(keyed: Service) -> None:
    key = await make_key(keyed, "jobs:read", "jobs:write", "admin")
    for path in ("", "/heartbeat", "/complete", "/x/heartbeat", "/x/complete", "/x/fail", "/x/release", "/x/jobs"):
        answer = await keyed.client.post(f"{LEASES}{path}", json={}, headers=bearer(key["key"]))
        refused(answer, 403, "SCOPE_MISSING")


async def test_a_key_claims_only_the_types_and_queues_that_it_is_bound_to(keyed: Service) -> None:
    key = bearer((await make_key(keyed, "worker", types=["echo"], queues=["images"]))["key"])
    for body in ({"types": ["echo", "price"]}, {"types": ["echo"], "queues": ["images", "default"]}):
        refused(await keyed.client.post(LEASES, json=body, headers=key), 403, "FORBIDDEN")
    await keyed.submit("echo")
    bound = await keyed.submit("echo", queue="images")
    [lease] = await claim(keyed, max=10, headers=key)
    assert lease["job"]["jobId"] == bound["jobId"]
    assert lease["job"]["parameters"] == {}  # a worker sees what it runs, without `jobs:payload`
    assert (await post(keyed, lease, "complete")).status_code == 200


async def test_the_lease_of_another_tenant_is_an_unknown_one(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    other = bearer((await make_key(keyed, "worker", "jobs:write", tenant="acme"))["key"])
    await keyed.submit("echo")
    assert await claim(keyed, headers=other, waitSeconds=0.2) == []
    [lease] = await claim(keyed)
    unknown = f"{lease['leaseId'][:-1]}{'A' if lease['leaseId'][-1] != 'A' else 'B'}"
    for verb, body in (
        ("heartbeat", None),
        ("complete", None),
        ("fail", {"error": {"message": "no"}}),
        ("release", None),
        ("jobs", {"jobs": [{"type": "echo"}]}),
    ):
        url = f"{LEASES}/{{}}/{verb}"
        answers = [
            await keyed.client.post(url.format(lease_id), json=body, headers=other)
            for lease_id in (lease["leaseId"], unknown)
        ]
        for answer in answers:
            refused(answer, 404, "NOT_FOUND")
        assert answers[0].text == answers[1].text
    bulk = {"leases": [{"leaseId": lease["leaseId"]}]}
    [item] = (await keyed.client.post(f"{LEASES}/complete", json=bulk, headers=other)).json()["leases"]
    assert item["error"]["code"] == "NOT_FOUND"
    assert (await post(keyed, lease, "complete")).status_code == 200


async def test_jobs_of_each_tenant_go_to_its_own_workers(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    other = bearer((await make_key(keyed, "worker", "jobs:write", tenant="acme"))["key"])
    own = await keyed.submit("echo")
    answer = await keyed.client.post("/api/v1/jobs", json={"type": "echo"}, headers=other)
    leases = {name: await claim(keyed, max=10, headers=headers) for name, headers in (("own", None), ("acme", other))}
    assert [lease["job"]["jobId"] for lease in leases["own"]] == [own["jobId"]]
    assert [lease["job"]["jobId"] for lease in leases["acme"]] == [answer.json()["jobId"]]
    await post(keyed, leases["own"][0], "complete")
    url = f"{LEASES}/{leases['acme'][0]['leaseId']}/complete"
    assert (await keyed.client.post(url, headers=other)).status_code == 200
