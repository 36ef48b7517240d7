"""The guarded client against receivers that misbehave, on real sockets of this machine."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from duly.domain.networks import parse_networks
from duly.outbound import ANSWER_LIMIT, OutboundClient, OutboundError, _guarded_socket

LOOPBACK = parse_networks("127.0.0.0/8")
HEADERS = {"Content-Type": "application/json", "User-Agent": "Duly/test"}
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A server that takes requests in, keeps them, and then does what its behaviour says with the connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.closed = asyncio.Event()
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._behaviour = behaviour

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while True:
                    await self._take(reader)
                    await self._behaviour(reader, writer)
        finally:
            self.open -= 1
            self.closed.set()
            writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self._behaviour is not ignores_the_body:
            length = int(head.lower().partition("content-length:")[2].partition("\r\n")[0])
            self.bodies.append(await reader.readexactly(length))


@asynccontextmanager
async def receiver(
    behaviour: Behaviour, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    made = Receiver(behaviour)
    server = await asyncio.start_server(made.serve, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield made
        finally:
            server.close()
            for writer in made.writers:
                writer.transport.abort()
            async with asyncio.timeout(2):
                while made.open:
                    made.closed.clear()
                    await made.closed.wait()


def answers(data: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


def answers_and_closes(data: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        raise ConnectionError

    return behave


def repeats(data: bytes, *, after: bytes = b"", pause: float = 0) -> Behaviour:
    """Sends `data` again and again until the client goes away."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        while True:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


async def ignores_the_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    await writer.wait_closed()


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    raise ConnectionError


