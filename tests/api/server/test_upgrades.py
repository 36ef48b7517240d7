"""Upgrades: a WebSocket is accepted, any other offer is ignored and the request is served."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.raw_client import SUBMISSION, raw_client, request, submission
from tests.support.service import Service

HEALTH = request("GET", "/healthz")
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAA")
SOCKET = (
    *("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
OFFERS = [
    H2C,
    ("Connection: upgrade", "Upgrade: TLS/1.0"),
    ("Connection: Upgrade", "Upgrade: websocket"),
    ("Connection: Upgrade", "Upgrade: websocket, h2c"),
    ("Connection: Upgrade", "Upgrade: a", "Upgrade: b"),
    ("Connection: Upgrade", "Connection: HTTP2-Settings", "Upgrade: H2C"),
    ("Connection: Upgrade", "Upgrade: h2c", "Expect: 100-continue"),
]


def cuts(whole: bytes) -> list[list[bytes]]:
    """Yields a request whole, and cut after its head, within it, and within its body."""
    end = whole.index(b"\r\n\r\n") + 4
    places: tuple[list[int], ...] = ([], [end], [20, end - 2], [end + 3], [end - 30, end, end + 10])
    return [[whole[start:stop] for start, stop in pairwise([0, *each, len(whole)])] for each in places]


@pytest.mark.parametrize("offer", OFFERS)
async def test_the_body_of_a_request_whose_offer_is_ignored_is_kept(contract: Service, offer: tuple[str, ...]) -> None:
    asks = submission(*offer)
    async with raw_client(contract) as client:
        for pieces in cuts(asks):
            await client.send(*pieces)
            response = await client.response()
            if response.status == 100:
                response = await client.response()
            assert response.status == 202, response.body
        assert (await client.ask(HEALTH)).status == 200


async def test_a_chunked_body_behind_an_ignored_offer_is_kept(contract: Service) -> None:
    head = request("POST", "/api/v1/jobs", "Content-Type: application/json", *H2C, "Transfer-Encoding: chunked")
    async with raw_client(contract) as client:
        for _ in range(2):
            assert (await client.ask(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SUBMISSION), SUBMISSION))).status == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_an_ignored_offer_changes_nothing_for_any_method(contract: Service, method: str) -> None:
    target = "/api/v1/schedules/none" if method in {"PUT", "DELETE"} else "/api/v1/jobs"
    async with raw_client(contract) as client:
        plain = await client.ask(request(method, target))
        offered = await client.ask(request(method, target, *H2C))
        assert (offered.status, offered.headers.keys()) == (plain.status, plain.headers.keys())
        assert offered.status != 101


async def test_many_requests_with_offers_in_one_segment_are_all_answered(contract: Service) -> None:
    async with raw_client(contract) as client:
        await client.send(request("GET", "/healthz", *H2C) * 50)
        assert {(await client.response()).status for _ in range(50)} == {200}


@pytest.mark.parametrize(
    "asks",
    [
        request("POST", "/ws/jobs", *SOCKET),
        request("POST", "/ws/jobs", *SOCKET, body=SUBMISSION),
        request("PUT", "/ws/jobs", *SOCKET),
        request("GET", "/ws/jobs", *SOCKET, body=SUBMISSION),
        request("GET", "/ws/jobs", *SOCKET, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        request("GET", "/ws/jobs", *SOCKET).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_websocket_is_offered_in_vain_where_none_can_be(contract: Service, asks: bytes) -> None:
    async with raw_client(contract) as client:
        response = await client.ask(asks)
        assert response.status in {404, 405}, response.body
        assert response.json()["error"]["code"] in {"NOT_FOUND", "METHOD_NOT_ALLOWED"}
        if b"HTTP/1.0" not in asks:
            assert (await client.ask(HEALTH)).status == 200


@pytest.mark.parametrize("offer", ["websocket", "WebSocket", "h2c, websocket", "websocket, h2c"])
async def test_a_websocket_is_taken_from_among_several_offers(contract: Service, offer: str) -> None:
    asks = request("GET", "/ws/jobs", "Connection: Upgrade", f"Upgrade: {offer}", *SOCKET[2:])
    async with raw_client(contract) as client:
        await client.send(HEALTH)
        assert (await client.response()).status == 200
        response = await client.ask(asks)
        assert response.status == 101
        assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def test_a_websocket_offered_behind_an_unanswered_request_does_not_cut_its_answer(contract: Service) -> None:
    async with raw_client(contract) as client:
        await client.send(submission("Prefer: wait=5") + request("GET", "/ws/jobs", *SOCKET))
        assert (await client.response()).status == 200
        (await client.response()).refused(404, "NOT_FOUND")


async def test_a_client_library_opens_a_socket(contract: Service) -> None:
    async with connect(contract.url.replace("http", "ws") + "/ws/jobs", proxy=None) as socket:
        await socket.send('{"type":"ping","ref":"a"}')
        heard: Any = await asyncio.wait_for(socket.recv(), 60)
        assert '"pong"' in heard
