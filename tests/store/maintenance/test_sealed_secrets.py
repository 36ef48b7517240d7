"""Keys that a database knows, and re-encryption of secrets sealed with older ones."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator

import asyncpg
import pytest

from duly.domain.ids import new_job_id
from duly.domain.sealing import Keyring, Purpose, key_id_of
from duly.lifecycle.maintenance.key_rotation import Resealed, SecretKeyMismatch, SecretKeyNotInUse, recognise, reseal
from duly.store.maintenance import sealed_secrets
from duly.store.postgres.database import Connection, Database

OLD, NEW = (f"{name}:{b64encode(name.encode() * 8).decode()}" for name in ("aold", "bnew"))
OTHER = f"aold:{b64encode(b'otherkey' * 4).decode()}"
SECRET = "the secret of a callback"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


def sealed_by(keys: str, text: str = SECRET, *, tenant_id: int = 1, purpose: Purpose = "callback") -> str:
    return Keyring.read(keys).seal(text, tenant_id=tenant_id, purpose=purpose)


def kept_job(secret: str | None) -> str:
    """A job as a schedule keeps it; another one's parameters may say what they like."""
    job = {"type": "echo", "parameters": json.dumps({"callback_secret": sealed_by(OLD)}), "timeout_seconds": 1.0}
    return json.dumps(job | ({"callback_secret": secret} if secret else {}))


async def add_schedule(connection: Connection, name: str, secret: str | None, *, tenant_id: int = 1) -> None:
    await connection.execute(
        "insert into schedules (tenant_id, name, cron, timezone, submission, overlap, catch_up, paused) values "
        "($1, $2, '0 0 1 1 *', 'UTC', json_build_object('asked', $3::json, 'job', $4::json), 0, 0, true)",
        *(tenant_id, name, '{"b": 1.0, "a": 1}', kept_job(secret)),
    )


async def kept_secret(connection: Connection, name: str) -> str:
    secret = await connection.fetchval(
        "select submission -> 'job' ->> 'callback_secret' from schedules where name = $1", name
    )
    assert isinstance(secret, str)
    return secret


async def rotated(database: Database) -> Resealed:
    await recognise(database, Keyring.read(f"{NEW},{OLD}"))
    return await reseal(database, Keyring.read(f"{NEW},{OLD}"))


async def test_a_key_is_known_again_and_one_that_is_lacking_is_named(database: Database) -> None:
    assert await recognise(database, Keyring.read(OLD)) == []
    assert await recognise(database, Keyring.read(OLD)) == []
    assert await recognise(database, Keyring.read(f"{NEW},{OLD}")) == []
    assert await recognise(database, Keyring.read(NEW)) == ["aold"]


@pytest.mark.parametrize("keys", [OTHER, f"{NEW},{OTHER}"], ids=["first", "second"])
async def test_another_key_under_a_known_id_is_refused(database: Database, keys: str) -> None:
    await recognise(database, Keyring.read(OLD))
    with pytest.raises(SecretKeyMismatch, match='"aold" is not the one that the database was written with'):
        await recognise(database, Keyring.read(keys))
    with pytest.raises(SecretKeyMismatch):
        await reseal(database, Keyring.read(keys))
    assert await recognise(database, Keyring.read(OLD)) in ([], ["bnew"])


SCHEDULES = """
select name, cron, submission ->> 'asked', submission -> 'job' ->> 'parameters', updated_at, xmin::text
from schedules order by name
"""


async def test_schedules_are_sealed_anew_and_else_stay_as_they_are(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_secrets, "PAGE", 2)
    await recognise(database, Keyring.read(OLD))
    for number in range(5):
        await add_schedule(connection, f"s{number}", sealed_by(OLD))
    await add_schedule(connection, "clear", SECRET)
    await add_schedule(connection, "new", sealed_by(NEW))
    await add_schedule(connection, "none", None)
    before = await connection.fetch(SCHEDULES)
    done = await rotated(database)
    after = await connection.fetch(SCHEDULES)
    assert (done.resealed, done.unopened, done.left, done.forgotten) == (6, 0, {}, ("aold",))
    assert [row[:5] for row in after] == [row[:5] for row in before]
    assert {row[0] for row, old in zip(after, before, strict=True) if row[5] == old[5]} == {"new", "none"}
    for name in ("s0", "s1", "s2", "s3", "s4", "clear", "new"):
        stored = await kept_secret(connection, name)
        assert Keyring.read(NEW).unseal(stored, tenant_id=1, purpose="callback") == SECRET
    assert (await reseal(database, Keyring.read(NEW))).resealed == 0


