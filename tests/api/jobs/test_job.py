"""`GET /api/v1/jobs/{jobId}`: the job, its ETag, `Retry-After`, and the long poll."""

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.api.contract.response_models import JobBody
from duly.api.jobs import long_poll
from duly.api.jobs.job_body import poll_hint
from tests.support.handlers import gate, has_entered
from tests.support.response_checks import TIME, invalid_paths
from tests.support.service import Service, eventually

MEMBERS = [
    *("jobId", "type", "queue", "priority", "status", "sequence", "waitingFor", "progress", "progressMessage"),
    *("attempt", "maxAttempts", "parameters", "result", "error", "labels", "batchId", "parentId", "dependsOn"),
    *("correlationId", "createdAt", "runAt", "startedAt", "completedAt"),
]
LATER = "2100-01-01T00:00:00.000Z"


async def _read(contract: Service, job_id: str, etag: str | None = None, **query: Any) -> httpx.Response:
    headers = {"If-None-Match": etag} if etag is not None else {}
    return await contract.client.get(f"/api/v1/jobs/{job_id}", params=query, headers=headers)


async def _running(contract: Service, name: str) -> str:
    """Returns a job whose handler waits for its gate."""
    job_id: str = (await contract.submit("wait-for-gate", {"name": name}))["jobId"]
    await asyncio.wait_for(has_entered(name).wait(), 60)
    await contract.until(job_id, lambda view: view["status"] == "running")
    return job_id


# -- the body


async def test_a_waiting_job_shows_every_member(contract: Service) -> None:
    accepted = await contract.submit("echo", {"a": 1}, runAt=LATER, priority=7, queue="slow", labels={"k": "v"})
    response = await _read(contract, accepted["jobId"])

    body = response.json()
    assert list(body) == MEMBERS
    JobBody.model_validate_json(response.content, strict=True)
    assert body == {
        "jobId": accepted["jobId"],
        "type": "echo",
        "queue": "slow",
        "priority": 7,
        "status": "pending",
        "sequence": 0,
        "waitingFor": "time",
        "progress": None,
        "progressMessage": None,
        "attempt": 0,
        "maxAttempts": 5,
        "parameters": {"a": 1},
        "result": None,
        "error": None,
        "labels": {"k": "v"},
        "batchId": None,
        "parentId": None,
        "dependsOn": [],
        "correlationId": body["correlationId"],
        "createdAt": accepted["createdAt"],
        "runAt": LATER,
        "startedAt": None,
        "completedAt": None,
    }


async def test_a_running_job_shows_that_it_has_started(contract: Service) -> None:
    job_id = await _running(contract, "shown")
    response = await _read(contract, job_id)
    gate("shown").set()

    body = response.json()
    JobBody.model_validate_json(response.content, strict=True)
    assert (body["status"], body["sequence"], body["attempt"]) == ("running", 1, 1)
    assert (body["waitingFor"], body["completedAt"], body["result"], body["error"]) == (None, None, None, None)
    assert TIME.fullmatch(body["startedAt"])


async def test_a_completed_job_shows_its_result(contract: Service) -> None:
    view = await contract.run("progress", {"steps": 2})

    assert (view["status"], view["result"], view["error"]) == ("completed", "done", None)
    assert (view["progress"], view["progressMessage"], view["sequence"]) == (100, "step 2", 4)
    assert view["createdAt"] <= view["startedAt"] <= view["completedAt"]
    assert view["runAt"] is None
    assert view["waitingFor"] is None


async def test_a_failed_job_shows_its_error(contract: Service) -> None:
    view = await contract.run("fail", {"retryable": False})

    assert (view["status"], view["result"], view["waitingFor"]) == ("failed", None, None)
    assert view["error"] == {
        "code": "CUSTOMER_UNKNOWN",
        "message": view["error"]["message"],
        "details": {"reason": view["error"]["details"]["reason"], "retryable": False, "attempt": 1},
    }
    assert "no such customer" in view["error"]["message"]
    assert TIME.fullmatch(view["completedAt"])


