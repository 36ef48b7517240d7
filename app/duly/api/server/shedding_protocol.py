"""HTTP protocol under overload: refuses submissions by their first bytes.

A refusal through the application costs more than half of a submission, so under a crowd of clients nothing else would
be done; here it costs a tenth. The connection of a refused submission is paused, the longer the more there are, so
that immediate retries come after other requests. The pause is short, since behind a proxy the next request on a
connection may belong to another client.
"""

import re
import socket
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from duly.api.contract.error_responses import as_response
from duly.api.server.header_checks import new_request_id
from duly.api.server.http_protocol import BoundedProtocol
from duly.api.server.load_shedding import LoadShedder
from duly.api.server.refusals import body_late
from duly.api.server.request_head_rules import HEAD_BYTES, HEADER_LINES, is_host
from duly.api.server.security_headers import NO_REFERRER, NOSNIFF
from duly.api.server.tcp_info import unread_seconds
from duly.deadline_queue import Deadlines
from duly.errors import Overloaded

PATH = "/api/v1/jobs"
# Refusals per second that are affordable, and the pauses of connections.
AFFORDABLE = 5_000
HOLD_SECONDS = (0.05, 0.1, 0.2, 0.4)
_LARGEST = 1 << 20
_BEGINS = f"POST {PATH} HTTP/1.1\r\n".encode()
# Head with simple framing: lines of a name and visible text. All others go to the parser.
_PLAIN = re.compile(rb"[^\r\n]*\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?=\r\n)", re.IGNORECASE)
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *([\x21-\x7e]{1,200}) *(?=\r\n)", re.IGNORECASE)
_PARTICULAR = re.compile(
    rb"problem\+json|\r\n(?:expect|upgrade|transfer-encoding|trailer|connection:[ \t]*(?!keep-alive[ \t]*\r)\S)",
    re.IGNORECASE,
)


def _refusal() -> bytes:
    error = Overloaded(
        "The service is overloaded. Retry later.",
        reason="Submissions arrive faster than they can be recorded.",
    )
    response = as_response(error, accept="")
    headers = [*response.raw_headers, NOSNIFF, NO_REFERRER]
    lines = [b"HTTP/1.1 503 Service Unavailable", *map(b": ".join, headers)]
    return b"\r\n".join(lines) + b"\r\nx-request-id: %b\r\n\r\n" + bytes(response.body)


_REFUSAL = _refusal()


def refusal_of(received: bytes, *, begins: Sequence[bytes] = (_BEGINS,)) -> tuple[bytes, int] | None:
    """Returns the refusal of an ordinary submission, and the size of its request; None for other requests."""
    end = received.find(b"\r\n\r\n")
    head = received[: end + 2]
    if end < 0 or not received.startswith(tuple(begins)) or _PARTICULAR.search(head) or not _is_plain(head):
        return None
    length = _LENGTH.search(head)
    size = end + 4 + int(length[1]) if length else _LARGEST + 1
    if size > _LARGEST:
        return None
    given = _REQUEST_ID.search(head)
    return _REFUSAL % (given[1] if given else new_request_id()), size


def _is_plain(head: bytes) -> bool:
    """Returns whether the parser would read this head in the same way: one length, one host, within its limits."""
    lines = head.count(b"\n") - 1
    return (
        len(head) + 2 <= HEAD_BYTES
        and lines <= HEADER_LINES
        and _PLAIN.fullmatch(head) is not None
        and head.lower().count(b"\r\ncontent-length") == 1
        and len(hosts := _HOST.findall(head)) == 1
        and is_host(hosts[0])
    )


class PausedConnections:
    """Paused connections. `refused` is called for each refusal."""

    def __init__(self, *, refused: Callable[[], None]) -> None:
        self._refused = refused
        self._held = [Deadlines(seconds, SheddingProtocol.resume) for seconds in HOLD_SECONDS]

    def hold(self, protocol: "SheddingProtocol") -> None:
        """Pauses a connection whose submission was refused."""
        self._refused()
        needed = sum(map(len, self._held)) / AFFORDABLE
        place = min(bisect_left(HOLD_SECONDS, needed), len(HOLD_SECONDS) - 1)
        self._held[place].put(protocol)

    def forget(self, protocol: "SheddingProtocol") -> None:
        """Forgets a connection."""
        for held in self._held:
            held.take_out(protocol)


class SheddingProtocol(BoundedProtocol):
    """Protocol of one connection."""

    def __init__(
        self,
        *arguments: Any,
        load_shedder: LoadShedder,
        paused: PausedConnections,
        connection: socket.socket,
        root_path: str = "",
        **named: Any,
    ) -> None:
        super().__init__(*arguments, connection=connection, **named)
        self._load_shedder = load_shedder
        self._paused = paused
        self._unread_seconds = partial(unread_seconds, connection)
        self._paths = {PATH, root_path + PATH}  # a proxy removes its prefix, or leaves it
        self._begins = tuple(f"POST {path} HTTP/1.1\r\n".encode() for path in self._paths)
        self._refusal, self._missing = b"", 0

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            data = self._pass_over(data)
        elif (
            data.startswith(self._begins) and self._at_rest and self._load_shedder.refuses(unread=self._unread_seconds)
        ):
            refused = refusal_of(data, begins=self._begins)
            if refused is not None:
                self._refusal, self._missing = refused
                data = self._pass_over(data)
        if data:
            super().data_received(data)

    @property
    def _at_rest(self) -> bool:
        return not self._ignores_input and not self._head_bytes and self._in_head and self._all_responded

    def _pass_over(self, data: bytes) -> bytes:
        """Skips the bytes of a refused request, and sends the refusal at its end. Returns the bytes after it."""
        rest = data[self._missing :]
        passed = len(data) - len(rest)
        self._missing -= passed
        self._body_bytes += passed
        if self._missing:
            self._wait()
        else:
            self.transport.write(self._refusal)
            self._refusal = b""
            self._served = True
            self.flow.pause_reading()
            self._wait()
            self._paused.hold(self)
        return rest

    @property
    def _in_body(self) -> bool:
        return bool(self._refusal) or super()._in_body

    def _body_seconds(self) -> float:
        return self._all.limits.body if self._refusal else super()._body_seconds()

    def body_late(self) -> None:
        if self._refusal:
            self._refusal, self._missing = b"", 0
            self._stop(body_late())
        else:
            super().body_late()

    def resume(self) -> None:
        self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._paused.forget(self)
        super().connection_lost(exc)

    def on_message_complete(self) -> None:
        """Counts a submission as in progress once it is complete: slow bodies do not mean overload."""
        super().on_message_complete()
        if self._upgrade_offered or self._all_responded:
            return
        if self.scope["method"] == "POST" and self.scope["path"] in self._paths:
            self._load_shedder.enter(cast("dict[str, Any]", self.scope))
