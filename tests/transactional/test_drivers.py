"""`duly.transactional.submit` on connections of every supported driver, in their own transactions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, assert_type
from uuid import UUID

import asyncpg
import psycopg
import pytest
from django import setup
from django.conf import settings as django_settings
from django.db import ConnectionHandler
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from duly.transactional import TransactionOptions, UnknownConnection, submit
from tests.support.service import Service

OPTIONS: TransactionOptions = {"queue": "mail", "priority": 3, "labels": {"order": "7"}}
ORDER = "insert into orders values (7)"
Use = Callable[[str, bool], Awaitable[UUID]]


async def with_asyncpg(url: str, commits: bool) -> UUID:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(ORDER)
        job_id = await submit(connection, "echo", {"n": 1}, **OPTIONS)
        await (transaction.commit() if commits else transaction.rollback())
    return job_id


def psycopg_sync(url: str, commits: bool) -> UUID:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute(ORDER)
        job_id = submit(connection, "echo", {"n": 1}, **OPTIONS)
        (connection.commit if commits else connection.rollback)()
    return job_id


async def psycopg_async(url: str, commits: bool) -> UUID:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(ORDER)
        job_id = await submit(connection, "echo", {"n": 1}, **OPTIONS)
        await (connection.commit() if commits else connection.rollback())
    return job_id


def sqlalchemy_connection(url: str, commits: bool) -> UUID:
    engine = create_engine(_dialect(url, "psycopg"))
    with engine.connect() as connection:
        connection.execute(text(ORDER))
        job_id = submit(connection, "echo", {"n": 1}, **OPTIONS)
        (connection.commit if commits else connection.rollback)()
    engine.dispose()
    return job_id


def sqlalchemy_session(url: str, commits: bool) -> UUID:
    engine = create_engine(_dialect(url, "psycopg"))
    with Session(engine) as session:
        job_id = submit(session, "echo", {"n": 1}, **OPTIONS)
        session.execute(text(ORDER))
        (session.commit if commits else session.rollback)()
    engine.dispose()
    return job_id


def sqlalchemy_scoped_session(url: str, commits: bool) -> UUID:
    engine = create_engine(_dialect(url, "psycopg"))
    session = scoped_session(sessionmaker(engine))
    session.execute(text(ORDER))
    job_id = submit(session, "echo", {"n": 1}, **OPTIONS)
    (session.commit if commits else session.rollback)()
    session.remove()
    engine.dispose()
    return job_id


def _sqlalchemy_async(driver: str, make: Callable[[Any], Any]) -> Use:
    async def use(url: str, commits: bool) -> UUID:
        engine = create_async_engine(_dialect(url, driver))
        session = make(engine)
        await session.execute(text(ORDER))
        job_id: UUID = await submit(session, "echo", {"n": 1}, **OPTIONS)
        await (session.commit() if commits else session.rollback())
        await session.close()
        await engine.dispose()
        return job_id

    return use


def _scoped(engine: Any) -> Any:
    return async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)


async def sqlalchemy_async_connection(url: str, commits: bool) -> UUID:
    engine = create_async_engine(_dialect(url, "asyncpg"))
    async with engine.connect() as connection:
        await connection.execute(text(ORDER))
        job_id = await submit(connection, "echo", {"n": 1}, **OPTIONS)
        await (connection.commit() if commits else connection.rollback())
    await engine.dispose()
    return job_id


def django(url: str, commits: bool) -> UUID:
    if not django_settings.configured:
        django_settings.configure()
        setup()
    parts = psycopg.conninfo.conninfo_to_dict(url)
    names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
    database = {name: str(parts[key]) for name, key in names.items() if key in parts}
    connection = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql", **database}})["default"]
    connection.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute(ORDER)
    job_id: UUID = submit(connection, "echo", {"n": 1}, **OPTIONS)
    (connection.commit if commits else connection.rollback)()
    connection.close()
    return job_id


def typed(one: Session, two: AsyncSession, three: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Result types, for mypy: an id of a blocking connection, an awaitable of an asynchronous one."""
    assert_type(submit(one, "echo"), UUID)
    assert_type(submit(two, "echo", queue="mail"), Awaitable[UUID])
    assert_type(submit(three, "echo"), Awaitable[UUID])


def _dialect(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


def _in_a_thread(use: Callable[[str, bool], UUID]) -> Use:
    return lambda url, commits: asyncio.to_thread(use, url, commits)


USES: dict[str, Use] = {
    "asyncpg": with_asyncpg,
    "psycopg": _in_a_thread(psycopg_sync),
    "psycopg async": psycopg_async,
    "SQLAlchemy connection": _in_a_thread(sqlalchemy_connection),
    "SQLAlchemy session": _in_a_thread(sqlalchemy_session),
    "SQLAlchemy scoped session": _in_a_thread(sqlalchemy_scoped_session),
    "SQLAlchemy async connection": sqlalchemy_async_connection,
    "SQLAlchemy async session, asyncpg": _sqlalchemy_async("asyncpg", AsyncSession),
    "SQLAlchemy async session, psycopg": _sqlalchemy_async("psycopg", AsyncSession),
    "SQLAlchemy async scoped session": _sqlalchemy_async("asyncpg", _scoped),
    "Django": _in_a_thread(django),
}


@pytest.mark.parametrize("driver", USES)
async def test_a_job_exists_if_and_only_if_the_transaction_has_committed(service: Service, driver: str) -> None:
    await service.sql("create table orders (number int)")
    undone = await USES[driver](service.database_url, False)
    done = await USES[driver](service.database_url, True)
    ended = await service.ended(str(done))
    assert (ended["status"], ended["result"]) == ("completed", {"n": 1})
    assert (ended["queue"], ended["priority"], ended["labels"]) == ("mail", 3, {"order": "7"})
    assert (await service.client.get(f"/api/v1/jobs/{undone}")).status_code == 404
    assert (await service.sql("select count(*) from orders"))[0][0] == 1


@pytest.mark.parametrize("other", [object(), None, "postgresql://localhost"])
def test_another_object_is_refused_by_name(other: Any) -> None:
    with pytest.raises(UnknownConnection, match="is not a connection of asyncpg, psycopg 3, SQLAlchemy or Django"):
        submit(other, "echo")


async def test_a_pool_has_no_transaction_and_is_refused(database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=0) as pool:
        with pytest.raises(UnknownConnection):
            await submit(pool, "echo")
