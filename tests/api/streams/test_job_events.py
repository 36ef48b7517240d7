"""`GET /api/v1/jobs/{jobId}/events`: history of a job in pages, oldest first."""

from typing import Any
from uuid import UUID

from duly.api.contract.response_models import EventPage
from tests.support.response_checks import TIME, invalid_paths, refused
from tests.support.service import Service

MEMBERS = [
    *("eventId", "eventType", "eventVersion", "occurredAt", "aggregateId", "aggregateType", "sequence", "data"),
    "metadata",
]


async def _page(contract: Service, job_id: str, **query: Any) -> dict[str, Any]:
    response = await contract.client.get(f"/api/v1/jobs/{job_id}/events", params=query)
    assert response.status_code == 200, response.text
    EventPage.model_validate_json(response.content, strict=True)
    page: dict[str, Any] = response.json()
    return page


async def test_each_event_has_the_members_of_the_contract(contract: Service) -> None:
    view = await contract.run("progress", {"steps": 2}, labels={"a": "b"})
    events = (await _page(contract, view["jobId"]))["items"]

    for event in events:
        assert list(event) == MEMBERS
        assert (event["eventVersion"], event["aggregateType"], event["aggregateId"]) == ("1.0", "Job", view["jobId"])
        assert TIME.fullmatch(event["occurredAt"])
        assert str(UUID(event["eventId"])) == event["eventId"]
        assert set(event["metadata"]) == {"correlationId", "causationId", "source", "traceparent"}
        assert event["metadata"]["correlationId"] == view["correlationId"]
        assert event["metadata"]["source"]
    assert [event["sequence"] for event in events] == [0, 1, 2, 3, 4]
    assert len({event["eventId"] for event in events}) == 5
    assert [event["metadata"]["causationId"] for event in events] == [None, *(e["eventId"] for e in events[:-1])]
    assert [event["occurredAt"] for event in events] == sorted(event["occurredAt"] for event in events)


async def test_each_kind_of_event_carries_its_own_facts(contract: Service) -> None:
    view = await contract.run("progress", {"steps": 1})
    events = (await _page(contract, view["jobId"]))["items"]
    assert [(event["eventType"], event["data"]) for event in events] == [
        ("JobSubmitted", events[0]["data"] | {"type": "progress", "queue": "default", "parameters": {"steps": 1}}),
        ("JobStarted", {"attempt": 1}),
        ("JobProgressed", {"attempt": 1, "progress": 10, "message": "step 1"}),
        ("JobCompleted", {"attempt": 1, "result": "done"}),
    ]
    assert events[1]["metadata"]["source"].startswith("worker:")

    view = await contract.run("raise", {"succeed_on": 2, "name": "facts"})
    events = (await _page(contract, view["jobId"]))["items"]
    assert [event["eventType"] for event in events] == [
        *("JobSubmitted", "JobStarted", "JobRetryScheduled", "JobStarted", "JobCompleted")
    ]
    assert events[2]["data"]["error"]["code"] == "TASK_FAILED"
    assert [event["data"].get("attempt") for event in events] == [None, 1, 1, 2, 2]

    view = await contract.run("fail")
    failed = (await _page(contract, view["jobId"]))["items"][-1]
    assert (failed["eventType"], failed["data"]) == ("JobFailed", {"attempt": 1, "error": view["error"]})


async def test_the_first_event_carries_what_was_asked(contract: Service) -> None:
    plain = await contract.submit("raise", {"name": "asked"}, runAt="2100-01-01T00:00:00Z")
    [event] = (await _page(contract, plain["jobId"]))["items"]
    assert event["data"] == {
        "type": "raise",
        "queue": "default",
        "priority": 0,
        "parameters": {"name": "asked"},
        "timeoutSeconds": 3600,
        "maxAttempts": 3,
        "runAt": "2100-01-01T00:00:00.000Z",
    }

    options = {
        "queue": "asked",
        "priority": -3,
        "runAt": "2100-01-01T00:00:00.000Z",
        "timeoutSeconds": 0.3,
        "maxAttempts": 7,
        "labels": {"customer": "c-42"},
        "callbackUrl": "http://127.0.0.1:9/hook",
        "callbackEvents": ["job.started", "job.failed"],
    }
    rich = await contract.submit("raise", {}, callbackSecret="not to be shown", **options)
    [event] = (await _page(contract, rich["jobId"]))["items"]
    assert event["data"] == {"type": "raise", "parameters": {}, **options}


async def test_pages_lead_through_the_whole_history(contract: Service) -> None:
    view = await contract.run("progress", {"steps": 5})
    for limit in (1, 2, 7, 8, 9, 200):
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = await _page(contract, view["jobId"], limit=limit, **cursor)
            assert len(page["items"]) <= limit
            seen += [event["sequence"] for event in page["items"]]
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert seen == list(range(8)), limit


async def test_reading_again_tells_the_same(contract: Service) -> None:
    view = await contract.run("echo")

    assert await _page(contract, view["jobId"]) == await _page(contract, view["jobId"])


async def test_what_is_no_query_of_a_history_is_refused(contract: Service) -> None:
    one, other = [await contract.run("progress") for _ in range(2)]
    cursor = (await _page(contract, other["jobId"], limit=1))["nextCursor"]
    path = f"/api/v1/jobs/{one['jobId']}/events"
    for query, place in (
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": cursor}, "cursor"),
        ({"after": 3}, "after"),
    ):
        assert invalid_paths(await contract.client.get(path, params=query)) == [place], query
    assert invalid_paths(await contract.client.get(f"{path}/stream?lasteventid=3")) == ["lasteventid"]
    for last in ("x", "-1", "1.5", "99999999999"):
        response = await contract.client.get(f"{path}/stream", headers={"Last-Event-ID": last})
        assert invalid_paths(response) == ["Last-Event-ID"], last


async def test_a_job_that_does_not_exist_has_no_history(contract: Service) -> None:
    refused(await contract.client.get("/api/v1/jobs/0199c1f0-0000-7000-8000-000000000000/events"), 404, "NOT_FOUND")