class FakeResolver(AbstractResolver):
    """Names lead where the test says; each look-up takes the next answer, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        kind = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            ResolveResult(hostname=host, host=at, port=port, family=kind[":" in at], proto=0, flags=0) for at in found
        ]

    async def close(self) -> None:
        pass


async def failure(client: OutboundClient, url: str, *, content: bytes = b"{}") -> OutboundError:
    with pytest.raises(OutboundError) as raised:
        await client.post(url, content=content, headers=HEADERS)
    return raised.value


SPELLINGS = ["127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0", "0.0.0.0", "127.0.0.1."]
SPELLINGS += ["[::ffff:127.0.0.1]", "[::1]", "[::]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "localhost", "localhost."]
SPELLINGS += ["a.localhost", "LOCALHOST", "１２７.0.0.1", "user:word@127.0.0.1", "127.0.0.1%00.example"]  # noqa: RUF001 - such digits are the point


async def test_no_spelling_of_this_machine_reaches_it_unless_allowed() -> None:
    async with receiver(answers(EMPTY)) as sink:
        async with OutboundClient(total_seconds=2) as client:
            for host in SPELLINGS:
                error = await failure(client, f"http://{host}:{sink.port}/")
                assert error.code in {"REFUSED_ADDRESS", "INVALID_URL"}, host
        # Connections are accepted in their order, so none came before this one.
        async with OutboundClient(allow_networks=LOOPBACK, total_seconds=2) as client:
            assert (await client.post(f"http://127.1:{sink.port}/", content=b"", headers={})).status == 204
        assert sink.connections == 1


@pytest.mark.parametrize("addresses", [["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "fd00::1"], ["::1"]])
async def test_a_name_is_refused_if_any_of_its_addresses_is(addresses: list[str]) -> None:
    async with receiver(answers(EMPTY)) as sink:
        resolver = FakeResolver(addresses)
        allowed = parse_networks("127.0.0.1/32")
        async with OutboundClient(allow_networks=allowed, resolver=resolver, total_seconds=2) as client:
            error = await failure(client, f"http://hooks.example:{sink.port}/secret-path")
        assert error.code == "REFUSED_ADDRESS"
        assert "DULY_WEBHOOK_ALLOW_NETWORKS" in str(error)
        assert "secret-path" not in str(error)
        assert (resolver.asked, sink.connections) == (["hooks.example"], 0)


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked() -> None:
    async with receiver(answers(EMPTY)) as here:
        resolver = FakeResolver(["127.0.0.1"], ["127.0.0.2"])
        allowed = parse_networks("127.0.0.1/32")
        async with OutboundClient(allow_networks=allowed, resolver=resolver, total_seconds=2) as client:
            answer = await client.post(f"http://hooks.example:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.status, resolver.asked) == (204, ["hooks.example"])
        assert f"host: hooks.example:{here.port}\r\n" in here.heads[0].lower()


async def test_an_address_that_changes_after_its_check_is_refused_at_the_socket() -> None:
    async with receiver(answers_and_closes(EMPTY)) as here:
        found = [ResolveResult(hostname="a", host="127.0.0.1", port=here.port, family=socket.AF_INET, proto=0, flags=0)]

        class RememberedResolver(FakeResolver):
            async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
                self.asked.append(host)
                return found

        resolver = RememberedResolver()
        allowed = parse_networks("127.0.0.1/32")
        async with OutboundClient(allow_networks=allowed, resolver=resolver, total_seconds=2) as client:
            url = f"http://hooks.example:{here.port}/"
            assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
            await asyncio.wait_for(here.closed.wait(), 2)
            found[0]["host"] = "127.0.0.2"
            error = await failure(client, url)
        assert (error.code, "127.0.0.2 is in 127.0.0.0/8" in str(error)) == ("REFUSED_ADDRESS", True)
        assert resolver.asked == ["hooks.example"]


def test_no_socket_is_made_for_a_refused_address() -> None:
    tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    with pytest.raises(OSError, match="loopback"):
        _guarded_socket((socket.AF_INET, *tcp, ("127.0.0.1", 80)), allowed=())
    with pytest.raises(OSError, match="private"):
        _guarded_socket((socket.AF_INET6, *tcp, ("::ffff:10.0.0.1", 80, 0, 0)), allowed=LOOPBACK)
    with pytest.raises(OSError, match="Port 5432"):
        _guarded_socket((socket.AF_INET, *tcp, ("1.1.1.1", 5432)), allowed=LOOPBACK)
    with _guarded_socket((socket.AF_INET, *tcp, ("127.0.0.1", 5432)), allowed=LOOPBACK) as made:
        # Linux doubles what is asked for.
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= ANSWER_LIMIT


async def test_localhost_is_reached_where_only_one_of_its_addresses_is_allowed() -> None:
    async with receiver(answers(EMPTY)) as here:
        resolver = FakeResolver(["::1", "127.0.0.1"])
        async with OutboundClient(allow_networks=LOOPBACK, resolver=resolver, total_seconds=2) as client:
            answer = await client.post(f"http://localhost:{here.port}/", content=b"{}", headers=HEADERS)
        assert answer.status == 204


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    async with receiver(answers(EMPTY)) as sink:
        away = f"HTTP/1.1 {status} Away\r\nLocation: http://127.0.0.1:{sink.port}/\r\nContent-Length: 0\r\n\r\n"
        async with receiver(answers(away.encode())) as here, OutboundClient(allow_networks=LOOPBACK) as client:
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert answer.status == status
            assert answer.headers["location"].endswith(f":{sink.port}/")
            assert (await client.post(f"http://127.0.0.1:{sink.port}/", content=b"", headers={})).status == 204
        assert sink.connections == 1


ENDLESS = {
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"),
    "by its length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 1024),
    "until closed": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1024),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_an_endless_body_is_cut_and_its_connection_closed(kind: str) -> None:
    head, piece = ENDLESS[kind]
    async with receiver(repeats(piece, after=head)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.status, answer.truncated, answer.body) == (200, True, b"x" * ANSWER_LIMIT)
        await asyncio.wait_for(here.closed.wait(), 2)


async def test_a_body_of_exactly_the_limit_is_whole() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ANSWER_LIMIT + b"x" * ANSWER_LIMIT
    async with receiver(answers(data)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
    assert (len(answer.body), answer.truncated) == (ANSWER_LIMIT, False)


TRICKLES = {
    "body": repeats(b"x", after=ENDLESS["by its length"][0], pause=0.02),
    "header": repeats(b"x", after=b"HTTP/1.1 200 OK\r\nX-Slow: ", pause=0.02),
    "100-continue trickle": repeats(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.05),
    "chunk extensions": repeats(b"x" * 4096, after=ENDLESS["chunked"][0] + b"1;"),
    "silence": is_silent,
}


@pytest.mark.parametrize("kind", TRICKLES)
async def test_one_deadline_bounds_the_whole_exchange(kind: str) -> None:
    async with (
        receiver(TRICKLES[kind]) as here,
        OutboundClient(allow_networks=LOOPBACK, total_seconds=0.3) as client,
    ):
        started = time.perf_counter()
        error = await failure(client, f"http://127.0.0.1:{here.port}/")
        assert time.perf_counter() - started < 1.5
        assert error.code in ({"TIMED_OUT", "BROKEN_ANSWER"} if kind == "chunk extensions" else {"TIMED_OUT"})
        assert error.duration_seconds == pytest.approx(0.3, abs=1)
        await asyncio.wait_for(here.closed.wait(), 2)


async def test_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(20_000_000))
    data = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    async with receiver(answers(data)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert answer.body == bomb[:ANSWER_LIMIT]
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
    async with receiver(BROKEN[kind]) as here, OutboundClient(allow_networks=LOOPBACK, total_seconds=3) as client:
        error = await failure(client, f"http://127.0.0.1:{here.port}/secret-path?token=t0ken")
        assert error.code == "BROKEN_ANSWER"
        assert str(error).startswith(f"127.0.0.1:{here.port}: ")
        assert "secret-path" not in str(error) and "t0ken" not in str(error)


async def test_a_few_interim_answers_before_the_answer_are_passed_over() -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3
    async with receiver(answers(hints + EMPTY)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        for _ in range(5):
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert (answer.status, answer.headers) == (204, {})
        assert here.connections == 1


@pytest.mark.parametrize("extra", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", EMPTY * 1000])
async def test_what_comes_unasked_is_never_taken_for_the_next_answer(extra: bytes) -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        url = f"http://127.0.0.1:{here.port}/"
        await client.post(url, content=b"{}", headers=HEADERS)
        here.writers[0].write(extra)
        await asyncio.wait_for(here.closed.wait(), 2)
        assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
        assert here.connections == 2


async def test_an_answer_followed_by_others_is_taken_and_its_connection_closed() -> None:
    async with receiver(answers(EMPTY + OK_HEAD + b"\r\n")) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        for _ in range(3):
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert answer.status == 204
        assert here.connections == 3


async def test_headers_come_in_lower_case_and_repeated_ones_joined() -> None:
    data = b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-ONE: b\r\nX-Latin: \xe9\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answers(data)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
    assert answer.headers == {"x-one": "a, b", "x-latin": "é", "content-length": "0"}


async def test_a_port_where_nobody_listens_fails_at_once() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        async with OutboundClient(allow_networks=LOOPBACK) as client:
            error = await failure(client, f"http://127.0.0.1:{unheard.getsockname()[1]}/")
    assert (error.code, error.duration_seconds < 1) == ("CONNECT_FAILED", True)
    assert "Connection refused" in str(error)


async def test_a_name_without_an_address_cannot_be_connected_to() -> None:
    async with OutboundClient(resolver=FakeResolver([]), total_seconds=2) as client:
        error = await failure(client, "http://hooks.example/")
    assert error.code == "CONNECT_FAILED"


async def test_a_name_that_is_not_known_is_said_not_to_be() -> None:
    class UnknowingResolver(FakeResolver):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with OutboundClient(resolver=UnknowingResolver(), total_seconds=2) as client:
        error = await failure(client, "http://hooks.example/")
    assert (error.code, "looked up (Name or service not known)" in str(error)) == ("CONNECT_FAILED", True)


async def test_the_system_looks_names_up_where_no_resolver_is_given() -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(allow_networks=LOOPBACK, total_seconds=3) as client:
        answer = await client.post(f"http://localhost:{here.port}/", content=b"{}", headers=HEADERS)
    assert (answer.status, here.connections) == (204, 1)


async def test_a_look_up_that_hangs_is_given_up() -> None:
    class HangingResolver(FakeResolver):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
            await asyncio.Event().wait()
            raise AssertionError

    async with OutboundClient(resolver=HangingResolver(), connect_seconds=0.1) as client:
        error = await failure(client, "http://hooks.example/")
    assert (error.code, error.duration_seconds < 2) == ("TIMED_OUT", True)
    assert "no connection within" in str(error)


async def test_a_receiver_that_never_finishes_the_tls_handshake_is_given_up() -> None:
    async with (
        receiver(is_silent) as hangs,
        OutboundClient(allow_networks=LOOPBACK, connect_seconds=0.1) as client,
    ):
        error = await failure(client, f"https://127.0.0.1:{hangs.port}/")
    assert (error.code, error.duration_seconds < 2) == ("TIMED_OUT", True)


@pytest.mark.parametrize("url", ["", "ftp://1.1.1.1/", "http://user:word@1.1.1.1/", "http://1.1.1.1:0/", "http://a b/"])
async def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    async with OutboundClient() as client:
        error = await failure(client, url)
    assert (error.code, "word@" in str(error)) == ("INVALID_URL", False)


async def test_a_proxy_in_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answers(EMPTY)) as proxy, receiver(answers(EMPTY)) as here:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with OutboundClient(allow_networks=LOOPBACK) as client:
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.status, here.connections, proxy.connections) == (204, 1, 0)


async def test_one_connection_carries_many_posts_and_no_cookie() -> None:
    data = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 2\r\n\r\nok"
    async with receiver(answers(data)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
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
        OutboundClient(allow_networks=LOOPBACK, connections_per_host=3) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        await asyncio.gather(*(client.post(url, content=b"{}", headers=HEADERS) for _ in range(30)))
        assert (here.most_open, len(here.bodies)) == (3, 30)


async def test_the_request_is_sent_as_it_was_given() -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
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


@pytest.mark.parametrize("size", [0, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    content = bytes(index % 251 for index in range(1000)) * (size // 1000 + 1)
    async with receiver(answers(EMPTY)) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        for _ in range(2):
            await client.post(f"http://127.0.0.1:{here.port}/", content=content[:size], headers=HEADERS)
        assert here.bodies == [content[:size]] * 2
        assert here.connections == 1
        assert "chunked" not in here.heads[0].lower()


async def test_an_answer_before_the_body_was_read_is_taken() -> None:
    async with receiver(ignores_the_body) as here, OutboundClient(allow_networks=LOOPBACK, total_seconds=3) as client:
        answer = await client.post(f"http://127.0.0.1:{here.port}/", content=bytes(20_000_000), headers=HEADERS)
    assert answer.status == 413


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x\r\ny": "a"}, {"x": "a\x00"}, {"x": "\u2603"}])
async def test_a_header_that_no_message_can_carry_is_an_error_of_the_caller(headers: dict[str, str]) -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(allow_networks=LOOPBACK, total_seconds=2) as client:
        with pytest.raises(ValueError, match=r"header|ascii|Newline|character"):
            await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=headers)
        assert here.heads == []


async def test_a_post_that_is_cancelled_lets_its_connection_go() -> None:
    async with receiver(is_silent) as here, OutboundClient(allow_networks=LOOPBACK) as client:
        post = asyncio.create_task(
            client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS), name="post"
        )
        async with asyncio.timeout(2):
            while not here.bodies:
                await asyncio.sleep(0)
        post.cancel()
        await asyncio.wait([post], timeout=2)
        assert post.cancelled()
        await asyncio.wait_for(here.closed.wait(), 2)


async def test_closing_the_client_fails_the_posts_under_way() -> None:
    async with receiver(is_silent) as here:
        client = OutboundClient(allow_networks=LOOPBACK)
        post = asyncio.create_task(failure(client, f"http://127.0.0.1:{here.port}/"))
        async with asyncio.timeout(2):
            while not here.bodies:
                await asyncio.sleep(0)
        await client.aclose()
        assert (await asyncio.wait_for(post, 2)).code == "BROKEN_ANSWER"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of our own and three certificates it signed: `good`, `expired` and `other` (of another host)."""
    if shutil.which("openssl") is None:
        pytest.fail("these tests make certificates with the openssl command: install it (Debian: apt install openssl)")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=20)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority"
    )
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=test server")
    for name, host, days in (
        ("good", "hooks.example", "2"),
        ("expired", "hooks.example", "-1"),
        ("other", "a.test", "2"),
    ):
        (folder / "names").write_text(f"subjectAltName=DNS:{host}")
        signing = ["-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        openssl("x509", "-req", *signing, "-days", days, "-extfile", "names", "-out", f"{name}.pem")
    return folder


@pytest.mark.parametrize(
    ("certificate", "trusted", "words"),
    [
        ("good", True, None),
        ("good", False, "unable to get"),
        ("expired", True, "expired"),
        ("other", True, "Hostname mismatch"),
    ],
)
async def test_tls_is_verified(certificates: Path, certificate: str, words: str | None, *, trusted: bool) -> None:
    names: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / f"{certificate}.pem", certificates / "server.key")
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    trust = ssl.create_default_context(cafile=certificates / "ca.pem") if trusted else None
    resolver = FakeResolver(["127.0.0.1"])
    async with (
        receiver(answers(EMPTY), tls=tls) as here,
        OutboundClient(allow_networks=LOOPBACK, resolver=resolver, ssl_context=trust, total_seconds=3) as client,
    ):
        url = f"https://hooks.example:{here.port}/"
        if words is None:
            assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
        else:
            error = await failure(client, url)
            assert (error.code, words in str(error)) == ("TLS_FAILED", True)
            assert here.heads == []
    assert names == ["hooks.example"]


async def test_https_to_a_port_that_speaks_none_is_a_tls_failure() -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with server, OutboundClient(allow_networks=LOOPBACK, total_seconds=3) as client:
        error = await failure(client, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        server.close()
    assert error.code == "TLS_FAILED"
