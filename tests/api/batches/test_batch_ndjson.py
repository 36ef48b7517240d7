"""`POST /api/v1/jobs/batch` as NDJSON: any number of jobs, all or nothing, with the errors of each line."""

import asyncio
import json
import pickle
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.api.batches import batch_ndjson
from duly.api.contract.response_models import AcceptedBatchBody
from duly.api.server import connection_limits
from duly.api.server.connection_limits import Limits
from duly.lifecycle.submit import batch_spool, submit_large_batch
from duly.store.postgres.database import DatabaseOutage, RecordBusy
from duly.store.submit import batches
from tests.support.handlers import gate
from tests.support.response_checks import refused
from tests.support.service import Service, eventually

PATH = "/api/v1/jobs/batch"
NDJSON = {"Content-Type": "application/x-ndjson"}
# Ends a request that hangs. Ten thousand lines take seconds on an idle machine.
LARGE_SECONDS = 300.0
StartService = Callable[..., Awaitable[Service]]


def written(jobs: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(job).encode() + b"\n" for job in jobs)


async def post(service: Service, body: Any, query: str = "", **headers: str) -> httpx.Response:
    return await service.client.post(f"{PATH}{query}", content=body, headers=NDJSON | headers, timeout=LARGE_SECONDS)


def labelled(label: str, **members: Any) -> dict[str, Any]:
    return {"type": "echo", "labels": {"batch": label}, **members}


async def recorded(service: Service, label: str) -> int:
    counted = "select count(*) from jobs where labels @> jsonb_build_object('batch', $1::text)"
    return await service.total(counted, label)


def places(response: httpx.Response) -> list[tuple[int, str]]:
    """Returns the lines and paths of a 422."""
    errors = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    assert all(error["message"] for error in errors)
    return [(error["index"], error["path"]) for error in errors]


async def test_all_lines_are_recorded_in_order_and_run(contract: Service) -> None:
    response = await post(contract, written({"type": "echo", "parameters": {"n": n}} for n in range(7)))
    assert response.status_code == 202, response.text
    body = response.json()
    AcceptedBatchBody.model_validate(body, strict=True)
    assert list(body) == ["batchId", "jobIds", "status", "createdAt"]
    assert response.headers["Location"] == f"/api/v1/batches/{body['batchId']}"
    assert response.headers["Content-Type"] == "application/json"
    assert len(set(body["jobIds"])) == 7
    assert {UUID(job_id).version for job_id in body["jobIds"]} == {7}
    assert body["jobIds"] == sorted(body["jobIds"])
    views = [await contract.ended(job_id) for job_id in body["jobIds"]]
    assert [view["parameters"] for view in views] == [{"n": n} for n in range(7)]
    assert {(view["status"], view["batchId"]) for view in views} == {("completed", body["batchId"])}
    assert {view["createdAt"] for view in views} == {body["createdAt"]}


async def test_all_members_of_a_submission_count_in_a_line(contract: Service) -> None:
    job = {
        "type": "echo",
        "parameters": {"a": 1},
        "queue": "night",
        "priority": 7,
        "delaySeconds": 3600,
        "expiresInSeconds": 7200,
        "maxAttempts": 2,
        "labels": {"customer": "c-1"},
    }
    headers = {"X-Correlation-Id": "from-lines"}
    response = await post(contract, written([job, {"type": "echo"}]), "?name=n%C3%A4chtlich", **headers)
    first, second = [await contract.job(job_id) for job_id in response.json()["jobIds"]]
    names = ("type", "parameters", "queue", "priority", "maxAttempts", "labels")
    assert {name: first[name] for name in names} == {name: job[name] for name in names}
    assert first["waitingFor"] == "time"
    assert (first["correlationId"], second["correlationId"]) == ("from-lines", "from-lines")
    batch = (await contract.client.get(response.headers["Location"])).json()
    assert (batch["name"], batch["total"]) == ("nächtlich", 2)


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"echo"}\n{"type":"echo"}',
        b'\n\n{"type":"echo"}\r\n   \r\n{"type":"echo"}\r\n\r\n\t\n',
        b'  {"type":"echo"}  \n{"type":\t"echo"}\n',
    ],
)
async def test_blank_lines_and_the_ends_of_lines_do_not_matter(contract: Service, body: bytes) -> None:
    assert len((await post(contract, body)).json()["jobIds"]) == 2


