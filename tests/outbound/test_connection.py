"""Requests and responses on keep-alive connections."""

import asyncio
from typing import get_args

import pytest

from duly.outbound import Method, OutboundClient
from tests.support.raw_receiver import (
    EMPTY,
    HEADERS,
    LOOPBACK,
    answers,
    failure,
    ignores_the_body,
    is_silent,
    receiver,
)


async def test_headers_come_in_lower_case_and_repeated_ones_joined() -> None:
    data = b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-ONE: b\r\nX-Latin: \xe9\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answers(data)) as here, OutboundClient(egress=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
    assert answer.headers == {"x-one": "a, b", "x-latin": "é", "content-length": "0"}


async def test_one_connection_carries_many_posts_and_no_cookie() -> None:
    data = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 2\r\n\r\nok"
    async with receiver(answers(data)) as here, OutboundClient(egress=LOOPBACK) as client:
        for number in range(20):
            content = str(number).encode()
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=content, headers=HEADERS)
            assert answer.body == b"ok"
        assert here.connections == 1
        assert here.bodies == [str(number).encode() for number in range(20)]
        assert "cookie" not in "".join(here.heads).lower()


async def test_connections_to_one_host_are_bounded() -> None:
    async with (
        receiver(answers(EMPTY)) as here,
        OutboundClient(egress=LOOPBACK, connections_per_host=3) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        await asyncio.gather(*(client.post(url, content=b"{}", headers=HEADERS) for _ in range(30)))
        assert (here.most_open, len(here.bodies)) == (3, 30)


async def test_the_request_is_sent_as_it_was_given() -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(egress=LOOPBACK) as client:
        path = "/a%2Fb//c;d?x=%2B1%20&y=a+b&sig=a%3D%3D"
        headers = HEADERS | {"Accept-Encoding": "gzip", "Transfer-Encoding": "chunked", "content-length": "1", "x": "y"}
        await client.post(f"http://127.0.0.1:{here.port}{path}#fragment", content=b"{}", headers=headers)
        line, *sent = here.heads[0].rstrip().split("\r\n")
        assert line == f"POST {path} HTTP/1.1"
        assert sorted(header.lower() for header in sent) == [
            "accept-encoding: identity",
            "content-length: 2",
            "content-type: application/json",
            f"host: 127.0.0.1:{here.port}",
            "user-agent: duly/test",
            "x: y",
        ]
        await client.post(f"http://127.0.0.1:{here.port}/", content=b"", headers={})
        bare = ["accept-encoding: identity", "content-length: 0", f"host: 127.0.0.1:{here.port}"]
        assert sorted(header.lower() for header in here.heads[1].rstrip().split("\r\n")[1:]) == bare


SENT = {"GET": None, "HEAD": None, "POST": "0", "PUT": "0", "PATCH": "0", "DELETE": None, "OPTIONS": None}


@pytest.mark.parametrize("method", get_args(Method))
async def test_every_method_is_sent_with_a_body_and_without(method: Method) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == "HEAD" else b"ok")
    async with receiver(answers(data)) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        url = f"http://127.0.0.1:{here.port}/a?b=c"
        for content in (b"{}", None, b"", b"{}"):
            answer = await client.request(method, url, content=content, headers=HEADERS)
            assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"ok")
        assert [head.partition("\r\n")[0] for head in here.heads] == [f"{method} /a?b=c HTTP/1.1"] * 4
        assert [length_of(head) for head in here.heads] == ["2", SENT[method], "0", "2"]
        assert here.bodies == [b"{}", b"", b"", b"{}"]
        assert here.connections == (4 if method == "HEAD" else 1)


def length_of(head: str) -> str | None:
    return dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:-2]).get("content-length")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_the_answer_to_a_head_ends_with_its_headers(answer: bytes) -> None:
    async with receiver(answers(answer)) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        for _ in range(2):
            came = await client.request("HEAD", f"http://127.0.0.1:{here.port}/", content=None, headers={})
            assert (came.status, came.body, came.truncated) == (200, b"", False)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_ends_with_its_headers_whatever_length_it_tells_of(status: int) -> None:
    data = f"HTTP/1.1 {status} Empty\r\nContent-Length: 500\r\n\r\n".encode()
    async with receiver(answers(data)) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        for _ in range(3):
            came = await client.request("GET", f"http://127.0.0.1:{here.port}/", content=None, headers={})
            assert (came.status, came.body) == (status, b"")


@pytest.mark.parametrize("size", [0, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    content = bytes(index % 251 for index in range(1000)) * (size // 1000 + 1)
    async with receiver(answers(EMPTY)) as here, OutboundClient(egress=LOOPBACK) as client:
        for _ in range(2):
            await client.post(f"http://127.0.0.1:{here.port}/", content=content[:size], headers=HEADERS)
        assert here.bodies == [content[:size]] * 2
        assert here.connections == 1
        assert "chunked" not in here.heads[0].lower()


async def test_an_answer_before_the_body_was_read_is_taken() -> None:
    async with receiver(ignores_the_body) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=bytes(20_000_000), headers=HEADERS)
    assert answer.status == 413


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x\r\ny": "a"}, {"x": "a\x00"}, {"x": "\u2603"}])
async def test_a_header_that_no_message_can_carry_is_an_error_of_the_caller(headers: dict[str, str]) -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        with pytest.raises(ValueError, match=r"header|ascii|Newline|character"):
            await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=headers)
        assert here.heads == []


async def test_a_post_that_is_cancelled_lets_its_connection_go() -> None:
    async with receiver(is_silent) as here, OutboundClient(egress=LOOPBACK) as client:
        post = asyncio.create_task(
            client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS), name="post"
        )
        async with asyncio.timeout(60):
            while not here.bodies:
                await asyncio.sleep(0)
        post.cancel()
        await asyncio.wait([post], timeout=60)
        assert post.cancelled()
        await asyncio.wait_for(here.closed.wait(), 60)


async def test_closing_the_client_fails_the_posts_under_way() -> None:
    async with receiver(is_silent) as here:
        client = OutboundClient(egress=LOOPBACK)
        post = asyncio.create_task(failure(client, f"http://127.0.0.1:{here.port}/"))
        async with asyncio.timeout(60):
            while not here.bodies:
                await asyncio.sleep(0)
        await client.aclose()
        assert (await asyncio.wait_for(post, 60)).code == "INVALID_RESPONSE"
