"""The receiver of the reports: it verifies each webhook, and takes each once."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Thread
from typing import Any

from duly.client import SignatureError, verify_webhook

LARGEST_BODY = 2_000_000


class Reports:
    """Reports that have arrived at `url`, signed with `secret`."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = f"whsec_{secrets.token_hex(32)}"
        self._queue: Queue[dict[str, Any]] = Queue()
        self._seen: set[str] = set()

    def take(self, *, seconds: float) -> dict[str, Any]:
        """Returns the body of the next webhook.

        Raises:
            SystemExit: none has arrived in time.
        """
        try:
            return self._queue.get(timeout=seconds)
        except Empty:
            raise SystemExit(f"FAULT: no report arrived within {seconds:g} seconds") from None

    def receive(self, headers: list[tuple[str, str]], body: bytes) -> int:
        """Returns the status of the response."""
        try:
            event = verify_webhook(headers, body, self.secret)
        except SignatureError:
            return 401
        if event.id not in self._seen:  # else it is sent again, because a response was lost
            self._seen.add(event.id)
            self._queue.put(event.body)
        return 204


@contextmanager
def receiving() -> Iterator[Reports]:
    """Receives reports on a free port of this machine until the block ends."""
    reports = Reports()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY)
            self.send_response(reports.receive(list(self.headers.items()), self.rfile.read(length)))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden parameter
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        reports.url = f"http://127.0.0.1:{server.server_port}/reports"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield reports
        server.shutdown()
