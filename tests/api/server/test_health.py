"""`/healthz`, `/readyz`, `/metrics`."""

import re
from collections.abc import AsyncIterator

import pytest

from tests.support.response_checks import refused
from tests.support.service import Service, eventually

SAMPLE = re.compile(r'[a-zA-Z_:][\w:]*(\{(\w+="([^"\\]|\\.)*",?)*\})? (-?[0-9.e+-]+|NaN|\+Inf)')


@pytest.fixture
async def behind(contract: Service) -> AsyncIterator[Service]:
    """Returns a service whose database lacks a migration."""
    rows = await contract.sql("select version_num from alembic_version")
    await contract.sql("delete from alembic_version")
    yield contract
    for revision in {row[0] for row in rows}:
        await contract.sql("insert into alembic_version values ($1)", revision)


async def test_the_process_says_that_it_is_up_and_can_serve(contract: Service) -> None:
    assert (await contract.client.get("/healthz")).json() == {"status": "up"}
    ready = await contract.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


async def test_a_database_behind_its_migrations_is_named(behind: Service) -> None:
    error = refused(await behind.client.get("/readyz"), 503, "NOT_READY")

    assert "migrations" in error["details"]["reason"]
    assert error["details"]["retryable"] is True
    assert (await behind.client.get("/healthz")).status_code == 200


async def test_metrics_are_what_prometheus_reads(contract: Service) -> None:
    await contract.run("echo")
    response = await contract.client.get("/metrics")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines), lines
    assert any(line.startswith("# TYPE duly_") for line in lines)


async def test_what_was_accepted_and_what_became_of_it_is_counted(contract: Service) -> None:
    async def total(word: str) -> float:
        text = (await contract.client.get("/metrics")).text
        found = re.findall(rf"^duly_\w*{word}\w*_total(?:\{{.*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        return sum(float(figure) for figure in found)

    before = await total("accepted")
    for _ in range(3):
        await contract.run("echo")

    async def counted() -> bool:
        return await total("accepted") == before + 3

    await eventually(counted)
