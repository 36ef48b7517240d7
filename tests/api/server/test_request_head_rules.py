"""Heads of requests: limits, `Host` and framing, checked before authentication."""

import asyncio
import re

import pytest

from duly.api.server.request_head_rules import HEAD_BYTES, HEADER_LINES, TARGET_BYTES, is_host
from tests.support.raw_client import SUBMISSION, RawClient, raw_client, request, submission
from tests.support.service import Service

HEALTH = request("GET", "/healthz")


def head_of(size: int) -> bytes:
    """Returns a head of this size."""
    empty = request("GET", "/healthz", "x: ")
    return request("GET", "/healthz", "x: " + "x" * (size - len(empty)))


async def test_a_head_of_64_kib_is_taken_and_a_byte_more_is_431(contract: Service) -> None:
    for before in (b"", HEALTH):
        async with raw_client(contract) as client:
            if before:
                assert (await client.ask(before)).status == 200
            assert (await client.ask(head_of(HEAD_BYTES))).status == 200
            (await client.ask(head_of(HEAD_BYTES + 1))).refused(431, "HEADERS_TOO_LARGE")
            assert await client.closed()


async def test_a_head_that_is_too_large_is_431_in_whatever_pieces_it_comes(contract: Service) -> None:
    large = head_of(3 * HEAD_BYTES)
    for size in (len(large), 5_000, 40_000):
        async with raw_client(contract) as client:
            pieces = [large[start : start + size] for start in range(0, len(large), size)]
            sending = asyncio.ensure_future(client.send(*pieces))
            (await client.response()).refused(431, "HEADERS_TOO_LARGE")
            assert await client.closed()
            await asyncio.gather(sending, return_exceptions=True)


async def test_megabytes_of_header_lines_are_431_before_they_have_come(contract: Service) -> None:
    async with raw_client(contract) as client:
        lines = [b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] + [b"x-line: %b\r\n" % (b"y" * 1000) * 1000] * 8
        sending = asyncio.ensure_future(client.send(*lines))
        (await client.response()).refused(431, "HEADERS_TOO_LARGE")
        await asyncio.gather(sending, return_exceptions=True)


async def test_more_than_200_header_lines_are_431(contract: Service) -> None:
    lines = [f"x-{number}: y" for number in range(HEADER_LINES)]
    async with raw_client(contract) as client:
        assert (await client.ask(request("GET", "/healthz", *lines[1:]))).status == 200
        (await client.ask(request("GET", "/healthz", *lines))).refused(431, "HEADERS_TOO_LARGE")
        assert await client.closed()


@pytest.mark.parametrize("pieces", [1, 3])
async def test_an_address_of_more_than_16_kib_is_414(contract: Service, pieces: int) -> None:
    def asks(size: int) -> bytes:
        return request("GET", "/healthz?" + "x" * (size - len("/healthz?")))

    async with raw_client(contract) as client:
        assert (await client.ask(asks(TARGET_BYTES))).status == 200
        long = asks(TARGET_BYTES + 1)
        cut = len(long) // pieces + 1
        await client.send(*(long[start : start + cut] for start in range(0, len(long), cut)))
        (await client.response()).refused(414, "URI_TOO_LONG")
        assert await client.closed()


async def test_what_is_refused_before_the_application_keeps_the_id_of_its_request(contract: Service) -> None:
    async with raw_client(contract) as client:
        response = await client.ask(request("GET", "/healthz", "X-Request-Id: mine", "Host: again"))
        response.refused(400, "BAD_REQUEST")
        assert response.headers["x-request-id"] == "mine"


