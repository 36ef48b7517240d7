"""Attacks by requests that must be refused: values, headers, paths, queries and cursors.

After each, nothing is recorded, one response came back, the log has one clean line, and the service answers the next
request on the same connection or has closed it.
"""

from collections.abc import AsyncIterator

import pytest

from duly.domain.ids import new_job_id
from tests.support.attacks import (
    ALIVE,
    NDJSON,
    SECRET,
    Attack,
    answered,
    attack,
    carried_out,
    clean_log,
    nothing_recorded,
)
from tests.support.raw_client import request
from tests.support.service import Service

Refusal = tuple[int, str]
INVALID: Refusal = (422, "VALIDATION_FAILED")
ID = str(new_job_id())
DEEP = 100_000

# JSON values that every request must be refused for; each replaces %s.
VALUES = [
    ("NUL", r'"a\u0000b"'),
    ("a NUL in a name", r'{"a\u0000b": 1}'),
    ("a lone high surrogate", r'"\ud800"'),
    ("a lone low surrogate", r'"\udfff"'),
    ("surrogates in the wrong order", r'"\udc00\ud800"'),
    ("a surrogate in a name", r'{"\ud800": 1}'),
    ("NaN", "NaN"),
    ("Infinity", "-Infinity"),
    ("1e999", "1e999"),
    ("an integer of 5,000 digits", "9" * 5_000),
    ("a member twice", '{"a": 1, "a": 2}'),
    ("a member twice, once escaped", r'{"a": 1, "\u0061": 2}'),
    ("an inherited name twice", '{"__proto__": 1, "__proto__": 2}'),
    ("65 levels of lists", "[" * 65 + "]" * 65),
    ("100,000 levels of lists", "[" * DEEP + "]" * DEEP),
    ("20,000 levels of objects", '{"a":' * 20_000 + "1" + "}" * 20_000),
]
# Where a value is sent, and the path that the refusal names; for one that is nested too deep, the empty path.
PLACES = [
    ("parameters", "POST /api/v1/jobs", '{"type": "echo", "parameters": {"x": %s}}', "parameters"),
    ("parameters of a PUT", f"PUT /api/v1/jobs/{ID}", '{"type": "echo", "parameters": {"x": %s}}', "parameters"),
    ("a label", "POST /api/v1/jobs", '{"type": "echo", "labels": {"x": %s}}', "labels"),
    ("a unique key", "POST /api/v1/jobs", '{"type": "echo", "uniqueKey": %s}', "uniqueKey"),
    ("a concurrency key", "POST /api/v1/jobs", '{"type": "echo", "concurrencyKey": %s}', "concurrencyKey"),
    ("an unknown member", "POST /api/v1/jobs", '{"type": "echo", "unknown": %s}', "unknown"),
    ("an item of a batch", "POST /api/v1/jobs/batch", '{"jobs": [{"type": "echo", "parameters": [%s]}]}', "jobs[0]"),
    (
        "what follows a batch",
        "POST /api/v1/jobs/batch",
        '{"jobs": [{"type": "echo"}], "then": {"type": "echo", "parameters": %s}}',
        "then",
    ),
    (
        "a schedule",
        "POST /api/v1/schedules",
        '{"name": "x", "cron": "* * * * *", "submission": {"type": "echo", "parameters": %s}}',
        "submission",
    ),
    (
        "a webhook",
        "POST /api/v1/webhooks",
        '{"url": "https://a.example/", "events": ["*"], "description": %s}',
        "description",
    ),
    ("a ticket", "POST /api/v1/stream-tickets", '{"labels": {"x": %s}}', "labels"),
    ("limits of a queue", "PUT /api/v1/queues/x/limits", '{"concurrency": %s}', "concurrency"),
    (
        "a schedule of a PUT",
        "PUT /api/v1/schedules/x",
        '{"cron": "* * * * *", "submission": {"type": "echo", "parameters": %s}}',
        "submission",
    ),
    ("the types of a claim", "POST /api/v1/leases", '{"types": [%s]}', "types[0]"),
    ("the name of a worker", "POST /api/v1/leases", '{"types": ["echo"], "workerName": %s}', "workerName"),
    ("the id of a lease", "POST /api/v1/leases/heartbeat", '{"leaseIds": [%s]}', "leaseIds[0]"),
    ("a result", "POST /api/v1/leases/complete", '{"leases": [{"leaseId": "x", "result": %s}]}', "leases[0]"),
    ("a schema", "PUT /api/v1/job-types/x", '{"parametersSchema": {"default": %s}}', "parametersSchema"),
    ("the dialect of a schema", "PUT /api/v1/job-types/x", '{"parametersSchema": {"$schema": %s}}', "parametersSchema"),
    ("the name of a key", "POST /api/v1/keys", '{"name": %s, "scopes": ["admin"]}', "name"),
    ("a limit of a tenant", "POST /api/v1/tenants", '{"tenant": "x", "submitRate": %s}', "submitRate"),
    ("limits of submissions", "PUT /api/v1/limits", '{"backlogs": {"x": %s}}', "backlogs"),
]
VALUE_ATTACKS = [
    attack(f"{value} in {place}", call, *INVALID, "" if "levels" in value else path, body=body % text)
    for place, call, body, path in PLACES
    for value, text in VALUES
]

