"""Server that responds to each connection with given bytes, for faults that no service produces on request."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Thread

import pytest


@dataclass
class ScriptedServer:
    """`answers`: what the next connections get, one each; `requests`: what they asked."""

    url: str
    answers: list[bytes] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scripted = ScriptedServer(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=_serve, args=(listener, scripted), daemon=True)
        thread.start()
        yield scripted
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _serve(listener: socket.socket, scripted: ScriptedServer) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            scripted.requests.append(_read_request(connection))
            connection.sendall(scripted.answers.pop(0) if scripted.answers else b"")


def _read_request(connection: socket.socket) -> str:
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65536)
    head, _, body = text.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ontent-length" in line.lower()), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return f"{head.decode()}\n\n{body.decode()}"