async def test_jobs_that_are_to_follow_a_batch_are_sealed_anew_until_they_are_made(
    database: Database, connection: Connection
) -> None:
    await recognise(database, Keyring.read(OLD))
    ids = sorted(new_job_id() for _ in range(3))
    for batch_id, then_id in zip(ids, (None, None, new_job_id()), strict=True):
        await connection.execute(
            "insert into batches (tenant_id, batch_id, first_id, last_id, total, then_job, then_job_id, completed_at) "
            "values (1, $1, $1, $1, 0, $2, $3, now())",
            *(batch_id, kept_job(sealed_by(OLD)), then_id),
        )
    done = await rotated(database)
    rows = await connection.fetch("select then_job ->> 'callback_secret' from batches order by batch_id")
    await connection.execute("delete from batches")
    assert (done.resealed, done.left) == (2, {})
    assert [key_id_of(row[0]) for row in rows] == ["bnew", "bnew", "aold"]


async def test_endpoints_are_sealed_anew_column_by_column(database: Database, connection: Connection) -> None:
    await recognise(database, Keyring.read(OLD))
    texts = {name: sealed_by(OLD, name, tenant_id=7, purpose="endpoint") for name in ("secret", "signing_key")}
    headers = sealed_by(OLD, '{"X-Key": "k"}', tenant_id=7, purpose="endpoint")
    for _ in range(2):
        await connection.execute(ADD_ENDPOINT, new_job_id(), texts["secret"], texts["signing_key"], headers)
    done = await rotated(database)
    rows = await connection.fetch("select secret, previous_secret, signing_key, headers from endpoints")
    assert (done.resealed, done.left, done.forgotten) == (2, {}, ("aold",))
    assert len(rows) == 2
    for row in rows:
        opened = [text and Keyring.read(NEW).unseal(text, tenant_id=7, purpose="endpoint") for text in row]
        assert opened == ["secret", None, "signing_key", '{"X-Key": "k"}']


ADD_ENDPOINT = """
insert into endpoints (tenant_id, endpoint_id, events, url, secret, signing_key, headers)
values (7, $1, 1, 'https://client.example.com/', $2, $3, $4)
"""


async def test_what_is_left_is_counted_by_key_and_table(database: Database, connection: Connection) -> None:
    """Checks that jobs are not rewritten, and that secrets without a key in the ring stay unchanged."""
    await recognise(database, Keyring.read(OTHER.replace("aold", "lost")))
    await recognise(database, Keyring.read(OLD))
    await add_schedule(connection, "lost", sealed_by(OTHER.replace("aold", "lost")))
    await add_schedule(connection, "moved", sealed_by(OLD, tenant_id=2))
    await add_schedule(connection, "good", sealed_by(OLD))
    async with connection.transaction():
        for secret in (sealed_by(OLD), sealed_by(OLD), sealed_by(NEW), SECRET, None):
            await connection.execute(
                "insert into jobs (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, "
                "max_attempts, callback_events, callback_secret) "
                "values (1, $1, 'echo', 'default', 0, '{}', 1, 1, 0, $2)",
                *(new_job_id(), secret),
            )
        counted = await sealed_secrets.count_by_key(connection)
        assert counted["aold"] == {"jobs": 2, "schedules": 2}
        assert counted[""] == {"jobs": 1}
        await connection.execute("delete from jobs")
    done = await rotated(database)
    assert (done.resealed, done.unopened) == (1, 2)
    assert done.left == {"aold": {"schedules": 1}, "lost": {"schedules": 1}}
    assert done.forgotten == ()
    assert key_id_of(await kept_secret(connection, "lost")) == "lost"


async def test_a_change_that_comes_in_between_wins(connection: Connection) -> None:
    await add_schedule(connection, "changed", sealed_by(OLD))
    [stored] = await sealed_secrets.page_of_schedules(connection, (0, ""))
    newer = kept_job(sealed_by(OLD, "a newer one"))
    await connection.execute(
        "update schedules set submission = json_build_object('asked', '{}', 'job', $1::json)", newer
    )
    await sealed_secrets.write_schedule(connection, stored, kept_job(sealed_by(NEW)))
    secret = await kept_secret(connection, "changed")
    assert Keyring.read(OLD).unseal(secret, tenant_id=1, purpose="callback") == "a newer one"


async def test_nothing_is_sealed_anew_with_a_key_that_no_service_has(
    database: Database, connection: Connection
) -> None:
    await recognise(database, Keyring.read(OLD))
    await add_schedule(connection, "s", sealed_by(OLD))
    with pytest.raises(SecretKeyNotInUse, match='"bnew" as the first'):
        await reseal(database, Keyring.read(f"{NEW},{OLD}"))
    assert key_id_of(await kept_secret(connection, "s")) == "aold"
