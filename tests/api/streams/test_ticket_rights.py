"""Rights of a ticket: to read its job, batch or labels, and nothing else."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from duly.domain.ticket_grant import Grant
from tests.support.response_checks import refused
from tests.support.service import Service
from tests.support.tenant_stream import following_all
from tests.support.websocket_client import Socket, socket_to

PATH = "/api/v1/stream-tickets"
STREAM = "/api/v1/events/stream"


async def ticket_for(service: Service, **opens: Any) -> str:
    response = await service.client.post(PATH, json=opens)
    assert response.status_code == 201, response.text
    ticket: str = response.json()["ticket"]
    return ticket


def stream_of(job: dict[str, Any]) -> str:
    return f"/api/v1/jobs/{job['jobId']}/events/stream"


async def status_of(service: Service, path: str, **opens: Any) -> int:
    """Returns the status of a stream with a new ticket."""
    url = f"{path}?ticket={await ticket_for(service, **opens)}"
    async with asyncio.timeout(60), service.client.stream("GET", url) as response:
        return response.status_code


async def first_job_told(service: Service, opens: dict[str, Any], **filters: Any) -> dict[str, Any]:
    """Returns the first event on the stream of all jobs with a ticket, of jobs submitted once it is open."""
    frames: Any
    async with following_all(service, ticket=await ticket_for(service, **opens), **filters) as frames:
        await anext(frames)
        for customer in ("c-1", "c-2", "c-3"):
            await service.run("echo", labels={"customer": customer, "region": "eu"})
        async for frame in frames:
            if frame.data is not None and "jobId" in frame.data:
                told: dict[str, Any] = frame.data
                return told
    raise AssertionError("the stream ended")


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one of jobId, batchId, labels and all"),
    ({"submit": True}, "exactly one of jobId, batchId, labels and all"),
    ({"jobId": None}, "exactly one of"),
    ({"jobId": "x", "all": True}, "exactly one of"),
    ({"batchId": "x", "labels": {"a": "b"}}, "exactly one of"),
    ({"all": False}, "must be true"),
    ({"all": 1}, "boolean"),
    ({"labels": {}}, "at least 1"),
    ({"labels": {"a": 1}}, "string"),
    ({"labels": {"a:b": "c"}}, "pattern"),
    ({"labels": {f"l{n}": "v" for n in range(17)}}, "at most 16"),
    ({"all": True, "submit": "yes"}, "boolean"),
    ({"all": True, "seconds": 5}, "unknown field"),
]


@pytest.mark.parametrize(("opens", "said"), BAD, ids=str)
async def test_a_ticket_names_exactly_one_thing_that_it_opens(contract: Service, opens: Any, said: str) -> None:
    error = refused(await contract.client.post(PATH, json=opens), 422, "VALIDATION_FAILED")
    assert said in str(error["details"]["errors"])


async def test_a_ticket_without_a_body_is_refused(contract: Service) -> None:
    error = refused(await contract.client.post(PATH), 422, "VALIDATION_FAILED")
    assert "jobId, batchId, labels and all" in error["message"]
    refused(await contract.client.post(PATH, content=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE")
    refused(
        await contract.client.post(PATH, content=b"{", headers={"Content-Type": "application/json"}),
        400,
        "INVALID_JSON",
    )


async def test_a_ticket_for_what_does_not_exist_is_not_made(contract: Service) -> None:
    for name in ("jobId", "batchId"):
        for value in (str(uuid4()), "x", ""):
            refused(await contract.client.post(PATH, json={name: value}), 404, "NOT_FOUND")


async def test_a_ticket_for_a_job_opens_the_stream_of_that_job_only(contract: Service) -> None:
    mine, other = await contract.run("echo"), await contract.run("echo")
    opens = {"jobId": mine["jobId"]}
    assert await status_of(contract, stream_of(mine), **opens) == 200
    assert await status_of(contract, stream_of(other), **opens) == 404
    assert await status_of(contract, stream_of({"jobId": uuid4()}), **opens) == 404
    assert await status_of(contract, STREAM, **opens) == 403


async def test_what_is_not_the_tickets_looks_like_what_does_not_exist(contract: Service) -> None:
    mine, other = await contract.run("echo"), await contract.run("echo")
    told = []
    for job_id in (other["jobId"], str(uuid4()), "x"):
        ticket = await ticket_for(contract, jobId=mine["jobId"])
        response = await contract.client.get(stream_of({"jobId": job_id}), params={"ticket": ticket})
        told.append((response.status_code, response.json()))
    assert told[0] == told[1] == told[2]


async def test_a_ticket_for_labels_opens_the_jobs_that_have_them_all(contract: Service) -> None:
    labels = {"customer": "c-42", "region": "eu"}
    fits = await contract.run("echo", labels={**labels, "more": "x"})
    half = await contract.run("echo", labels={"customer": "c-42"})
    none = await contract.run("echo")
    for job, status in ((fits, 200), (half, 404), (none, 404)):
        assert await status_of(contract, stream_of(job), labels=labels) == status


async def test_a_ticket_for_a_batch_opens_the_jobs_of_the_batch(contract: Service) -> None:
    made = (await contract.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}]})).json()
    inside = await contract.ended(made["jobIds"][0])
    outside = await contract.run("echo")
    assert await status_of(contract, stream_of(inside), batchId=made["batchId"]) == 200
    assert await status_of(contract, stream_of(outside), batchId=made["batchId"]) == 404
    assert await status_of(contract, STREAM, batchId=made["batchId"]) == 200
    async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, batchId=made['batchId'])}") as socket:
        await socket.send("subscribe", jobId=inside["jobId"])
        assert {frame["jobId"] for frame in await socket.receive_many(inside["sequence"] + 1)} == {inside["jobId"]}
        await not_found(socket, "subscribe", outside)


async def test_the_stream_of_all_jobs_shows_a_ticket_what_it_names(contract: Service) -> None:
    for opens, filters, customer in (
        ({"all": True}, {}, "c-1"),
        ({"labels": {"customer": "c-2"}}, {}, "c-2"),
        ({"labels": {"customer": "c-3"}}, {"label": "region:eu", "type": "echo"}, "c-3"),
        ({"labels": {"region": "eu"}}, {"label": ["customer:c-2", "customer:c-3"]}, "c-2"),
    ):
        told = await first_job_told(contract, opens, **filters)
        assert (await contract.job(told["jobId"]))["labels"]["customer"] == customer, opens


async def test_no_filter_widens_a_ticket(contract: Service) -> None:
    opens = {"labels": {"customer": "c-none"}}
    async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, **opens)}") as socket:
        for filter_ in (
            {},
            {"label": "customer:c-1"},
            {"type": ["echo"], "label": ["customer:c-1", "customer:c-none"]},
        ):
            assert (await socket.request("subscribe", ref="f", filter=filter_))["type"] == "subscribed"
        await contract.run("echo", labels={"customer": "c-1"})
        mine = await contract.run("echo", labels={"customer": "c-none"})
        heard = await socket.receive_many(6)  # by the first and the last of the filters
        assert {frame["jobId"] for frame in heard} == {mine["jobId"]}
        await socket.is_open()


async def not_found(socket: Socket, type_: str, job: dict[str, Any]) -> None:
    unknown = await socket.refused(json.dumps({"type": type_, "jobId": str(uuid4())}), "NOT_FOUND")
    heard = await socket.refused(json.dumps({"type": type_, "jobId": job["jobId"]}), "NOT_FOUND")
    assert heard == unknown


async def forbidden(socket: Socket, type_: str, **members: Any) -> str:
    heard = await socket.refused(json.dumps({"type": type_, **members}), "FORBIDDEN")
    message: str = heard["error"]["message"]
    return message


async def test_a_socket_with_a_ticket_for_a_job_reads_it_and_does_nothing_else(contract: Service) -> None:
    mine = await contract.submit("echo", delaySeconds=3600)
    other = await contract.submit("echo", delaySeconds=3600)
    before = await contract.sql("select count(*) from jobs")
    async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, jobId=mine['jobId'])}") as socket:
        await socket.send("subscribe", jobId=mine["jobId"])
        assert (await socket.receive())["jobId"] == mine["jobId"]
        await not_found(socket, "subscribe", other)
        await not_found(socket, "cancel_job", other)
        assert "allows cancelling only" in await forbidden(socket, "cancel_job", jobId=mine["jobId"])
        assert "allows signalling only" in await forbidden(socket, "send_signal", jobId=mine["jobId"], name="approval")
        assert "one job" in await forbidden(socket, "subscribe", filter={})
        for type_ in ("echo", "http.request"):
            assert "does not allow submitting" in await forbidden(socket, "submit_job", job={"type": type_})
        await socket.is_open()
    assert await contract.sql("select count(*) from jobs") == before
    for job in (mine, other):
        assert (await contract.job(job["jobId"]))["status"] == "pending"


async def submitted(socket: Socket, **job: Any) -> dict[str, Any]:
    accepted = await socket.request("submit_job", ref="s", job={"type": "echo", "delaySeconds": 3600, **job})
    assert accepted["type"] == "job_accepted", accepted
    assert (await socket.receive())["jobId"] == accepted["jobId"]
    return accepted


async def test_a_ticket_that_submits_follows_and_cancels_its_own_jobs(contract: Service) -> None:
    mine, other = await contract.submit("echo", delaySeconds=3600), await contract.submit("echo", delaySeconds=3600)
    ticket = await ticket_for(contract, jobId=mine["jobId"], submit=True)
    async with socket_to(contract, f"/ws/jobs?ticket={ticket}") as socket:
        own = await submitted(socket)
        await socket.send("subscribe", jobId=own["jobId"], after=-1)
        assert (await socket.receive())["jobId"] == own["jobId"]
        assert "allows cancelling only" in await forbidden(socket, "cancel_job", jobId=mine["jobId"])
        await not_found(socket, "cancel_job", other)
        signalled = await socket.request("send_signal", ref="n", jobId=own["jobId"], name="approval")
        assert signalled["type"] == "signal_accepted", signalled
        assert (await socket.receive())["type"] == "job_signalled"
        await socket.send("cancel_job", ref="c", jobId=own["jobId"])
        assert {told["type"] for told in await socket.receive_many(2)} == {"cancel_accepted", "job_cancelled"}
    async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, jobId=mine['jobId'])}") as socket:
        await not_found(socket, "subscribe", own)


async def test_what_a_ticket_for_labels_submits_has_these_labels(contract: Service) -> None:
    ticket = await ticket_for(contract, labels={"customer": "c-7"}, submit=True)
    async with socket_to(contract, f"/ws/jobs?ticket={ticket}") as socket:
        for labels in ({}, {"customer": "c-7"}, {"region": "eu"}):
            accepted = await submitted(socket, labels=labels)
            assert (await contract.job(accepted["jobId"]))["labels"] == {"customer": "c-7", **labels}
        job = {"type": "echo", "labels": {"customer": "c-8"}}
        assert "customer: c-7" in await forbidden(socket, "submit_job", job=job)
        many = {"type": "echo", "labels": {f"l{n}": "v" for n in range(64)}}
        heard = await socket.refused(json.dumps({"type": "submit_job", "job": many}), "VALIDATION_FAILED")
        assert heard["error"]["details"]["errors"][0]["path"] == "job.labels"


async def test_no_submission_with_a_ticket_reaches_jobs_that_it_does_not_name(contract: Service) -> None:
    other = await contract.submit("echo", uniqueKey="theirs", delaySeconds=3600, labels={"customer": "c-8"})
    limited = await ticket_for(contract, labels={"customer": "c-9"}, submit=True)
    async with socket_to(contract, f"/ws/jobs?ticket={limited}") as socket:
        for member in ({"uniqueKey": "theirs"}, {"concurrencyKey": "theirs"}, {"dependsOn": [other["jobId"]]}):
            assert next(iter(member)) in await forbidden(socket, "submit_job", job={"type": "echo", **member})
    async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, all=True, submit=True)}") as socket:
        accepted = await socket.request("submit_job", ref="s", job={"type": "echo", "uniqueKey": "theirs"})
        assert (accepted["jobId"], accepted["deduplicated"]) == (other["jobId"], True)


@pytest.mark.parametrize("opens", [{"labels": {"customer": "c-10"}}, {"jobId": None}], ids=["labels", "job"])
async def test_a_key_that_another_job_used_shows_a_ticket_nothing_of_it(contract: Service, opens: Any) -> None:
    if "jobId" in opens:
        opens = {"jobId": (await contract.submit("echo", delaySeconds=3600))["jobId"]}
    said = {
        "type": "submit_job",
        "job": {"type": "echo", "delaySeconds": 3600},
        "idempotencyKey": f"k-{len(str(opens))}",
    }
    async with socket_to(contract) as first:
        accepted = await first.request("submit_job", **{name: said[name] for name in ("job", "idempotencyKey")})
        assert accepted["type"] == "job_accepted"
    async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, **opens, submit=True)}") as socket:
        heard = await socket.refused(json.dumps(said), "IDEMPOTENCY_KEY_REUSED")
        assert accepted["jobId"] not in json.dumps(heard)
        await socket.is_open()


async def test_a_ticket_of_labels_takes_up_its_own_submission_after_a_cut(contract: Service) -> None:
    opens = {"labels": {"customer": "c-11"}, "submit": True}
    said = {"job": {"type": "echo", "delaySeconds": 3600}, "idempotencyKey": "k-cut"}
    accepted = []
    for _ in range(2):
        async with socket_to(contract, f"/ws/jobs?ticket={await ticket_for(contract, **opens)}") as socket:
            accepted.append(await socket.request("submit_job", ref="s", **said))
            assert (await socket.receive())["type"] == "job_submitted"
    assert accepted[0]["jobId"] == accepted[1]["jobId"]


async def test_a_ticket_of_the_release_before_opens_nothing(contract: Service) -> None:
    await contract.sql(
        "insert into stream_tickets (digest, tenant_id, expires_at)"
        " values (sha256('old'), 1, now() + interval '1 minute')"
    )
    response = await contract.client.get(STREAM, params={"ticket": "old"})
    refused(response, 401, "UNAUTHORIZED")
    ticket = await ticket_for(contract, all=True)
    assert await contract.sql("select from stream_tickets where digest = sha256($1)", ticket.encode()) == []


async def test_a_page_of_another_site_cannot_use_a_ticket_up(contract: Service) -> None:
    ticket = await ticket_for(contract, all=True)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        refused(await contract.client.get(STREAM, params={"ticket": ticket}, headers=headers), 403, "FORBIDDEN")
        with pytest.raises(InvalidStatus):
            async with socket_to(contract, f"/ws/jobs?ticket={ticket}", additional_headers=headers):
                pass
    async with socket_to(contract, f"/ws/jobs?ticket={ticket}") as socket:
        await socket.is_open()


@pytest.mark.parametrize(
    "grant",
    [Grant(), Grant(submit=True), Grant(job_id=uuid4()), Grant(batch_id=uuid4()), Grant(labels={"ä": '"', "b": ""})],
    ids=["all", "submit", "job", "batch", "labels"],
)
def test_a_grant_is_read_as_it_was_written(grant: Grant) -> None:
    assert Grant.read(grant.written()) == grant
