"""Minimal webhook receiver, which keeps every request and returns 204."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread

PATH = "/webhooks/job-completed"
_LARGEST_BODY = 2 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """Received webhook: headers by lower-case name, and the body as received, since the signature covers it."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Receiver:
    """Running receiver. `url` is the callback URL to submit."""

    url: str
    received: Queue[Received]

    def take(self, *, timeout_seconds: float) -> Received:
        """Returns the next webhook.

        Raises:
            queue.Empty: no webhook arrived within the timeout.
        """
        return self.received.get(timeout=timeout_seconds)


@contextmanager
def listening() -> Iterator[Receiver]:
    """Listens on a free port of loopback until the block ends."""
    received: Queue[Received] = Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_into(received))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="webhook receiver", daemon=True)
    thread.start()
    try:
        yield Receiver(url=f"http://127.0.0.1:{server.server_port}{PATH}", received=received)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler_into(received: Queue[Received]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != PATH or length > _LARGEST_BODY:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = self.rfile.read(length)
            received.put(Received({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden parameter
            """Logs nothing: the demo prints the webhook itself."""

    return Handler
