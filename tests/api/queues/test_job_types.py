"""`/api/v1/job-types`: the registered job types."""

from uuid import UUID

import pytest

from duly.api.queues.job_type_models import JobTypeBody, JobTypePage
from duly.lifecycle.read import run_times
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service

PATH = "/api/v1/job-types"


async def test_every_type_is_listed_by_name_with_its_schemas_and_defaults(contract: Service) -> None:
    response = await contract.client.get(PATH, params={"limit": 200})

    JobTypePage.model_validate_json(response.content, strict=True)
    page = response.json()
    names = [item["type"] for item in page["items"]]
    assert names == sorted(contract.node.registry)
    assert {"echo", "sleep", "progress"} <= set(names)
    assert page["nextCursor"] is None


async def test_pages_lead_through_all_types(contract: Service) -> None:
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await contract.client.get(PATH, params={"limit": 2, **cursor})).json()
        names += [item["type"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}

    assert names == sorted(contract.node.registry)


async def test_one_type_shows_what_it_takes_and_returns(contract: Service) -> None:
    response = await contract.client.get(f"{PATH}/sleep")

    JobTypeBody.model_validate_json(response.content, strict=True)
    body = response.json()
    assert body["type"] == "sleep"
    assert body["description"].startswith("Sleeps")
    assert body["parametersSchema"]["properties"]["seconds"] == {
        "default": 1,
        "description": "total time to sleep",
        "maximum": 86400,
        "minimum": 0,
        "title": "Seconds",
        "type": "number",
    }
    assert body["resultSchema"]["properties"]["seconds"]["type"] == "number"
    assert body["defaults"] == {
        "timeoutSeconds": 172800.0,
        "maxAttempts": 5,
        "retry": {"shape": "exponential", "firstSeconds": 1.0, "capSeconds": 300.0, "factor": 2.0, "jitter": 0.2},
        "queue": None,
        "onExhausted": "fail",
    }
    assert body["declaredBy"] == "handler"
    assert (await contract.client.get(f"{PATH}/process")).json()["isolation"] == "process"
    assert (await contract.client.get(f"{PATH}/plain")).json()["isolation"] == "thread"


async def test_a_job_takes_the_defaults_of_its_type(contract: Service) -> None:
    accepted = await contract.submit("raise", runAt="2100-01-01T00:00:00Z")

    defaults = (await contract.client.get(f"{PATH}/raise")).json()["defaults"]
    assert (await contract.job(accepted["jobId"]))["maxAttempts"] == defaults["maxAttempts"] == 3


async def test_an_unknown_type_is_a_404_that_names_the_near_ones(contract: Service) -> None:
    error = refused(await contract.client.get(f"{PATH}/eco"), 404, "NOT_FOUND")

    assert "echo" in error["details"]["reason"]
    refused(await contract.client.get(f"{PATH}/zzzzzzzz"), 404, "NOT_FOUND")


async def test_what_is_no_query_of_the_list_is_refused(contract: Service) -> None:
    for query, path in (
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"name": "echo"}, "name"),
    ):
        assert invalid_paths(await contract.client.get(PATH, params=query)) == [path], query
    assert invalid_paths(await contract.client.get(f"{PATH}/echo?verbose=1")) == ["verbose"]


async def test_a_type_of_which_nothing_has_completed_was_not_observed(contract: Service) -> None:
    await contract.run("fail")
    assert (await contract.client.get(f"{PATH}/fail")).json()["observed"] is None


async def test_run_times_of_completed_jobs_are_observed_and_suggest_a_timeout(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_times, "GOOD_FOR_SECONDS", 0.0)
    ids = [(await contract.run("progress", {"steps": steps}))["jobId"] for steps in (0, 1, 30, 3)]
    retried = (await contract.run("retry-after"))["jobId"]
    # As if the attempts had taken whole seconds, and the first one of the retried job an hour.
    for seconds, job_id in enumerate(ids, start=1):
        await contract.sql(AGED, UUID(job_id), seconds)
    await contract.sql(AGED, UUID(retried), 7)
    first = "update events set occurred_at = occurred_at - interval '1 hour' where job_id = $1 and sequence = 1"
    await contract.sql(first, UUID(retried))

    observed = (await contract.client.get(f"{PATH}/progress")).json()["observed"]
    assert observed == {"count": 4, "p50Seconds": 2.0, "p99Seconds": 4.0, "suggestedTimeoutSeconds": 10}
    observed = (await contract.client.get(f"{PATH}/retry-after")).json()["observed"]
    assert observed == {"count": 1, "p50Seconds": 7.0, "p99Seconds": 7.0, "suggestedTimeoutSeconds": 15}


AGED = """
update events e set occurred_at = (
    select occurred_at from events where job_id = $1 and kind = 10
) - $2 * interval '1 second'
where job_id = $1 and sequence = (select max(sequence) from events where job_id = $1 and kind = 1)
"""


async def test_what_was_observed_is_good_for_ten_seconds(contract: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def count() -> int | None:
        observed = (await contract.client.get(f"{PATH}/context")).json()["observed"]
        return observed["count"] if observed else None

    await contract.run("context")
    monkeypatch.setattr(run_times, "GOOD_FOR_SECONDS", 0.0)
    assert await count() == 1
    monkeypatch.setattr(run_times, "GOOD_FOR_SECONDS", 3600.0)
    await contract.run("context")
    assert await count() == 1
    monkeypatch.setattr(run_times, "GOOD_FOR_SECONDS", 0.0)
    assert await count() == 2


async def test_a_type_says_how_many_processes_run_it(contract: Service) -> None:
    async def workers() -> list[int]:
        page = (await contract.client.get(PATH, params={"limit": 200})).json()
        listed = {item["type"]: item["workers"] for item in page["items"]}
        return [(await contract.client.get(f"{PATH}/echo")).json()["workers"], listed["echo"], listed["sleep"]]

    assert await workers() == [1, 1, 1]
    for roles, draining in (("{worker}", False), ("{api,sweeper}", False), ("{worker}", True)):
        await contract.sql(OTHER_NODE, roles, draining)
    try:
        assert await workers() == [2, 2, 1]
    finally:
        await contract.sql("delete from nodes where name = 'another'")


OTHER_NODE = """
insert into nodes (node_id, name, version, roles, job_types, draining)
values (gen_random_uuid(), 'another', '0', $1::text::text[], '{echo}', $2)
"""