async def test_each_bad_line_is_named_and_nothing_is_recorded(contract: Service) -> None:
    good = labelled("bad")
    rows = [
        written([good]),
        written([{**good, "type": "ecoh"}]),
        b"\n",  # counts as no line
        b'{"type": "echo"\n',
        written([{**good, "callbackUrl": "ftp://example.com"}]),
        written([{**good, "type": "tell-at-gates", "parameters": {"steps": "many"}}]),
        written([{**good, "priorty": 1}]),
        written([{**good, "parameters": {"name": "a\0b"}}]),
        written([{**good, "parameters": {"text": "x" * 300_000}}]),
        written([{**good, "parameters": {"text": "x" * 2_000_000}}]),
        written([7]),
        b'{"type": "echo", "parameters": 1e999}\n',
        b'{"type": "\xff"}\n',
        written([good]),
        written([{**good, "type": 7}]),
    ]
    assert places(await post(contract, b"".join(rows))) == [
        (1, "jobs[1].type"),
        (2, "jobs[2]"),
        (3, "jobs[3].callbackUrl"),
        (4, "jobs[4].parameters.steps"),
        (5, "jobs[5].priorty"),
        (6, "jobs[6].parameters.name"),
        (7, "jobs[7].parameters"),
        (8, "jobs[8]"),
        (9, "jobs[9]"),
        (10, "jobs[10].parameters"),
        (11, "jobs[11]"),
        (13, "jobs[13].type"),
    ]
    assert await recorded(contract, "bad") == 0


async def test_the_first_hundred_errors_are_named(contract: Service) -> None:
    found = places(await post(contract, written([labelled("many")] * 3 + [{"type": 7}] * 5_000)))
    assert found == [(n, f"jobs[{n}].type") for n in range(3, 103)]
    assert await recorded(contract, "many") == 0


async def test_after_the_hundredth_error_the_answer_does_not_wait_for_the_rest(contract: Service) -> None:
    reader, writer = await _half(contract, b"{}\n" * 400)
    async with asyncio.timeout(60):
        response = await reader.readuntil(b"]}}}")
    writer.close()
    assert response.startswith(b"HTTP/1.1 422 ")
    assert response.count(b'"index":') == 100


async def test_one_bad_line_at_the_end_and_nothing_is_recorded(contract: Service) -> None:
    body = written([labelled("end")] * 3_000 + [labelled("end", uniqueKey="k"), labelled("end", priority=1000)])
    assert places(await post(contract, body)) == [(3_001, "jobs[3001].priority")]
    assert await recorded(contract, "end") == 0


async def test_what_the_ledger_refuses_is_named_by_its_line(contract: Service) -> None:
    unknown = "0199c1f0-0000-7000-8000-000000000000"
    body = written([labelled("ledger")] * 1_200 + [labelled("ledger", dependsOn=[unknown]), labelled("ledger")])
    assert places(await post(contract, body)) == [(1_200, "jobs[1200].dependsOn[0]")]
    assert await recorded(contract, "ledger") == 0


async def test_jobs_that_are_tied_to_others_come_among_the_rest(contract: Service) -> None:
    parent = (await contract.submit("wait-for-gate", {"name": "parent"}))["jobId"]
    stands, twice = (contract.key_beside(parent, text) for text in ("stands", "twice"))
    standing = (await contract.submit("echo", uniqueKey=stands, delaySeconds=3600))["jobId"]
    response = await post(
        contract,
        written(
            [
                labelled("tied", dependsOn=[parent], parameters={"n": 0}),
                labelled("tied", parameters={"n": 1}),
                labelled("tied", uniqueKey=stands),
                labelled("tied", uniqueKey=twice, parameters={"n": 3}, delaySeconds=3600),
                labelled("tied", uniqueKey=twice),
                labelled("tied", parameters={"n": 5}),
            ]
        ),
    )
    assert response.status_code == 202, response.text
    first, second, third, fourth, fifth, sixth = response.json()["jobIds"]
    assert (third, fifth) == (standing, fourth)
    views = [await contract.job(job_id) for job_id in (first, second, fourth, sixth)]
    assert [view["parameters"]["n"] for view in views] == [0, 1, 3, 5]
    assert views[0]["waitingFor"] == "dependencies"
    assert [view["dependsOn"] for view in views] == [[parent], [], [], []]
    batch = (await contract.client.get(response.headers["Location"])).json()
    assert batch["total"] == await recorded(contract, "tied") == 4
    gate("parent").set()
    assert (await contract.ended(first))["status"] == "completed"