async def test_a_chunked_body_with_endless_extensions_is_refused(contract: Service) -> None:
    head = request("POST", "/api/v1/jobs", "Content-Type: application/json", "Transfer-Encoding: chunked")
    endless = {"extension": b"3;" + b"x" * (2 * HEAD_BYTES), "trailer": b"0\r\nx: " + b"x" * (2 * HEAD_BYTES)}
    for pieces in endless.values():
        async with raw_client(contract) as client:
            (await client.ask(head, *(pieces[at : at + 50_000] for at in range(0, len(pieces), 50_000)))).refused(
                431, "HEADERS_TOO_LARGE"
            )
            assert await client.closed()
    async with raw_client(contract) as client:
        (await client.ask(head + b"0\r\n" + b"a: b\r\n" * (HEADER_LINES + 1) + b"\r\n")).refused(
            431, "HEADERS_TOO_LARGE"
        )


async def test_a_body_in_chunks_of_one_byte_is_taken(contract: Service) -> None:
    head = request("POST", "/api/v1/jobs", "Content-Type: application/json", "Transfer-Encoding: chunked")
    body = b'{"type":"echo","parameters":"' + b"x" * 60_000 + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    async with raw_client(contract) as client:
        response = await client.ask(head, *(chunks[at : at + 30_000] for at in range(0, len(chunks), 30_000)))
        assert response.status == 202


async def test_a_trailer_is_no_header(contract: Service) -> None:
    head = request("POST", "/api/v1/jobs", "Content-Type: application/json", "Transfer-Encoding: chunked")
    body = b"%x\r\n%b\r\n0\r\nIdempotency-Key: not one at all\r\nHost: other\r\n\r\n" % (len(SUBMISSION), SUBMISSION)
    async with raw_client(contract) as client:
        assert (await client.ask(head + body)).status == 202
        assert (await client.ask(HEALTH)).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Host: localhost", "Host: localhost"],
        ["Host: localhost", "X: y", "hOST: other"],
        *(
            [f"Host: {value}"]
            for value in ("", " ", "a b", "a/b", "u@h", "a, b", "h:port", "h:99999", "h:1:2", "[::1", "a\\b")
        ),
        *([f"Host: {value}"] for value in ("[1.2.3.4]", "[v1.x]", "http://h", "h?q", "h#f", "%zz", "[::1]x", "\xe9")),
    ],
)
async def test_a_host_that_is_missing_malformed_or_there_twice_is_400(contract: Service, lines: list[str]) -> None:
    for target in ("/healthz", "http://localhost/healthz", "/ws/jobs"):
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"] if "ws" in target else []
        head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, *upgrade]).encode("latin-1")
        async with raw_client(contract) as client:
            (await client.ask(head + b"\r\n\r\n")).refused(400, "BAD_REQUEST")
            assert await client.closed()


def test_hosts_are_told_from_what_is_none() -> None:
    for value in (
        "a",
        "a:80",
        "a:",
        "A.b-c_d.example.",
        "1.2.3.4:1",
        "[::1]",
        "[2001:db8::1]:8000",
        "a%20b",
        "x" * 300,
    ):
        assert is_host(value.encode()), value
    for value in ("", "[]", "[::g]", "[::1]80", ":80", "a:65536", "a b", "a\tb", "a\n", "x" * 513):
        assert not is_host(value.encode()), value


