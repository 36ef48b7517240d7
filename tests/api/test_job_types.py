"""`/api/v1/job-types`: what this service can do."""

import pytest

from duly.api.models import JobTypeBody, JobTypePage
from tests.support.answers import invalid_paths, refused
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/api/v1/job-types"


async def test_every_type_is_listed_by_name_with_its_schemas_and_defaults(contract: Service) -> None:
    answer = await contract.client.get(PATH, params={"limit": 200})

    JobTypePage.model_validate_json(answer.content, strict=True)
    page = answer.json()
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
    answer = await contract.client.get(f"{PATH}/sleep")

    JobTypeBody.model_validate_json(answer.content, strict=True)
    body = answer.json()
    assert body["type"] == "sleep"
    assert body["description"].startswith("Sleeps")
    assert body["parametersSchema"]["properties"]["seconds"] == {
        "default": 1,
        "description": "how long to sleep in all",
        "maximum": 86400,
        "minimum": 0,
        "title": "Seconds",
        "type": "number",
    }
    assert body["resultSchema"]["properties"]["seconds"]["type"] == "number"
    assert body["defaults"] == {"timeoutSeconds": 172800.0, "maxAttempts": 5}
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
