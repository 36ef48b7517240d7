"""Secrets at rest: no table shows the secret of a callback, however it was submitted, and it signs the webhooks."""

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from duly.domain.ids import new_job_id
from duly.domain.sealing import key_id_of
from tests.support.database_dump import dump, shows
from tests.support.secret_handlers import PLAIN_PART, SECRET
from tests.support.service import KEYRING, Service, eventually
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Awaitable[Service]]
LABEL = "NotASecretAtAll51d0"
NEVER = {"delaySeconds": 86_400}


def called_back(receiver: Receiver, secret: str = SECRET) -> dict[str, Any]:
    return {"type": "echo", "callbackUrl": receiver.url, "callbackSecret": secret, "labels": {"plain": LABEL}}


async def accepted(service: Service, method: str, path: str, **sent: Any) -> dict[str, Any]:
    answer = await service.client.request(method, path, **sent)
    assert answer.status_code in {200, 201, 202}, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_no_table_shows_a_secret_whichever_way_it_came_in(
    start_service: StartService, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await start_service(handlers=("tests.support.handlers", "tests.support.secret_handlers"))
    job = called_back(receiver)
    keys = [{"Idempotency-Key": f"key-{n}"} for n in range(3)]
    unique = job | {"uniqueKey": "u", "debounceSeconds": 0.05}
    many = {"jobs": [job, job], "then": job, "name": "followed"}
    waiting = {"jobs": [job | NEVER], "then": job}
    schedule = {"name": "yearly", "cron": "0 0 1 1 *", "submission": job}
    lines = "\n".join(json.dumps(job) for _ in range(2))

    told = 0
    await accepted(service, "POST", "/api/v1/jobs", json=job, headers=keys[0])
    await accepted(service, "PUT", f"/api/v1/jobs/{new_job_id()}", json=job)
    await accepted(service, "POST", "/api/v1/jobs", json=unique | {"parameters": {"n": 1}})
    await accepted(service, "POST", "/api/v1/jobs", json=unique | {"parameters": {"n": 2}})
    told += 3
    await accepted(service, "POST", "/api/v1/jobs", json=job | NEVER)
    batch = await accepted(service, "POST", "/api/v1/jobs/batch", json=many, headers=keys[1])
    told += 3
    await accepted(service, "POST", "/api/v1/jobs/batch", json=waiting)
    ndjson = {"Content-Type": "application/x-ndjson"} | keys[2]
    await accepted(service, "POST", "/api/v1/jobs/batch", content=lines, headers=ndjson)
    told += 2
    await accepted(service, "POST", "/api/v1/schedules", json=schedule)
    await accepted(service, "PATCH", "/api/v1/schedules/yearly", json={"submission": job, "paused": True})
    await accepted(service, "POST", "/api/v1/schedules/yearly/run")
    told += 1
    parent = await service.run("parent-with-secret", {"url": receiver.url})
    assert parent["status"] == "completed", parent
    told += 3
    refused = [
        await service.client.post("/api/v1/jobs", json=job | {"callbackUrl": "ftp://x"}),
        await service.client.post("/api/v1/jobs", json=job | {"callbackEvents": [SECRET[:5]]}),
        await service.client.post("/api/v1/jobs", json=job | {"type": "none"}),
    ]

    for _ in range(told):
        (await receiver.next()).verify(SECRET)
    await eventually(lambda: _then_job_id(service, batch["batchId"]))

    tables = await dump(service.database_url)
    assert {"public.jobs", "public.schedules", "public.batches", "public.events"} <= tables.keys()
    assert shows(tables["public.jobs"], LABEL)
    assert [table for table, text in tables.items() if shows(text, PLAIN_PART)] == []
    assert {answer.status_code for answer in refused} == {422}
    assert not any(PLAIN_PART in answer.text for answer in refused)
    assert not any(PLAIN_PART in said for said in capsys.readouterr())


async def _then_job_id(service: Service, batch_id: str) -> object:
    return (await accepted(service, "GET", f"/api/v1/batches/{batch_id}"))["thenJobId"]


async def test_the_search_of_a_dump_finds_what_is_in_clear_in_any_column(service: Service) -> None:
    """Checks that the search finds a secret that is present."""
    connection = await asyncpg.connect(service.database_url)
    await connection.execute("create table shown (place text, words text, binary_ bytea, document json)")
    around = [f"{'x' * offset}{PLAIN_PART}y" for offset in range(3)]
    rows = [
        ("plain", PLAIN_PART, None, None),
        ("binary", None, PLAIN_PART.encode(), None),
        ("json", None, None, json.dumps([{"secret": SECRET}])),
        ("json in json", None, None, json.dumps(json.dumps(SECRET))),
        *((f"base64 {offset}", b64encode(text.encode()).decode(), None, None) for offset, text in enumerate(around)),
    ]
    for row in rows:
        await connection.execute("truncate shown")
        await connection.execute("insert into shown values ($1, $2, $3, $4)", *row)
        assert shows((await dump(service.database_url))["public.shown"], PLAIN_PART), row[0]
    await connection.close()


async def _stored(service: Service, job_id: str) -> str:
    [[secret]] = await service.sql("select callback_secret from jobs where job_id = $1", UUID(job_id))
    assert isinstance(secret, str)
    return secret


async def test_a_client_that_sends_a_sealed_text_has_it_as_its_secret(service: Service, receiver: Receiver) -> None:
    """Checks that a sealed secret copied from a dump cannot be used in a submission."""
    first = await service.submit(**_members(called_back(receiver)))
    (await receiver.next()).verify(SECRET)
    seen = await _stored(service, first["jobId"])
    second = await service.submit(**_members(called_back(receiver, secret=seen)))
    (await receiver.next()).verify(seen)
    stored = await _stored(service, second["jobId"])
    assert stored != seen
    assert KEYRING.unseal(stored, tenant_id=1, purpose="callback") == seen


async def test_what_a_schedule_keeps_is_sealed_once(service: Service, receiver: Receiver) -> None:
    submission = called_back(receiver)
    await accepted(
        service, "POST", "/api/v1/schedules", json={"name": "s", "cron": "0 0 1 1 *", "submission": submission}
    )
    runs = [await accepted(service, "POST", "/api/v1/schedules/s/run") for _ in range(2)]
    stored = [await _stored(service, run["jobId"]) for run in runs]
    assert [KEYRING.unseal(text, tenant_id=1, purpose="callback") for text in stored] == [SECRET, SECRET]
    for _ in runs:
        (await receiver.next()).verify(SECRET)


async def test_the_same_request_is_known_again_though_no_two_seals_are_alike(
    start_service: StartService, receiver: Receiver
) -> None:
    one, other = await start_service(), await start_service()
    key = {"Idempotency-Key": "the-same"}
    job = called_back(receiver) | NEVER
    batch = {"jobs": [job]}
    lines: dict[str, Any] = {
        "content": json.dumps(job),
        "headers": {"Content-Type": "application/x-ndjson", "Idempotency-Key": "lines"},
    }
    for method, path, sent, again in (
        ("POST", "/api/v1/jobs", {"json": job, "headers": key}, 202),
        ("PUT", f"/api/v1/jobs/{new_job_id()}", {"json": job}, 200),
        ("POST", "/api/v1/jobs/batch", {"json": batch, "headers": {"Idempotency-Key": "batch"}}, 202),
        ("POST", "/api/v1/jobs/batch", lines, 202),
    ):
        first, second = [await service.client.request(method, path, **sent) for service in (one, other)]
        assert (first.status_code, second.status_code) == (202, again)
        assert second.json().get("batchId") == first.json().get("batchId")
        assert second.json().get("jobId") == first.json().get("jobId")
    another = await other.client.post("/api/v1/jobs", json=job | {"callbackSecret": "another"}, headers=key)
    assert another.status_code == 422


async def test_a_secret_from_before_they_were_sealed_still_signs(service: Service, receiver: Receiver) -> None:
    delayed = await service.submit(**_members(called_back(receiver)), delaySeconds=3600)
    await service.sql("update jobs set callback_secret = $2 where job_id = $1", UUID(delayed["jobId"]), "from before")
    await service.make_due()
    (await receiver.next()).verify("from before")


async def test_a_secret_of_another_tenant_is_not_used(service: Service, receiver: Receiver) -> None:
    """Checks that write access to rows without keys does not allow signing with another tenant's secret."""
    foreign = KEYRING.seal(SECRET, tenant_id=2, purpose="callback")
    delayed = await service.submit(**_members(called_back(receiver)), delaySeconds=3600)
    job_id = UUID(delayed["jobId"])
    await service.sql("update jobs set callback_secret = $2 where job_id = $1", job_id, foreign)
    await service.make_due()

    async def tried() -> str:
        rows = await service.sql("select error from delivery_attempts where job_id = $1", job_id)
        return str(rows[0][0]) if rows else ""

    error = await eventually(tried)
    assert 'cannot be decrypted with the key "tests"' in error
    assert receiver.hits == 0
    assert key_id_of(foreign) == "tests"
    assert foreign not in error


def _members(submission: dict[str, Any]) -> dict[str, Any]:
    return {"type_": submission["type"], **{name: value for name, value in submission.items() if name != "type"}}
