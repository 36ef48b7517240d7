"""Invalid submissions: each error has its path, and nothing is recorded."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.response_checks import JSON, invalid_paths, refused
from tests.support.service import Service

DEEP = 100_000


@pytest.fixture(autouse=True)
async def _nothing_is_recorded(contract: Service) -> AsyncIterator[None]:
    yield
    assert await contract.total("select count(*) from jobs") == 0


async def _post(contract: Service, body: bytes | str) -> httpx.Response:
    return await contract.client.post("/api/v1/jobs", content=body, headers=JSON)


async def _submit(contract: Service, **members: Any) -> httpx.Response:
    return await contract.client.post("/api/v1/jobs", json={"type": "echo"} | members)


async def test_what_is_not_json_is_a_400(contract: Service) -> None:
    for body in [
        b"",
        b" ",
        b"{",
        b"not json",
        b"{'type': 'echo'}",
        b'{"type": "echo",}',
        b'{"type": "echo"} {}',
        b'{"type": "ec\xffho"}',
        b'\xef\xbb\xbf{"type":"echo"}',
        '{"type":"echo"}'.encode("utf-16"),
        b'{"type":"ec\nho"}',
        b"\x00",
        b'{"type": "echo", "priority": 01}',
        b"type=echo",
    ]:
        error = refused(await _post(contract, body), 400, "INVALID_JSON")

        assert error["details"]["retryable"] is False


async def test_json_that_is_no_object_is_invalid(contract: Service) -> None:
    for body in ["null", "[]", "7", '"echo"', "true", '[{"type":"echo"}]']:
        assert invalid_paths(await _post(contract, body))


async def test_the_type_is_required(contract: Service) -> None:
    assert invalid_paths(await _post(contract, "{}")) == ["type"]


async def test_what_is_not_declared_as_json_is_a_415(contract: Service) -> None:
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "json",
        "",
    ]:
        response = await contract.client.post(
            "/api/v1/jobs", content=b'{"type":"echo"}', headers={"Content-Type": media_type} if media_type else {}
        )

        refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_member_of_a_wrong_type_or_out_of_range_is_named(contract: Service) -> None:
    table: list[tuple[str, list[object]]] = [
        ("type", [None, 7, [], {}, "", " ", "no spaces", "-x", "x" * 129, "naïve"]),
        ("queue", [None, 7, [], "", "no spaces", "x" * 129]),
        ("priority", [None, "1", 1.5, 1.0, True, [], -101, 101, 2**70]),
        (
            "runAt",
            [
                7,
                1.5,
                True,
                [],
                "",
                "tomorrow",
                "2026-01-27",
                "2026-01-27T12:00:00",
                "1769515200",
                "2026-13-01T00:00:00Z",
            ],
        ),
        (
            "runAt",
            ["1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"],
        ),
        ("delaySeconds", ["1", True, [], -1, -0.001, 366 * 86400 + 1]),
        ("timeoutSeconds", ["1", True, [], 0, -1, 30 * 86400 + 1]),
        ("maxAttempts", ["1", 1.5, True, [], 0, -1, 1001]),
        ("callbackUrl", [7, [], {}, True]),
        ("callbackSecret", [7, [], "", "x" * 513]),
        ("callbackEvents", [7, "job.completed", [], {}]),
    ]
    for member, values in table:
        for value in values:
            assert invalid_paths(await _submit(contract, **{member: value})) == [member], value


async def test_labels_are_texts(contract: Service) -> None:
    table: list[tuple[object, str]] = [
        (None, "labels"),
        ([], "labels"),
        ("a", "labels"),
        ({"a": 1}, "labels.a"),
        ({"a": None}, "labels.a"),
        ({"a": {}}, "labels.a"),
        ({"a": "x" * 257}, "labels.a"),
        ({str(number): "" for number in range(65)}, "labels"),
    ]
    for labels, path in table:
        assert invalid_paths(await _submit(contract, labels=labels)) == [path]


async def test_a_label_has_a_name(contract: Service) -> None:
    for name in ["", "x" * 65]:
        assert invalid_paths(await _submit(contract, labels={name: "v"}))[0].startswith("labels")


async def test_several_faults_are_all_named(contract: Service) -> None:
    response = await _submit(contract, priority=1000, maxAttempts=0, nonsense=1)

    assert sorted(invalid_paths(response)) == ["maxAttempts", "nonsense", "priority"]


async def test_an_unknown_member_is_refused_and_the_near_one_named(contract: Service) -> None:
    for written, meant in [
        ("parametres", "parameters"),
        ("callbackURL", "callbackUrl"),
        ("run_at", "runAt"),
        ("max_attempts", "maxAttempts"),
    ]:
        response = await _submit(contract, **{written: None})

        assert invalid_paths(response) == [written]
        assert meant in response.json()["error"]["details"]["errors"][0]["message"]


async def test_an_unknown_member_like_no_other_is_refused(contract: Service) -> None:
    assert invalid_paths(await _submit(contract, zzz=None)) == ["zzz"]


async def test_a_query_member_on_a_submission_is_refused(contract: Service) -> None:
    response = await contract.client.post("/api/v1/jobs?wait=5", json={"type": "echo"})

    assert invalid_paths(response) == [""]


async def test_an_unknown_job_type_names_the_near_ones(contract: Service) -> None:
    error = refused(await _submit(contract, type="eco"), 422, "UNKNOWN_JOB_TYPE")

    assert "echo" in error["details"]["reason"]
    assert error["details"]["near"][0] == "echo"
    assert error["details"]["retryable"] is False


async def test_an_unknown_job_type_like_no_other_says_where_to_look(contract: Service) -> None:
    error = refused(await _submit(contract, type="zzzzzzzzzz"), 422, "UNKNOWN_JOB_TYPE")

    assert "/api/v1/job-types" in error["details"]["reason"]


async def test_run_at_and_delay_exclude_each_other(contract: Service) -> None:
    response = await _submit(contract, runAt="2030-01-01T00:00:00Z", delaySeconds=1)

    assert invalid_paths(response) == ["delaySeconds"]


async def test_a_body_of_two_mebibytes_is_a_413_and_the_connection_goes_on(contract: Service) -> None:
    limits = httpx.Limits(max_connections=1, keepalive_expiry=60)
    async with httpx.AsyncClient(base_url=contract.url, limits=limits, timeout=60) as client:
        for body in (b'{"type":"echo","parameters":"' + b"x" * (2 << 20) + b'"}', b"x" * (2 << 20)):
            response = await client.post("/api/v1/jobs", content=body, headers=JSON)
            refused(response, 413, "BODY_TOO_LARGE")
            stream = response.extensions["network_stream"]
            again = await client.get("/healthz")
            assert again.status_code == 200
            assert again.extensions["network_stream"] is stream


async def test_a_large_body_of_unknown_length_is_a_413(contract: Service) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b"x" * (64 << 10)

    refused(await contract.client.post("/api/v1/jobs", content=pieces(), headers=JSON), 413, "BODY_TOO_LARGE")


async def test_parameters_over_their_limit_in_bytes_are_a_413(contract: Service) -> None:
    for text in ["x" * (256 << 10), "ü" * (128 << 10)]:
        body = json.dumps({"type": "echo", "parameters": text}, ensure_ascii=False).encode()

        refused(await _post(contract, body), 413, "BODY_TOO_LARGE")


async def test_what_is_nested_too_deep_is_invalid(contract: Service) -> None:
    for body in [
        "[" * DEEP,
        "[" * DEEP + "]" * DEEP,
        '{"type":"echo","parameters":' + "[" * DEEP + "]" * DEEP + "}",
        '{"type":"echo","parameters":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}",
        '{"type":"echo","parameters":' + "[" * 64 + "]" * 64 + "}",
        '{"a":' * DEEP,
    ]:
        response = await _post(contract, body)

        assert response.status_code in {400, 422}
        refused(response, response.status_code, "INVALID_JSON" if response.status_code == 400 else "VALIDATION_FAILED")
        if body.startswith('{"type"'):
            assert invalid_paths(response)


UNFIT = [r"\u0000", r"\ud800", r"\udfff", r"\udc00\ud800"]
PLACES = [
    ('{"type":"echo","parameters":"a%sb"}', "parameters"),
    ('{"type":"echo","parameters":{"k":["x",{"y":"%s"}]}}', "parameters.k[1].y"),
    ('{"type":"echo","parameters":{"a%sb":1}}', "parameters.a"),
    ('{"type":"echo","labels":{"a":"%s"}}', "labels.a"),
    ('{"type":"echo","labels":{"%s":"a"}}', "labels."),
    ('{"type":"ec%sho"}', "type"),
    ('{"type":"echo","queue":"%s"}', "queue"),
    ('{"type":"echo","callbackUrl":"https://example.com/%s"}', "callbackUrl"),
    ('{"type":"echo","callbackUrl":"https://example.com/","callbackSecret":"%s"}', "callbackSecret"),
    ('{"type":"echo","no%sne":1}', "no"),
]


async def test_text_that_cannot_be_stored_is_refused_wherever_it_stands(contract: Service) -> None:
    for unfit in UNFIT:
        for body, path in PLACES:
            paths = invalid_paths(await _post(contract, body % unfit))
            assert len(paths) == 1
            assert paths[0].startswith(path), body


async def test_a_number_that_json_cannot_carry_is_refused_and_named(contract: Service) -> None:
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 5000]:
        for body, path in (
            ('{"type":"echo","parameters":{"n":[1,%s]}}', "parameters.n[1]"),
            ('{"type":"echo","priority":%s}', "priority"),
            ('{"type":"echo","delaySeconds":%s}', "delaySeconds"),
        ):
            assert invalid_paths(await _post(contract, body % number)) == [path]


async def test_parameters_that_do_not_fit_the_type_are_named(contract: Service) -> None:
    for type_, parameters, path in [
        ("sleep", {"seconds": "long"}, "parameters.seconds"),
        ("sleep", {"seconds": -1}, "parameters.seconds"),
        ("sleep", {"second": 1}, "parameters.second"),
        ("sleep", [], "parameters"),
        ("sleep", "x", "parameters"),
        ("wait-for-gate", {"name": 7}, "parameters.name"),
        ("progress", {"steps": {}}, "parameters.steps"),
    ]:
        assert invalid_paths(await _submit(contract, type=type_, parameters=parameters)) == [path]


async def test_a_malformed_header_is_named(contract: Service) -> None:
    for name, values in [
        ("Idempotency-Key", ["", '""', "two words", "x" * 256, '"' + "x" * 256 + '"', '"open', "umläut"]),
        ("X-Correlation-Id", ["", "two words", "x" * 201, "umläut"]),
    ]:
        for value in values:
            response = await contract.client.post(
                "/api/v1/jobs", json={"type": "echo"}, headers=[(name.encode(), value.encode("latin-1"))]
            )
            assert invalid_paths(response) == [name], value


async def test_what_belongs_to_a_callback_needs_one(contract: Service) -> None:
    for place in ["callbackSecret", "callbackEvents"]:
        value = "secret" if place == "callbackSecret" else ["job.completed"]

        assert invalid_paths(await _submit(contract, **{place: value})) == [place]


async def test_an_unknown_callback_event_is_named(contract: Service) -> None:
    response = await _submit(
        contract, callbackUrl="https://client.example.com/", callbackEvents=["job.failed", "job.done"]
    )

    assert invalid_paths(response) == ["callbackEvents[1]"]


async def test_a_secret_that_claims_to_be_base64_must_be(contract: Service) -> None:
    response = await _submit(contract, callbackUrl="https://client.example.com/", callbackSecret="whsec_*")

    assert invalid_paths(response) == ["callbackSecret"]
    assert "whsec_*" not in response.text


@pytest.mark.parametrize(
    "secret", ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAA", "v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
)
async def test_a_secret_that_libraries_read_otherwise_is_refused_wherever_it_comes_from_and_shown_nowhere(
    contract: Service, secret: str, capfd: pytest.CaptureFixture[str]
) -> None:
    job = {"type": "echo", "callbackUrl": "https://client.example.com/", "callbackSecret": secret}
    schedule = {"name": "s", "cron": "0 5 * * *", "timezone": "UTC", "submission": job}
    responses = {
        "callbackSecret": await contract.client.post("/api/v1/jobs", json=job),
        "jobs[0].callbackSecret": await contract.client.post("/api/v1/jobs/batch", json={"jobs": [job]}),
        "then.callbackSecret": await contract.client.post(
            "/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}], "then": job}
        ),
        "submission.callbackSecret": await contract.client.post("/api/v1/schedules", json=schedule),
    }

    for path, response in responses.items():
        assert response.status_code == 422
        assert [error["path"] for error in response.json()["error"]["details"]["errors"]] == [path]
        assert ('add \\"==\\" at its end' in response.text) is secret.startswith("whsec_")
        assert secret[-32:-2] not in response.text
    assert secret[-32:-2] not in contract.written(capfd)


async def test_a_refusal_does_not_repeat_a_secret(contract: Service) -> None:
    response = await _submit(contract, callbackSecret={"deep": "my-secret-word"}, callbackUrl=7)

    assert "my-secret-word" not in response.text
