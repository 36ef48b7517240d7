"""Python's own HTTP clients, and requests over urllib3."""

import asyncio
import http.client
import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.support.service import Service

ECHO: dict[str, Any] = {"type": "echo", "parameters": [1]}
JSON = {"Content-Type": "application/json"}
LINE = json.dumps(ECHO).encode() + b"\n"


def asked(connection: http.client.HTTPConnection, *request: object, **options: object) -> tuple[int, bytes]:
    connection.request(*request, **options)  # type: ignore[arg-type]  # as given
    response = connection.getresponse()
    return response.status, response.read()


async def test_http_client_uses_one_connection_for_many_requests(shared: Service) -> None:
    def use() -> list[int]:
        connection = http.client.HTTPConnection(urlsplit(shared.url).netloc, timeout=90)
        connection.connect()
        socket = connection.sock
        statuses = [asked(connection, "POST", "/api/v1/jobs", body=json.dumps(ECHO), headers=JSON)[0]]
        lines = {"Content-Type": "application/x-ndjson"}
        statuses.append(asked(connection, "POST", "/api/v1/jobs/batch", body=iter([LINE] * 3), headers=lines)[0])
        statuses.append(asked(connection, "GET", "/api/v1/jobs/no-id")[0])
        statuses.append(asked(connection, "POST", "/api/v1/jobs", body="{", headers=JSON)[0])
        statuses.append(asked(connection, "GET", "/healthz")[0])
        assert connection.sock is socket
        connection.close()
        return statuses

    assert await asyncio.to_thread(use) == [202, 202, 404, 400, 200]


async def test_urllib_submits_and_reads(shared: Service) -> None:
    def use() -> object:
        submission = urllib.request.Request(
            f"{shared.url}/api/v1/jobs", data=json.dumps(ECHO).encode(), headers=JSON | {"Prefer": "wait=60"}
        )
        with urllib.request.urlopen(submission, timeout=90) as response:
            return json.load(response)["result"]

    assert await asyncio.to_thread(use) == [1]


async def test_requests_submits_and_follows_a_stream_and_streams_a_body(shared: Service) -> None:
    def use() -> tuple[list[str], int]:
        with requests.Session() as session:
            session.trust_env = False
            job_id = session.post(f"{shared.url}/api/v1/jobs", json=ECHO, timeout=90).json()["jobId"]
            address = f"{shared.url}/api/v1/jobs/{job_id}/events/stream"
            with session.get(address, stream=True, timeout=90) as stream:
                lines = [line.decode() for line in stream.iter_lines()]
            batch = session.post(
                f"{shared.url}/api/v1/jobs/batch",
                data=lines_of(100),
                headers={"Content-Type": "application/x-ndjson"},
                timeout=90,
            )
        return [line for line in lines if line.startswith("event: job_")], batch.status_code

    told, status = await asyncio.to_thread(use)
    assert told == ["event: job_submitted", "event: job_started", "event: job_completed"]
    assert status == 202


def lines_of(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield LINE
