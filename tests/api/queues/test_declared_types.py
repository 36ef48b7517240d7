"""`PUT` and `DELETE` of `/api/v1/job-types/{type}`, and submissions of types that no handler of this node knows."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from duly.api.queues.job_type_models import JobTypeBody, JobTypePage
from tests.support.database_pool import TestDatabases
from tests.support.keys import OWN, audit_log, bearer, make_key, make_tenant
from tests.support.postgres_servers import Server
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service, eventually, running_service

PATH = "/api/v1/job-types"
PAGES: dict[str, Any] = {
    "description": "Renders pages.",
    "parametersSchema": {"type": "object", "properties": {"pages": {"type": "integer"}}, "required": ["pages"]},
    "resultSchema": {"type": "object"},
    "timeoutSeconds": 60,
    "maxAttempts": 2,
    "retry": {"shape": "fixed", "firstSeconds": 3, "capSeconds": 3},
    "queue": "render",
}


async def declare(service: Service, name: str, **members: Any) -> httpx.Response:
    return await service.client.put(f"{PATH}/{name}", json=members)


async def declared(service: Service, name: str, **members: Any) -> dict[str, Any]:
    response = await declare(service, name, **members)
    assert response.status_code in {200, 201}, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_a_declared_type_is_shown_with_its_members(contract: Service) -> None:
    response = await declare(contract, "render/pdf", **PAGES)

    assert response.status_code == 201
    assert response.headers["Location"] == f"{PATH}/render/pdf"
    JobTypeBody.model_validate_json(response.content, strict=True)
    body = response.json()
    assert (body["declaredBy"], body["isolation"], body["workers"]) == ("client", None, 0)
    assert body["parametersSchema"] == PAGES["parametersSchema"]
    retry = {"factor": 2.0, "jitter": 0.2} | PAGES["retry"]
    defaults = {"timeoutSeconds": 60.0, "maxAttempts": 2, "retry": retry, "queue": "render", "onExhausted": "fail"}
    assert body["defaults"] == defaults
    assert (await contract.client.get(f"{PATH}/render/pdf")).json() == body
    page = await contract.client.get(PATH, params={"limit": 200})
    JobTypePage.model_validate_json(page.content, strict=True)
    assert body in page.json()["items"]
    assert [item["type"] for item in page.json()["items"]] == sorted(item["type"] for item in page.json()["items"])


async def test_the_same_declaration_again_changes_nothing(contract: Service) -> None:
    first = await declare(contract, "again", **PAGES)
    version = await contract.sql("select version from control where id = 3")
    second = await declare(contract, "again", **PAGES)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert "Location" not in second.headers
    assert await contract.sql("select version from control where id = 3") == version


async def test_an_empty_declaration_accepts_anything_with_the_defaults_of_handlers(contract: Service) -> None:
    body = await declared(contract, "anything")
    handler = (await contract.client.get(f"{PATH}/echo")).json()
    assert body["defaults"] == handler["defaults"]
    job = await contract.job((await contract.submit("anything", [1, "two", None]))["jobId"])
    assert (job["status"], job["queue"], job["maxAttempts"]) == ("pending", "default", 5)


async def test_a_job_takes_the_defaults_of_its_declared_type(contract: Service) -> None:
    await declared(contract, "defaults", **PAGES)
    job = await contract.job((await contract.submit("defaults", {"pages": 3}))["jobId"])
    assert (job["queue"], job["maxAttempts"]) == ("render", 2)
    [[timeout]] = await contract.sql("select timeout_seconds from jobs where type = 'defaults'")
    assert timeout == 60
    named = await contract.job((await contract.submit("defaults", {"pages": 3}, queue="default"))["jobId"])
    assert named["queue"] == "default"


async def test_parameters_that_do_not_fit_are_refused_at_their_paths(contract: Service) -> None:
    await declared(contract, "checked", **PAGES)
    for parameters, path in (({"pages": "x"}, "parameters.pages"), ({}, "parameters.pages"), ([], "parameters")):
        job: dict[str, Any] = {"type": "checked", "parameters": parameters}
        assert invalid_paths(await contract.client.post("/api/v1/jobs", json=job)) == [path]
        batch = await contract.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}, job]})
        [error] = refused(batch, 422, "VALIDATION_FAILED")["details"]["errors"]
        assert (error["index"], error["path"]) == (1, f"jobs[1].{path}")


async def test_every_way_to_submit_knows_declared_types(contract: Service) -> None:
    await declared(contract, "ways", **PAGES)
    job = {"type": "ways", "parameters": {"pages": 1}}
    batch = await contract.client.post(
        "/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}], "then": {"type": "ways"}}
    )
    assert invalid_paths(batch) == ["then.parameters.pages"]
    lines = {
        "content": b'{"type":"ways","parameters":{"pages":1}}\n',
        "headers": {"Content-Type": "application/x-ndjson"},
    }
    assert (await contract.client.post("/api/v1/jobs/batch", **lines)).status_code == 202  # type: ignore[arg-type]
    schedule = {"name": "ways", "cron": "0 0 1 1 *", "submission": job}
    assert (await contract.client.post("/api/v1/schedules", json=schedule)).status_code == 201
    assert (await contract.client.post("/api/v1/schedules/ways/run")).status_code == 202
    schedule = {"name": "unfit", "cron": "0 0 1 1 *", "submission": {"type": "ways"}}
    assert invalid_paths(await contract.client.post("/api/v1/schedules", json=schedule)) == [
        "submission.parameters.pages"
    ]


async def test_why_says_that_no_live_worker_knows_the_type(contract: Service) -> None:
    await declared(contract, "nobody")
    job_id = (await contract.submit("nobody"))["jobId"]
    why = (await contract.client.get(f"/api/v1/jobs/{job_id}/why")).json()
    assert (why["cause"], why["data"]) == ("NO_WORKER", {"type": "nobody"})


async def test_limits_of_a_declared_type_are_set_and_read(contract: Service) -> None:
    await declared(contract, "limited")
    limits = {"concurrency": 3, "rate": None}
    assert (await contract.client.put(f"{PATH}/limited/limits", json=limits)).status_code == 200
    assert (await contract.client.get(f"{PATH}/limited/limits")).json() == limits
    refused(await contract.client.get(f"{PATH}/unlimited-and-unknown/limits"), 404, "NOT_FOUND")


# A changed schema


async def test_a_schema_that_waiting_jobs_do_not_fit_is_refused_with_their_number(contract: Service) -> None:
    before = await declared(contract, "changing", parametersSchema={})
    for parameters, members in (
        ({"pages": 1}, {}),
        ({"pages": "one"}, {}),
        ({"pages": "two"}, {"delaySeconds": 3600}),
        ({}, {"concurrencyKey": "changing"}),
        ({}, {"concurrencyKey": "changing"}),
    ):
        await contract.submit("changing", parameters, **members)
    error = refused(await declare(contract, "changing", **PAGES), 409, "WAITING_JOBS_DO_NOT_FIT")
    assert (error["details"]["jobs"], error["details"]["examined"]) == (4, 5)
    assert (await contract.client.get(f"{PATH}/changing")).json() == before

    forced = await contract.client.put(f"{PATH}/changing", params={"force": "true"}, json=PAGES)
    assert (forced.status_code, forced.json()["parametersSchema"]) == (200, PAGES["parametersSchema"])
    # What has not changed is not compared again.
    assert (await declare(contract, "changing", **{**PAGES, "maxAttempts": 7})).status_code == 200


async def test_the_newest_parameters_of_a_debounced_job_are_compared(contract: Service) -> None:
    await declared(contract, "debounced", parametersSchema={})
    for parameters in ({}, {"pages": 4}):
        await contract.submit("debounced", parameters, uniqueKey="one", debounceSeconds=3600)
    assert (await declare(contract, "debounced", **PAGES)).status_code == 200


async def test_jobs_that_have_ended_are_not_compared(contract: Service) -> None:
    await declared(contract, "ended", parametersSchema={})
    job_id = (await contract.submit("ended"))["jobId"]
    assert (await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
    assert (await declare(contract, "ended", **PAGES)).status_code == 200


# Deleting


async def test_a_type_is_deleted_once_no_job_of_it_waits(contract: Service) -> None:
    await declared(contract, "deleted")
    job_id = (await contract.submit("deleted"))["jobId"]
    error = refused(await contract.client.delete(f"{PATH}/deleted"), 409, "JOB_TYPE_IN_USE")
    assert error["details"]["jobs"] == 1
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (await contract.client.delete(f"{PATH}/deleted")).status_code == 204
    refused(await contract.client.get(f"{PATH}/deleted"), 404, "NOT_FOUND")
    unknown = await contract.client.post("/api/v1/jobs", json={"type": "deleted"})
    assert invalid_paths(unknown, "UNKNOWN_JOB_TYPE") == ["type"]
    refused(await contract.client.delete(f"{PATH}/deleted"), 404, "NOT_FOUND")


async def test_types_of_handlers_are_neither_declared_nor_deleted_here(contract: Service) -> None:
    refused(await declare(contract, "echo"), 409, "JOB_TYPE_HAS_HANDLER")
    refused(await contract.client.delete(f"{PATH}/echo"), 409, "JOB_TYPE_HAS_HANDLER")


# Refusals


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"parametersSchema": {"type": "strin"}}, "parametersSchema.type"),
        ({"resultSchema": {"items": {"$ref": "http://127.0.0.1:9/x"}}}, "resultSchema.items.$ref"),
        ({"parametersSchema": {"pattern": "(?=a)"}}, "parametersSchema.pattern"),
        ({"parametersSchema": {"$ref": "#"}}, "parametersSchema"),
        ({"parametersSchema": {"const": "x" * 65_536}}, "parametersSchema"),
        ({"parametersSchema": True}, "parametersSchema"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"maxAttempts": 1001}, "maxAttempts"),
        ({"retry": {"shape": "random"}}, "retry.shape"),
        ({"retry": {"firstSeconds": 400}}, "retry.capSeconds"),
        ({"queue": "a//b"}, "queue"),
        ({"parameterSchema": {}}, "parameterSchema"),
    ],
)
async def test_an_invalid_declaration_is_refused_at_its_path(
    contract: Service, members: dict[str, Any], path: str
) -> None:
    assert invalid_paths(await declare(contract, "invalid", **members)) == [path]
    refused(await contract.client.get(f"{PATH}/invalid"), 404, "NOT_FOUND")


async def test_a_name_is_refused_like_that_of_a_submission(contract: Service) -> None:
    assert invalid_paths(await declare(contract, "a//b")) == ["type"]
    assert invalid_paths(await contract.client.put(f"{PATH}/x?forced=1", json={})) == ["forced"]


# Keys, tenants and nodes


@pytest.fixture(scope="module")
async def keyed(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    async with databases_of(server).lent() as url, running_service(url, api_key=OWN) as running:
        yield running


async def test_a_key_bound_to_types_declares_no_others(keyed: Service) -> None:
    bound = bearer((await make_key(keyed, "worker", types=["mine"]))["key"])
    assert (await keyed.client.put(f"{PATH}/mine", json={}, headers=bound)).status_code == 201
    refused(await keyed.client.put(f"{PATH}/yours", json={}, headers=bound), 403, "FORBIDDEN")
    refused(await keyed.client.delete(f"{PATH}/yours", headers=bound), 403, "FORBIDDEN")
    reader = bearer((await make_key(keyed, "jobs:read"))["key"])
    refused(await keyed.client.put(f"{PATH}/mine", json={}, headers=reader), 403, "SCOPE_MISSING")


async def test_a_declared_type_belongs_to_its_tenant(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    scopes = ("jobs:read", "jobs:write", "worker")
    ours, theirs = [bearer((await make_key(keyed, *scopes, tenant=name))["key"]) for name in ("default", "acme")]
    assert (await keyed.client.put(f"{PATH}/secret-type", json=PAGES, headers=ours)).status_code == 201
    refused(await keyed.client.get(f"{PATH}/secret-type", headers=theirs), 404, "NOT_FOUND")
    refused(await keyed.client.delete(f"{PATH}/secret-type", headers=theirs), 404, "NOT_FOUND")
    submitted = await keyed.client.post("/api/v1/jobs", json={"type": "secret-typ"}, headers=theirs)
    assert "secret-type" not in submitted.text
    assert (await keyed.client.put(f"{PATH}/secret-type", json={}, headers=theirs)).status_code == 201
    body = (await keyed.client.get(f"{PATH}/secret-type", headers=ours)).json()
    assert body["description"] == PAGES["description"]


async def test_changes_are_in_the_audit_log(keyed: Service) -> None:
    own = bearer(OWN)
    await keyed.client.put(f"{PATH}/audited", json=PAGES, headers=own)
    await keyed.client.put(f"{PATH}/audited", json={}, headers=own)
    await keyed.client.delete(f"{PATH}/audited", headers=own)
    entries = [entry for entry in await audit_log(keyed) if entry["subject"] == "audited"]
    assert [entry["action"] for entry in entries] == ["job-type.declared", "job-type.declared", "job-type.deleted"]
    assert (entries[0]["before"], entries[2]["after"]) == (None, None)
    assert entries[1]["before"]["maxAttempts"] == 2
    assert entries[1]["after"]["maxAttempts"] == 5


async def test_another_node_knows_a_declaration_and_its_changes(database_url: str) -> None:
    async with running_service(database_url) as one, running_service(database_url, roles=("api",), handlers=()) as two:
        job = {"type": "shared", "parameters": {"pages": 1}}
        assert (await two.client.post("/api/v1/jobs", json=job)).status_code == 422
        await declared(one, "shared", **PAGES)

        async def accepted() -> bool:
            return (await two.client.post("/api/v1/jobs", json=job)).status_code == 202

        await eventually(accepted)
        await declared(one, "shared", **PAGES | {"parametersSchema": {"maxProperties": 1}})

        async def refuses_two_members() -> bool:
            both = {"type": "shared", "parameters": {"pages": 1, "ink": 2}}
            return (await two.client.post("/api/v1/jobs", json=both)).status_code == 422

        await eventually(refuses_two_members)
