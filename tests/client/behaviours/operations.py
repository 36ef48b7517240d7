"""Behaviours: queues, schedules, webhooks, keys and tickets."""

import asyncio

import pytest

from tests.client.behaviours.callers import CallFailed
from tests.client.behaviours.jobs import UNKNOWN_ID, failure, items, submitted
from tests.client.behaviours.stage import Stage


async def a_paused_queue_starts_nothing_until_it_is_resumed(stage: Stage) -> None:
    queue = "mail/eu.fast"
    assert (await stage.caller.call("queues.pause", queue=queue))["paused"] is True
    job_id = await submitted(stage.caller, "plain", queue=queue)
    assert (await stage.caller.call("get", jobId=job_id))["waitingFor"] == "paused"
    assert queue in [found["queue"] for found in await items(stage.caller, "queues.list")]
    assert (await stage.caller.call("queues.get", queue=queue))["depth"] == 1
    assert (await stage.caller.call("queues.resume", queue=queue))["paused"] is False
    assert (await stage.caller.call("wait", jobId=job_id, timeout=60))["status"] == "completed"


async def limits_of_a_queue_and_of_a_job_type_are_set_and_removed(stage: Stage) -> None:
    for group, name in (("queues", "limited"), ("jobTypes", "plain")):
        limits = {"concurrency": 3, "rate": {"count": 100, "seconds": 1}}
        assert await stage.caller.call(f"{group}.setLimits", name=name, **limits) == limits
        assert await stage.caller.call(f"{group}.limits", name=name) == limits
        await stage.caller.call(f"{group}.removeLimits", name=name)
        assert await stage.caller.call(f"{group}.limits", name=name) == {"concurrency": None, "rate": None}


async def job_types_show_their_schemas(stage: Stage) -> None:
    found = await stage.caller.call("jobTypes.get", jobType="wait-for-gate")
    assert found["parametersSchema"]["properties"]["name"]["type"] == "string"
    assert found in await items(stage.caller, "jobTypes.list")


