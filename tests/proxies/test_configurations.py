"""The lines of the printed configurations that are easily left out do what the page says of them."""

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import handlers as signals
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.proxied_service import KEY, Site, a_node, opened_site
from tests.support.proxies import KINDS, Certificate, blocks, printed, replaced, running_proxy, under_a_path
from tests.support.service import BOUND_SECONDS, Service, eventually

ROOT = Path(__file__).parents[2]
WITH_A_TIMEOUT = ("nginx", "apache", "haproxy")
KEPT_SECONDS = 75  # idle connections, by the service
LINE = b'{"type":"echo"}\n'
GATED = '"type": "wait-for-gate", "parameters": {"name": "checked"}'
WITH_A_CHECK = ("apache", "haproxy", "caddy")


def test_every_proxy_has_a_block_and_a_line_for_a_path() -> None:
    assert blocks().keys() == KINDS.keys() == under_a_path().keys()
    for kind, (before, _) in under_a_path().items():
        assert blocks()[kind].count(before) == 1, kind


@pytest.mark.parametrize("page", ["docs/index.md", "docs/operate/operations.md"])
def test_the_page_is_linked(page: str) -> None:
    assert "behind-a-proxy.md" in (ROOT / page).read_text()


def test_proxies_wait_for_longer_than_the_longest_wait_and_close_idle_connections_before_the_service() -> None:
    for kind, idle in (
        ("nginx", r"keepalive_timeout (\d+)s;"),
        ("apache", r"ttl=(\d+)"),
        ("caddy", r"keepalive (\d+)s"),
    ):
        found = [int(seconds) for seconds in re.findall(idle, blocks()[kind])]
        assert found, kind
        assert all(seconds < KEPT_SECONDS for seconds in found), kind
    for kind, waits in (
        ("nginx", r"proxy_read_timeout (\d+)s"),
        ("apache", r"timeout=(\d+)"),
        ("haproxy", r"timeout (?:server|client|tunnel) (\d+)s"),
    ):
        found = [int(seconds) for seconds in re.findall(waits, blocks()[kind])]
        assert found, kind
        assert all(seconds > 60 for seconds in found), kind


@pytest.mark.parametrize("path", ["/api/v1/events/stream", "/api/v1/jobs/{job_id}/events/stream"])
async def test_a_stream_tells_proxies_to_pass_it_on_as_it_comes(nodes: list[Service], path: str) -> None:
    job_id = (await nodes[0].submit("echo"))["jobId"]
    async with nodes[0].client.stream("GET", path.format(job_id=job_id)) as answer:
        told = {name: answer.headers[name] for name in ("incremental", "x-accel-buffering", "cache-control")}
    assert told == {"incremental": "?1", "x-accel-buffering": "no", "cache-control": "no-store"}


async def test_the_printed_checks_find_what_they_look_for(
    certificate: Certificate, nodes: list[Service], tmp_path: Path
) -> None:
    async with opened_site("nginx", certificate, tmp_path, nodes) as site:
        job_id = (await site.run("echo"))["jobId"]
        text = printed("sh", "curl -N").replace("https://jobs.example.com", site.url)
        slowly = {"wait=60": "wait=1", '"type": "sleep", "parameters": {"seconds": 90}': GATED, "-m 2": "-m 5"}
        text = replaced(text, slowly)
        checked = await asyncio.create_subprocess_exec(
            *("bash", "-c", text),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ
            | {"DULY_API_KEY": "key", "JOB_ID": job_id, "CURL_CA_BUNDLE": f"{certificate.folder}/localhost.pem"},
        )
        async with asyncio.timeout(BOUND_SECONDS):
            output = (await checked.communicate())[0].decode()
        signals.gate("checked").set()
    assert "job_completed" in output
    assert re.search(r"\n101\n202 after [1-9]\d*\.\d+ s\n$", output), output


@pytest.mark.parametrize("kind", WITH_A_TIMEOUT)
async def test_it_is_the_printed_line_that_bounds_a_long_poll(
    kind: str, certificate: Certificate, nodes: list[Service], tmp_path: Path
) -> None:
    async with opened_site(kind, certificate, tmp_path, nodes, changes={"75": "2"}) as site:
        # Not through the proxy, which waits for two seconds only.
        job_id = (await nodes[0].submit("wait-for-gate", {"name": kind}))["jobId"]
        async with asyncio.timeout(BOUND_SECONDS):
            answer = await site.client.get(f"/api/v1/jobs/{job_id}?wait=30")
        signals.gate(kind).set()
        assert answer.status_code in {502, 504}, answer.text
        assert (await nodes[0].ended(job_id))["status"] == "completed"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_reaches_the_service_while_it_is_sent(kind: str, certificate: Certificate, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(BOUND_SECONDS),
        listening_for_the_first_line() as (port, heard),
        running_proxy(kind, certificate, tmp_path, nodes=[port]) as proxy,
        httpx.AsyncClient(base_url=proxy.url, verify=certificate.trusting, timeout=BOUND_SECONDS) as client,
    ):

        async def lines() -> AsyncIterator[bytes]:
            yield LINE * 4_000  # Apache passes nothing on before it has 16 KiB
            await heard.wait()
            yield LINE

        answer = await client.post("/api/v1/jobs/batch", content=lines())
        assert answer.status_code == 200


