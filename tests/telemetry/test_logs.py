"""Logs: every line is one JSON document with a machine word and the ids, and none holds a secret."""

import json
import logging
from typing import Any

import pytest
import structlog

from duly.telemetry.structured_logs import configure_logs
from tests.support.service_process import Gates, Processes
from tests.support.webhook_receiver import Receiver

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

CALLBACK_SECRET = "callback-s3cret"
API_KEY = "api-key-s3cret"
DATABASE_PASSWORD = "database-s3cret"


def _lines(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines()]


async def test_a_whole_life_with_failures_is_told_in_json_lines_and_without_secrets(
    database_url: str, processes: Processes, gates: Gates, receiver: Receiver
) -> None:
    receiver.statuses = [500, 204]
    url = database_url.replace("postgres@", f"postgres:{DATABASE_PASSWORD}@", 1)
    variables = {"DULY_API_KEY": API_KEY, "DULY_LOG_LEVEL": "debug", "DULY_WEBHOOK_RETRY_SECONDS": "0.1"}
    service = await processes.serve(url, **variables)
    service.client.headers["Authorization"] = f"Bearer {API_KEY}"
    callback = {"callbackUrl": receiver.url, "callbackSecret": CALLBACK_SECRET}

    done = await service.run("quick", **callback)
    for _ in range(2):
        (await receiver.next()).verify(CALLBACK_SECRET)
    broken = await service.run("breaks", {"secret": "parameters-s3cret"}, **callback)
    await receiver.next()
    refusals = [
        await service.client.post("/api/v1/jobs", json={"type": "none"} | callback),
        await service.client.post("/api/v1/jobs", json={"type": "quick", "callbackSecret": [CALLBACK_SECRET]}),
        await service.client.get("/api/v1/jobs", headers={"Authorization": f"Bearer no-{API_KEY}"}),
    ]
    assert [answer.status_code for answer in refusals] == [422, 422, 401]
    await service.submit("until-open", gates.of("left"), **callback)
    await gates.has_begun("left")
    connections = "from pg_stat_activity where application_name = 'duly' and datname = current_database()"
    await service.sql(f"select pg_terminate_backend(pid) {connections}")
    await service.run("quick", **callback)
    assert await service.stop() == 0

    said = service.command.stderr
    for secret in (CALLBACK_SECRET, API_KEY, DATABASE_PASSWORD, "parameters-s3cret"):
        assert secret not in said
        assert secret not in service.command.stdout
    lines = _lines(said)
    for line in lines:
        assert {"message", "action", "level", "timestamp"} <= line.keys(), line
    told = {line["action"]: line for line in lines}
    assert told.keys() >= {"attempt_failed", "delivery_failed", "node_draining", "node_drained"}
    assert told["attempt_failed"]["jobId"] == broken["jobId"]
    assert (told["attempt_failed"]["jobType"], told["attempt_failed"]["attempt"]) == ("breaks", 2)
    assert "this breaks on purpose" in told["attempt_failed"]["exception"]
    assert told["delivery_failed"]["jobId"] == done["jobId"]


def test_lines_of_libraries_have_the_same_form(capfd: pytest.CaptureFixture[str], server: object) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("duly").level)
    configured = structlog.get_config()
    try:
        configure_logs("json", "info")
        logging.getLogger("some.package").warning("it says %s", "something")
    finally:
        root.handlers[:], level, own = before[0], before[1], before[2]
        root.setLevel(level)
        logging.getLogger("duly").setLevel(own)
        structlog.configure(**configured)
    [line] = _lines(capfd.readouterr().err)
    assert (line["message"], line["level"], line["action"]) == ("it says something", "warning", "library")
    assert line["logger"] == "some.package"