BODIES = [
    attack("a body that is NUL", "POST /api/v1/jobs", 400, "INVALID_JSON", body=b"\0"),
    attack("invalid UTF-8", "POST /api/v1/jobs", 400, "INVALID_JSON", body=b'{"type":"ec\xffho"}'),
    attack("overlong UTF-8", "POST /api/v1/jobs", 400, "INVALID_JSON", body=b'{"type":"ech\xc1\xaf"}'),
    attack("a surrogate in UTF-8", "POST /api/v1/jobs", 400, "INVALID_JSON", body=b'{"type":"\xed\xa0\x80"}'),
    attack("a byte order mark", "POST /api/v1/jobs", 400, "INVALID_JSON", body=b'\xef\xbb\xbf{"type":"echo"}'),
    attack("UTF-16", "POST /api/v1/jobs", 400, "INVALID_JSON", body='{"type":"echo"}'.encode("utf-16")),
    attack("two values", "POST /api/v1/jobs", 400, "INVALID_JSON", body='{"type":"echo"}{"type":"echo"}'),
    attack("a comment", "POST /api/v1/jobs", 400, "INVALID_JSON", body='{"type":"echo"/*, */}'),
    attack("a raw line break in text", "POST /api/v1/jobs", 400, "INVALID_JSON", body=b'{"type":"ec\nho"}'),
    attack("half a document of 100,000 levels", "POST /api/v1/jobs", *INVALID, "", body="[" * DEEP),
    attack(
        "parameters of 200,000 items",
        "POST /api/v1/jobs",
        413,
        "BODY_TOO_LARGE",
        body='{"type": "echo", "parameters": [' + "0," * 200_000 + "0]}",
    ),
    attack(
        "a dialect that is an object", "PUT /api/v1/job-types/x", *INVALID, body='{"parametersSchema":{"$schema":{}}}'
    ),
    attack(
        "200,000 signatures of a webhook",
        "POST /api/v1/webhooks",
        *INVALID,
        "signatures",
        body='{"url": "https://a.example/", "events": ["*"], "signatures": [' + "0," * 200_000 + "0]}",
    ),
    attack(
        "10,000 unknown members",
        "POST /api/v1/jobs",
        *INVALID,
        body="{" + ",".join(f'"m{number}": 1' for number in range(10_000)) + "}",
    ),
    attack(
        "65 labels",
        "POST /api/v1/jobs",
        *INVALID,
        "labels",
        body='{"type": "echo", "labels": {' + ",".join(f'"l{number}": ""' for number in range(65)) + "}}",
    ),
    attack(
        "a member name of 100 KiB",
        "POST /api/v1/jobs",
        *INVALID,
        "x",
        body='{"type": "echo", "' + "x" * 100_000 + '": 1}',
    ),
    attack(
        "a label name with a colon", "POST /api/v1/jobs", *INVALID, "labels", body='{"type":"echo","labels":{":":""}}'
    ),
    attack("a type with a line break", "POST /api/v1/jobs", *INVALID, "type", body=r'{"type": "echo\nforged"}'),
    attack("a type with an escape sequence", "POST /api/v1/jobs", *INVALID, "type", body=r'{"type": "\u001b[2J"}'),
    attack("a type from right to left", "POST /api/v1/jobs", *INVALID, "type", body=r'{"type": "\u202eohce"}'),
    attack("a queue with a line break", "POST /api/v1/jobs", *INVALID, "queue", body=r'{"type":"echo","queue":"a\nb"}'),
    attack(
        "a queue that is a path", "POST /api/v1/jobs", *INVALID, "queue", body='{"type":"echo","queue":"../../jobs"}'
    ),
    attack(
        "a secret of the wrong type",
        "POST /api/v1/jobs",
        *INVALID,
        "callbackSecret",
        body=f'{{"type": "echo", "callbackUrl": "https://a.example/", "callbackSecret": ["{SECRET}"]}}',
    ),
    *(
        attack(
            f"a callback URL that is {text}",
            "POST /api/v1/jobs",
            *INVALID,
            "callbackUrl",
            body=f'{{"type": "echo", "callbackUrl": "{text}"}}',
        )
        for text in (
            *("file:///etc/passwd", "gopher://a.example/", "javascript:alert(1)", "//a.example/", "https://"),
            *("https://127.0.0.1.nip.example@169.254.169.254/", "http://169.254.169.254/latest/meta-data"),
            *(
                "http://[::ffff:169.254.169.254]/",
                "http://0xa9.0xfe.0xa9.0xfe/",
                "http://2852039166/",
                "https://a.example:0/",
            ),
            *(r"https://a.example/\r\nX-Injected: 1", r"https://a.example\r\n/", r"https://a.example/\u0007"),
            *("https://user:pass@a.example/", r"https://a.example\\@b.example/", "https://a.example:99999/"),
        )
    ),
    *(
        attack(
            f"webhook headers {text}",
            "POST /api/v1/webhooks",
            *INVALID,
            "headers",
            body=f'{{"url": "https://a.example/", "events": ["*"], "headers": {{{text}}}}}',
        )
        for text in (
            *(r'"X-A": "b\r\nX-Injected: 1"', r'"X-A": "b\nX-Injected: 1"', r'"X-A": "b\rX-Injected: 1"'),
            *(r'"X-A\r\nX-Injected": "1"', r'"X-A: b\r\nX": "1"', '"X A": "1"', '"": "1"', r'"X-A": "\u0000"'),
            *('"Host": "b"', '"Content-Length": "0"', '"Transfer-Encoding": "chunked"', '"webhook-signature": "v1,x"'),
            *('"X-A": "ü"', r'"X-A": "\u2028"', r'"X-A": "\u0001"', '"webhook-id": "1"', '"Connection": "close"'),
        )
    ),
    *(
        attack(
            f"headers of http.request {text}",
            "POST /api/v1/jobs",
            *INVALID,
            "parameters.headers",
            body=f'{{"type": "http.request", "parameters": {{"url": "https://a.example/", "headers": {{{text}}}}}}}',
        )
        for text in (
            *(r'"X-A": "b\r\nX-Injected: 1"', r'"X-A": "b\nX-Injected: 1"', r'"X-A\r\nX-Injected": "1"'),
            *('"Host": "b"', '"Content-Length": "0"', '"Transfer-Encoding": "chunked"', r'"X-A": "\u0001"'),
        )
    ),
]

