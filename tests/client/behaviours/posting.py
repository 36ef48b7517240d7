"""Behaviours: requests whose answers are lost, and proxies that let nothing but short requests pass."""

import asyncio
import re
from collections import Counter
from typing import Any

from uuid_utils import uuid7

from tests.client.behaviours.callers import CallFailed
from tests.client.behaviours.following import BOUND_SECONDS
from tests.client.behaviours.jobs import UNKNOWN_ID, items, submitted
from tests.client.behaviours.stage import Stage
from tests.support.handlers import gate

JOB = {"type": "plain", "delaySeconds": 3600}
# One call of each POST. Those of unknown resources are refused; their requests are sent all the same.
POSTS: dict[str, dict[str, Any]] = {
    "submit": {"jobType": "plain"},
    "submitMany": {"jobs": [JOB]},
    "submitLines": {"jobs": [JOB]},
    "cancel": {"jobId": UNKNOWN_ID},
    "retry": {"jobId": UNKNOWN_ID},
    "signal": {"jobId": UNKNOWN_ID, "name": "approval"},
    "cancelMany": {"types": ["plain"]},
    "retryMany": {"types": ["plain"]},
    "batches.cancel": {"batchId": UNKNOWN_ID},
    "queues.pause": {"queue": "posted"},
    "queues.resume": {"queue": "posted"},
    "schedules.create": {"name": "posted", "cron": "0 3 * * *", "job": {"type": "plain"}},
    "schedules.run": {"name": "posted"},
    "webhooks.create": {"url": "https://client.example.com/"},
    "webhooks.test": {"webhookId": UNKNOWN_ID},
    "webhooks.rotateSecret": {"webhookId": UNKNOWN_ID},
    "webhooks.replay": {"webhookId": UNKNOWN_ID, "since": "2026-01-27T10:00:00.000Z"},
    "deliveries.redeliver": {"deliveryId": UNKNOWN_ID},
    "tickets.create": {"jobId": UNKNOWN_ID},
    "keys.rotate": {"keyId": UNKNOWN_ID},
    "keys.create": {"name": "last, because keys are required from now on", "scopes": ["admin"]},
}
# POSTs of workers and of operators of several tenants.
OF_OTHERS = re.compile("/api/v1/(leases|tenants)")


async def each_post_has_an_idempotency_key_of_its_own(stage: Stage) -> None:
    document = (await stage.service.client.get("/openapi.json")).json()
    routes = {path for path, methods in document["paths"].items() if "post" in methods and not OF_OTHERS.match(path)}
    for name, arguments in POSTS.items():
        error = await _error(stage, name, **arguments)
        assert error is None or error.status, name
    sent = [(target, headers) for method, target, headers in stage.proxy.heads if method == "POST"]
    missing = {route for route in routes if not any(_matches(route, target) for target, _ in sent)}
    assert not missing, missing
    keys = Counter(key for _, headers in sent for key in re.findall(r"idempotency-key: (\S+)", headers))
    assert (len(keys), set(keys.values())) == (len(sent), {1})


def _matches(route: str, target: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), target.partition("?")[0]) is not None


async def a_submission_whose_answer_is_lost_makes_one_job(stage: Stage) -> None:
    stage.proxy.lose_answers = 1
    await submitted(stage.caller, "plain", delaySeconds=3600)
    assert await _jobs(stage) == 1
    stage.proxy.lose_answers = 2
    batch = await stage.caller.call("submitMany", jobs=[JOB] * 3)
    assert (len(batch["jobIds"]), await _jobs(stage)) == (3, 4)
    stage.proxy.lose_answers = 1
    await submitted(stage.caller, "plain", delaySeconds=3600, jobId=str(uuid7()))
    assert await _jobs(stage) == 5
    assert stage.proxy.lose_answers == 0


async def lines_whose_answer_is_lost_are_sent_again_with_the_same_key(stage: Stage) -> None:
    stage.proxy.lose_answers = 1
    lines = {"jobs": [JOB] * 3, "idempotencyKey": "import-7"}
    error = await _error(stage, "submitLines", **lines)
    assert error is None or error.kind == "Unreachable"  # sent again by itself, if it is kept in memory
    assert stage.proxy.lose_answers == 0
    assert len((await stage.caller.call("submitLines", **lines))["jobIds"]) == 3
    assert await _jobs(stage) == 3


async def a_call_whose_answer_is_lost_is_not_repeated_if_it_would_act_twice(stage: Stage) -> None:
    # Without a head, browsers repeat a request by themselves if its connection was used before or opened in advance.
    stage.proxy.passes_lost_heads = True
    schedule = {"name": "nightly", "cron": "0 3 * * *", "job": {"type": "plain", "parameters": {}}}
    assert await _lost(stage, "schedules.create", **schedule) == "Unreachable"
    assert [found["name"] for found in await items(stage.caller, "schedules.list")] == ["nightly"]
    assert await _lost(stage, "schedules.run", name="nightly") == "Unreachable"
    assert await _jobs(stage) == 1
    assert await _lost(stage, "webhooks.create", url="https://client.example.com/") == "Unreachable"
    assert len(await items(stage.caller, "webhooks.list")) == 1
    job_id = await submitted(stage.caller, "plain", delaySeconds=3600)
    assert await _lost(stage, "cancel", jobId=job_id) == "Unreachable"
    assert (await stage.caller.call("get", jobId=job_id))["status"] == "cancelled"
    assert await _lost(stage, "retry", jobId=job_id) == "Unreachable"
    events = [event["eventType"] for event in await items(stage.caller, "events", jobId=job_id)]
    assert events.count("JobRequeued") == 1


async def _error(stage: Stage, name: str, /, **arguments: Any) -> CallFailed | None:
    try:
        await stage.caller.call(name, **arguments)
    except CallFailed as error:
        return error
    return None


async def _lost(stage: Stage, name: str, /, **arguments: Any) -> str:
    """Makes a call whose first answer is lost. Returns the kind of its error."""
    stage.proxy.lose_answers = 1
    error = await _error(stage, name, **arguments)
    assert stage.proxy.lose_answers == 0
    return error.kind if error else ""


async def _jobs(stage: Stage) -> int:
    count: int = (await stage.service.sql("select count(*)::int from jobs"))[0][0]
    return count


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TIMED_OUT = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def waiting_moves_to_long_polls_and_polls_across_a_restart(stage: Stage) -> None:
    stage.proxy.refuse = {b"/events/stream": PAGE}
    first, second = [await submitted(stage.caller, "wait-for-gate", {"name": name}) for name in ("long", "short")]
    waiting = asyncio.create_task(stage.caller.call("wait", jobId=first))
    await stage.requested(f"{first}?wait=")
    await stage.restart()
    gate("long").set()
    async with asyncio.timeout(BOUND_SECONDS):
        assert (await waiting)["result"] == "let go"
    stage.proxy.refuse |= {b"wait=": TIMED_OUT}
    stage.proxy.heads.clear()
    # Another client: over a slow restart, the long polls of the first one have become polls.
    async with stage.open(stage.url, None) as caller:
        waiting = asyncio.create_task(caller.call("wait", jobId=second))
        await stage.requested(f"{second}?wait=")
        stage.proxy.heads.clear()
        await stage.requested(second, exactly=True)
        await stage.restart()
        gate("short").set()
        async with asyncio.timeout(BOUND_SECONDS):
            assert (await waiting)["result"] == "let go"