async def test_of_those_that_lock_what_others_want_only_so_many_may_come(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit_large_batch, "MOST_TIED", 3)
    beside = (await contract.submit("echo"))["jobId"]
    tied = [labelled("locks", uniqueKey=contract.key_beside(beside, f"lock-{n}")) for n in range(3)]
    free = [labelled("locks", expiresInSeconds=60)] * 5
    assert (await post(contract, written([*free, *tied]))).status_code == 202
    assert places(
        await post(
            contract, written([*tied, *free, labelled("locks", concurrencyKey=contract.key_beside(beside, "c"))])
        )
    ) == [(8, "jobs[8]")]
    assert await recorded(contract, "locks") == 8


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("?then=echo", "then"),
        ("?wait=1", "wait"),
        ("?name=a&name=b", "name"),
        ("?name=" + "x" * 201, "name"),
        ("?name=a%00b", "name"),
        ("?name=%ff", "name"),
    ],
)
async def test_only_a_name_may_stand_in_the_query(contract: Service, query: str, path: str) -> None:
    response = await post(contract, written([labelled("query")]), query)
    [error] = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    assert error["path"] == path
    assert await recorded(contract, "query") == 0


@pytest.mark.parametrize("body", [b"", b"\n", b"  \n\r\n"])
async def test_no_line_at_all_is_refused(contract: Service, body: bytes) -> None:
    [error] = refused(await post(contract, body), 422, "VALIDATION_FAILED")["details"]["errors"]
    assert error["path"] == "jobs"


async def test_the_type_of_the_content_says_which_form_it_is(contract: Service) -> None:
    body = written([{"type": "echo"}])
    for given in ("application/x-ndjson; charset=utf-8", "Application/X-NDJSON"):
        response = await contract.client.post(PATH, content=body, headers={"Content-Type": given})
        assert response.status_code == 202
    response = await contract.client.post(PATH, content=body, headers={"Content-Type": "text/plain"})
    refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    response = await contract.client.post("/api/v1/jobs", content=body, headers=NDJSON)
    refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_the_same_key_and_lines_get_the_first_answer_again(contract: Service) -> None:
    jobs = [labelled("keyed", parameters={"n": n}) for n in range(2_500)]
    first = await post(contract, written(jobs), "?name=a", **{"Idempotency-Key": "lines"})
    spaced = "\n\n".join(json.dumps(dict(reversed(job.items())), indent=None) for job in jobs).encode()
    again = await post(contract, spaced, "?name=a", **{"Idempotency-Key": '"lines"'})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert await recorded(contract, "keyed") == 2_500


@pytest.mark.parametrize("step", [1, 2, 700])
async def test_a_repeat_names_the_jobs_that_stand_for_others_in_their_places(contract: Service, step: int) -> None:
    key = f"lines-others-{step}"
    unique = {"type": "echo", "uniqueKey": key, "delaySeconds": 3600}
    standing = (await contract.client.post("/api/v1/jobs", json=unique)).json()["jobId"]
    jobs = [unique if place % step == 0 else labelled(key) for place in range(1_500)]
    first = await post(contract, written(jobs), **{"Idempotency-Key": key})
    await contract.client.post(f"/api/v1/jobs/{standing}/cancel")
    again = await post(contract, written(jobs), **{"Idempotency-Key": key})
    job_ids = first.json()["jobIds"]
    assert [job_id == standing for job_id in job_ids] == [place % step == 0 for place in range(1_500)]
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_other_lines_or_another_name_under_the_same_key_are_refused(contract: Service) -> None:
    key = {"Idempotency-Key": "other-lines"}
    jobs = [labelled("reused")] * 3
    assert (await post(contract, written(jobs), **key)).status_code == 202
    for body, query in ((written(jobs[:2]), ""), (written(jobs), "?name=a"), (written([*jobs, labelled("x")]), "")):
        refused(await post(contract, body, query, **key), 422, "IDEMPOTENCY_KEY_REUSED")
    as_json = await contract.client.post(PATH, json={"jobs": jobs}, headers=key)
    refused(as_json, 422, "IDEMPOTENCY_KEY_REUSED")
    assert await recorded(contract, "reused") == 3


