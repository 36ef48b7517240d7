"""Signals that handlers send to other jobs, and to themselves."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.domain.events import EventKind
from duly.store.postgres.database import DatabaseOutage, RecordBusy
from tests.support.keys import OWN, bearer, make_tenant
from tests.support.service import Service, running_service

HANDLERS = ("tests.support.handlers", "tests.support.sending_handlers")
SENT = "select data::text, source from events where job_id = $1 and kind = $2 order by sequence"


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, handlers=HANDLERS) as service:
        yield service


async def receiver(service: Service, name: str = "approval") -> str:
    return str((await service.submit("receives", {"name": name}))["jobId"])


async def sent_to(service: Service, job_id: str) -> list[tuple[str, Any]]:
    """Returns names and bodies of the signals of a job."""
    events = [json.loads(data) for data, _ in await service.sql(SENT, UUID(job_id), EventKind.SIGNALLED)]
    return [(event["signal"], event["body"]) for event in events]


@pytest.mark.parametrize("type_", ["sends", "sends-thread", "sends-process", "sends-async-process"])
async def test_a_handler_resumes_a_job_that_waits(service: Service, type_: str) -> None:
    job_id = await receiver(service)
    sender = await service.run(type_, {"to": job_id, "body": {"amount": 1.50, "big": 2**70}})
    assert (sender["status"], sender["result"]) == ("completed", "sent")
    view = await service.ended(job_id)
    assert (view["status"], view["result"]) == ("completed", {"amount": 1.5, "big": 2**70})
    [(_, source)] = await service.sql(SENT, UUID(job_id), EventKind.SIGNALLED)
    assert source == f"worker:{service.node.name}"


async def test_the_audit_log_names_the_job_that_sent(service: Service) -> None:
    job_id = await receiver(service)
    sender = await service.run("sends", {"to": job_id})
    [entry] = (await service.client.get("/api/v1/audit", params={"action": "signal.sent"})).json()["items"]
    assert (entry["actor"], entry["subject"]) == (f"job:{sender['jobId']}", job_id)
    assert entry["after"]["signal"] == "approval"
    await service.ended(job_id)


@pytest.mark.parametrize("type_", ["sends", "sends-thread", "sends-process"])
async def test_a_retried_handler_sends_again_without_harm(service: Service, type_: str) -> None:
    job_id = await receiver(service)
    view = await service.run(type_, {"to": job_id, "body": [1.0], "fails": 2})
    assert (view["status"], view["attempt"]) == ("completed", 3)
    assert (await service.ended(job_id))["status"] == "completed"
    assert await sent_to(service, job_id) == [("approval", [1.0])]


@pytest.mark.parametrize("type_", ["sends-in-steps", "sends-in-steps-thread", "sends-in-steps-process"])
async def test_steps_of_both_kinds_send(service: Service, type_: str) -> None:
    job_id = await receiver(service, "second")
    assert (await service.run(type_, {"to": job_id}))["status"] == "completed"
    await service.ended(job_id)
    assert await sent_to(service, job_id) == [("first", None), ("second", None)]


async def test_a_handler_signals_itself(service: Service) -> None:
    view = await service.run("signals-itself", {"body": "me"})
    assert (view["status"], view["result"]) == ("completed", "me")


async def test_models_and_the_largest_body_are_sent(service: Service) -> None:
    job_id = await receiver(service)
    await service.run("sends", {"to": job_id, "special": "model"})
    assert (await service.ended(job_id))["result"] == {"amount": 9.5, "on": "2026-01-02"}
    assert (await service.run("catches", {"special": "largest"}))["result"] == "sent"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"name": "No Name"}, "its name must match ^[a-z0-9._-]{1,100}$"),
        ({"to": "me"}, "its ID is not a UUID"),
        ({"special": "object"}, "its body is not JSON: Unable to serialize unknown type: <class 'object'>"),
        ({"special": "nan"}, "its body cannot be recorded: "),
        ({"special": "nul"}, "its body cannot be recorded: "),
        ({"special": "deep"}, "its body cannot be recorded: "),
        ({"special": "large"}, "its body is too large (65,538 bytes of JSON, limit 65,536)"),
    ],
)
async def test_a_wrong_signal_is_refused_with_its_name_and_reason(
    service: Service, members: dict[str, Any], reason: str
) -> None:
    view = await service.run("catches", members)
    name, job_id = members.get("name", "approval"), members.get("to", view["jobId"])
    assert view["result"].replace("'", '"').startswith(f'signal "{name}" to job {job_id}: '), view["result"]
    assert reason in view["result"]
    assert await service.sql("select from signals") == []


async def test_jobs_that_cannot_get_the_signal_are_named(service: Service) -> None:
    ended = await receiver(service)
    await service.run("sends", {"to": ended, "body": 1})
    await service.ended(ended)
    waiting, unknown = await receiver(service), str(uuid4())
    await service.run("sends", {"to": waiting, "name": "other", "body": 1})
    cases = [
        ({"to": unknown}, f'signal "approval" to job {unknown}: Job not found.'),
        ({"to": ended, "name": "more"}, f'signal "more" to job {ended}: The job has ended already: completed.'),
        (
            {"to": waiting, "name": "other", "body": 2},
            f'signal "other" to job {waiting}: A signal "other" with another body was sent to the job before.',
        ),
        ({"to": ended, "body": 1}, "sent"),
    ]
    for parameters, message in cases:
        assert (await service.run("catches", parameters))["result"] == message
    view = await service.run("sends-process", {"to": unknown}, maxAttempts=1)
    assert f'HandlerError: signal "approval" to job {unknown}: Job not found.' in view["error"]["message"]
    await service.run("sends", {"to": waiting})
    await service.ended(waiting)


async def test_jobs_of_other_tenants_are_unknown(database_url: str) -> None:
    async with running_service(database_url, handlers=HANDLERS, api_key=OWN) as service:
        await make_tenant(service, "acme")
        service.client.headers.update(bearer(OWN))
        headers = {"X-Duly-Tenant": "acme"}
        body = {"type": "receives", "parameters": {"name": "approval"}}
        answer = await service.client.post("/api/v1/jobs", json=body, headers=headers)
        job_id = answer.json()["jobId"]
        view = await service.run("catches", {"to": job_id})
        assert view["result"] == f'signal "approval" to job {job_id}: Job not found.'
        assert await sent_to(service, job_id) == []
        await service.client.post(f"/api/v1/jobs/{job_id}/cancel", headers=headers)


async def test_a_signal_is_sent_once_the_database_is_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await receiver(service)
    failures, send = [DatabaseOutage("away"), RecordBusy("busy")], service.node.signals._record

    async def record(*arguments: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return await send(*arguments, **named)

    monkeypatch.setattr(service.node.signals, "_record", record)
    assert (await service.run("sends", {"to": job_id}))["attempt"] == 1
    assert failures == []
    assert (await service.ended(job_id))["status"] == "completed"


@pytest.mark.parametrize("type_", ["sends-and-fails", "sends-and-fails-thread", "sends-and-fails-process"])
async def test_only_compensations_send_while_a_job_is_compensated(service: Service, type_: str) -> None:
    job_id = await receiver(service, "undone")
    view = await service.run(type_, {"to": job_id, "name": type_})
    assert (view["status"], view["error"]["message"]) == ("failed", "sold out")
    await service.ended(job_id)
    first = False if not type_.endswith("process") else None
    assert await sent_to(service, job_id) == [("replayed", first), ("undone-plainly", None), ("undone", None)]
