"""Malformed handshakes and messages: error responses or close codes, and no tracebacks."""

import asyncio
import base64
import json
import logging
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from duly.api.server import authentication
from duly.api.server.socket_protocol import SocketProtocol
from duly.domain.ticket_grant import Grant
from tests.support.response_checks import refused
from tests.support.service import BOUND_SECONDS, Service
from tests.support.websocket_client import socket_to

KEY = base64.b64encode(bytes(16)).decode()
GOOD = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
TEXT, BINARY, PING, FINAL = 1, 2, 9, 0x80


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collects log lines of internal errors and tracebacks; it must be empty at the end."""
    found: list[str] = []
    yield found
    found += [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.WARNING or record.exc_info
    ]
    assert found == []


class Raw:
    """Connection on which a handshake was sent as raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def response(self) -> httpx.Response:
        async with asyncio.timeout(BOUND_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")[:-2]
            headers = httpx.Headers([(name, value) for name, _, value in (line.partition(": ") for line in lines)])
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return httpx.Response(int(status.split()[1]), headers=headers, content=body)

    async def closed_with(self) -> int | None:
        """Returns the code of the close frame; None if the connection ends without one."""
        async with asyncio.timeout(BOUND_SECONDS):
            rest = await self.reader.read()
        at = rest.find(b"\x88")
        return struct.unpack("!H", rest[at + 2 : at + 4])[0] if at >= 0 else None


@asynccontextmanager
async def shaken(
    service: Service, headers: dict[str, str] | None = None, *, path: str = "/ws/jobs"
) -> AsyncIterator[Raw]:
    url = httpx.URL(service.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    chosen = {"Host": f"{url.host}:{url.port}", **(GOOD if headers is None else headers)}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in chosen.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


def frame(opcode: int, payload: bytes, *, mask: bool = True, reserved: int = 0) -> bytes:
    size = len(payload)
    head = bytes([FINAL | reserved | opcode])
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
    if not mask:
        return head + length + payload
    return head + bytes([length[0] | 0x80]) + length[1:] + bytes(4) + payload


HANDSHAKES: dict[str, tuple[dict[str, str | None], int, str]] = {
    "version 8": ({"Sec-WebSocket-Version": "8"}, 426, "UPGRADE_REQUIRED"),
    "version 14": ({"Sec-WebSocket-Version": "14"}, 426, "UPGRADE_REQUIRED"),
    "no version": ({"Sec-WebSocket-Version": None}, 400, "BAD_REQUEST"),
    "no key": ({"Sec-WebSocket-Key": None}, 400, "BAD_REQUEST"),
    "short key": ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400, "BAD_REQUEST"),
    "no base64": ({"Sec-WebSocket-Key": "not base64 at all!!!!!!!"}, 400, "BAD_REQUEST"),
    "long line": ({"Cookie": "c" * 9_000}, 431, "HEADERS_TOO_LARGE"),
    "many lines": ({f"X-{n}": "x" for n in range(140)}, 431, "HEADERS_TOO_LARGE"),
}


@pytest.mark.parametrize(("changed", "status", "code"), HANDSHAKES.values(), ids=HANDSHAKES)
async def test_a_handshake_that_is_none_is_refused_in_the_one_shape(
    contract: Service, errors: list[str], changed: dict[str, str | None], status: int, code: str
) -> None:
    headers = {
        name: value for name, value in ({**GOOD, "X-Request-Id": "mine-1"} | changed).items() if value is not None
    }
    async with shaken(contract, headers) as raw:
        response = await raw.response()
        assert await raw.closed_with() is None
    refused(response, status, code)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"] == "mine-1" or status == 431
    assert len(response.headers.get_list("x-request-id")) == 1
    if status == 426:
        assert response.headers["Sec-WebSocket-Version"] == "13"
        assert response.headers["Upgrade"] == "websocket"


async def test_an_address_that_is_too_long_for_a_handshake_is_414(contract: Service, errors: list[str]) -> None:
    async with shaken(contract, path=f"/ws/jobs?x={'x' * 9_000}") as raw:
        refused(await raw.response(), 414, "URI_TOO_LONG")


async def test_a_refused_handshake_can_be_a_problem_document(contract: Service) -> None:
    headers = {**GOOD, "Sec-WebSocket-Version": "8", "Accept": "application/problem+json"}
    async with shaken(contract, headers) as raw:
        response = await raw.response()
    assert (response.status_code, response.headers["content-type"]) == (426, "application/problem+json")
    assert response.json()["code"] == "UPGRADE_REQUIRED"


FRAMES: dict[str, tuple[bytes, int]] = {
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "half a character": (frame(TEXT, "é".encode()[:1]), 1007),
    "a lone surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "unknown opcode": (frame(3, b""), 1002),
    "reserved bit": (frame(TEXT, b"{}", reserved=0x40), 1002),
    "not masked": (frame(TEXT, b"{}", mask=False), 1002),
    "long ping": (frame(PING, bytes(126)), 1002),
    "continuation of nothing": (frame(0, b"x"), 1002),
}


@pytest.mark.parametrize(("sent", "code"), FRAMES.values(), ids=FRAMES)
async def test_what_breaks_the_protocol_closes_the_socket_with_its_code(
    contract: Service, errors: list[str], sent: bytes, code: int
) -> None:
    async with shaken(contract) as raw:
        assert (await raw.response()).status_code == 101
        raw.writer.write(frame(TEXT, b'{"type":"subscribe","filter":{}}') + sent)
        assert await raw.closed_with() == code
    async with socket_to(contract) as socket:
        await socket.is_open()


async def test_a_text_in_fragments_that_is_not_utf_8_closes_the_socket(contract: Service, errors: list[str]) -> None:
    async with shaken(contract) as raw:
        assert (await raw.response()).status_code == 101
        first, last = frame(TEXT, b'{"type":"'), frame(0, b"\xff")
        raw.writer.write(bytes([first[0] & ~FINAL]) + first[1:] + last)
        assert await raw.closed_with() == 1007


async def test_a_character_over_two_fragments_is_one(contract: Service, errors: list[str]) -> None:
    async with socket_to(contract) as socket:
        text = json.dumps({"type": "ping", "ref": "é"}, ensure_ascii=False).encode()
        at = text.index("é".encode()) + 1
        await socket.connection.send([text[:at], text[at:]], text=True)
        assert await socket.receive() == {"type": "pong", "ref": "é"}


async def test_what_comes_before_the_handshake_is_answered_and_is_no_frame_ends_the_connection(
    contract: Service, errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    requested, answering = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> Grant:
        requested.set()
        await answering.wait()
        return Grant()

    monkeypatch.setattr(authentication, "use_ticket", slow)
    async with shaken(contract, path="/ws/jobs?ticket=x") as raw:
        async with asyncio.timeout(BOUND_SECONDS):
            await requested.wait()
            raw.writer.write(frame(3, b"", mask=False))
            assert await raw.reader.read() == b""
        answering.set()
    async with socket_to(contract) as socket:
        await socket.is_open()


async def test_what_is_being_told_when_the_protocol_breaks_off_finds_the_client_gone() -> None:
    config = uvicorn.Config(lambda *_: None, log_config=None)
    config.load()
    protocol = SocketProtocol(config=config, server_state=ServerState(), app_state={})
    protocol.close_sent = True
    with pytest.raises(OSError, match=r"^$"):
        await protocol.send({"type": "websocket.send", "text": "{}"})


REFS: dict[str, tuple[str, str]] = {
    "null character": (
        '{"type":"submit_job","ref":"r1","job":{"type":"echo","parameters":{"a":"\\u0000"}}}',
        "VALIDATION_FAILED",
    ),
    "lone surrogate": (
        '{"type":"submit_job","ref":"r1","job":{"type":"echo","parameters":{"a":"\\ud800"}}}',
        "VALIDATION_FAILED",
    ),
    "huge number": ('{"ref":"r1","type":"submit_job","job":{"type":"echo","parameters":1e999}}', "VALIDATION_FAILED"),
    "many digits": ('{"ref":"r1","type":"x","n":%s}' % ("9" * 5_000), "VALIDATION_FAILED"),
    "named twice": ('{"ref":"r1","type":"ping","type":"ping"}', "VALIDATION_FAILED"),
    "too deep": (f'{{"ref":"r1","type":"ping","a":{"[" * 100}{"]" * 100}}}', "VALIDATION_FAILED"),
    "too large": ('{"ref":"r1","type":"ping","a":"%s"}' % ("x" * (1 << 20)), "BODY_TOO_LARGE"),
    "unknown type": ('{"ref":"r1","type":"sing"}', "VALIDATION_FAILED"),
}
NO_REFS: dict[str, tuple[str, str]] = {
    "itself bad": ('{"type":"ping","ref":"\\u0000"}', "VALIDATION_FAILED"),
    "itself a surrogate": ('{"type":"ping","ref":"\\ud800"}', "VALIDATION_FAILED"),
    "too long": ('{"type":"ping","ref":"%s"}' % ("r" * 201), "VALIDATION_FAILED"),
    "no text": ('{"type":"ping","ref":7}', "VALIDATION_FAILED"),
    "no object": ('["r1"]', "VALIDATION_FAILED"),
    "no JSON": ('{"ref":"r1"', "INVALID_JSON"),
    "far too deep": ("[" * 100_000, "VALIDATION_FAILED"),
}


async def test_an_error_about_a_value_that_cannot_be_kept_repeats_the_ref(contract: Service) -> None:
    async with socket_to(contract, max_size=None) as socket:
        for name, (text, code) in REFS.items():
            assert (await socket.refused(text, code))["ref"] == "r1", name
        for name, (text, code) in NO_REFS.items():
            await socket.connection.send(text)
            heard = await socket.receive()
            assert (heard["type"], heard["ref"]) == ("error", None), name
            assert heard["error"]["code"] in {code, "INVALID_JSON"}, name
        await socket.is_open()