GOOD = '{"type": "echo"}'
LINES = [
    attack(f"a line that is {name}", "POST /api/v1/jobs/batch", *INVALID, "jobs[1]", body=body, headers=[NDJSON])
    for name, body in [
        ("NUL", f"{GOOD}\n\0\n".encode()),
        ("half a value", f'{GOOD}\n{{"type":\n'),
        ("a list", f"{GOOD}\n[]\n"),
        ("a value of two lines", f'{GOOD}\n{{"type": "ec\\u000aho"}}\n'),
        ("100,000 levels deep", f"{GOOD}\n{'[' * DEEP}\n"),
        ("a lone surrogate", f'{GOOD}\n{{"type": "echo", "parameters": "\\ud800"}}\n'),
        ("1e999", f'{GOOD}\n{{"type": "echo", "priority": 1e999}}\n'),
        ("a number of 5,000 digits", f'{GOOD}\n{{"type": "echo", "parameters": {"1" * 5_000}}}\n'),
        ("a member twice", f'{GOOD}\n{{"type": "echo", "type": "echo"}}\n'),
        ("invalid UTF-8", GOOD.encode() + b'\n{"type": "\xff"}\n'),
    ]
]

BAD: Refusal = (400, "BAD_REQUEST")
HEADERS = [
    attack(name, "POST /api/v1/jobs", status, code, path, headers=headers, body=GOOD)
    for name, headers, status, code, path in [
        ("a NUL in a header", ["X-A: a\0b"], *BAD, None),
        ("a lone CR in a header", ["X-A: a\rX-Injected: 1"], *BAD, None),
        ("a folded header", ["X-A: a\r\n X-Injected: 1"], *BAD, None),
        ("a blank before the colon", ["X-A : a"], *BAD, None),
        ("a header name with a control", ["X-\x01: a"], *BAD, None),
        ("two lengths", ["Content-Length: 3"], *BAD, None),
        ("a length and chunks", ["Transfer-Encoding: chunked"], *BAD, None),
        ("two hosts", ["Host: evil.example"], *BAD, None),
        ("two keys", ["Authorization: Bearer other"], *BAD, None),
        ("two idempotency keys", ["Idempotency-Key: a", "Idempotency-Key: b"], *BAD, None),
        ("two content types", ["Content-Type: application/json", "Content-Type: text/plain"], *BAD, None),
        ("an idempotency key with a blank", ["Idempotency-Key: a b"], *INVALID, "Idempotency-Key"),
        ("an idempotency key with a tab", ["Idempotency-Key: a\tb"], *INVALID, "Idempotency-Key"),
        ("an idempotency key beyond ASCII", ["Idempotency-Key: \xff"], *INVALID, "Idempotency-Key"),
        ("an idempotency key with DEL", ["Idempotency-Key: a\x7fb"], *BAD, None),
        ("an idempotency key of 256 characters", ["Idempotency-Key: " + "k" * 256], *INVALID, "Idempotency-Key"),
        ("an empty idempotency key", ['Idempotency-Key: ""'], *INVALID, "Idempotency-Key"),
        ("a correlation id with a tab", ["X-Correlation-Id: a\tb"], *INVALID, "X-Correlation-Id"),
        ("a correlation id beyond ASCII", ["X-Correlation-Id: \xff"], *INVALID, "X-Correlation-Id"),
        ("a correlation id with a blank", ["X-Correlation-Id: a b"], *INVALID, "X-Correlation-Id"),
        ("compressed content", ["Content-Encoding: gzip"], 415, "UNSUPPORTED_CONTENT_ENCODING", None),
        ("content in two codings", ["Content-Encoding: identity, br"], 415, "UNSUPPORTED_CONTENT_ENCODING", None),
        ("a form", ["Content-Type: application/x-www-form-urlencoded"], 415, "UNSUPPORTED_MEDIA_TYPE", None),
        ("plain text", ["Content-Type: text/plain"], 415, "UNSUPPORTED_MEDIA_TYPE", None),
        ("a page of another site", ["Origin: https://evil.example"], 403, "FORBIDDEN", None),
        ("a page without an origin", ["Origin: null"], 403, "FORBIDDEN", None),
        ("a cross-site request", ["Sec-Fetch-Site: cross-site"], 403, "FORBIDDEN", None),
        ("65 KiB of headers", ["X-A: " + "a" * (65 << 10)], 431, "HEADERS_TOO_LARGE", None),
        ("201 headers", ["X-A: a"] * 201, 431, "HEADERS_TOO_LARGE", None),
    ]
]
HOSTS = [
    Attack(
        f"the host {host}",
        request("POST", "/api/v1/jobs", "Content-Type: application/json", body=b"{}", host=host),
        status,
        code,
    )
    for host, status, code in [
        ("evil.example", 403, "FORBIDDEN"),
        ("localhost.evil.example", 403, "FORBIDDEN"),
        ("127.0.0.1.evil.example", 403, "FORBIDDEN"),
        ("localhost@evil.example", *BAD),
        ("localhost/", *BAD),
        ("localhost#evil", *BAD),
        ("local\thost", *BAD),
        ("\xff", *BAD),
    ]
]