async def test_identical_requests_at_once_make_one_batch(contract: Service) -> None:
    body = written([labelled("at-once")] * 300)
    responses = await asyncio.gather(*(post(contract, body, **{"Idempotency-Key": "at-once"}) for _ in range(8)))
    assert {response.status_code for response in responses} <= {202, 409}
    assert len({response.content for response in responses if response.status_code == 202}) == 1
    assert await recorded(contract, "at-once") == 300


async def test_two_batches_at_once_are_both_recorded(contract: Service) -> None:
    responses = await asyncio.gather(*(post(contract, written([labelled("both")] * 1_500)) for _ in range(2)))
    assert {response.status_code for response in responses} == {202}
    assert await recorded(contract, "both") == 3_000


async def test_others_are_answered_while_lines_are_read_and_recorded(contract: Service) -> None:
    large = asyncio.create_task(post(contract, written([labelled("others", delaySeconds=3600)] * 10_000)))
    responses = 0
    while not large.done():
        assert (await contract.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 202
        responses += 1
    assert large.result().status_code == 202
    assert responses > 10


async def test_more_bytes_than_allowed_are_refused(start_service: StartService) -> None:
    service = await start_service(ndjson_limit=4_096)
    assert (await post(service, written([{"type": "echo", "delaySeconds": 60}] * 50))).status_code == 202
    body = written([{"type": "echo"}] * 1_000)
    refused(await post(service, body), 413, "BODY_TOO_LARGE")
    refused(await post(service, _slowly([body[:3_000], body[3_000:6_000]])), 413, "BODY_TOO_LARGE")
    assert await service.total("select count(*) from jobs") == 50


async def _slowly(pieces: list[bytes], until: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """Sends without a content length; the last piece once the event is set."""
    for number, piece in enumerate(pieces, 1):
        if until and number == len(pieces):
            await until.wait()
        yield piece


async def test_lines_may_be_cut_anywhere_on_their_way(start_service: StartService) -> None:
    service = await start_service(body_limit=1_024)
    body = written([{"type": "echo", "parameters": {"text": "ä" * 60, "n": n}} for n in range(5)])
    response = await post(service, _slowly([body[start : start + 7] for start in range(0, len(body), 7)]))
    views = [await service.ended(job_id) for job_id in response.json()["jobIds"]]
    assert [view["parameters"]["n"] for view in views] == list(range(5))
    long = written([{"type": "echo"}, {"type": "echo", "parameters": "x" * 1_100}, {"type": "echo", "priority": "a"}])
    assert places(await post(service, _slowly([long[start : start + 50] for start in range(0, len(long), 50)]))) == [
        (1, "jobs[1]"),
        (2, "jobs[2].priority"),
    ]


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Returns an event that is set once the service has read lines."""
    taken = asyncio.Event()
    take = batch_ndjson.LinesOfBatch.add

    async def telling(self: batch_ndjson.LinesOfBatch, lines: Iterable[bytes | None]) -> None:
        await take(self, lines)
        taken.set()

    monkeypatch.setattr(batch_ndjson.LinesOfBatch, "add", telling)
    return taken


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collects all temporary files that are opened for jobs."""
    opened: list[Any] = []
    make = tempfile.SpooledTemporaryFile

    def noting(max_size: int) -> Any:
        opened.append(make(max_size=max_size))
        return opened[-1]

    monkeypatch.setattr(batch_spool, "SpooledTemporaryFile", noting)
    return opened


async def test_a_service_that_goes_down_takes_no_more_lines(
    start_service: StartService, taking: asyncio.Event, files: list[Any]
) -> None:
    service = await start_service()
    go_on = asyncio.Event()
    body = written([{"type": "echo"}] * 500)
    under_way = asyncio.create_task(post(service, _slowly([body, body], until=go_on)))
    await asyncio.wait_for(taking.wait(), 60)
    with service.draining():
        go_on.set()
        refused(await under_way, 503, "DRAINING")
        refused(await post(service, body), 503, "DRAINING")
    assert await service.total("select count(*) from jobs") == 0
    assert len(files) == 2
    assert all(file.closed for file in files)


async def _half(service: Service, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Returns a client that has sent the first half of its request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(service.url).port)
    fields = f"Host: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {len(body)}"
    head = f"POST {PATH} HTTP/1.1\r\n{fields}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    return reader, writer


async def test_a_client_that_goes_away_leaves_nothing_behind(
    start_service: StartService, taking: asyncio.Event, files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_ndjson, "AT_ONCE", 1)
    service = await start_service()
    _, writer = await _half(service, written([{"type": "echo", "parameters": {"text": "x" * 200}}] * 20_000))
    await asyncio.wait_for(taking.wait(), 60)
    refused(await post(service, written([{"type": "echo"}])), 503, "OVERLOADED")
    writer.close()
    await eventually(lambda: _accepts(service))
    assert await service.total("select count(*) from jobs where type <> 'sleep'") == 0
    assert await service.total("select count(*) from batches") == 1
    assert len(files) == 4
    assert all(file.closed for file in files)


async def _accepts(service: Service) -> bool:
    return (await post(service, written([{"type": "sleep", "delaySeconds": 60}]))).status_code == 202


async def test_a_client_that_falls_silent_is_given_up(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "LIMITS", Limits(body_check=0.2))
    service = await start_service()
    reader, writer = await _half(service, written([{"type": "echo"}] * 50))
    async with asyncio.timeout(60):
        response = await reader.readuntil(b'"retryable":true')
    writer.close()
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close\r\n" in response
    assert await service.total("select count(*) from jobs") == 0


async def test_a_full_disk_refuses_the_batch(
    start_service: StartService, files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pickle, "dump", fails)
    service = await start_service()
    refused(await post(service, written([{"type": "echo"}] * 600)), 503, "UNAVAILABLE")
    assert await service.total("select count(*) from jobs") == 0
    assert all(file.closed for file in files)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "lost"}])