async def test_a_job_between_attempts_is_pending_and_says_why(contract: Service) -> None:
    accepted = await contract.submit("raise-later")
    view = await contract.until(accepted["jobId"], lambda view: view["waitingFor"] == "retry")

    assert (view["status"], view["attempt"], view["completedAt"]) == ("pending", 1, None)
    assert view["error"]["code"] == "TASK_FAILED"
    assert view["error"]["details"]["retryable"] is True
    assert view["runAt"] > view["createdAt"]


async def test_a_job_that_could_run_waits_for_a_worker(contract: Service) -> None:
    accepted = await contract.submit("echo", runAt=LATER)
    job_id = UUID(accepted["jobId"])
    # Inserted as ready, with a type that no worker here claims.
    await contract.sql("update jobs set type = 'elsewhere' where job_id = $1", job_id)
    await contract.sql(
        "with gone as (delete from scheduled where job_id = $1 returning *) "
        "insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, "
        "callback_events, queue, type) select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, "
        "crashes, callback_events, queue, 'elsewhere' from gone",
        job_id,
    )

    view = await contract.job(accepted["jobId"])
    assert (view["status"], view["waitingFor"]) == ("pending", "worker")


async def test_an_id_is_read_in_either_case(contract: Service) -> None:
    accepted = await contract.submit("echo", runAt=LATER)

    assert (await _read(contract, accepted["jobId"].upper())).json()["jobId"] == accepted["jobId"]


# -- ETag, Retry-After, Cache-Control


async def test_the_etag_is_the_sequence_and_nothing_is_cached(contract: Service) -> None:
    view = await contract.run("echo")
    response = await _read(contract, view["jobId"])

    assert response.headers["ETag"] == f'"{view["sequence"]}"'
    assert response.headers["Cache-Control"] == "no-store"
    assert "Retry-After" not in response.headers


async def test_what_a_client_has_already_is_a_304(contract: Service) -> None:
    view = await contract.run("echo")
    coded = ('W/"2-gzip"', '"2--gzip"', '"2;gzip"', '"2-br"', '"1-zstd", "2-gzip-gzip"', '"a,b", W/"2"', ',, "2",')
    for etag in ('"2"', 'W/"2"', '"1", "2"', '"7","2"', 'W/"0", W/"2"', "*", *coded):
        response = await _read(contract, view["jobId"], etag)
        assert (response.status_code, response.content) == (304, b""), etag
        assert response.headers["ETag"] == '"2"'
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Accept-Encoding"


async def test_what_a_client_does_not_have_is_sent(contract: Service) -> None:
    view = await contract.run("echo")
    malformed = ('"a "2"', '"x", 2"', '"1" "2"', 'w/"2"', '"2', '"1", *', '"2"-gzip', "'2'", '"2"; q=1')
    other = ('"2-other"', '"2gzip"', '"2-"', '"02x"', '"1, \\"2"')
    for etag in (
        '"1"',
        'W/"1"',
        '"22"',
        '"abc"',
        "2",
        "",
        '""',
        "nonsense",
        '"99999999999999999999"',
        *other,
        *malformed,
    ):
        assert (await _read(contract, view["jobId"], etag)).status_code == 200, etag


async def test_the_hint_when_to_look_again_grows_with_the_age_of_the_job(contract: Service) -> None:
    accepted = await contract.submit("echo", runAt=LATER)
    seen = []
    for age in (-60.0, 17.0, 40.0, 86400.0):  # seconds from an age at which the hint changes
        await _set_age(contract, accepted["jobId"], age)
        seen.append(int((await _read(contract, accepted["jobId"])).headers["Retry-After"]))

    assert seen == [1, 16, 30, 30]


async def _set_age(contract: Service, job_id: str, seconds: float) -> None:
    statement = "update jobs set created_at = now() - $2 * interval '1 second' where job_id = $1"
    await contract.sql(statement, UUID(job_id), seconds)


