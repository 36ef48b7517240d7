"""The guarded client against receivers that answer too much, too slowly, too often, or not in HTTP."""

import asyncio
import gzip
import socket
import time

import pytest

from duly.outbound import RESPONSE_LIMIT, OutboundClient
from duly.outbound.response_reader import ResponseReader
from tests.support.raw_receiver import (
    EMPTY,
    HEADERS,
    LOOPBACK,
    answers,
    answers_and_closes,
    failure,
    is_silent,
    receiver,
    repeats,
)

ENDLESS = {
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"),
    "by its length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 1024),
    "until closed": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1024),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_an_endless_body_is_cut_and_its_connection_closed(kind: str) -> None:
    head, piece = ENDLESS[kind]
    async with receiver(repeats(piece, after=head)) as here, OutboundClient(egress=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.status, answer.truncated, answer.body) == (200, True, b"x" * RESPONSE_LIMIT)
        await asyncio.wait_for(here.closed.wait(), 60)


async def in_single_bytes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sending: socket.socket = writer.get_extra_info("socket")
    sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")
    for _ in range(20_000):
        writer.write(b"x")
        await asyncio.sleep(0)


async def test_a_body_in_twenty_thousand_pieces_is_read_in_few(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, feed = [], ResponseReader.feed

    def counted(self: ResponseReader, received: bytes) -> None:
        pieces.append(len(received))
        feed(self, received)

    monkeypatch.setattr(ResponseReader, "feed", counted)
    async with receiver(in_single_bytes) as here, OutboundClient(egress=LOOPBACK) as client:
        for _ in range(2):  # on one connection, which is good for more afterwards
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert answer.body == b"x" * 20_000
    assert here.connections == 1
    assert len(pieces) < 1_000


async def test_a_body_of_exactly_the_limit_is_whole() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % RESPONSE_LIMIT + b"x" * RESPONSE_LIMIT
    async with receiver(answers(data)) as here, OutboundClient(egress=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
    assert (len(answer.body), answer.truncated) == (RESPONSE_LIMIT, False)


TRICKLES = {
    "body": repeats(b"x", after=ENDLESS["by its length"][0], pause=0.02),
    "chunks": repeats(b"1\r\nx\r\n", after=ENDLESS["chunked"][0], pause=0.02),
    "until closed": repeats(b"x", after=ENDLESS["until closed"][0], pause=0.02),
    "header": repeats(b"x", after=b"HTTP/1.1 200 OK\r\nX-Slow: ", pause=0.02),
    "100-continue trickle": repeats(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.05),
    "chunk extensions": repeats(b"x" * 4096, after=ENDLESS["chunked"][0] + b"1;"),
    "silence": is_silent,
}


@pytest.mark.parametrize("kind", TRICKLES)
async def test_one_deadline_bounds_the_whole_exchange(kind: str) -> None:
    async with (
        receiver(TRICKLES[kind]) as here,
        OutboundClient(egress=LOOPBACK, total_seconds=0.3) as client,
    ):
        started = time.perf_counter()
        error = await failure(client, f"http://127.0.0.1:{here.port}/")
        assert time.perf_counter() - started < 10
        assert error.code in ({"TIMED_OUT", "INVALID_RESPONSE"} if kind == "chunk extensions" else {"TIMED_OUT"})
        assert error.duration_seconds < 10
        await asyncio.wait_for(here.closed.wait(), 60)


BOMB = gzip.compress(bytes(1_000_000)) * 80
ZIPPED = {
    "as a content": b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "as a transfer": b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n" % len(BOMB) + BOMB + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("kind", ZIPPED)
async def test_a_gzip_bomb_is_not_inflated(kind: str) -> None:
    """All that is read of 80 MB of zeros is 64 KiB as they came."""
    async with (
        receiver(answers(b"HTTP/1.1 200 OK\r\n" + ZIPPED[kind])) as here,
        OutboundClient(egress=LOOPBACK) as client,
    ):
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.body, answer.truncated) == (BOMB[:RESPONSE_LIMIT], True)
        assert "accept-encoding: identity\r\n" in here.heads[0].lower()


OK_HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "100-continue flood": repeats(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "early hints flood": repeats(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000),
    "many headers": repeats(b"X-Flood: x\r\n" * 64, after=OK_HEAD),
    "one long header": repeats(b"x" * 4096, after=OK_HEAD + b"X-Flood: "),
    "one long header name": repeats(b"x" * 4096, after=OK_HEAD),
    "a long status line": repeats(b"x" * 4096, after=b"HTTP/1.1 200 "),
    "many trailers": repeats(b"X-Flood: x\r\n" * 64, after=ENDLESS["chunked"][0] + b"0\r\n"),
    "no HTTP": answers_and_closes(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "two lengths": answers(OK_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
    "a NUL in a header": answers(OK_HEAD + b"X-Nul: \x00\r\nContent-Length: 0\r\n\r\n"),
    "nothing": answers_and_closes(b""),
    "half a head": answers_and_closes(OK_HEAD),
    "half a body": answers_and_closes(OK_HEAD + b"Content-Length: 10\r\n\r\nhalf"),
    "half a chunk": answers_and_closes(ENDLESS["chunked"][0] + b"10\r\nhalf"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_is_not_a_bounded_http_answer_is_broken(kind: str) -> None:
    async with receiver(BROKEN[kind]) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        error = await failure(client, f"http://127.0.0.1:{here.port}/secret-path?token=t0ken")
        assert error.code == "INVALID_RESPONSE"
        assert str(error).startswith(f"127.0.0.1:{here.port}: ")
        assert "secret-path" not in str(error) and "t0ken" not in str(error)


async def test_a_few_interim_answers_before_the_answer_are_passed_over() -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3
    async with receiver(answers(hints + EMPTY)) as here, OutboundClient(egress=LOOPBACK) as client:
        for _ in range(5):
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert (answer.status, answer.headers) == (204, {})
        assert here.connections == 1


@pytest.mark.parametrize("extra", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", EMPTY * 1000])
async def test_what_comes_unasked_is_never_taken_for_the_next_answer(extra: bytes) -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(egress=LOOPBACK) as client:
        url = f"http://127.0.0.1:{here.port}/"
        await client.post(url, content=b"{}", headers=HEADERS)
        here.writers[0].write(extra)
        await asyncio.wait_for(here.closed.wait(), 60)
        assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
        assert here.connections == 2


async def test_an_answer_followed_by_others_is_taken_and_its_connection_closed() -> None:
    async with receiver(answers(EMPTY + OK_HEAD + b"\r\n")) as here, OutboundClient(egress=LOOPBACK) as client:
        for _ in range(3):
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert answer.status == 204
        assert here.connections == 3


async def reads_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def test_a_receiver_that_reads_nothing_is_given_up_in_time() -> None:
    async with (
        receiver(reads_no_more, reads_bodies=False) as here,
        OutboundClient(egress=LOOPBACK, total_seconds=0.3) as client,
    ):
        error = await failure(client, f"http://127.0.0.1:{here.port}/", content=bytes(20_000_000))
        assert error.code == "TIMED_OUT"


async def test_a_receiver_that_stops_reading_on_a_kept_connection_is_given_up_in_time() -> None:
    turns = iter([answers(EMPTY), reads_no_more])

    async def reads_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next(turns)(reader, writer)

    async with (
        receiver(reads_once, reads_bodies=False) as here,
        OutboundClient(egress=LOOPBACK, total_seconds=0.3) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        client._total_seconds = 60  # of a new connection
        assert (await client.post(url, content=b"", headers=HEADERS)).status == 204
        error = await failure(client, url, content=bytes(20_000_000))
        assert (error.code, here.connections) == ("TIMED_OUT", 1)
