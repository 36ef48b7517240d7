"""The doctor reports one finding for each problem, and none without a problem."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import pytest

from duly.domain.sealing import Keyring
from duly.lifecycle.maintenance import doctor
from duly.lifecycle.maintenance.doctor import Doctor, Finding
from duly.lifecycle.maintenance.key_rotation import recognise
from duly.store.ledger.stream_blockers import HolderKind, StreamHolder
from duly.store.postgres.database import Database
from duly.store.postgres.partitions import READ_TODAY
from tests.support.database_roles import GRANTS, split_roles
from tests.support.reused_connections import asking
from tests.support.service import KEYRING, SECRET_KEYS

OTHER_KEY = f"tests:{'B' * 43}="
NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values ($1, $2, '1', $3, '{}', now() - $4 * interval '1 second')
"""
REFUSE = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
create trigger refuse before insert on jobs for each row execute function refuse()
"""
SET_ASIDE = """
insert into set_aside (tenant_id, job_id, stage, token, reason) values (1, $1, 'finish', 1, 'no room')
"""


class Examined(NamedTuple):
    """A database and what a doctor says of it."""

    database: Database
    url: str

    async def findings(self, **chosen: Any) -> list[Finding]:
        return await Doctor(self.database, lease_seconds=15, **chosen).examine()

    async def codes(self, **chosen: Any) -> list[str]:
        return [finding.code for finding in await self.findings(**chosen)]

    async def sql(self, statement: str, *arguments: Any) -> None:
        async with asking(self.url) as connection:
            await connection.execute(statement, *arguments)

    async def value(self, statement: str) -> Any:
        async with asking(self.url) as connection:
            return await connection.fetchval(statement)


@pytest.fixture
async def examined(database_url: str) -> AsyncIterator[Examined]:
    database = Database(database_url, connections=1)
    yield Examined(database, database_url)
    await database.close()


async def test_a_database_that_lacks_nothing_is_healthy(examined: Examined, tmp_path: Path) -> None:
    await recognise(examined.database, KEYRING)
    assert await examined.findings(keyring=KEYRING, folder=tmp_path) == []
    assert await examined.value("select count(*) from jobs") == 0  # a rehearsal leaves none


async def test_a_node_that_fell_silent_and_roles_that_nobody_has_are_named(examined: Examined) -> None:
    await examined.sql(NODE, uuid4(), "shop-7", ["worker"], 3700.0)
    (silent,) = await examined.findings()
    assert silent.code == "NODE_UNRESPONSIVE"
    assert silent.reason == "Node shop-7 has been silent for 1 h 1 min; its jobs wait."
    await examined.sql(NODE, uuid4(), "shop-8", ["api", "worker"], 1.0)
    found = await examined.findings()
    assert [finding.code for finding in found] == ["NODE_UNRESPONSIVE", "ROLE_MISSING", "ROLE_MISSING"]
    assert [finding.remedy for finding in found[1:]] == ["start one: --role dispatcher", "start one: --role sweeper"]


async def test_records_that_are_set_aside_are_counted_with_a_reason(examined: Examined) -> None:
    await examined.sql(SET_ASIDE, uuid4())
    (found,) = await examined.findings()
    assert (found.code, found.reason) == (
        "SET_ASIDE",
        "The database refuses records of 1 jobs (finish): no room",
    )
    await examined.sql("update set_aside set noted_at = noted_at - interval '1 hour'")
    assert await examined.codes() == []


async def test_keys_that_are_missing_or_differ_are_named(examined: Examined) -> None:
    await recognise(examined.database, KEYRING)
    assert await examined.codes(keyring=Keyring.read(SECRET_KEYS.replace("tests:", "new:"))) == ["SECRET_KEY_MISSING"]
    assert await examined.codes(keyring=Keyring.read(OTHER_KEY)) == ["SECRET_KEY_MISMATCH"]
    assert await examined.codes(keyring=None) == []


async def test_too_few_days_ahead_are_told(examined: Examined) -> None:
    today = await examined.value(READ_TODAY)
    await examined.sql(f"drop table messages_{today:%Y%m%d}")
    (found,) = await examined.findings()
    assert (found.code, found.reason) == ("PARTITIONS_LOW", "Today has no partition.")


async def test_what_would_refuse_a_submission_is_found_by_a_rehearsal(examined: Examined) -> None:
    await examined.sql(REFUSE)
    (found,) = await examined.findings()
    assert found.code == "DATABASE_CONSTRAINT_VIOLATED"
    assert "not today" in found.reason
    await examined.sql("drop trigger refuse on jobs; drop function refuse()")


async def test_a_database_that_is_behind_gets_no_other_finding(empty_database_url: str) -> None:
    database = Database(empty_database_url, connections=1)
    try:
        (found,) = await Doctor(database, lease_seconds=15).examine()
    finally:
        await database.close()
    assert (found.code, found.remedy) == ("DATABASE_SCHEMA_OUTDATED", "run `duly migrate`")


async def test_a_missing_right_is_named_as_its_grant(empty_database_url: str) -> None:
    async with split_roles(empty_database_url) as split:
        await split.migrate()
        await split.grant(*GRANTS)
        await split.grant("revoke insert on {schema}.jobs from {serving}")
        database = Database(split.serving_url, connections=1, schema=split.schema)
        try:
            found = await Doctor(database, lease_seconds=15, schema=split.schema).examine()
        finally:
            await database.close()
    assert [finding.code for finding in found] == ["PRIVILEGE_MISSING"]
    assert found[0].remedy == f"GRANT INSERT ON {split.schema}.jobs TO {split.serving}"


async def test_a_database_that_cannot_be_reached_is_a_finding() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/none", connections=1)
    (found,) = await Doctor(database, lease_seconds=15).examine()
    await database.close()
    assert found.code == "DATABASE_UNAVAILABLE"


async def test_a_transaction_that_only_reads_for_an_hour_keeps_vacuum_from_its_work(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "READER_SECONDS", 0.0)
    reader = await asyncpg.connect(examined.url)
    try:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.fetch("select * from jobs")
            (found,) = await examined.findings()
            assert found.code == "LONG_SNAPSHOT"
            assert found.remedy.endswith(f"pg_terminate_backend({reader.get_server_pid()})")
    finally:
        await reader.close()
    assert await examined.codes() == []


async def test_of_transactions_whose_age_is_hidden_only_those_that_stay_are_named(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [[hidden(7), hidden(8)], [hidden(8), hidden(9)]]

    async def looked(*_: object, **__: object) -> list[StreamHolder]:
        return looks.pop(0)

    monkeypatch.setattr(doctor, "find_old_writers", looked)
    monkeypatch.setattr(doctor, "LOOK_AGAIN_SECONDS", 0.0)
    (found,) = await examined.findings()
    assert found.reason == (
        "The stream of all jobs is held by pid 8 (without application_name, user app, database shop)."
    )


def hidden(tx: int) -> StreamHolder:
    return StreamHolder(tx, HolderKind.SESSION, str(tx), "app", "shop", "", "", None)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("CLOCK_SECONDS", -1.0, "CLOCK_SKEW"), ("SESSIONS_SHARE", 0.0, "CONNECTIONS_LOW")],
)
async def test_a_bound_that_is_passed_is_told(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, name: str, value: float, code: str
) -> None:
    monkeypatch.setattr(doctor, name, value)
    assert await examined.codes() == [code]


async def test_a_disk_with_little_room_is_told(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "DISK_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "DISK_SHARE", 1.1)
    assert await examined.codes(folder=tmp_path) == ["DISK_FULL"]