GONE: Refusal = (404, "NOT_FOUND")
PATHS = [
    attack(f"the path {path[:80]}", f"POST {path}", *GONE, body=GOOD)
    for path in [
        "/api/v1/jobs%00",
        "/api/v1/jobs%0d%0aX-Injected:%201",
        "/api/v1/jobs%0aforged",
        "/api/v1/../v1/jobs",
        "/api/v1/%2e%2e/v1/jobs",
        "//evil.example/api/v1/jobs",
        "/api/v1//jobs",
        "/api/v1/jobs/",
        "/api/v1%2fjobs",
        "/api/v1/jobs;x=1",
        "/API/V1/JOBS",
        "/api/v1/jobs/%c0%af/cancel",
        "/api/v1/jobs/%ff/cancel",
        "/api/v1/jobs/%00/cancel",
        "/api/v1/jobs/%1b[2J/cancel",
        "/api/v1/jobs/%e2%80%ae/cancel",
        f"/api/v1/jobs/{{{ID}}}/cancel",
        f"/api/v1/jobs/urn:uuid:{ID}/cancel",
        f"/api/v1/jobs/{ID.replace('-', '')}/cancel",
        f"/api/v1/jobs/{ID}%20/cancel",
        f"/api/v1/jobs/{ID}%00/cancel",
        f"/api/v1/jobs/{'x' * 4_000}/cancel",
        "/api/v1/queues/%1b[31m/pause",
        "/api/v1/queues/a%0ab/pause",
        "/api/v1/queues/a%20keyId=admin/pause",
        "/api/v1/queues/%ed%a0%80/pause",
        "/api/v1/schedules/%00/run",
        "/api/v1/schedules/' or 1=1 --/run".replace(" ", "%20"),
        "/api/v1/webhooks/%27%3b%00/test",
        "/api/v1/deliveries/-1/redeliver",
    ]
]

