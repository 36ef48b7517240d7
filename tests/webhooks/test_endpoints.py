"""Registered endpoints: recipients of each event, signing keys, and times."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from duly.client import verify_webhook
from duly.webhooks.signature import SignatureError, verify_standard
from tests.support.registered_endpoints import (
    PATH,
    Looks,
    all_of,
    attempts,
    changed,
    nothing_waits,
    registered,
    sends_test,
    shown,
    types_of,
)
from tests.support.service import Service
from tests.support.webhook_receiver import Received, Receiver, running_receiver

OF_JOBS = ["job.started", "job.progress", "job.retrying", "job.completed", "job.failed", "job.cancelled"]


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    """Another receiver on loopback."""
    async with running_receiver() as running:
        yield running


async def came(service: Service, receiver: Receiver) -> list[Received]:
    """All that has come in, once nothing is left to be sent."""
    await nothing_waits(service)
    return all_of(receiver)


# Recipients


async def test_two_endpoints_and_a_callback_are_each_told_once_under_one_id_and_their_own_secret(
    service: Service, receiver: Receiver, other: Receiver
) -> None:
    first = await registered(service, receiver.url, "job.completed")
    second = await registered(service, other.url, "job.completed", secret="a plain secret")
    async with running_receiver() as called_back:
        job = await service.run("echo", {"n": 1}, callbackUrl=called_back.url, callbackSecret="the job's own")
        [told], [also_told], [called] = [await came(service, each) for each in (receiver, other, called_back)]
    assert told.body == also_told.body == called.body
    assert json.loads(told.body)["jobId"] == job["jobId"]
    ids = {each.headers["webhook-id"] for each in (told, also_told, called)}
    assert ids == {(await service.events(job["jobId"]))[-1]["eventId"]}
    secrets = (first["secret"], second["secret"], "the job's own")
    for each, own in zip((told, also_told, called), secrets, strict=True):
        each.verify(own)
        for secret in secrets:
            if secret != own:
                with pytest.raises(SignatureError):
                    each.verify(secret)


async def test_an_endpoint_is_told_of_the_events_that_it_named(service: Service, receiver: Receiver) -> None:
    await registered(service, receiver.url, "job.failed", "job.started")
    for job_type in ("echo", "fail"):
        await service.run(job_type, {})
    assert sorted(types_of(await came(service, receiver))) == ["job.failed", "job.started", "job.started"]


async def test_a_star_is_every_event_of_a_job(service: Service, receiver: Receiver) -> None:
    await registered(service, receiver.url)
    await service.run("progress", {"steps": 1})
    await service.run("raise", {"succeed_on": 2, "text": "once"})
    await service.run("fail", {})
    waiting = await service.submit("echo", delaySeconds=3600)
    await service.client.post(f"/api/v1/jobs/{waiting['jobId']}/cancel")
    assert set(types_of(await came(service, receiver))) == set(OF_JOBS)


async def test_an_endpoint_is_told_of_the_types_that_it_named(service: Service, receiver: Receiver) -> None:
    await registered(service, receiver.url, "job.completed", types=["plain", "not-known-yet"])
    await service.run("echo", {})
    job = await service.run("plain", {"n": 1})
    assert [json.loads(each.body)["jobId"] for each in await came(service, receiver)] == [job["jobId"]]


async def test_an_endpoint_is_told_of_jobs_that_have_all_its_labels(service: Service, receiver: Receiver) -> None:
    await registered(service, receiver.url, "job.completed", labels={"customer": "Zoë", "plan": "b"})
    told = await service.run("echo", labels={"plan": "b", "customer": "Zoë", "more": "x"})
    for labels in ({"customer": "Zoë"}, {"customer": "Zoë", "plan": "a"}, {"customer": "zoë", "plan": "b"}, {}):
        await service.run("echo", labels=labels)
    assert [json.loads(each.body)["jobId"] for each in await came(service, receiver)] == [told["jobId"]]


async def test_a_filter_by_type_and_label_holds_for_every_event(service: Service, receiver: Receiver) -> None:
    await registered(service, receiver.url, types=["raise"], labels={"a": "1"})
    for labels in ({"a": "1"}, {"a": "2"}):
        for job_type in ("raise", "progress"):
            await service.run(job_type, {"succeed_on": 2, "text": "x"} if job_type == "raise" else {}, labels=labels)
    received = await came(service, receiver)
    assert sorted(types_of(received)) == ["job.completed", "job.retrying", "job.started", "job.started"]
    assert {json.loads(each.body)["jobType"] for each in received} == {"raise"}


async def test_another_filter_holds_from_then_on(service: Service, receiver: Receiver) -> None:
    endpoint = await registered(service, receiver.url, "job.completed")
    await service.run("echo", {})
    await changed(service, endpoint, types=["fail"], events=["job.failed"])
    await service.run("echo", {})
    await service.run("fail", {})
    assert types_of(await came(service, receiver)) == ["job.completed", "job.failed"]


async def batch(service: Service, *types: str) -> dict[str, Any]:
    """One whose last job has ended, and was counted."""
    jobs = [{"type": job_type, "parameters": {}, "labels": {"a": "1"}} for job_type in types]
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs, "name": "nightly"})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    for job_id in accepted["jobIds"]:
        await service.ended(job_id)
    return accepted


async def test_the_end_of_a_batch_is_told_to_who_named_it(service: Service, receiver: Receiver) -> None:
    endpoint = await registered(service, receiver.url, "batch.completed")
    accepted = await batch(service, "echo", "fail")
    told = await receiver.next()
    told.verify(endpoint["secret"])
    body = json.loads(told.body)
    completed = (await service.client.get(f"/api/v1/batches/{accepted['batchId']}")).json()
    assert body | {"timestamp": ""} == {
        "type": "batch.completed",
        "timestamp": "",
        "batchId": accepted["batchId"],
        "name": "nightly",
        "status": "failed",
        "total": 2,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
        "completedAt": completed["completedAt"],
    }
    assert await came(service, receiver) == []


async def test_under_a_filter_a_star_leaves_batches_out_and_naming_them_does_not(
    service: Service, receiver: Receiver, other: Receiver
) -> None:
    async with running_receiver() as unfiltered:
        await registered(service, unfiltered.url)
        await registered(service, receiver.url, types=["fail"])
        await registered(service, other.url, "*", "batch.completed", labels={"a": "2"})
        await batch(service, "echo")
        assert types_of([await other.next()]) == ["batch.completed"]
        assert sorted(types_of(await came(service, unfiltered))) == ["batch.completed", "job.completed", "job.started"]
    assert await came(service, other) == await came(service, receiver) == []


async def test_one_tenants_events_are_not_told_to_another(
    service: Service, receiver: Receiver, other: Receiver
) -> None:
    foreign = await registered(service, receiver.url)
    await service.sql("update endpoints set tenant_id = 7 where endpoint_id = $1", UUID(foreign["webhookId"]))
    await service.sql("update receivers set tenant_id = 7 where receiver_id = $1", UUID(foreign["webhookId"]))
    await registered(service, other.url)
    await batch(service, "progress", "fail")
    while types_of([await other.next()]) != ["batch.completed"]:  # the last of all
        pass
    assert await came(service, receiver) == []
    tried = await service.sql("select from delivery_attempts where receiver_id = $1", UUID(foreign["webhookId"]))
    assert tried == []


# Requests


async def test_a_test_is_sent_whatever_the_endpoint_filters_by(service: Service, receiver: Receiver) -> None:
    endpoint = await registered(service, receiver.url, "job.failed", types=["none"], labels={"a": "1"})
    sent = await sends_test(service, endpoint)
    told = await receiver.next()
    told.verify(endpoint["secret"])
    assert told.headers["webhook-id"] == sent["eventId"]
    body = json.loads(told.body)
    assert body == {"type": "webhook.test", "timestamp": body["timestamp"], "webhookId": endpoint["webhookId"]}
    (row,) = await attempts(service, endpoint, 1)
    assert (str(row["delivery_id"]), row["status_code"]) == (sent["deliveryId"], 204)


async def test_headers_of_the_endpoints_own_are_sent_along(service: Service, receiver: Receiver) -> None:
    endpoint = await registered(service, receiver.url, headers={"Authorization": "Bearer t~1", "X-Empty": ""})
    await sends_test(service, endpoint)
    first = await receiver.next()
    assert (first.headers["authorization"], first.headers["x-empty"]) == ("Bearer t~1", "")
    assert first.headers["content-type"] == "application/json"
    await changed(service, endpoint, headers={"X-New": "1"})
    await sends_test(service, endpoint)
    second = await receiver.next()
    assert (second.headers["x-new"], "authorization" in second.headers) == ("1", False)


async def test_both_secrets_sign_while_they_are_rotated_and_then_the_new_one_alone(
    service: Service, receiver: Receiver
) -> None:
    old = await registered(service, receiver.url)
    answer = await service.client.post(f"{PATH}/{old['webhookId']}/rotate-secret")
    new = answer.json()
    await sends_test(service, old)
    during = await receiver.next()
    during.verify(new["secret"])
    verify_standard(old["secret"], during.headers, during.body)

    await service.sql("update endpoints set previous_until = now() where endpoint_id = $1", UUID(old["webhookId"]))
    await sends_test(service, old)
    after = await receiver.next()
    after.verify(new["secret"])
    with pytest.raises(SignatureError):
        verify_standard(old["secret"], after.headers, after.body)


async def test_what_a_key_pair_signs_verifies_with_the_public_keys_that_anyone_may_read(
    service: Service, receiver: Receiver
) -> None:
    endpoint = await registered(service, receiver.url, signatures=["v1", "v1a"])
    jwks_url = endpoint["jwksUrl"]
    before = (await service.client.get(jwks_url)).json()
    await sends_test(service, endpoint)
    first = await receiver.next()
    first.verify(endpoint["secret"])
    assert verify_webhook(first.headers, first.body, before).type == "webhook.test"

    await service.client.post(f"{PATH}/{endpoint['webhookId']}/rotate-secret")
    during = (await service.client.get(jwks_url)).json()
    await sends_test(service, endpoint)
    second = await receiver.next()
    assert len(during["keys"]) == 2
    for jwks in (before, during, {"keys": during["keys"][:1]}, {"keys": during["keys"][1:]}):
        assert verify_webhook(second.headers, second.body, jwks).type == "webhook.test"

    await service.sql("update endpoints set previous_until = now() where endpoint_id = $1", UUID(endpoint["webhookId"]))
    await sends_test(service, endpoint)
    third = await receiver.next()
    after = (await service.client.get(jwks_url)).json()
    assert after["keys"] == during["keys"][:1]
    assert verify_webhook(third.headers, third.body, after).type == "webhook.test"
    with pytest.raises(SignatureError):
        verify_webhook(third.headers, third.body, before)


# When it is sent


async def test_while_it_is_paused_nothing_is_sent_and_what_has_waited_goes_when_it_is_resumed(
    service: Service, receiver: Receiver, other: Receiver
) -> None:
    looks = Looks(service)
    paused = await registered(service, receiver.url, "job.completed", paused=True)
    told = await registered(service, other.url, "job.completed")
    jobs = [(await service.run("echo", {"n": n}))["jobId"] for n in range(3)]
    await sends_test(service, paused)
    await attempts(service, told, 3)
    await looks.more()
    assert (receiver.hits, await service.sql("select count(*)::int from deliveries")) == (0, [(4,)])
    await changed(service, paused, paused=False)
    received = await came(service, receiver)
    assert sorted(types_of(received)) == ["job.completed"] * 3 + ["webhook.test"]
    assert {json.loads(each.body).get("jobId") for each in received} == {*jobs, None}
    await changed(service, paused, paused=True)
    await service.run("echo")
    await looks.more()
    assert receiver.hits == 4


async def test_what_waits_for_an_endpoint_that_is_deleted_ends_as_failed(
    service: Service, receiver: Receiver, other: Receiver
) -> None:
    endpoint = await registered(service, receiver.url, "job.completed", paused=True)
    await registered(service, other.url, "job.completed")
    for n in range(3):
        await service.run("echo", {"n": n})
    assert (await service.client.delete(f"{PATH}/{endpoint['webhookId']}")).status_code == 204
    rows = await attempts(service, endpoint, 3)
    assert {row["outcome"] for row in rows} == {3}
    assert all(row["error"].startswith("ENDPOINT_DELETED") for row in rows)
    await service.run("echo", {})
    await nothing_waits(service)
    assert (receiver.hits, other.hits) == (0, 4)
    rows = await service.sql("select from receivers where receiver_id = $1", UUID(endpoint["webhookId"]))
    assert rows == []


async def test_what_waits_goes_to_the_new_address(service: Service, receiver: Receiver, other: Receiver) -> None:
    endpoint = await registered(service, receiver.url, "job.completed", paused=True)
    await service.run("echo", {})
    await changed(service, endpoint, url=other.url, paused=False)
    assert types_of([await other.next()]) == ["job.completed"]
    assert (receiver.hits, (await shown(service, endpoint))["url"]) == (0, other.url)
