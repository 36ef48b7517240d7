"""Server that responds to each connection with given bytes, for faults that no service produces on request."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Thread

import pytest

# Answer of a proxy that holds back what it gets: nothing, while the connection stays open.
SILENCE = bytes(1)


@dataclass
class ScriptedServer:
    """`answers`: what the next connections get, one each; `requests`: what they asked."""

    url: str
    answers: list[bytes] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    silent: list[socket.socket] = field(default_factory=list)


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = ScriptedServer(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=_serve, args=(listener, running), daemon=True)
        thread.start()
        yield running
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        for connection in running.silent:
            connection.close()


def _serve(listener: socket.socket, scripted: ScriptedServer) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(60)
        if (request := _read_request(connection)) is None:
            connection.close()
            continue
        scripted.requests.append(request)
        answer = scripted.answers.pop(0) if scripted.answers else b""
        if answer is SILENCE:
            scripted.silent.append(connection)
            continue
        with connection:
            connection.sendall(answer)


def _read_request(connection: socket.socket) -> str | None:
    """Returns a request; None if the client has left before all of it came."""
    text = b""
    while b"\r\n\r\n" not in text:
        if not (piece := connection.recv(65536)):
            return None
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ontent-length" in line.lower()), 0)
    while len(body) < length:
        if not (piece := connection.recv(65536)):
            return None
        body += piece
    return f"{head.decode()}\n\n{body.decode()}"
