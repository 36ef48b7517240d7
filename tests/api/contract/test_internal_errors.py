"""Errors of faults in the service: the same format, without internal details."""

from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from tests.support.response_checks import refused
from tests.support.service import Service, eventually

JOB = "/api/v1/jobs/0199c1f0-0000-7000-8000-000000000000"


async def test_a_fault_of_ours_is_a_500_that_tells_nothing_of_the_insides(
    service: Service,
) -> None:
    await service.alter("alter table jobs rename to hidden")
    with structlog.testing.capture_logs() as lines:
        for method, path in (
            *(("GET", "/api/v1/jobs"), ("GET", JOB), ("POST", f"{JOB}/cancel")),
            *(("GET", f"{JOB}/events"), ("GET", f"{JOB}/events/stream"), ("POST", "/api/v1/jobs")),
        ):
            job = {"type": "echo"} if path == "/api/v1/jobs" and method == "POST" else None
            response = await service.client.request(method, path, json=job, headers={"X-Request-Id": "req-9"})
            error = refused(response, 500, "INTERNAL_ERROR")
            assert error["details"]["retryable"] is True
            for inside in ("relation", "select", "sql", "Traceback", "Undefined", "RecordRefused", "asyncpg", ".py"):
                assert inside not in response.text, inside
        assert (await service.client.get("/healthz")).status_code == 200
        await service.alter("alter table hidden rename to jobs")

    # An operator finds each error in the log by the id that the client received.
    told = [line for line in lines if line.get("action") == "request_failed"]
    assert [line["request_id"] for line in told] == ["req-9"] * 6
    assert all(isinstance(line["exc_info"], Exception) for line in told)
    assert (await service.run("echo"))["status"] == "completed"


async def test_a_database_that_is_away_is_a_503_with_a_hint_when_to_come_back(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    service = await start_service()
    name = service.database_url.partition("?")[0].rpartition("/")[2]
    await _on_postgres(service, f"alter database {name} allow_connections false")
    await _on_postgres(
        service,
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",  # noqa: S608  # the test's own database
    )
    try:
        for method, path, body in (
            ("GET", "/api/v1/jobs", None),
            ("GET", JOB, None),
            ("POST", f"{JOB}/cancel", None),
            ("POST", "/api/v1/jobs", {"type": "echo"}),
        ):
            response = await service.client.request(method, path, json=body)
            error = refused(response, 503, "DATABASE_UNAVAILABLE")
            assert error["details"]["retryable"] is True
            assert int(response.headers["Retry-After"]) >= 1
            assert name not in response.text
        response = await service.client.get("/readyz")
        assert "database" in refused(response, 503, "NOT_READY")["details"]["reason"]
        assert (await service.client.get("/healthz")).status_code == 200
    finally:
        await _on_postgres(service, f"alter database {name} allow_connections true")

    assert (await service.run("echo"))["status"] == "completed"
    await eventually(lambda: _is_ready(service))  # it is asked for a response within 1.5 seconds


async def _is_ready(service: Service) -> bool:
    return (await service.client.get("/readyz")).status_code == 200


async def _on_postgres(service: Service, statement: str) -> None:
    name = service.database_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(service.database_url.replace(f"/{name}", "/postgres", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_service_that_goes_down_takes_no_more_jobs_but_still_answers(service: Service) -> None:
    view = await service.run("echo")
    for node in service.nodes:
        await node.drain()

    response = await service.client.post("/api/v1/jobs", json={"type": "echo"})
    assert refused(response, 503, "DRAINING")["details"]["retryable"] is True
    assert int(response.headers["Retry-After"]) >= 1
    assert (await service.job(view["jobId"]))["status"] == "completed"
    response = await service.client.get("/readyz")
    assert refused(response, 503, "NOT_READY")["details"]["reason"] == "draining"
    assert (await service.client.get("/healthz")).status_code == 200
