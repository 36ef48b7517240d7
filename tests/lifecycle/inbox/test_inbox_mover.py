"""Submissions that a client inserts in its own transaction become jobs once that has committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from duly.lifecycle.inbox import inbox_mover
from duly.lifecycle.writes import round_size
from tests.support.refusing_triggers import refusing
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the pauses of the loop, and the delays before retries."""
    for name in ("LOOK_SECONDS", "CLOSED_SECONDS"):
        monkeypatch.setattr(inbox_mover, name, 0.2)
    monkeypatch.setattr(round_size, "FIRST_SECONDS", 0.2)


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Any]:
    """Connection of another program."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def submit(shop: Any, type_: str, parameters: Any = None, **options: Any) -> str:
    texts = (orjson.dumps(value).decode() for value in ({} if parameters is None else parameters, options))
    return str(await shop.fetchval("select duly.submit($1, $2, $3)", type_, *texts))


async def left(service: Service) -> int:
    found: int = await service.total("select count(*)::int from inbox")
    return found


async def moved(service: Service) -> None:
    async def empty() -> bool:
        return not await left(service)

    await eventually(empty)


async def test_a_job_runs_once_its_transaction_has_committed(service: Service, shop: Any) -> None:
    async with shop.transaction():
        job_id = str(await shop.fetchval("""select duly.submit('echo', '{"amount": 0.10}')"""))
        assert (await service.client.get(f"/api/v1/jobs/{job_id}")).status_code == 404
    ended = await service.ended(job_id)
    assert ended["status"] == "completed"
    assert '"parameters":{"amount":0.10}' in (await service.client.get(f"/api/v1/jobs/{job_id}")).text
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted", "JobCompleted"]
    await moved(service)


async def test_a_transaction_that_is_rolled_back_leaves_nothing(service: Service, shop: Any) -> None:
    transaction = shop.transaction()
    await transaction.start()
    job_id = await submit(shop, "echo")
    await transaction.rollback()
    last = await submit(shop, "echo")
    await service.ended(last)
    assert (await service.client.get(f"/api/v1/jobs/{job_id}")).status_code == 404
    assert await service.total("select count(*) from jobs") == 1


async def test_a_hint_of_the_transaction_starts_its_job_at_once(
    service: Service, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_mover, "LOOK_SECONDS", 600)
    monkeypatch.setattr(inbox_mover, "QUIET_AFTER_SECONDS", 0)
    await service.ended(await submit(shop, "echo"))  # after this one, the loop waits for a hint

    async def a_hint_is_due() -> bool:
        age = "select extract(epoch from clock_timestamp()) * 1000 - last_value > 30 from inbox_hints"
        return bool(await shop.fetchval(age))

    await eventually(a_hint_is_due)
    assert (await service.ended(await submit(shop, "echo")))["status"] == "completed"


async def test_a_submission_without_a_hint_is_found_by_the_regular_look(service: Service, shop: Any) -> None:
    await shop.execute("set duly.hint = off")
    assert (await service.ended(await submit(shop, "echo")))["status"] == "completed"


async def test_it_has_every_option_of_a_submission_over_http(service: Service, shop: Any) -> None:
    parent = await submit(shop, "echo")
    job_id = await submit(
        shop,
        "echo",
        {"n": 1},
        queue="mail",
        priority=7,
        delaySeconds=0.01,
        timeoutSeconds=9,
        maxAttempts=4,
        labels={"order": "7"},
        dependsOn=[parent],
        concurrencyKey="k",
        correlationId="c-1",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    ended = await service.ended(job_id)
    assert ended["status"] == "completed"
    named = ("queue", "priority", "maxAttempts", "labels", "dependsOn", "correlationId")
    assert [ended[name] for name in named] == ["mail", 7, 4, {"order": "7"}, [parent], "c-1"]


async def test_a_delay_and_an_expiry_count_from_the_call(start_service: StartService, shop: Any) -> None:
    service = await start_service(roles=("sweeper", "worker"))
    delayed, expired = await submit(shop, "echo", delaySeconds=600), await submit(shop, "echo", expiresInSeconds=600)
    await service.sql("update inbox set called_at = called_at - interval '1 hour'")
    api = await start_service(roles=("api",))
    assert (await api.ended(delayed))["status"] == "completed"
    assert (await api.ended(expired))["error"]["code"] == "EXPIRED"


INVALID = [
    ("no-such-type", {}, {}, "Unknown job type"),
    ("echo", {}, {"priority": 1000}, "priority"),
    ("echo", {}, {"prority": 1}, 'did you mean "priority"'),
    ("echo", {}, {"queue": "a b"}, "queue"),
    ("echo", {}, {"queue": 7}, "queue"),
    ("echo", {}, {"type": "echo"}, "is an argument of its own"),
    ("echo", {}, {"dependsOn": ["01a22e35-49b9-7385-b59f-46080e5bb22e"]}, "no job has the id"),
    ("echo", {}, {"callbackUrl": "http://169.254.1.1/"}, "callbackUrl"),
    ("echo", {}, {"idempotencyKey": "a b"}, "idempotencyKey"),
    ("progress", {"n": "x"}, {}, "parameters.n"),
    ("a b", {}, {}, "type"),
]


@pytest.mark.parametrize(("type_", "parameters", "options", "reason"), INVALID)
async def test_an_invalid_submission_becomes_a_failed_job_and_holds_up_no_other(
    service: Service, shop: Any, type_: str, parameters: Any, options: dict[str, Any], reason: str
) -> None:
    async with shop.transaction():
        invalid = await submit(shop, type_, parameters, **options)
        valid = await submit(shop, "echo")
    assert (await service.ended(valid))["status"] == "completed"
    ended = await service.ended(invalid)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "SUBMISSION_INVALID")
    assert reason in ended["error"]["details"]["reason"]
    assert ended["parameters"] == parameters
    assert await service.event_types(invalid) == ["JobSubmitted", "JobFailed"]


UNSTORABLE = [
    r"""'{"a": "\u0000"}'""",
    r"""'{"a": "\ud800"}'""",
    "'1e999'",
    """'{"a": 1, "a": 2}'""",
    "repeat('[', 100) || repeat(']', 100)",
    "to_json(repeat('x', 300000))::text",
]


@pytest.mark.parametrize("parameters", UNSTORABLE)
async def test_so_does_one_with_parameters_that_cannot_be_kept(service: Service, shop: Any, parameters: str) -> None:
    job_id = str(await shop.fetchval(f"select duly.submit('echo', {parameters})"))
    ended = await service.ended(job_id)
    assert (ended["error"]["code"], ended["parameters"]) == ("SUBMISSION_INVALID", None)


async def test_a_failed_submission_keeps_its_valid_members_and_its_callback(
    service: Service, shop: Any, receiver: Any
) -> None:
    options = {"queue": "mail", "labels": {"order": "7"}, "callbackUrl": receiver.url, "priority": "high"}
    ended = await service.ended(await submit(shop, "echo", **options))
    assert (ended["error"]["code"], ended["queue"], ended["labels"]) == ("SUBMISSION_INVALID", "mail", {"order": "7"})
    delivered = await receiver.next()
    assert orjson.loads(delivered.body)["status"] == "failed"


async def test_a_submission_with_a_used_unique_key_ends_and_names_the_job_that_runs(
    start_service: StartService, shop: Any
) -> None:
    service = await start_service(roles=("api",))
    first = await submit(shop, "echo", uniqueKey="k")
    second = await submit(shop, "echo", uniqueKey="k")
    ended = await service.ended(second)
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "DEDUPLICATED")
    assert ended["error"]["details"]["jobId"] == first
    assert (await service.job(first))["status"] == "pending"


async def test_an_idempotency_key_is_shared_with_submissions_over_http(service: Service, shop: Any) -> None:
    body = {"type": "echo", "parameters": {"n": 1}, "queue": "mail"}
    answer = await service.client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
    same = await submit(shop, "echo", {"n": 1}, queue="mail", idempotencyKey="k")
    other = await submit(shop, "echo", {"n": 2}, queue="mail", idempotencyKey="k")
    assert (await service.ended(same))["error"]["details"]["jobId"] == answer.json()["jobId"]
    assert (await service.ended(other))["error"]["code"] == "SUBMISSION_INVALID"


async def test_a_full_queue_keeps_its_submissions_in_the_inbox_and_holds_up_no_other_queue(
    start_service: StartService, shop: Any
) -> None:
    service = await start_service(roles=("api",))
    await service.client.put("/api/v1/limits", json={"backlogs": {"small": 3}})
    small = [await submit(shop, "echo", queue="small") for _ in range(5)]
    other = await submit(shop, "echo")

    async def three_are_recorded() -> bool:
        rows = await service.sql("select queue, count(*)::int from jobs group by queue order by queue")
        return [tuple(row) for row in rows] == [("default", 1), ("small", 3)]

    await eventually(three_are_recorded)
    why = (await service.client.get(f"/api/v1/jobs/{small[4]}/why")).json()
    assert (why["status"], why["cause"], why["data"]["queue"]) == ("pending", "INBOX", "small")
    assert (await service.job(other))["status"] == "pending"
    await service.client.delete("/api/v1/limits")
    await moved(service)
    assert (await service.job(small[4]))["sequence"] == 0


async def test_submissions_beyond_the_rate_wait_for_their_turn(start_service: StartService, shop: Any) -> None:
    service = await start_service(roles=("api",))
    answer = await service.client.put("/api/v1/limits", json={"rate": {"count": 2, "seconds": 1}})
    assert answer.status_code == 200
    ids = [await submit(shop, "echo") for _ in range(4)]
    await moved(service)
    assert [(await service.job(job_id))["status"] for job_id in ids] == ["pending"] * 4


async def test_a_committed_submission_is_pending_before_it_is_recorded(
    start_service: StartService, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, original = asyncio.Event(), inbox_mover.InboxMover.step

    async def held_back(self: inbox_mover.InboxMover) -> float:
        await go_on.wait()
        return await original(self)

    monkeypatch.setattr(inbox_mover.InboxMover, "step", held_back)
    service = await start_service()
    job_id = await submit(shop, "echo", {"n": 1}, queue="mail", priority=3)
    seen = await service.job(job_id)
    assert (seen["status"], seen["sequence"], seen["queue"], seen["priority"]) == ("pending", 0, "mail", 3)
    why = (await service.client.get(f"/api/v1/jobs/{job_id}/why")).json()
    assert why["cause"] == "INBOX"
    go_on.set()
    assert (await service.ended(job_id))["status"] == "completed"


async def test_a_submission_of_days_ago_gets_the_partitions_that_it_needs(
    start_service: StartService, shop: Any, database_url: str
) -> None:
    recent = UUID(await submit(shop, "echo"))
    job_id = UUID(int=recent.int - (5 * 86_400_000 << 80))
    await shop.execute("update inbox set job_id = $1", job_id)
    service = await start_service()
    assert (await service.ended(str(job_id)))["status"] == "completed"


async def test_a_submission_whose_content_the_database_refuses_fails_alone(
    start_service: StartService, shop: Any
) -> None:
    service = await start_service()
    async with refusing(service, "jobs", FORBIDDEN, error="data_exception"):
        ended = [await service.ended(job_id) for job_id in await _submit_one_forbidden(shop)]
    assert [view["status"] for n, view in enumerate(ended) if n != 7] == ["completed"] * 19
    assert (ended[7]["error"]["code"], ended[7]["labels"]) == ("SUBMISSION_INVALID", {})


async def test_a_submission_that_a_rule_of_the_database_refuses_waits_alone_for_its_end(
    start_service: StartService, shop: Any
) -> None:
    service = await start_service()
    async with refusing(service, "jobs", FORBIDDEN):
        ids = await _submit_one_forbidden(shop)
        assert [(await service.ended(job_id))["status"] for n, job_id in enumerate(ids) if n != 7] == ["completed"] * 19
        assert (await service.job(ids[7]))["status"] == "pending"
    assert (await service.ended(ids[7]))["status"] == "completed"


FORBIDDEN = "new.labels ? 'forbidden'"


async def _submit_one_forbidden(shop: Any) -> list[str]:
    return [await submit(shop, "echo", labels={"forbidden" if n == 7 else "fine": "1"}) for n in range(20)]


async def test_a_submission_whose_id_another_job_took_ends_as_a_failed_job_of_its_own(
    start_service: StartService, shop: Any
) -> None:
    service = await start_service()
    async with shop.transaction():  # nodes see the row at its end
        job_id = await submit(shop, "echo", {"n": 1}, queue="mail", labels={"order": "7"})
        taken = await service.client.put(f"/api/v1/jobs/{job_id}", json={"type": "echo", "parameters": {"n": 2}})
        assert taken.status_code == 202
    other = await submit(shop, "echo")
    assert (await service.ended(other))["status"] == "completed"
    await moved(service)
    assert (await service.ended(job_id))["parameters"] == {"n": 2}
    [refused] = (await service.client.get("/api/v1/jobs", params={"label": "order:7"})).json()["items"]
    assert (refused["status"], refused["parameters"], refused["queue"]) == ("failed", {"n": 1}, "mail")
    assert (refused["error"]["code"], refused["correlationId"]) == ("SUBMISSION_INVALID", job_id)
    assert refused["error"]["details"]["reason"] == f"Another job has the id {job_id}."
    assert await service.event_types(refused["jobId"]) == ["JobSubmitted", "JobFailed"]


async def test_several_nodes_record_each_submission_once(start_service: StartService, shop: Any) -> None:
    services = [await start_service(roles=("api",)) for _ in range(3)]
    made = "insert into orders select duly.submit('echo', options => json_build_object('queue', 'q' || n % 7)::text)"
    await shop.execute("create temporary table orders (job_id uuid)")
    await shop.execute(f"{made} from generate_series(1, 2000) n")
    await moved(services[0])
    assert await shop.fetchval("select count(*) from orders join jobs using (job_id)") == 2000
    assert await shop.fetchval("select count(*) from jobs") == 2000