async def a_job_type_is_declared_and_deleted(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
    declared = {"jobType": "thumbnail", "parametersSchema": schema, "timeoutSeconds": 60, "maxAttempts": 2}
    made = await stage.caller.call("jobTypes.declare", **declared)
    assert (made["type"], made["parametersSchema"], made["declaredBy"]) == ("thumbnail", schema, "client")
    assert await stage.caller.call("jobTypes.declare", **declared) == made
    refused = await failure(stage.caller, "submit", jobType="thumbnail", parameters={})
    assert (refused.kind, refused.status) == ("InvalidRequest", 422)
    job_id = await submitted(stage.caller, "thumbnail", {"url": "https://example.com/a.png"})
    stricter = {"jobType": "thumbnail", "parametersSchema": {"type": "object", "required": ["size"]}}
    misfit = await failure(stage.caller, "jobTypes.declare", **stricter)
    assert (misfit.kind, misfit.code) == ("Conflict", "WAITING_JOBS_DO_NOT_FIT")
    await stage.caller.call("jobTypes.declare", **stricter, force=True)
    assert (await failure(stage.caller, "jobTypes.delete", jobType="thumbnail")).kind == "Conflict"
    await stage.caller.call("cancel", jobId=job_id)
    await stage.caller.call("jobTypes.delete", jobType="thumbnail")
    assert (await failure(stage.caller, "jobTypes.get", jobType="thumbnail")).kind == "NotFound"


async def a_schedule_is_created_changed_run_and_deleted(stage: Stage) -> None:
    job = {"type": "plain", "parameters": {"report": "nightly"}}
    created = await stage.caller.call(
        "schedules.create", name="nightly", cron="0 3 * * *", job=job, timezone="Europe/Berlin", catchUp="last"
    )
    assert (created["timezone"], created["catchUp"], created["submission"]) == ("Europe/Berlin", "last", job)
    twice = await failure(stage.caller, "schedules.create", name="nightly", cron="0 3 * * *", job=job)
    assert (twice.kind, twice.code) == ("Conflict", "SCHEDULE_EXISTS")
    changed = await stage.caller.call("schedules.update", name="nightly", cron="0 4 * * *", paused=True)
    assert (changed["cron"], changed["paused"], changed["timezone"]) == ("0 4 * * *", True, "Europe/Berlin")
    job_id = (await stage.caller.call("schedules.run", name="nightly"))["jobId"]
    assert (await stage.caller.call("wait", jobId=job_id, timeout=60))["parameters"] == job["parameters"]
    assert [found["name"] for found in await items(stage.caller, "schedules.list")] == ["nightly"]
    due = await stage.caller.call("schedules.dueTimes", name="nightly", count=3)
    assert [at["localTime"][11:19] for at in due["items"]] == ["04:00:00"] * 3
    assert [run["jobId"] for run in await items(stage.caller, "schedules.runs", name="nightly")] == [job_id]
    put = {"name": "nightly", "cron": "0 5 * * *", "job": job, "paused": True}
    replaced = await stage.caller.call("schedules.put", **put)
    assert (replaced["cron"], replaced["timezone"], replaced["createdAt"]) == ("0 5 * * *", "UTC", created["createdAt"])
    assert await stage.caller.call("schedules.put", **put) == replaced
    await stage.caller.call("schedules.delete", name="nightly")
    assert (await failure(stage.caller, "schedules.get", name="nightly")).kind == "NotFound"


async def the_service_shows_its_nodes_figures_and_needs(stage: Stage) -> None:
    [node] = await stage.caller.call("service.nodes")
    assert node["state"] == "ready"
    figures = await stage.caller.call("service.figures", queue="mail", step=300)
    assert (figures["queue"], figures["stepSeconds"]) == ("mail", 300)
    needs = await stage.caller.call("service.scaling", queue="mail", targetSeconds=5)
    assert (needs["waiting"], needs["running"], needs["desiredSlots"]) == (0, 0, 0)


async def a_webhook_is_delivered_and_verified(stage: Stage) -> None:
    made = await stage.caller.call("webhooks.create", url=stage.receiver.url, events=["job.completed"], types=["plain"])
    job_id = await submitted(stage.caller, "plain")
    received = await stage.receiver.next()
    body = received.body.decode()
    event = await stage.caller.call("verifyWebhook", headers=dict(received.headers), body=body, keys=made["secret"])
    assert (event["type"], event["body"]["jobId"]) == ("job.completed", job_id)
    forged = body.replace("completed", "failed")
    error = await failure(
        stage.caller, "verifyWebhook", headers=dict(received.headers), body=forged, keys=made["secret"]
    )
    assert error.kind == "SignatureError"


async def a_webhook_is_tested_changed_rotated_and_deleted(stage: Stage) -> None:
    made = await stage.caller.call("webhooks.create", url=stage.receiver.url)
    webhook_id = made["webhookId"]
    sent = await stage.caller.call("webhooks.test", webhookId=webhook_id)
    await stage.receiver.next()
    delivery = await stage.caller.call("deliveries.get", deliveryId=sent["deliveryId"])
    async with asyncio.timeout(60):
        while delivery["status"] == "pending":
            await asyncio.sleep(0.02)
            delivery = await stage.caller.call("deliveries.get", deliveryId=sent["deliveryId"])
    assert [attempt["statusCode"] for attempt in delivery["attempts"]] == [204]
    listed = await items(stage.caller, "webhooks.deliveries", webhookId=webhook_id, status="delivered")
    assert [found["deliveryId"] for found in listed] == [sent["deliveryId"]]
    changed = await stage.caller.call("webhooks.update", webhookId=webhook_id, description="orders", paused=True)
    assert (changed["description"], changed["status"]) == ("orders", "paused")
    assert (await stage.caller.call("webhooks.rotateSecret", webhookId=webhook_id))["secret"] != made["secret"]
    replay = await stage.caller.call("webhooks.replay", webhookId=webhook_id, since="2026-01-27T10:00:00.000Z")
    assert replay["webhookId"] == webhook_id
    assert [found["webhookId"] for found in await items(stage.caller, "webhooks.list")] == [webhook_id]
    await stage.caller.call("webhooks.delete", webhookId=webhook_id)
    assert (await failure(stage.caller, "webhooks.get", webhookId=webhook_id)).kind == "NotFound"


async def a_key_does_what_its_scopes_allow_until_it_is_revoked(stage: Stage) -> None:
    admin = await stage.caller.call("keys.create", name="operations", scopes=["admin", "jobs:read"])
    # From the first key on, the service requires one.
    assert (await failure(stage.caller, "get", jobId=UNKNOWN_ID)).kind == "NotAuthenticated"
    async with stage.open(stage.url, admin["key"]) as caller:
        made = await caller.call("keys.create", name="dashboard", scopes=["jobs:read"])
        assert {found["name"] for found in await items(caller, "keys.list")} == {"operations", "dashboard"}
        async with stage.open(stage.url, made["key"]) as reader:
            assert (await failure(reader, "get", jobId=UNKNOWN_ID)).kind == "NotFound"
            refused = await failure(reader, "submit", jobType="plain")
            assert (refused.kind, refused.code, refused.status) == ("NotAllowed", "SCOPE_MISSING", 403)
            rotated = await caller.call("keys.rotate", keyId=made["keyId"], overlapSeconds=0)
            assert rotated["key"] != made["key"]
            await caller.call("keys.revoke", keyId=made["keyId"])
            with pytest.raises(CallFailed) as caught:
                await items(reader, "stream", jobId=UNKNOWN_ID)
            assert (caught.value.kind, caught.value.status) == ("NotAuthenticated", 401)


async def a_ticket_opens_the_stream_of_one_job(stage: Stage) -> None:
    job_id = await submitted(stage.caller, "plain")
    ticket = (await stage.caller.call("tickets.create", jobId=job_id))["ticket"]
    path = f"/api/v1/jobs/{job_id}/events/stream"
    opened = await stage.service.client.get(path, params={"ticket": ticket})
    assert (opened.status_code, "job_completed" in opened.text) == (200, True)
    assert (await stage.service.client.get(path, params={"ticket": ticket})).status_code == 401


async def a_limit_on_submissions_is_waited_for(stage: Stage) -> None:
    await stage.service.client.put("/api/v1/limits", json={"rate": {"count": 1, "seconds": 1}})
    assert len({await submitted(stage.caller, "plain") for _ in range(2)}) == 2
    await stage.service.client.put("/api/v1/limits", json={"rate": {"count": 1, "seconds": 3600}})
    await stage.caller.call("submitMany", jobs=[{"type": "plain"}])
    error = await failure(stage.caller, "submit", jobType="plain")
    assert (error.kind, error.code, error.details["retryable"]) == ("TooManyRequests", "RATE_LIMITED", True)