QUERIES = [
    attack(f"the query {query[:80]}", f"GET /api/v1/jobs?{query}", *INVALID, path)
    for query, path in [
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=NaN", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("cursor=", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%ff", "cursor"),
        ("cursor=" + "A" * 10_000, "cursor"),
        ("cursor=AAAA%0d%0aX-Injected:%201", "cursor"),
        ("cursor=..%2f..%2fetc", "cursor"),
        ("label=%00:x", "label[0]"),
        ("label=x:%ed%a0%80", "label"),
        ("label=x:%ff", "label"),
        ("queue=%c0%af", "queue"),
        ("label=x", "label[0]"),
        ("type=%00", "type[0]"),
        ("queue=%00", "queue[0]"),
        ("status=%1b[2J", "status[0]"),
        ("batchId=" + "0" * 1_000, "batchId[0]"),
        ("createdAfter=1e999", "createdAfter"),
        ("createdBefore=9999-12-31T23:59:60Z", "createdBefore"),
        ("createdAfter=2026-01-27T10:00:00%2b99:99", "createdAfter"),
        ("__proto__=1", "__proto__"),
        ("%00=1", ""),
        ("%1b[2J=1", ""),
        ("&".join(f"type=t{number}" for number in range(200)), "type"),
    ]
]

ATTACKS = [*VALUE_ATTACKS, *BODIES, *LINES, *HEADERS, *HOSTS, *PATHS, *QUERIES]


@pytest.fixture(autouse=True)
async def _nothing_is_recorded(attacked: Service) -> AsyncIterator[None]:
    async with nothing_recorded(attacked):
        yield


@pytest.mark.parametrize(
    "attacks",
    [VALUE_ATTACKS, BODIES, LINES, HEADERS, HOSTS, PATHS, QUERIES],
    ids=["values", "bodies", "lines", "headers", "hosts", "paths", "queries"],
)
async def test_an_attack_is_refused_and_leaves_nothing_behind(attacked: Service, attacks: list[Attack]) -> None:
    failed = []
    for one in attacks:
        try:
            async with clean_log(attacked) as lines:
                await carried_out(attacked, one)
            assert [line["status"] for line in lines] == [one.status]
        except AssertionError as error:
            failed.append(f"{one.name}: {str(error)[:300]}")
    assert not failed, "\n".join(failed)


def test_each_attack_has_a_name_of_its_own() -> None:
    assert len({one.name for one in ATTACKS}) == len(ATTACKS)


async def test_a_request_behind_a_refused_one_is_not_taken_for_its_body(attacked: Service) -> None:
    smuggled = request("POST", "/api/v1/jobs", "Content-Type: application/json", body=b'{"type":"echo"}')
    sent = request("POST", "/api/v1/jobs", "Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + smuggled
    response = await answered(attacked, sent)
    response.refused(400, "BAD_REQUEST")
    assert response.headers["connection"] == "close"
    (await answered(attacked, ALIVE)).json()
