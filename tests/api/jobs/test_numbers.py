"""Numbers keep their text on every way in and out; repeated members are refused."""

import json
from typing import Any

import httpx
import pytest

from duly.domain.ids import new_job_id
from tests.support.json_values import EXACT_NUMBERS
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service, eventually
from tests.support.websocket_client import socket_to

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
NUMBERS = f"[{','.join(EXACT_NUMBERS)}]"
LATER = '"runAt":"2100-01-01T00:00:00.000Z"'


async def post(service: Service, path: str, body: str, **headers: str) -> httpx.Response:
    response = await service.client.post(path, content=body.encode(), headers=JSON | headers)
    assert response.is_success, response.text
    return response


async def shown(service: Service, job_id: str, member: str = "parameters") -> str:
    """Returns the text of a member of a job, without blanks."""
    text = (await service.client.get(f"/api/v1/jobs/{job_id}")).text
    return _member(text, member)


def _member(text: str, member: str) -> str:
    begin = text.index(f'"{member}":') + len(member) + 3
    _, end = json.JSONDecoder().raw_decode(text, begin)
    return text[begin:end].replace(" ", "")


def job(parameters: str = NUMBERS, *more: str) -> str:
    return '{"type":"echo","parameters":' + ",".join([parameters, LATER, *more]) + "}"


async def test_a_submission_keeps_its_numbers(contract: Service) -> None:
    for path, method in (("/api/v1/jobs", "POST"), (f"/api/v1/jobs/{new_job_id()}", "PUT")):
        response = await contract.client.request(method, path, content=job().encode(), headers=JSON)
        job_id = response.json()["jobId"]
        assert await shown(contract, job_id) == NUMBERS
        events = (await contract.client.get(f"/api/v1/jobs/{job_id}/events")).text
        assert _member(events, "parameters") == NUMBERS
        listed = (await contract.client.get("/api/v1/jobs?limit=1")).text
        assert _member(listed, "parameters") == NUMBERS


async def test_a_batch_keeps_its_numbers_and_so_does_what_follows_it(contract: Service) -> None:
    then = f'{{"type":"echo","parameters":{{"n":{NUMBERS}}}}}'
    jobs = [job(), '{"type":"echo","parameters":1.50}']
    response = await post(contract, "/api/v1/jobs/batch", f'{{"jobs":[{",".join(jobs)}],"then":{then}}}')
    first, second = response.json()["jobIds"]
    assert [await shown(contract, first), await shown(contract, second)] == [NUMBERS, "1.50"]
    await contract.client.post(f"/api/v1/jobs/{first}/cancel")
    batch_id = response.json()["batchId"]
    then_id = await eventually(lambda: _then(contract, batch_id))
    assert (await shown(contract, then_id)).startswith(f'{{"n":{NUMBERS},"batch":{{')


async def _then(service: Service, batch_id: str) -> Any:
    return (await service.client.get(f"/api/v1/batches/{batch_id}")).json()["thenJobId"]


async def test_lines_keep_their_numbers(contract: Service) -> None:
    response = await contract.client.post(
        "/api/v1/jobs/batch", content=f"{job()}\n{job('-0')}".encode(), headers=NDJSON
    )
    first, second = response.json()["jobIds"]
    assert [await shown(contract, first), await shown(contract, second)] == [NUMBERS, "-0"]


async def test_a_socket_keeps_them(contract: Service) -> None:
    async with socket_to(contract) as socket:
        await socket.connection.send(f'{{"type":"submit_job","ref":"1","job":{job()}}}')
        assert await shown(contract, (await socket.receive())["jobId"]) == NUMBERS


async def test_a_schedule_keeps_them_and_so_do_its_jobs(contract: Service) -> None:
    submission = f'{{"type":"echo","delaySeconds":3600,"parameters":{NUMBERS}}}'
    body = f'{{"name":"exact","cron":"0 0 1 1 *","submission":{submission}}}'
    made = await post(contract, "/api/v1/schedules", body)
    read = await contract.client.get("/api/v1/schedules/exact")
    assert [_member(response.text, "parameters") for response in (made, read)] == [NUMBERS, NUMBERS]
    run = await post(contract, "/api/v1/schedules/exact/run", "")
    assert await shown(contract, run.json()["jobId"]) == NUMBERS
    changed = await contract.client.patch(
        "/api/v1/schedules/exact", content=b'{"submission":{"type":"echo","parameters":0.10}}', headers=JSON
    )
    assert _member(changed.text, "parameters") == "0.10"


async def test_parameters_that_replace_others_keep_them(contract: Service) -> None:
    keys = '"uniqueKey":"exact","debounceSeconds":3600'
    bodies = [f'{{"type":"echo","parameters":{n},{keys}}}' for n in ("1", NUMBERS)]
    job_id = [(await post(contract, "/api/v1/jobs", body)).json()["jobId"] for body in bodies][1]
    assert await shown(contract, job_id) == NUMBERS
    events = (await contract.client.get(f"/api/v1/jobs/{job_id}/events")).text
    assert NUMBERS in events.replace(" ", "")


