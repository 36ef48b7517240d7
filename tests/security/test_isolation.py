"""Isolation of tenants: another tenant's data gets the response of data that does not exist, and is not changed.

The cases are generated from the OpenAPI document and the table of socket messages; see `tests.support.isolation_cases`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from duly.api.server.route_scopes import MESSAGE_SCOPES
from duly.domain.ids import new_job_id
from duly.lifecycle.submit import queue_limit, submission_limiter
from tests.support import handlers as test_handlers
from tests.support.database_pool import TestDatabases
from tests.support.handlers import gate
from tests.support.isolation_cases import CURSORS, ECHO, Case, Cases, Sent, other, other_position
from tests.support.keys import OWN
from tests.support.masked_answers import Answer, answer_to, masked, recorded_statements
from tests.support.postgres_servers import Server
from tests.support.service import BOUND_SECONDS, Service, running_service
from tests.support.tenant_stream import frames_of
from tests.support.two_tenants import Holdings, Rows, holdings_of, rows_of, settled_rows_of
from tests.support.webhook_receiver import running_receiver
from tests.support.websocket_client import socket_to

LEAST_CASES = 150


class Outcome(NamedTuple):
    """Responses to the two requests of a case, and the statements that each ran."""

    case: Case
    theirs: Answer
    unknown: Answer
    statements: tuple[frozenset[str], frozenset[str]]


class Tenants(NamedTuple):
    """A service with two tenants: `mine` sends all requests, and `theirs` must not notice."""

    service: Service
    mine: Holdings
    theirs: Holdings


@pytest.fixture(scope="module")
async def tenants(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Tenants]:
    test_handlers.forget()
    with pytest.MonkeyPatch.context() as patch:
        # What is known of a tenant that submits nothing for a while is read again, by the first request of a case.
        patch.setattr(submission_limiter, "KEPT_SECONDS", 3600)
        patch.setattr(queue_limit, "REMEMBERED_SECONDS", 3600)
        async with _tenants(server, databases_of) as made:
            yield made


@asynccontextmanager
async def _tenants(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Tenants]:
    async with (
        databases_of(server).lent() as url,
        running_receiver() as receiver,
        running_service(url, api_key=OWN) as service,
    ):
        theirs = await holdings_of(service, "theirs", word="secret-of-theirs", receiver_url=receiver.url)
        mine = await holdings_of(service, "mine", word="own", receiver_url=receiver.url)
        await _add_cursors(service, theirs)
        yield Tenants(service, mine, theirs)
        for holdings in (mine, theirs):
            gate(holdings.word).set()


async def _add_cursors(service: Service, holdings: Holdings) -> None:
    """Adds the cursors of lists, and a position of the stream, of a tenant."""
    job_id, webhook_id = holdings.ids["jobId"][0], holdings.ids["webhookId"][0]
    lists = {
        **{path: path for path in CURSORS},
        "/api/v1/jobs/{jobId}/steps": f"/api/v1/jobs/{holdings.ids['jobId'][2]}/steps",
        "/api/v1/jobs/{jobId}/events": f"/api/v1/jobs/{job_id}/events",
        "/api/v1/webhooks/{webhookId}/deliveries": f"/api/v1/webhooks/{webhook_id}/deliveries",
    }
    for pattern, path in lists.items():
        answer = await service.client.get(path, params={"limit": 1}, headers=holdings.headers)
        if cursor := answer.json()["nextCursor"]:
            holdings.put(f"cursor {pattern}", cursor)
    async with asyncio.timeout(BOUND_SECONDS):
        async with service.client.stream("GET", "/api/v1/events/stream", headers=holdings.headers) as response:
            frame = await anext(frames_of(response.aiter_lines()))
    holdings.put("position", frame.id or "")
    holdings.put("label", holdings.word)


class Run(NamedTuple):
    """Answers to reads of the caller's own, outcomes of all cases, and the rows of the other tenant before and after
    them.
    """

    reads: list[tuple[Sent, Answer]]
    outcomes: list[Outcome]
    before: Rows
    after: Rows


@pytest.fixture(scope="module")
async def run(tenants: Tenants) -> Run:
    """Sends every case, and returns the outcomes."""
    document = (await tenants.service.client.get("/openapi.json")).json()
    taken = str(new_job_id())
    await _send_own(tenants, f"/api/v1/jobs/{taken}")
    cases = Cases(document, mine=tenants.mine, theirs=tenants.theirs, taken=lambda: taken)
    reads = [(sent, await answer_to(tenants.service, tenants.mine.headers, sent)) for sent in cases.reads()]
    before = await settled_rows_of(tenants.service, tenants.theirs.tenant)
    outcomes = [await _outcome(tenants, case) for case in cases.all()]
    return Run(reads, outcomes, before, await rows_of(tenants.service, tenants.theirs.tenant))


async def _outcome(tenants: Tenants, case: Case) -> Outcome:
    answers, statements = [], []
    for value in (case.theirs, case.unknown()):
        with recorded_statements() as seen:
            answers.append(await answer_to(tenants.service, tenants.mine.headers, case.request(value), value))
        statements.append(frozenset(seen))
    return Outcome(case, answers[0], answers[1], (statements[0], statements[1]))


async def _send_own(tenants: Tenants, path: str) -> None:
    body = ECHO | {"parameters": "of another submission"}
    answer = await tenants.service.client.put(path, json=body, headers=tenants.mine.headers)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text


def test_what_is_anothers_is_answered_like_what_does_not_exist(run: Run) -> None:
    differing = [(each.case.name, each.theirs, each.unknown) for each in run.outcomes if each.theirs != each.unknown]
    assert differing == []
    assert len(run.outcomes) >= LEAST_CASES


def test_what_is_anothers_is_looked_for_by_the_same_statements(run: Run) -> None:
    differing = {
        each.case.name: each.statements[0] ^ each.statements[1]
        for each in run.outcomes
        if each.statements[0] != each.statements[1]
    }
    assert differing == {}


def test_nothing_of_another_tenant_was_changed(run: Run) -> None:
    assert {table: rows for table, rows in run.after.items() if rows != run.before[table]} == {}


def test_no_answer_shows_anything_of_another_tenant(tenants: Tenants, run: Run) -> None:
    shown = [sent for sent, answer in run.reads if tenants.theirs.word in answer.body]
    assert shown == []
    named = [each.case.name for each in run.outcomes if tenants.theirs.word in each.theirs.body]
    assert named == []


async def test_the_stream_of_all_jobs_has_those_of_its_tenant(tenants: Tenants) -> None:
    client, job = tenants.service.client, {"type": "echo"}
    seen = set()
    async with (
        asyncio.timeout(BOUND_SECONDS),
        client.stream("GET", "/api/v1/events/stream", headers=tenants.mine.headers) as response,
    ):
        frames = frames_of(response.aiter_lines())
        await anext(frames)
        await client.post("/api/v1/jobs", json=job | {"delaySeconds": 3600}, headers=tenants.theirs.headers)
        made = (await client.post("/api/v1/jobs", json=job, headers=tenants.mine.headers)).json()
        async for frame in frames:
            seen |= {frame.data["jobId"]} if frame.data else set()
            if frame.event == "job_completed":
                break
    assert seen == {made["jobId"]}


# Members that name something of a tenant, for each message of the socket.
MESSAGES: dict[str, list[tuple[str, Callable[[str], dict[str, Any]]]]] = {
    "submit_job": [
        ("jobId", lambda value: {"job": ECHO | {"dependsOn": [value]}}),
        ("uniqueKey", lambda value: {"job": ECHO | {"uniqueKey": value}}),
        ("concurrencyKey", lambda value: {"job": ECHO | {"concurrencyKey": value}}),
        ("idempotencyKey", lambda value: {"job": ECHO, "idempotencyKey": value}),
    ],
    "subscribe": [
        ("jobId", lambda value: {"jobId": value}),
        ("jobId", lambda value: {"jobId": value, "after": 0}),
        ("batchId", lambda value: {"filter": {"batchId": value}}),
        ("queue", lambda value: {"filter": {"queue": value}}),
        ("position", lambda value: {"filter": {}, "after": value}),
    ],
    "unsubscribe": [
        ("jobId", lambda value: {"jobId": value}),
        ("batchId", lambda value: {"filter": {"batchId": value}}),
    ],
    "cancel_job": [("jobId", lambda value: {"jobId": value})],
    "send_signal": [("jobId", lambda value: {"jobId": value, "name": "approval"})],
    "ping": [],
}


def test_every_message_of_the_socket_has_cases() -> None:
    assert set(MESSAGES) == set(MESSAGE_SCOPES)


async def test_messages_about_what_is_anothers_are_answered_like_those_about_what_does_not_exist(
    tenants: Tenants,
) -> None:
    before = await settled_rows_of(tenants.service, tenants.theirs.tenant)
    differing = []
    for type_, cases in MESSAGES.items():
        for kind, members in cases:
            for value in tenants.theirs.ids[kind]:
                unknown = other_position(value) if kind == "position" else other(value)
                replies = [await reply_to(tenants, type_, members(each), each) for each in (value, unknown)]
                if replies[0] != replies[1] or tenants.theirs.word in replies[0]:
                    differing.append((type_, kind, replies))
    assert differing == []
    assert await rows_of(tenants.service, tenants.theirs.tenant) == before


async def reply_to(tenants: Tenants, type_: str, members: dict[str, Any], value: str) -> str:
    """Returns the reply to a message, on a socket of its own."""
    async with socket_to(tenants.service, additional_headers=tenants.mine.headers) as socket:
        return masked(json.dumps(await socket.request(type_, ref="r", **members)), value)
