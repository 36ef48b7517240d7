"""Workers over HTTP count as live workers of the types that they claim or run."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.lifecycle.leases import leased_types
from duly.lifecycle.leases.leased_types import LeasedTypes
from tests.support.keys import OWN, bearer, make_key, make_tenant
from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
PATH = "/api/v1/job-types"


async def cause(service: Service, job: dict[str, Any], **members: Any) -> tuple[str, int | None]:
    """Returns why a job waits, and the number of workers for it, after a heartbeat of the node."""
    await service.beat()
    why = (await service.client.get(f"/api/v1/jobs/{job['jobId']}/why", **members)).json()
    return why["cause"], why["data"].get("workers")


async def workers(service: Service, job_type: str) -> int:
    return int((await service.client.get(f"{PATH}/{job_type}")).json()["workers"])


async def test_a_job_waits_for_its_worker_over_http_not_for_any_worker(api: Service) -> None:
    for name in ("render", "mail"):
        assert (await api.client.put(f"{PATH}/{name}", json={})).status_code == 201
    jobs = {name: await api.submit(name, queue="slow") for name in ("render", "mail")}
    assert await cause(api, jobs["render"]) == ("NO_WORKER", None)
    assert await claim(api, "render", queues=["other"], waitSeconds=0) == []
    assert await cause(api, jobs["render"]) == ("NEXT", 1)
    assert await cause(api, jobs["mail"]) == ("NO_WORKER", None)
    assert (await workers(api, "render"), await workers(api, "mail")) == (1, 0)


async def test_a_worker_that_is_silent_between_claims_is_forgotten_unless_it_runs_a_job(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_types, "BETWEEN_CLAIMS_SECONDS", -1)
    for name in ("render", "mail"):
        assert (await api.client.put(f"{PATH}/{name}", json={})).status_code == 201
    jobs = [await api.submit("render"), await api.submit("render"), await api.submit("mail")]
    lease = await claim_one(api, "render", "mail", waitSeconds=0)
    assert lease["job"]["type"] == "render"
    assert await cause(api, jobs[1]) == ("NEXT", 1)
    assert await cause(api, jobs[2]) == ("NO_WORKER", None)

    for node in api.nodes:
        node.leased_types._until.clear()  # as on a node that the worker has not claimed from
    assert await cause(api, jobs[1]) == ("NO_WORKER", None)
    assert (await post(api, lease, "heartbeat")).status_code == 200
    assert await cause(api, jobs[1]) == ("NEXT", 1)
    await api.client.post(f"{LEASES}/heartbeat", json={"leaseIds": [lease["leaseId"]]})
    await post(api, lease, "complete")


async def test_a_worker_of_another_tenant_is_none(start_service: StartService) -> None:
    service = await start_service(roles=("api", "sweeper"), api_key=OWN)
    service.client.headers.update(bearer(OWN))
    await make_tenant(service, "acme")
    theirs = bearer((await make_key(service, "worker", "jobs:read", "jobs:write", tenant="acme"))["key"])
    own = await service.submit("echo")
    await claim(service, waitSeconds=0, headers=theirs)
    assert (await cause(service, own))[0] == "NO_WORKER"
    assert (await workers(service, "echo")) == 0
    other = (await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=theirs)).json()
    assert await cause(service, other, headers=theirs) == ("NEXT", 1)


def test_the_longest_time_counts_and_the_number_of_types_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased_types, "MOST_TYPES", 2)
    now = 0.0
    noted = LeasedTypes(now=lambda: now)
    noted.note(1, ["a", "b", "c"], seconds=10)
    noted.note(1, ["a"], seconds=30)
    noted.note(1, ["a"], seconds=5)
    assert noted.keys() == ["1 a", "1 b"]
    now = 20.0
    assert noted.keys() == ["1 a"]
    noted.note(2, ["a"], seconds=5)
    assert sorted(noted.keys()) == ["1 a", "2 a"]
    now = 30.0
    assert noted.keys() == []
