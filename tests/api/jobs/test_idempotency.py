"""`Idempotency-Key`: repeated requests make one job."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.lifecycle.submit import insert
from duly.store.postgres.database import DatabaseOutage
from duly.store.submit import idempotency, jobs
from tests.support.handlers import gate
from tests.support.response_checks import refused
from tests.support.service import Service, eventually

ECHO = {"type": "echo", "parameters": {"a": 1, "b": [2]}}


async def _post(service: Service, key: str, job: object = None, **headers: str) -> httpx.Response:
    return await service.client.post("/api/v1/jobs", json=job or ECHO, headers={"Idempotency-Key": key, **headers})


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat waits for the first request as long as that takes on a slow machine."""
    monkeypatch.setattr(idempotency, "PATIENCE", "set local lock_timeout = '60s'")


async def _accepted(service: Service, key: str) -> httpx.Response:
    """Submits until it is accepted: a busy machine may refuse some of many requests."""

    async def accepted() -> httpx.Response | None:
        response = await _post(service, key)
        return None if response.status_code == 503 else response  # overloaded

    response: httpx.Response = await eventually(accepted)
    return response


async def _jobs(service: Service) -> int:
    return await service.total("select count(*) from jobs")


async def test_a_repeat_gets_the_first_answer_again_and_makes_no_job(service: Service) -> None:
    first = await _post(service, "key-1")
    await service.ended(first.json()["jobId"])
    again = await _post(service, "key-1")

    assert first.status_code == again.status_code == 202
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    for name in ("Location", "Retry-After", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert await _jobs(service) == 1


async def test_the_same_key_bare_or_in_quotes_with_the_body_written_otherwise_is_a_repeat(service: Service) -> None:
    first = await _post(service, "key-1")
    for key, body in (
        ('"key-1"', b'{"type":"echo","parameters":{"a":1,"b":[2]}}'),
        ("key-1", b' { "parameters" : {"b":[2],"a":1}, "type" : "\\u0065cho" } '),
    ):
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        again = await service.client.post("/api/v1/jobs", content=body, headers=headers)
        assert (again.status_code, again.content) == (202, first.content), (key, body)
    assert await _jobs(service) == 1


async def test_another_body_under_the_same_key_is_refused(service: Service) -> None:
    await _post(service, "key-1")
    for other in (
        {"type": "echo"},
        ECHO | {"priority": 1},
        ECHO | {"parameters": {"a": 1, "b": [3]}},
        ECHO | {"parameters": {"a": True, "b": [2]}},
        ECHO | {"labels": {"a": "b"}},
    ):
        error = refused(await _post(service, "key-1", other), 422, "IDEMPOTENCY_KEY_REUSED")
        assert error["details"]["retryable"] is False
    assert await _jobs(service) == 1


async def test_other_keys_and_no_key_make_jobs_of_their_own(service: Service) -> None:
    for key in ("key-1", "key-2", "KEY-1", '"key-3"', "x" * 255, "~!#$%&'()*+,-./:;<=>?@[]^_`{|}"):
        response = await _post(service, key)
        assert (response.status_code, response.headers.get("Idempotency-Replayed")) == (202, None), key
    await service.submit("echo", {"a": 1, "b": [2]})
    await service.submit("echo", {"a": 1, "b": [2]})

    assert await _jobs(service) == 8


async def test_a_submission_that_was_refused_does_not_use_up_its_key(service: Service) -> None:
    refused(await _post(service, "key-1", {"type": "nothing-like-it"}), 422, "UNKNOWN_JOB_TYPE")

    assert (await _post(service, "key-1")).status_code == 202


async def test_twenty_identical_requests_at_once_make_one_job(service: Service) -> None:
    responses = await asyncio.gather(*(_post(service, "burst") for _ in range(20)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    assert [response.headers.get("Idempotency-Replayed") for response in responses].count(None) == 1
    assert await _jobs(service) == 1


@pytest.mark.usefixtures("patient")
async def test_two_hundred_identical_requests_at_once_make_one_job(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    services: list[Service] = [await start_service(), await start_service()]
    responses = await asyncio.gather(*(_accepted(services[number % 2], "burst") for number in range(200)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    assert [response.headers.get("Idempotency-Replayed") for response in responses].count(None) == 1
    assert await _jobs(services[0]) == 1


@pytest.mark.parametrize("committed", [True, False])
async def test_where_the_answer_of_the_database_is_lost_the_job_is_recorded_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    lost: list[int] = []
    record_jobs = jobs.record_jobs

    async def losing(connection: Any, *arguments: Any, **named: Any) -> Any:
        await record_jobs(connection, *arguments, **named)
        lost.append(1)
        await connection.execute("commit" if committed else "rollback")
        raise DatabaseOutage("the connection broke")

    monkeypatch.setattr(insert, "record_jobs", losing)
    first = await _post(service, "key-1")
    again = await _post(service, "key-1")

    assert lost == [1]
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert (await service.ended(first.json()["jobId"]))["status"] == "completed"
    assert await _jobs(service) == 1


async def test_a_key_that_came_with_a_deduplicated_submission_stands_for_that_job(service: Service) -> None:
    unique = ECHO | {"uniqueKey": "one", "delaySeconds": 3600}
    standing = await service.submit("echo", uniqueKey="one", delaySeconds=3600)
    first, again = [await _post(service, "key-1", unique) for _ in range(2)]

    assert [response.json()["jobId"] for response in (first, again)] == [standing["jobId"]] * 2
    assert again.headers["Idempotency-Replayed"] == "true"
    refused(await _post(service, "key-1", unique | {"priority": 1}), 422, "IDEMPOTENCY_KEY_REUSED")
    assert await _jobs(service) == 1


HELD = {"type": "wait-for-gate", "parameters": {"name": "held"}, "uniqueKey": "held"}
# Of a submission each member that may show in its response, or changes how it is recorded.
EACH_MEMBER = {
    "queue": "reports",
    "priority": -7,
    "runAt": "2100-01-01T00:00:00.000Z",
    "delaySeconds": 0.25,
    "timeoutSeconds": 1.5,
    "maxAttempts": 3,
    "expiresInSeconds": 3600,
    "uniqueKey": "u",
    "concurrencyKey": "c",
    "labels": {"a": "b"},
    "callbackUrl": "https://receiver.example/hook",
}


@pytest.mark.parametrize("member", EACH_MEMBER)
async def test_a_repeat_gets_the_same_bytes_whatever_the_submission_says(service: Service, member: str) -> None:
    job = ECHO | {member: EACH_MEMBER[member]}
    first, again = [await _post(service, member, job) for _ in range(2)]
    assert first.status_code == again.status_code == 202, first.text
    assert again.content == first.content
    assert _headers(again) == _headers(first) | {"idempotency-replayed": "true"}


def _headers(response: httpx.Response) -> dict[str, str]:
    """Returns the headers that belong to the response, not to the exchange."""
    return {name: value for name, value in response.headers.items() if name not in {"x-request-id", "date"}}


@pytest.mark.parametrize("running", [False, True])
async def test_a_repeat_of_a_deduplicated_submission_says_again_how_its_job_stood(
    service: Service, *, running: bool
) -> None:
    held = HELD if running else HELD | {"delaySeconds": 3600}
    standing = (await service.client.post("/api/v1/jobs", json=held)).json()
    if running:
        await service.until(standing["jobId"], lambda view: view["status"] == "running")
    first = await _post(service, "key-1", held)
    assert first.json() == standing | {"status": "running" if running else "pending", "deduplicated": True}
    await service.sql("update jobs set created_at = created_at - interval '25 hours'")  # the key is as young as it was
    gate("held").set()
    await service.client.post(f"/api/v1/jobs/{standing['jobId']}/cancel")
    await service.ended(standing["jobId"])
    again = await _post(service, "key-1", held)
    assert again.content == first.content
    assert _headers(again) == _headers(first) | {"idempotency-replayed": "true"}
    assert await _jobs(service) == 1


async def test_a_repeat_of_a_submission_that_gave_newer_parameters_gives_none_once_more(service: Service) -> None:
    job = ECHO | {"uniqueKey": "d", "debounceSeconds": 3600}
    first = await _post(service, "key-1", job)
    second = await _post(service, "key-2", job | {"parameters": {"a": 2}})
    await _post(service, "key-3", job | {"parameters": {"a": 3}})
    assert [
        (await _post(service, "key-1", job)).content,
        (await _post(service, "key-2", job | {"parameters": {"a": 2}})).content,
    ] == [
        first.content,
        second.content,
    ]
    assert (await service.job(first.json()["jobId"]))["sequence"] == 2


async def test_of_equal_requests_at_once_all_get_the_answer_of_a_deduplicated_one(service: Service) -> None:
    held = HELD | {"delaySeconds": 3600}
    await service.client.post("/api/v1/jobs", json=held)
    responses = await asyncio.gather(*(_post(service, "burst", held) for _ in range(20)))
    assert len({response.content for response in responses}) == 1
    assert responses[0].json()["deduplicated"] is True


async def test_of_different_bodies_at_once_one_is_taken(service: Service) -> None:
    responses = await asyncio.gather(
        *(_post(service, "burst", ECHO | {"priority": number}) for number in range(10)),
        *(_post(service, f"other-{number}") for number in range(10)),
        *(service.client.post("/api/v1/jobs", json=ECHO) for _ in range(10)),
    )

    statuses = [response.status_code for response in responses]
    assert (statuses[:10].count(202), statuses[:10].count(422)) == (1, 9)
    assert set(statuses[10:]) == {202}
    assert await _jobs(service) == 21


@pytest.mark.usefixtures("patient")
async def test_two_services_on_one_database_make_one_job(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    services: list[Service] = [await start_service(), await start_service()]
    responses = await asyncio.gather(*(_post(services[number % 2], "burst") for number in range(20)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    assert await _jobs(services[0]) == 1


async def test_after_a_day_a_key_is_free_again(service: Service) -> None:
    first = await _post(service, "key-1")
    await service.sql("update idempotency set created_at = now() - interval '23 hours 59 minutes'")
    again = await _post(service, "key-1")
    assert (again.json()["jobId"], again.headers["Idempotency-Replayed"]) == (first.json()["jobId"], "true")

    await service.sql("update idempotency set created_at = now() - interval '24 hours 1 second'")
    later = await _post(service, "key-1", {"type": "echo"})
    assert later.status_code == 202
    assert later.json()["jobId"] != first.json()["jobId"]
    assert "Idempotency-Replayed" not in later.headers
    assert (await _post(service, "key-1", {"type": "echo"})).content == later.content


async def test_the_key_is_stored_in_the_transaction_of_its_job(service: Service) -> None:
    job_id = UUID((await _post(service, "key-1")).json()["jobId"])

    rows = await service.sql(
        "select i.xmin::text = j.xmin::text as together from idempotency i join jobs j using (job_id) "
        "where i.job_id = $1 and i.key = 'key-1'",
        job_id,
    )
    assert [row["together"] for row in rows] == [True]


async def test_while_the_first_is_under_way_a_repeat_is_told_to_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", "set local lock_timeout = '200ms'")
    async with service.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "insert into idempotency (tenant_id, key, job_id, digest) values (1, 'busy', gen_random_uuid(), '\\x00')"
        )
        busy, other, keyless = await asyncio.gather(
            _post(service, "busy"), _post(service, "free"), service.client.post("/api/v1/jobs", json=ECHO)
        )
        await transaction.rollback()

    error = refused(busy, 409, "IDEMPOTENCY_IN_FLIGHT")
    assert error["details"]["retryable"] is True
    assert (other.status_code, keyless.status_code) == (202, 202)
    assert (await _post(service, "busy")).status_code == 202


async def test_a_repeat_may_wait_for_the_end(service: Service) -> None:
    first = await _post(service, "key-1", Prefer="wait=60")
    again = await _post(service, "key-1", Prefer="wait=60")

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await _jobs(service) == 1