@pytest.mark.parametrize("method", ["POST", "PUT", "batch", "lines"])
async def test_bodies_that_differ_in_a_digit_are_different(contract: Service, method: str) -> None:
    def send(number: str) -> Any:
        body, headers = job(number), JSON | {"Idempotency-Key": f"digits-{method}-{one}"}
        if method == "PUT":
            return contract.client.put(f"/api/v1/jobs/{job_id}", content=body.encode(), headers=headers)
        if method == "batch":
            return contract.client.post("/api/v1/jobs/batch", content=f'{{"jobs":[{body}]}}'.encode(), headers=headers)
        path = "/api/v1/jobs/batch" if method == "lines" else "/api/v1/jobs"
        return contract.client.post(
            path, content=body.encode(), headers=headers | (NDJSON if method == "lines" else {})
        )

    for one, other in [
        ("12345678901234567.89", "12345678901234567.88"),
        ("0.10", "0.1"),
        ("0", "-0"),
        ("1e-400", "1e-401"),
    ]:
        job_id = new_job_id()
        first, again, changed = await send(one), await send(one), await send(other)
        assert again.content == first.content
        refused(changed, 422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_decimal_gets_every_digit_and_a_float_what_it_holds(contract: Service) -> None:
    body = '{"type":"price","parameters":{"amount":12345678901234567.890,"share":0.10}}'
    job_id = (await post(contract, "/api/v1/jobs", body)).json()["jobId"]
    assert (await contract.ended(job_id))["result"] == "12345678901234567.890 0.1"


async def test_what_no_double_holds_is_refused_where_a_double_is_needed(contract: Service) -> None:
    body = b'{"type":"price","parameters":{"amount":1,"share":1e400}}'
    response = await contract.client.post("/api/v1/jobs", content=body, headers=JSON)
    assert invalid_paths(response) == ["parameters.share"]


@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("POST", "/api/v1/jobs", '{"type":"echo","type":"echo"}', "type"),
        ("POST", "/api/v1/jobs", '{"type":"echo","parameters":{"a":[{"b":1,"b":1}]}}', "parameters.a[0].b"),
        ("POST", "/api/v1/jobs", '{"type":"echo","labels":{"a":"1","\\u0061":"2"}}', "labels.a"),
        ("PUT", "/api/v1/jobs/ID", '{"type":"echo","parameters":{},"parameters":{}}', "parameters"),
        ("POST", "/api/v1/jobs/batch", '{"jobs":[{"type":"echo","type":"echo"}]}', "jobs[0].type"),
        ("POST", "/api/v1/jobs/batch", '{"jobs":[{"type":"echo"}],"jobs":[{"type":"echo"}]}', "jobs"),
        ("POST", "/api/v1/jobs/batch", '{"jobs":[{"type":"echo"}],"then":{"type":"a","type":"b"}}', "then.type"),
        (
            "POST",
            "/api/v1/schedules",
            '{"name":"a","name":"b","cron":"* * * * *","submission":{"type":"echo"}}',
            "name",
        ),
        ("PUT", "/api/v1/queues/twice/limits", '{"concurrency":1,"concurrency":2}', "concurrency"),
    ],
)
async def test_a_member_named_twice_is_refused(contract: Service, method: str, path: str, body: str, at: str) -> None:
    address = path.replace("ID", str(new_job_id()))
    response = await contract.client.request(method, address, content=body.encode(), headers=JSON)
    errors = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    assert [error["path"] for error in errors] == [at]
    assert "named more than once" in errors[0]["message"]


async def test_a_line_and_a_message_with_a_member_named_twice_are_refused(contract: Service) -> None:
    twice = '{"type":"echo","parameters":{"a":1,"a":2}}'
    response = await contract.client.post("/api/v1/jobs/batch", content=f"{job()}\n{twice}".encode(), headers=NDJSON)
    assert [error["path"] for error in response.json()["error"]["details"]["errors"]] == ["jobs[1].parameters.a"]
    async with socket_to(contract) as socket:
        await socket.refused(f'{{"type":"submit_job","job":{twice}}}', "VALIDATION_FAILED")


async def test_a_member_that_is_left_out_makes_another_body_than_its_default(contract: Service) -> None:
    key = {"Idempotency-Key": "left-out"}
    await post(contract, "/api/v1/jobs", '{"type":"echo"}', **key)
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo", "parameters": {}}, headers=key)
    refused(response, 422, "IDEMPOTENCY_KEY_REUSED")
    job_id = new_job_id()
    await contract.client.put(f"/api/v1/jobs/{job_id}", json={"type": "echo"})
    response = await contract.client.put(f"/api/v1/jobs/{job_id}", json={"type": "echo", "parameters": {}})
    refused(response, 409, "JOB_EXISTS")