def test_the_hint_doubles_up_to_half_a_minute() -> None:
    ages = (-1.0, 0.0, 1.99, 2.0, 3.99, 4.0, 7.99, 8.0, 15.99, 16.0, 31.99, 32.0, 86400.0)
    assert [poll_hint(age) for age in ages] == [1, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 30, 30]


async def test_a_304_of_a_job_that_goes_on_says_when_to_look_again(contract: Service) -> None:
    accepted = await contract.submit("echo", runAt=LATER)
    await _set_age(contract, accepted["jobId"], 40.0)

    response = await _read(contract, accepted["jobId"], '"0"')
    assert (response.status_code, response.headers["Retry-After"]) == (304, "30")


# -- the long poll


async def test_a_long_poll_answers_as_soon_as_there_is_news(contract: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "LOOK_SECONDS", 3600)
    job_id = await _running(contract, "news")
    poll = asyncio.create_task(_read(contract, job_id, '"1"', wait=60))
    await eventually(lambda: _watched(contract, job_id))
    gate("news").set()
    response = await asyncio.wait_for(poll, 30)

    assert (response.status_code, response.json()["status"], response.headers["ETag"]) == (200, "completed", '"2"')


async def test_a_long_poll_without_an_etag_answers_when_the_status_changes(contract: Service) -> None:
    job_id = await _running(contract, "status")
    poll = asyncio.create_task(_read(contract, job_id, wait=30))
    await eventually(lambda: _watched(contract, job_id))
    gate("status").set()

    assert (await poll).json()["status"] == "completed"


async def test_a_long_poll_answers_at_once_where_there_is_news_already(contract: Service) -> None:
    job_id = await _running(contract, "already")
    for etag in ('"0"', 'W/"0"'):
        response = await asyncio.wait_for(_read(contract, job_id, etag, wait=60), 30)
        assert (response.status_code, response.json()["sequence"]) == (200, 1)
    gate("already").set()


async def test_a_long_poll_of_a_job_that_has_ended_does_not_wait(contract: Service) -> None:
    view = await contract.run("echo")

    assert (await asyncio.wait_for(_read(contract, view["jobId"], wait=60), 30)).status_code == 200
    assert (await asyncio.wait_for(_read(contract, view["jobId"], '"2"', wait=60), 30)).status_code == 304


async def test_a_long_poll_in_vain_ends_after_its_time(contract: Service) -> None:
    job_id = await _running(contract, "vain")
    began = time.monotonic()
    named, unnamed = await asyncio.gather(_read(contract, job_id, '"1"', wait=1), _read(contract, job_id, wait=1))

    assert 1 <= time.monotonic() - began < 60
    assert named.status_code == 304
    assert (unnamed.status_code, unnamed.json()["status"]) == (200, "running")
    gate("vain").set()


async def test_a_long_poll_sees_news_whose_hint_was_lost(contract: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "LOOK_SECONDS", 0.2)
    accepted = await contract.submit("echo", runAt=LATER)
    job_id = accepted["jobId"]
    poll = asyncio.create_task(_read(contract, job_id, '"0"', wait=30))
    await eventually(lambda: _watched(contract, job_id))
    # Cancelled by a statement of the test, so that the hub is not notified.
    await contract.sql(
        "with gone as (delete from scheduled where job_id = $1 returning *) "
        "insert into events (tenant_id, job_id, sequence, kind, attempt, source) "
        "select tenant_id, job_id, 1, 12, attempt, 'test' from gone",
        UUID(job_id),
    )

    assert (await asyncio.wait_for(poll, 60)).json()["status"] == "cancelled"


async def _watched(contract: Service, job_id: str) -> bool:
    return UUID(job_id) in contract.node_of(job_id).hub._watches