@pytest.mark.parametrize("committed", [True, False])
async def test_where_the_answer_of_the_database_is_lost_one_batch_stands(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], *, committed: bool
) -> None:
    service = await start_service()
    original = batches.record_batch
    lost: list[int] = []

    async def losing(connection: Any, *arguments: Any, **named: Any) -> Any:
        response = await original(connection, *arguments, **named)
        lost.append(1)
        if len(lost) > 1:
            return response
        await connection.execute("commit" if committed else "rollback")
        raise DatabaseOutage("the connection broke")

    monkeypatch.setattr(submit_large_batch, "record_batch", losing)
    body = written([*[labelled("lost")] * 1_200, labelled("lost", uniqueKey="u"), labelled("lost", uniqueKey="u")])
    response = await post(service, body, **headers)
    assert response.status_code == 202
    assert len(lost) == (1 if committed else 2)
    assert "Idempotency-Replayed" not in response.headers
    job_ids = response.json()["jobIds"]
    assert (len(job_ids), len(set(job_ids))) == (1_202, 1_201)
    assert await recorded(service, "lost") == 1_201
    for job_id in (job_ids[0], job_ids[-1]):
        assert (await service.ended(job_id))["status"] == "completed"
    stand = await service.sql("select total, batch_id::text from batches")
    assert [tuple(row) for row in stand] == [(1_201, response.json()["batchId"])]


async def test_a_batch_whose_ties_change_hands_is_recorded_once_more(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service()
    original = batches.record_batch
    busy = [1, 1]

    async def held_up(*arguments: Any, **named: Any) -> Any:
        if busy:
            busy.pop()
            raise RecordBusy("deadlock detected")
        return await original(*arguments, **named)

    monkeypatch.setattr(submit_large_batch, "record_batch", held_up)
    assert (await post(service, written([labelled("busy")] * 600))).status_code == 202
    assert await recorded(service, "busy") == 600
    busy += [1] * 3
    refused(await post(service, written([labelled("busy")])), 503, "OVERLOADED")
    assert await recorded(service, "busy") == 600


async def test_jobs_of_lines_are_taken_up_at_once_and_counted(start_service: StartService) -> None:
    service = await start_service(worker_slots=4)
    response = await post(service, written([{"type": "echo"}] * 50))
    await eventually(lambda: _has_status(service, response.headers["Location"], "completed"))
    assert "duly_jobs_accepted_total 50.0" in (await service.client.get("/metrics")).text


async def _has_status(service: Service, path: str, status: str) -> bool:
    return bool((await service.client.get(path)).json()["status"] == status)


async def test_without_the_key_nothing_is_read(start_service: StartService, taking: asyncio.Event) -> None:
    service = await start_service(api_key="secret")
    refused(await post(service, written([{"type": "echo"}])), 401, "UNAUTHORIZED")
    assert not taking.is_set()
    assert (await post(service, written([{"type": "echo"}]), Authorization="Bearer secret")).status_code == 202
