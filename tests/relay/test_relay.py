"""`duly relay` submits each row of an outbox once, from every kind of database that it reads."""

import asyncio
import json
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from duly.relay.outbox import Outbox, UnknownDatabase, open_outbox
from duly.relay.outbox_table import DIALECTS
from duly.relay.relay import Relay, RelayClient
from tests.support import killed_relay
from tests.support.cutting_proxy import cutting_proxy
from tests.support.database_pool import TestDatabases
from tests.support.killed_relay import POINTS, ROWS
from tests.support.mariadb import BINARY, running_mariadb
from tests.support.service import Service

KILLED = Path(killed_relay.__file__)
PACKAGES = "apt-get install mariadb-server-core mariadb-client-core"
MARIADB = pytest.param(
    "mysql",
    marks=pytest.mark.skipif(not BINARY.exists(), reason=PACKAGES),
)


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_mariadb(tmp_path_factory.mktemp("mariadb")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", MARIADB])
async def source(request: pytest.FixtureRequest, tmp_path: Path, databases: TestDatabases) -> AsyncIterator[str]:
    """URL of a database with an empty outbox."""
    if request.param == "postgresql":
        async with databases.empty() as url:
            yield await asyncio.to_thread(_prepared, url.replace("postgresql://", "postgresql+psycopg://", 1))
    elif request.param == "sqlite":
        yield await asyncio.to_thread(_prepared, f"sqlite:///{tmp_path / 'shop.db'}")
    else:
        yield await asyncio.to_thread(_prepared, request.getfixturevalue("mariadb"))


def _prepared(url: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("drop table if exists duly_outbox"))
        for statement in DIALECTS[engine.dialect.name].ddl.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()
    return url


class Shop:
    """The application's side of an outbox."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, *rows: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            for row in rows:
                columns = ", ".join(row)
                values = ", ".join(f":{name}" for name in row)
                statement = f"insert into duly_outbox ({columns}) values ({values})"  # noqa: S608  # of the tests
                connection.execute(text(statement), row)

    def rows(self, columns: str = "*") -> list[Any]:
        with self.engine.begin() as connection:
            statement = f"select {columns} from duly_outbox order by created_at, id"  # noqa: S608  # of the tests
            return list(connection.execute(text(statement)))

    def run(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.fixture
def shop(source: str) -> Iterator[Shop]:
    engine = create_engine(source)
    yield Shop(engine)
    engine.dispose()


def _step(source: str, url: str, *, times: int = 1, **options: Any) -> list[float]:
    outbox = open_outbox(source, **options)
    with RelayClient(url) as client, ThreadPoolExecutor(4) as threads:
        relay = Relay(outbox, client)
        pauses = [relay.step(threads) for _ in range(times)]
    outbox._engine.dispose()
    return pauses


async def step(source: str, service: Service, **options: Any) -> list[float]:
    return await asyncio.to_thread(_step, source, service.url, **options)


async def jobs(service: Service) -> list[Any]:
    items: list[Any] = (await service.client.get("/api/v1/jobs", params={"limit": 200})).json()["items"]
    return items


async def test_a_row_is_submitted_and_ticked_off(service: Service, source: str, shop: Shop) -> None:
    shop.add({"type": "echo", "parameters": '{"amount": 0.10}', "options": '{"queue": "mail", "priority": 2}'})
    assert await step(source, service, times=2) == [0, 1.0]
    [(job_id, error)] = shop.rows("job_id, error")
    ended = await service.ended(job_id)
    assert (ended["queue"], ended["priority"], error) == ("mail", 2, None)
    assert '"parameters":{"amount":0.10}' in (await service.client.get(f"/api/v1/jobs/{job_id}")).text


async def test_a_row_that_was_sent_before_its_relay_died_makes_no_second_job(
    service: Service, source: str, shop: Shop
) -> None:
    shop.add({"type": "echo"}, {"type": "echo"})
    await step(source, service)
    first = shop.rows("id, job_id")
    # As if the relay had died before it ticked the rows off, and its claim had run out.
    shop.run("update duly_outbox set submitted_at = null, job_id = null, claim = 'dead', claimed_until = 0")
    await step(source, service)
    assert shop.rows("id, job_id") == first
    assert len(await jobs(service)) == 2


async def test_rows_of_a_relay_that_died_are_left_to_it_for_a_minute(service: Service, source: str, shop: Shop) -> None:
    shop.add({"type": "echo"})
    assert len(Outbox(shop.engine).claim(10)) == 1
    assert await step(source, service) == [1.0]
    shop.run("update duly_outbox set claimed_until = claimed_until - 61")
    assert await step(source, service) == [0]


async def test_a_relay_that_is_killed_at_any_point_submits_each_row_once(
    service: Service, source: str, shop: Shop
) -> None:
    shop.add(*({"id": f"row-{n}", "type": "echo"} for n in range(len(POINTS) * ROWS)))
    killing = await create_subprocess_exec(sys.executable, str(KILLED), source, service.url, stderr=PIPE)
    _, errors = await killing.communicate()
    assert killing.returncode == 0, errors
    left = sum(row[0] is None for row in shop.rows("job_id"))
    assert ROWS < left < len(POINTS) * ROWS
    await step(source, service)
    ids = [row[0] for row in shop.rows("job_id")]
    assert (len(ids), len(set(ids)), None in ids) == (len(POINTS) * ROWS, len(POINTS) * ROWS, False)
    assert len(await jobs(service)) == len(POINTS) * ROWS


LOST_ANSWER = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_a_row_without_an_answer_is_set_aside_before_its_key_is_forgotten(
    service: Service, source: str, shop: Shop
) -> None:
    shop.add({"type": "echo"})
    async with cutting_proxy(service.url) as proxy:
        proxy.refuse = {b"POST": LOST_ANSWER}
        for _ in range(2):
            assert await asyncio.to_thread(_step, source, proxy.url) == [5.0]
        [(since,)] = shop.rows("in_doubt_since")
        shop.run("update duly_outbox set in_doubt_since = in_doubt_since - 82500")  # a little less than 23 hours
        assert await asyncio.to_thread(_step, source, proxy.url) == [5.0]
        shop.run("update duly_outbox set in_doubt_since = in_doubt_since - 400")
        assert await step(source, service) == [0]
    [(error, submitted_at, in_doubt_since)] = shop.rows("error, submitted_at, in_doubt_since")
    assert (since > 0, "more than 23 hours ago" in error, submitted_at, in_doubt_since) == (True, True, None, None)
    assert await jobs(service) == []
    shop.run("update duly_outbox set error = null")
    await step(source, service)
    assert len(await jobs(service)) == 1


async def test_a_row_that_has_certainly_not_been_submitted_may_wait_for_days(
    service: Service, source: str, shop: Shop
) -> None:
    shop.add({"type": "echo"})
    assert await asyncio.to_thread(_step, source, "http://127.0.0.1:1") == [5.0]
    assert shop.rows("in_doubt_since") == [(None,)]
    async with cutting_proxy(service.url) as proxy:
        proxy.refuse = {b"POST": LOST_ANSWER.replace(b"504", b"503")}
        await asyncio.to_thread(_step, source, proxy.url)
    assert shop.rows("in_doubt_since, error") == [(None, None)]


POISON: list[dict[str, Any]] = [
    {"type": "no-such-type"},
    {"type": "echo", "options": '{"priority": 1000}'},
    {"type": "echo", "options": '{"prority": 1}'},
    {"type": "echo", "options": "[]"},
    {"type": "echo", "parameters": "{"},
    {"type": "echo", "id": "a b"},
]


async def test_rows_that_are_refused_are_set_aside_with_the_error_and_hold_up_no_other(
    service: Service, source: str, shop: Shop
) -> None:
    shop.add(*POISON, {"type": "echo"})
    assert await step(source, service, times=2) == [0, 1.0]
    assert len(await jobs(service)) == 1
    errors = [row[0] for row in shop.rows("error")]
    assert sum(error is not None for error in errors) == len(POISON)
    assert any("Unknown job type" in (error or "") for error in errors)


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
async def test_bytes_in_a_column_of_text_hold_up_no_other_row(service: Service, source: str, shop: Shop) -> None:
    shop.add({"type": "echo", "parameters": b'{"text": "bytes"}'}, {"type": b"\xff"}, {"type": "echo"})
    shop.run("insert into duly_outbox (type, parameters) values ('echo', cast(x'227b22ff22' as text))")
    assert await step(source, service, times=2) == [0, 1.0]
    assert sorted(str(job["parameters"]) for job in await jobs(service)) == ["{'text': 'bytes'}", "{}"]
    assert sum(row[0] is not None for row in shop.rows("error")) == 2


async def test_rows_wait_while_the_service_is_away(source: str, shop: Shop) -> None:
    shop.add({"type": "echo"})
    assert await asyncio.to_thread(_step, source, "http://127.0.0.1:1") == [5.0]
    assert shop.rows("error, submitted_at, claim") == [(None, None, None)]


async def test_a_full_queue_holds_up_no_other(service: Service, source: str, shop: Shop) -> None:
    await service.client.put("/api/v1/limits", json={"backlogs": {"small": 1}})
    await service.client.post("/api/v1/queues/small/pause")
    small = {"type": "echo", "options": '{"queue": "small"}'}
    shop.add(small)
    await step(source, service)
    shop.add(small, small, {"type": "echo"})
    logged: list[bytes] = []
    service.node.access.flush()
    service.node.access.write = logged.append
    assert await step(source, service) == [0]
    service.node.access.flush()
    lines = [json.loads(line) for piece in logged for line in piece.splitlines()]
    assert sorted(line["status"] for line in lines) == [202, 429, 429]  # each row once: no thread waits with one
    assert sorted(job["queue"] for job in await jobs(service)) == ["default", "small"]
    assert [row[0] for row in shop.rows("error")] == [None] * 4


async def test_several_relays_submit_each_row_once(service: Service, source: str, shop: Shop) -> None:
    shop.add(*({"id": f"row-{n}", "type": "echo"} for n in range(120)))
    await asyncio.gather(*(step(source, service, times=3) for _ in range(3)))
    assert len(await jobs(service)) == 120
    assert len({row[0] for row in shop.rows("job_id")}) == 120


async def test_submitted_rows_can_be_deleted(service: Service, source: str, shop: Shop) -> None:
    shop.add({"type": "echo"}, {"type": "no-such-type"})
    await step(source, service, deletes=True)
    assert shop.rows("type") == [("no-such-type",)]


@pytest.mark.parametrize("url", ["nonsense", "oracle://x", "sqlite+nothing://"])
def test_a_database_that_the_relay_does_not_read_is_refused(url: str) -> None:
    with pytest.raises(UnknownDatabase):
        open_outbox(url)


def test_options_are_merged_as_text() -> None:
    from duly.relay.outbox import OutboxRow  # noqa: PLC0415
    from duly.relay.relay import submission_text  # noqa: PLC0415

    body = submission_text(OutboxRow("1", 'a"b', "[1.10]", ' { "queue": "q" } '))
    assert json.loads(body) == {"type": 'a"b', "parameters": [1.1], "queue": "q"}
    assert "1.10" in body