async def test_a_wait_out_of_range_or_a_misspelt_one_is_refused(contract: Service) -> None:
    view = await contract.run("echo")
    for wait in ("61", "-1", "x", "1.5", "", "1e9"):
        assert invalid_paths(await _read(contract, view["jobId"], wait=wait)) == ["wait"], wait
    assert invalid_paths(await _read(contract, view["jobId"], wiat=5)) == ["wiat"]
    assert (await _read(contract, view["jobId"], wait=60)).status_code == 200
    assert (await _read(contract, view["jobId"], wait=0)).status_code == 200


# -- compression


async def test_a_large_answer_is_gzipped_where_asked_and_only_there(contract: Service) -> None:
    view = await contract.run("echo", "x" * 5000)
    path = f"/api/v1/jobs/{view['jobId']}"

    zipped = await contract.client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = await contract.client.get(path, headers={"Accept-Encoding": "identity"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in zipped.headers["Vary"]
    assert "Content-Encoding" not in plain.headers
    assert int(zipped.headers["Content-Length"]) < 1000 < int(plain.headers["Content-Length"])
    assert (zipped.headers["ETag"], plain.headers["ETag"]) == ('W/"2"', '"2"')  # RFC 9110, section 8.8.3.3
    assert zipped.json() == plain.json() == view


async def test_a_coding_that_the_client_does_not_take_is_not_sent(contract: Service) -> None:
    view = await contract.run("echo", "x" * 5000)
    path = f"/api/v1/jobs/{view['jobId']}"
    for accepted, coding in (
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("gzip;q=0, *", None),
        ("identity, gzip;q=0.5", None),
        ("br, zstd", None),
        ("gzipped", None),
        ("gzip;q=none", None),
        ("", None),
        ("X-GZIP", "gzip"),
        ("br, GZip ; Q=0.3", "gzip"),
        ("*", "gzip"),
        ("identity;q=0, gzip", "gzip"),
    ):
        response = await contract.client.get(path, headers={"Accept-Encoding": accepted})
        assert response.headers.get("Content-Encoding") == coding, accepted
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["ETag"] == ('W/"2"' if coding else '"2"')
        assert response.json() == view
    lines = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    assert (await contract.client.get(path, headers=lines)).headers["Content-Encoding"] == "gzip"


async def test_a_small_answer_is_gzipped_where_nothing_else_is_taken(contract: Service) -> None:
    view = await contract.run("echo")
    only = {"Accept-Encoding": "gzip, identity;q=0"}
    response = await contract.client.get("/healthz", headers=only)
    assert (response.headers["Content-Encoding"], response.json()) == ("gzip", {"status": "up"})
    unchanged = await contract.client.get(f"/api/v1/jobs/{view['jobId']}", headers={**only, "If-None-Match": '"2"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert "Content-Encoding" not in unchanged.headers


async def test_a_small_answer_is_not_gzipped(contract: Service) -> None:
    response = await contract.client.get("/healthz", headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in response.headers


async def test_a_submission_that_waited_and_a_long_refusal_are_gzipped_too(contract: Service) -> None:
    job = {"type": "echo", "parameters": "x" * 5000}
    waited = await contract.client.post("/api/v1/jobs", json=job, headers={"Prefer": "wait=60"})
    bad = {"type": "echo", **{f"wrong{number}": 1 for number in range(50)}}
    long = await contract.client.post("/api/v1/jobs", json=bad)

    for response, status in ((waited, 200), (long, 422)):
        assert (response.status_code, response.headers["Content-Encoding"]) == (status, "gzip")
        assert response.json()
    assert long.headers["Vary"] == "Accept, Accept-Encoding"


async def test_a_stream_is_never_gzipped(contract: Service) -> None:
    view = await contract.run("echo", "x" * 5000)
    response = await contract.client.get(
        f"/api/v1/jobs/{view['jobId']}/events/stream", headers={"Accept-Encoding": "gzip"}
    )

    assert "Content-Encoding" not in response.headers
    assert len(response.content) > 5000