async def test_http_1_0_needs_no_host(contract: Service) -> None:
    async with raw_client(contract) as client:
        assert (await client.ask(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 200


async def test_the_host_of_an_absolute_target_goes_before_the_header(contract: Service) -> None:
    for target, status in (
        ("http://localhost/healthz", 200),
        ("HTTP://localhost:1", 200),
        ("http://localhost?q", 200),
        ("http://h?q", 403),
    ):
        async with raw_client(contract) as client:
            assert (await client.ask(request("GET", target))).status == status, target
            assert (await client.ask(HEALTH)).status == 200
    for target in ("http:///healthz", "http://u@h/healthz", "ftp://h/healthz", "http://[::1/healthz"):
        async with raw_client(contract) as client:
            (await client.ask(request("GET", target))).refused(400, "BAD_REQUEST")


CHUNKED = b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Content-Length: 3", "Content-Length: 3"], 400),
        (["Content-Length: 3", "Content-Length: 4"], 400),
        (["Content-Length: 3, 3"], 400),
        (["Content-Length: +3"], 400),
        (["Content-Length: 0x3"], 400),
        (["Content-Length:"], 400),
        (["Content-Length : 3"], 400),
        (["Content-Length:\r\n 3"], 400),
        (["Content-Length: 99999999999999999999"], 400),
        (["Transfer-Encoding: chunked", "Content-Length: 3"], 400),
        (["Content-Length: 3", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: identity"], 501),
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], 501),
        (["Transfer-Encoding: chunked, chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: xchunked"], 501),
        (["Transfer-Encoding:\r\n chunked"], 400),
        (["Transfer-Encoding : chunked"], 400),
        (["Transfer-Encoding: \x0bchunked"], 400),
        (["X: a\nTransfer-Encoding: chunked"], 400),
        (["X: a\rContent-Length: 3"], 400),
    ],
)
async def test_a_request_whose_end_is_in_doubt_is_refused_and_nothing_after_it_is_read(
    contract: Service, headers: list[str], status: int
) -> None:
    async with raw_client(contract) as client:
        response = await client.ask(request("POST", "/api/v1/jobs", *headers) + CHUNKED + HEALTH)
        response.refused(status, "BAD_REQUEST" if status == 400 else "NOT_IMPLEMENTED")
        assert await client.closed()


async def test_chunked_in_http_1_0_is_refused(contract: Service) -> None:
    async with raw_client(contract) as client:
        await client.send(b"POST /api/v1/jobs HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        (await client.response()).refused(501, "NOT_IMPLEMENTED")


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
async def test_other_versions_are_400(contract: Service, version: str) -> None:
    async with raw_client(contract) as client:
        (await client.ask(f"GET /healthz HTTP/{version}\r\nHost: x\r\n\r\n".encode())).refused(400, "BAD_REQUEST")
        assert await client.closed()


async def test_connect_is_405_and_what_follows_is_not_read(contract: Service) -> None:
    async with raw_client(contract) as client:
        (await client.ask(request("CONNECT", "other:443") + HEALTH)).refused(405, "METHOD_NOT_ALLOWED")
        assert await client.closed()


async def _two(client: RawClient, second: bytes) -> tuple[int, int]:
    first = await client.ask(submission("Prefer: wait=5") + second)
    return first.status, (await client.response()).status


async def test_a_faulty_request_behind_another_is_refused_after_that_is_answered(contract: Service) -> None:
    second = {
        "head": request("GET", "/healthz", "Host: again"),
        "body": request("POST", "/api/v1/jobs", "Transfer-Encoding: chunked") + b"zz\r\n",
    }
    for faulty in second.values():
        async with raw_client(contract) as client:
            assert await _two(client, faulty) == (200, 400)
            assert await client.closed()


async def test_a_body_that_turns_faulty_submits_nothing(contract: Service) -> None:
    before = await contract.sql("select count(*) from jobs")
    async with raw_client(contract) as client:
        head = request("POST", "/api/v1/jobs", "Content-Type: application/json", "Transfer-Encoding: chunked")
        await client.send(head + b"%x\r\n%b\r\n" % (len(SUBMISSION), SUBMISSION), b"zz\r\n")
        (await client.response()).refused(400, "BAD_REQUEST")
        assert await client.closed()
    assert await contract.sql("select count(*) from jobs") == before


async def test_refusals_before_the_application_are_counted(contract: Service) -> None:
    async with raw_client(contract) as client:
        (await client.ask(head_of(2 * HEAD_BYTES))).refused(431, "HEADERS_TOO_LARGE")
    metrics = (await contract.client.get("/metrics")).text
    assert re.search(r'duly_requests_refused_total\{[^}]*code="HEADERS_TOO_LARGE"\}', metrics)  # beside that of a cell