@asynccontextmanager
async def listening_for_the_first_line() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A server that says when the first line of a body has come, and answers each request when its body has ended."""
    heard = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            await reader.readuntil(LINE)
            heard.set()
            await read_to_the_last_chunk(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize("kind", KINDS)
async def test_a_submission_that_got_no_answer_is_not_sent_again(
    kind: str, certificate: Certificate, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(BOUND_SECONDS),
        answering_nothing() as (port, bodies),
        running_proxy(kind, certificate, tmp_path, nodes=[port, port]) as proxy,
        httpx.AsyncClient(base_url=proxy.url, verify=certificate.trusting, timeout=BOUND_SECONDS) as client,
    ):
        for number in range(3):
            with suppress(httpx.RemoteProtocolError):  # some close the client's connection instead
                answer = await client.post("/api/v1/jobs", content=LINE + b"%d" % number)
                assert answer.status_code in {500, 502, 503}
    assert bodies
    assert len(bodies) == len(set(bodies))


@asynccontextmanager
async def answering_nothing() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that closes the connection after each submission, which it may have recorded, and its bodies."""
    bodies: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            await reader.readuntil(LINE)
            bodies.append(await reader.read(1))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], bodies


async def read_to_the_last_chunk(reader: asyncio.StreamReader) -> None:
    read = b""
    while not read.endswith(b"\r\n0\r\n\r\n"):
        piece = await reader.read(65_536)
        assert piece, "the body was cut off"
        read = read[-8:] + piece


@pytest.fixture(scope="module")
async def node_under_a_path(
    server: Server, databases_of: Callable[[Server], TestDatabases]
) -> AsyncIterator[list[Service]]:
    async with databases_of(server).lent() as url, a_node(url, root_path="/duly") as node:
        yield [node]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_under_a_path_is_used_by_its_own_links(
    kind: str, certificate: Certificate, node_under_a_path: list[Service], tmp_path: Path
) -> None:
    before, after = under_a_path()[kind]
    async with opened_site(kind, certificate, tmp_path, node_under_a_path, changes={before: after}) as site:
        accepted = await site.client.post("/duly/api/v1/jobs", json={"type": "echo"})
        assert accepted.headers["location"] == f"/duly/api/v1/jobs/{accepted.json()['jobId']}"
        assert (await site.client.get(accepted.headers["location"])).status_code == 200
        assert (await site.client.get(accepted.json()["links"]["events"])).status_code == 200
        for page in ("/duly/docs", "/duly/ui"):
            files = re.findall(r'(?:src|href)="([^"]+)"', (await site.client.get(page)).text)
            assert len(files) > 2
            assert {(await site.client.get(file)).status_code for file in files} == {200}
        document = await site.client.get("/duly/openapi.json")
        assert document.json()["servers"][0] == {"url": "/duly"}
        async with asyncio.timeout(BOUND_SECONDS), site.socket("/duly/ws/jobs") as socket:
            await socket.send('{"type":"ping"}')
            assert json.loads(await socket.recv()) == {"type": "pong"}
        elsewhere = await site.client.get("/healthz")
        assert "application/json" not in elsewhere.headers.get("content-type", "")


async def test_nodes_that_drain_and_stop_are_left_out(
    certificate: Certificate, database_url: str, tmp_path: Path
) -> None:
    async with a_node(database_url) as staying, AsyncExitStack() as stack:
        async with a_node(database_url) as leaving:
            sites = {
                kind: await stack.enter_async_context(
                    opened_site(kind, certificate, tmp_path / kind, [leaving, staying], checks="/readyz")
                )
                for kind in KINDS
            }
            await leaving.node.drain()
            for kind in WITH_A_CHECK:  # the others pass on its answers: 503 to submissions
                await eventually(partial(takes_submissions, sites[kind]))
        for kind, site in sites.items():
            if kind in WITH_A_CHECK:  # the other node is not ready while its database is slow
                await eventually(partial(takes_submissions, site))
            else:
                assert await takes_submissions(site), kind


# Caddy waits for its check.
WITHOUT_CHECKS: dict[str, dict[str, str]] = {
    "nginx": {},
    "apache": {" hcmethod=GET hcuri=/readyz hcinterval=1": ""},
    "haproxy": {"default-server check inter 1s fall 2 rise 1": ""},
    "lighttpd": {},
}


@pytest.mark.parametrize("kind", WITHOUT_CHECKS)
async def test_a_node_that_has_gone_is_passed_over_before_any_check_has_seen_it(
    kind: str, certificate: Certificate, nodes: list[Service], tmp_path: Path
) -> None:
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # and does not listen
        ports = [gone.getsockname()[1], urlsplit(nodes[0].url).port or 0]
        async with (
            running_proxy(kind, certificate, tmp_path, nodes=ports, changes=WITHOUT_CHECKS[kind]) as proxy,
            httpx.AsyncClient(
                base_url=proxy.url, headers=KEY, verify=certificate.trusting, timeout=BOUND_SECONDS
            ) as client,
        ):
            answers = [await client.post("/api/v1/jobs", json={"type": "echo"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 6


async def takes_submissions(site: Site) -> bool:
    """Returns whether six in a row are accepted: each node gets some of them."""
    answers = [await site.client.post("/api/v1/jobs", json={"type": "echo"}) for _ in range(6)]
    return all(answer.status_code == 202 for answer in answers)
