"""Names, ports and certificates that lead nowhere."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from duly.outbound import OutboundClient, resolver
from duly.outbound.resolver import AddressInfo
from tests.support.raw_receiver import (
    EMPTY,
    HEADERS,
    LOOPBACK,
    FakeLookup,
    answers,
    failure,
    is_silent,
    receiver,
)


async def test_a_port_where_nobody_listens_fails_at_once() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        async with OutboundClient(egress=LOOPBACK) as client:
            error = await failure(client, f"http://127.0.0.1:{unheard.getsockname()[1]}/")
    assert (error.code, error.duration_seconds < 10) == ("CONNECT_FAILED", True)
    assert "Connection refused" in str(error)


async def test_a_name_without_an_address_cannot_be_connected_to() -> None:
    async with OutboundClient(lookup=FakeLookup([]), total_seconds=60) as client:
        error = await failure(client, "http://hooks.example/")
    assert error.code == "CONNECT_FAILED"


async def test_a_name_that_is_not_known_is_said_not_to_be() -> None:
    class UnknowingLookup(FakeLookup):
        async def resolve(self, host: str, port: int) -> list[AddressInfo]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with OutboundClient(lookup=UnknowingLookup(), total_seconds=60) as client:
        error = await failure(client, "http://hooks.example/")
    assert (error.code, "DNS lookup failed (Name or service not known)" in str(error)) == ("CONNECT_FAILED", True)


async def test_the_system_looks_names_up_where_no_resolver_is_given() -> None:
    async with receiver(answers(EMPTY)) as here, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        answer = await client.post(f"http://localhost:{here.port}/", content=b"{}", headers=HEADERS)
    assert (answer.status, here.connections) == (204, 1)


async def test_a_look_up_that_hangs_is_given_up() -> None:
    class HangingLookup(FakeLookup):
        async def resolve(self, host: str, port: int) -> list[AddressInfo]:
            await asyncio.Event().wait()
            raise AssertionError

    async with OutboundClient(lookup=HangingLookup(), connect_seconds=0.1) as client:
        error = await failure(client, "http://hooks.example/")
    assert (error.code, error.duration_seconds < 10) == ("TIMED_OUT", True)
    assert "no connection within" in str(error)


async def test_a_name_that_hangs_is_looked_up_once_however_many_give_it_up() -> None:
    answer = asyncio.Event()

    class SlowLookup(FakeLookup):
        async def resolve(self, host: str, port: int) -> list[AddressInfo]:
            found = await super().resolve(host, port)
            await answer.wait()
            return found

    async with receiver(answers(EMPTY)) as here:
        lookup = SlowLookup(["127.0.0.1"])
        async with OutboundClient(egress=LOOPBACK, lookup=lookup, connect_seconds=60, total_seconds=60) as client:
            url = f"http://hooks.example:{here.port}/"
            lets_look_ups_hang(client)
            for _ in range(3):
                assert (await failure(client, url)).code == "TIMED_OUT"
            lets_look_ups_hang(client, seconds=60)
            answer.set()
            assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
        assert lookup.asked == ["hooks.example"]


def lets_look_ups_hang(client: OutboundClient, seconds: float = 0.1) -> None:
    """Bounds look-ups alone: a connection that succeeds may take any time on a busy machine."""
    client._lookup._seconds = seconds


class SometimesHanging(FakeLookup):
    """Resolver that hangs on request, as if lookups of other names occupied all threads."""

    hangs = False

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        if self.hangs:
            await asyncio.Event().wait()
        return await super().resolve(host, port)


async def test_a_name_that_was_found_before_is_called_there_while_look_ups_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver, "_MEMORY_SECONDS", 0)
    monkeypatch.setattr(resolver, "_PATIENCE_SECONDS", 0.01)
    closes = answers(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    async with receiver(closes) as here:
        lookup = SometimesHanging(["127.0.0.1"])
        async with OutboundClient(egress=LOOPBACK, lookup=lookup, connect_seconds=60, total_seconds=60) as client:
            url = f"http://hooks.example:{here.port}/"
            await client.post(url, content=b"{}", headers=HEADERS)
            await asyncio.sleep(0)  # the memory of no time at all is over
            lookup.hangs = True
            lets_look_ups_hang(client)
            for _ in range(3):
                assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
            assert (await failure(client, f"http://others.example:{here.port}/")).code == "TIMED_OUT"
            monkeypatch.setattr(resolver, "_STALE_SECONDS", 0)
            assert (await failure(client, url)).code == "TIMED_OUT"


async def test_a_name_that_moved_or_went_is_not_called_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_MEMORY_SECONDS", 0)
    closes = answers(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    async with receiver(closes) as here:
        lookup = SometimesHanging(["127.0.0.1"], ["10.0.0.1"])
        async with OutboundClient(egress=LOOPBACK, lookup=lookup, connect_seconds=60, total_seconds=60) as client:
            url = f"http://hooks.example:{here.port}/"
            await client.post(url, content=b"{}", headers=HEADERS)
            await asyncio.sleep(0)
            assert (await failure(client, url)).code == "BLOCKED_ADDRESS"
            lookup.hangs = True
            lets_look_ups_hang(client)
            assert (await failure(client, url)).code == "TIMED_OUT"
        assert here.connections == 1


async def test_fifty_names_that_hang_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    release, hung = threading.Event(), threading.Semaphore(0)
    real = socket.getaddrinfo

    def hanging(host: Any, *more: Any) -> Any:
        if str(host).startswith("hangs"):
            hung.release()
            release.wait(120)
        return real("127.0.0.1", *more)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    async with (
        receiver(answers(EMPTY)) as here,
        OutboundClient(egress=LOOPBACK, total_seconds=60, connect_seconds=60) as client,
    ):
        stuck = [
            asyncio.create_task(client.post(f"http://hangs{n}.example:{here.port}/", content=b"", headers=HEADERS))
            for n in range(50)
        ]
        try:
            assert all(await asyncio.to_thread(lambda: [hung.acquire(timeout=60) for _ in stuck]))
            answer = await client.post(f"http://hooks.example:{here.port}/", content=b"", headers=HEADERS)
            assert (answer.status, here.connections) == (204, 1)
            assert not any(task.done() for task in stuck)
        finally:
            release.set()
        assert {done.status for done in await asyncio.gather(*stuck)} == {204}


async def test_a_receiver_that_never_finishes_the_tls_handshake_is_given_up() -> None:
    async with (
        receiver(is_silent) as hangs,
        OutboundClient(egress=LOOPBACK, connect_seconds=0.1) as client,
    ):
        error = await failure(client, f"https://127.0.0.1:{hangs.port}/")
    assert (error.code, error.duration_seconds < 10) == ("TIMED_OUT", True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate authority with three certificates: `good`, `expired` and `other` (of another host).

    `itself` is self-signed.
    """
    if shutil.which("openssl") is None:
        pytest.fail("these tests make certificates with the openssl command: install it (Debian: apt install openssl)")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=20)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority"
    )
    itself = ["-keyout", "itself.key", "-out", "itself.pem", "-subj", "/CN=hooks.example"]
    openssl("req", "-x509", *new_key, *itself, "-days", "2", "-addext", "subjectAltName=DNS:hooks.example")
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
        ("itself", True, "self-signed certificate"),
        ("other", True, "Hostname mismatch"),
    ],
)
async def test_tls_is_verified(certificates: Path, certificate: str, words: str | None, *, trusted: bool) -> None:
    names: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = "itself.key" if certificate == "itself" else "server.key"
    tls.load_cert_chain(certificates / f"{certificate}.pem", certificates / key)
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    trust = ssl.create_default_context(cafile=certificates / "ca.pem") if trusted else None
    lookup = FakeLookup(["127.0.0.1"])
    async with (
        receiver(answers(EMPTY), tls=tls) as here,
        OutboundClient(egress=LOOPBACK, lookup=lookup, ssl_context=trust, total_seconds=60) as client,
    ):
        url = f"https://hooks.example:{here.port}/"
        if words is None:
            assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
            assert f"\r\nhost: hooks.example:{here.port}\r\n" in here.heads[0].lower()
        else:
            error = await failure(client, url)
            assert (error.code, words in str(error)) == ("TLS_FAILED", True)
            assert here.heads == []
    assert names == ["hooks.example"]


async def test_https_to_a_port_that_speaks_none_is_a_tls_failure() -> None:
    closed = asyncio.Event()

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with server, OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
        error = await failure(client, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        server.close()
        await closed.wait()
    assert error.code == "TLS_FAILED"
