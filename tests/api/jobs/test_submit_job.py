"""`POST /api/v1/jobs`: accepted submissions and their responses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from duly.api.contract.response_models import AcceptedBody
from tests.support.response_checks import JSON, TIME
from tests.support.service import Service

LATER = "2100-01-27T12:00:00.000Z"


async def test_the_answer_names_the_job_its_links_and_when_to_look_again(contract: Service) -> None:
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo"})

    assert response.status_code == 202
    body = response.json()
    AcceptedBody.model_validate(body, strict=True)
    path = f"/api/v1/jobs/{body['jobId']}"
    assert list(body) == ["jobId", "status", "createdAt", "links"]
    assert body["links"] == {
        "self": path,
        "events": f"{path}/events",
        "stream": f"{path}/events/stream",
        "cancel": f"{path}/cancel",
    }
    assert body["status"] == "pending"
    assert TIME.fullmatch(body["createdAt"])
    assert (response.headers["Location"], response.headers["Retry-After"]) == (path, "1")
    assert response.headers["Content-Type"] == "application/json"
    assert UUID(body["jobId"]).version == 7
    assert body["jobId"] == str(UUID(body["jobId"]))


async def test_the_links_of_an_answer_lead_somewhere(contract: Service) -> None:
    accepted = await contract.submit("wait-for-gate", {"name": "links"})

    for name in ("self", "events"):
        assert (await contract.client.get(accepted["links"][name])).status_code == 200
    assert (await contract.client.post(accepted["links"]["cancel"])).status_code in {200, 202}
    async with asyncio.timeout(60):
        assert (await contract.client.get(accepted["links"]["stream"])).status_code == 200


async def test_the_answer_is_sent_after_the_job_is_recorded(contract: Service) -> None:
    accepted = await contract.submit("echo", {"a": 1})

    rows = await contract.sql("select created_at from jobs where job_id = $1", UUID(accepted["jobId"]))
    assert rows[0]["created_at"].isoformat(timespec="milliseconds").startswith(accepted["createdAt"][:-1])


async def test_the_whole_example_of_the_contract_is_accepted(contract: Service) -> None:
    example = {
        "type": "echo",
        "parameters": {"startDate": "2024-01-01", "endDate": "2024-01-31"},
        "queue": "default",
        "priority": 0,
        "runAt": LATER,
        "delaySeconds": None,
        "timeoutSeconds": 3600,
        "maxAttempts": 5,
        "expiresInSeconds": None,
        "uniqueKey": None,
        "concurrencyKey": None,
        "dependsOn": [],
        "labels": {"customer": "c-42"},
        "callbackUrl": "https://client.example.com/webhooks/job-completed",
        "callbackSecret": "webhook-secret-key",
        "callbackEvents": ["job.completed", "job.failed", "job.cancelled"],
    }
    response = await contract.client.post("/api/v1/jobs", json=example)

    assert response.status_code == 202
    text = (await contract.client.get(response.headers["Location"])).text
    assert "webhook-secret-key" not in text
    view = await contract.job(response.json()["jobId"])
    assert (view["runAt"], view["labels"], view["maxAttempts"]) == (LATER, {"customer": "c-42"}, 5)


async def test_parameters_may_be_any_json_and_come_back_as_they_were(contract: Service) -> None:
    for parameters in [
        {},
        {"a": {"b": [1, 2.5, True, None, "ü 😀"]}},
        [],
        [1],
        "text",
        7,
        -0.5,
        False,
        None,
        2**64 + 1,
        {"": ""},
    ]:
        view = await contract.run("echo", parameters) if parameters is not None else await _run_with_null(contract)

        assert view["parameters"] == parameters
        assert view["result"] == parameters


async def _run_with_null(contract: Service) -> dict[str, object]:
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo", "parameters": None})
    return await contract.ended(response.json()["jobId"])


async def test_parameters_are_an_empty_object_where_none_are_given(contract: Service) -> None:
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo"})

    assert (await contract.ended(response.json()["jobId"]))["result"] == {}


FIGURES: list[dict[str, Any]] = [
    {"priority": -100},
    {"priority": 100},
    {"maxAttempts": 1},
    {"maxAttempts": 1000},
    {"queue": "eu:west/slow.1"},
    {"labels": {"ключ": "", "b": "x" * 256}},
    {"labels": {str(number): "x" for number in range(64)}},
    {"labels": {}},
    {"runAt": "2000-01-01T00:00:00.000Z", "queue": "q" * 128},
    {"runAt": "2199-12-31T23:59:59.999Z"},
]


async def test_each_member_is_taken_up_to_its_bounds_and_shown(contract: Service) -> None:
    for members in FIGURES:
        accepted = await contract.submit("echo", **members)

        view = await contract.job(accepted["jobId"])
        assert {member: view[member] for member in members} == members


async def test_times_are_taken_up_to_their_bounds(contract: Service) -> None:
    for members in ({"timeoutSeconds": 30 * 86400}, {"timeoutSeconds": 20.5, "delaySeconds": 0}):
        assert (await contract.run("echo", **members))["status"] == "completed"
    await contract.submit("echo", delaySeconds=366 * 86400)


async def test_a_job_of_the_past_runs_at_once(contract: Service) -> None:
    view = await contract.run("echo", runAt="2026-01-27T12:00:00.000Z")

    assert (view["status"], view["runAt"]) == ("completed", "2026-01-27T12:00:00.000Z")


async def test_a_delay_counts_from_the_submission(contract: Service) -> None:
    accepted = await contract.submit("echo", delaySeconds=3600)

    view = await contract.job(accepted["jobId"])
    waits = datetime.fromisoformat(view["runAt"]) - datetime.fromisoformat(view["createdAt"])
    assert abs(waits - timedelta(seconds=3600)) <= timedelta(milliseconds=1)
    assert (view["status"], view["waitingFor"]) == ("pending", "time")


async def test_a_delayed_job_is_run_when_it_is_due(contract: Service) -> None:
    view = await contract.run("echo", delaySeconds=0.3)

    assert view["status"] == "completed"
    assert view["startedAt"] >= view["runAt"]


async def test_a_time_may_be_written_in_any_zone_and_is_shown_in_utc(contract: Service) -> None:
    for written in ["2100-01-27T14:00:00+02:00", "2100-01-27T12:00:00Z", "2100-01-27T12:00:00.000001Z"]:
        accepted = await contract.submit("echo", runAt=written)

        assert (await contract.job(accepted["jobId"]))["runAt"] == LATER


async def test_json_is_taken_under_each_of_its_names(contract: Service) -> None:
    for media_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        "application/x+json",
    ]:
        response = await contract.client.post(
            "/api/v1/jobs", content=b' {"type":"echo"}\n', headers={"Content-Type": media_type}
        )

        assert response.status_code == 202


async def test_a_body_that_comes_in_pieces_is_put_together(contract: Service) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"type"', b':"ec', b'ho"', b"}"):
            yield piece

    response = await contract.client.post("/api/v1/jobs", content=pieces(), headers=JSON)

    assert response.status_code == 202


async def test_the_correlation_id_is_taken_and_stands_on_every_event(contract: Service) -> None:
    response = await contract.client.post(
        "/api/v1/jobs", json={"type": "echo"}, headers={"X-Correlation-Id": "order-7"}
    )
    view = await contract.ended(response.json()["jobId"])

    assert view["correlationId"] == "order-7"
    assert {event["metadata"]["correlationId"] for event in await contract.events(view["jobId"])} == {"order-7"}


async def test_a_correlation_id_is_made_where_none_is_sent(contract: Service) -> None:
    one, other = [await contract.run("echo") for _ in range(2)]

    assert one["correlationId"]
    assert one["correlationId"] != other["correlationId"]


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_trace_context_travels_with_the_job_and_a_malformed_one_is_dropped(contract: Service) -> None:
    for sent, kept in [
        (TRACE, TRACE),
        ("nonsense", None),
        ("ff" + TRACE[2:], None),
        (TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), None),
    ]:
        response = await contract.client.post("/api/v1/jobs", json={"type": "context"}, headers={"traceparent": sent})
        view = await contract.ended(response.json()["jobId"])

        assert view["result"]["traceparent"] == kept
        assert {event["metadata"]["traceparent"] for event in await contract.events(view["jobId"])} == {kept}


async def test_many_clients_at_once_get_a_job_each(contract: Service) -> None:
    responses = await asyncio.gather(*(contract.submit("echo", number, queue="many") for number in range(200)))

    assert len({response["jobId"] for response in responses}) == 200
    assert await contract.total("select count(*) from jobs where queue = 'many'") == 200
    for number in (0, 100, 199):
        assert (await contract.ended(responses[number]["jobId"]))["result"] == number


# -- Prefer: wait


async def _prefer(contract: Service, wish: str | Sequence[str], job: dict[str, object]) -> httpx.Response:
    headers = [(b"Prefer", line.encode()) for line in ([wish] if isinstance(wish, str) else wish)]
    return await contract.client.post("/api/v1/jobs", json=job, headers=headers)


async def test_a_client_that_waits_gets_the_whole_job_where_it_ends_in_time(contract: Service) -> None:
    response = await _prefer(contract, "wait=59", {"type": "echo", "parameters": {"a": 1}})

    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=59"
    view = await contract.job(response.json()["jobId"])
    assert response.json() == view
    assert (view["status"], view["result"]) == ("completed", {"a": 1})
    assert response.headers["Location"] == f"/api/v1/jobs/{view['jobId']}"
    assert response.headers["ETag"] == f'"{view["sequence"]}"'
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_job_that_failed_in_time_is_answered_too(contract: Service) -> None:
    response = await _prefer(contract, "wait=59", {"type": "fail"})

    assert (response.status_code, response.json()["status"]) == (200, "failed")
    assert response.json()["error"]["code"] == "CUSTOMER_UNKNOWN"


async def test_a_client_that_waits_gets_the_usual_answer_where_the_job_takes_longer(contract: Service) -> None:
    response = await _prefer(contract, "wait=1", {"type": "wait-for-gate", "parameters": {"name": "long"}})

    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"
    AcceptedBody.model_validate(response.json(), strict=True)
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Location"] == response.json()["links"]["self"]


async def test_nobody_waits_longer_than_a_minute(contract: Service) -> None:
    for requested in ["wait=61", "wait=999999", "wait=9999999999999999999"]:
        response = await _prefer(contract, requested, {"type": "echo"})

        assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=60")


async def test_the_wish_is_read_in_each_of_its_spellings(contract: Service) -> None:
    for wish in [
        "wait=57",
        "WAIT=57",
        'wait="57"',
        "wait = 57",
        "respond-async, wait=57",
        "respond-async,wait=57,handling=lenient",
        ["respond-async", "wait=57"],
        ["wait=57", "respond-async"],
        "wait=0057",
        "wait=57; priority=high",
        "wait=57, wait=9",
        ["wait=57", "wait=x"],
        'note="a, wait=9", wait=57',
    ]:
        response = await _prefer(contract, wish, {"type": "echo"})

        assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=57")


# A parameter of another preference; a text; a first `wait` that means nothing; one that is malformed.
NO_WISHES = ["foo; wait=5", 'note="; wait=5"', "wait=x, wait=5", "wait=5 6", "wait;wait=5", 'wait="5', "wait=٣"]


async def test_a_wish_that_means_nothing_is_ignored(contract: Service) -> None:
    for wish in ["", "wait", "wait=", "wait=x", "wait=-1", "wait=1.5", "await=7", "respond-async", *NO_WISHES]:
        response = await _prefer(contract, wish, {"type": "echo"})

        assert response.status_code == 202
        assert "Preference-Applied" not in response.headers


async def test_no_wait_at_all_is_a_wait_too(contract: Service) -> None:
    response = await _prefer(contract, "wait=0", {"type": "wait-for-gate", "parameters": {"name": "none"}})

    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "wait=0")


async def test_a_refused_submission_does_not_wait(contract: Service) -> None:
    response = await _prefer(contract, "wait=30", {"type": "nothing like it"})

    assert response.status_code == 422
    assert response.elapsed < timedelta(seconds=25)


async def test_times_of_an_answer_are_now(contract: Service) -> None:
    accepted = await contract.submit("echo")

    assert abs(datetime.now(UTC) - datetime.fromisoformat(accepted["createdAt"])) < timedelta(seconds=30)
