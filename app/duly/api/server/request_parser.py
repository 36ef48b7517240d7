"""Parsing of requests: uvicorn's protocol on httptools, with the limits and rules of `request_head_rules`.

`uvicorn_internals` lists the parts of uvicorn that it relies on.
"""

from typing import Any, NoReturn

import httptools

from duly.api.server.refusals import (
    coding_refused,
    connect_refused,
    framing_too_large,
    head_too_large,
    host_refused,
    not_http,
    target_too_long,
    too_many_lines,
)
from duly.api.server.request_head_rules import (
    HEAD_BYTES,
    HEADER_LINES,
    TARGET_BYTES,
    VERSIONS,
    is_host,
    rebuilt,
    split_absolute,
    upgrades_to_socket,
)
from duly.api.server.uvicorn_internals import HttpToolsProtocol
from duly.errors import DulyError

_CHECKED = frozenset({b"host", b"expect", b"transfer-encoding"})
# Overhead that chunks may have: bytes per chunk, and bytes per byte of data.
_OF_CHUNK, _OF_BYTE = 16, 3


class _FaultyRequest(Exception):
    """Ends the parsing of a request. The parser replaces the exception, so its cause is kept elsewhere."""


class ParsingProtocol(HttpToolsProtocol):
    """Parser of the bytes of one connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Position of the parser: before or in a head, or in a body; and whether a request is incomplete.
        self._in_head, self._incomplete, self._upgrade_offered = True, False, False
        self._head_bytes = self._body_bytes = self._overhead = self._trailers = 0
        self._host: bytes | None = None
        self._fault: DulyError | None = None
        # Nothing more is parsed.
        self._ignores_input = False

    def refuse(self, refusal: DulyError) -> None:
        """Refuses a request before it reaches the application, and closes; parses nothing more."""
        raise NotImplementedError

    def become_socket(self, head: bytes) -> None:
        """Hands the connection over to the WebSocket protocol."""
        raise NotImplementedError

    @property
    def _all_responded(self) -> bool:
        """Returns whether all requests so far have their whole response."""
        return self.cycle is None or self.cycle.response_complete

    def parse(self, data: bytes) -> None:
        """Parses what has arrived."""
        if not self._in_head:
            self._parse_body(data)
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._parse_head(data)
        elif rest := self._feed_once(data):
            self._feed(rest)

    def _parse_head(self, data: bytes) -> None:
        """Feeds the parser with no more than a head may have, then with the rest."""
        fits = HEAD_BYTES - self._head_bytes + len(data)
        self._head_bytes = HEAD_BYTES
        self._feed(data[:fits])
        if self._in_head and self._head_bytes == HEAD_BYTES:
            self._stop(head_too_large())
        elif not self._ignores_input:
            self.parse(data[fits:])

    def _parse_body(self, data: bytes) -> None:
        before = self._body_bytes
        self._feed(data)
        self._overhead = max(0, self._overhead + len(data) - _OF_BYTE * (self._body_bytes - before))
        if self._in_head:
            self._overhead = 0
        elif self._overhead > HEAD_BYTES:
            self._stop(framing_too_large())

    def _feed(self, data: bytes | memoryview) -> None:
        while data and not self._ignores_input:
            data = self._feed_once(data)

    def _feed_once(self, data: bytes | memoryview) -> bytes | memoryview:
        """Feeds the parser. Returns what it has left for another one."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade()
            return memoryview(data)[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._stop(self._fault or not_http())
        return b""

    def _stop(self, refusal: DulyError) -> None:
        if not self._ignores_input:
            self._ignores_input = True
            self.refuse(refusal)

    def _fail(self, refusal: DulyError) -> NoReturn:
        self._fault = refusal
        raise _FaultyRequest

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._incomplete = True
        self._host = None
        self._trailers = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > TARGET_BYTES:
            self._fail(target_too_long())

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            self._drop_trailer()
            return
        name, value = name.lower(), value.rstrip(b" \t")
        if name in _CHECKED:
            self._check(name, value)
        self.headers.append((name, value))
        if len(self.headers) > HEADER_LINES:
            self._fail(too_many_lines())

    def _check(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or self.parser.get_http_version() != "1.1":
                self._fail(coding_refused())
        elif self._host is not None:
            self._fail(host_refused(value, again=True))
        elif not is_host(value):
            self._fail(host_refused(value))
        else:
            self._host = value

    def _drop_trailer(self) -> None:
        """Ignores a trailer, which must not be read as a header (RFC 9110, section 6.5.1)."""
        self._trailers += 1
        if self._trailers > HEADER_LINES:
            self._fail(too_many_lines())

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            self._fail(not_http())
        if self._host is None and version == "1.1":
            self._fail(host_refused(None))
        if self.parser.should_upgrade():
            self._upgrade_offered = True  # the parser stops here
            return
        if not self.url.startswith(b"/"):
            self._read_absolute()
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def _read_absolute(self) -> None:
        """The host of a target in absolute form goes before the header (RFC 9112, section 3.2.2)."""
        if self.url == b"*":
            return
        found = split_absolute(self.url)
        if found is None or not is_host(found[0]):
            self._fail(not_http())
        host, self.url = found
        self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]

    def on_chunk_header(self) -> None:
        self._overhead -= _OF_CHUNK

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._upgrade_offered:
            self._in_head, self._incomplete = True, False
            super().on_message_complete()

    # Upgrades

    def _upgrade(self) -> None:
        """Takes an offered WebSocket, and parses a request with any other offer as if it had none (RFC 9110, section
        7.8).
        """
        self._upgrade_offered = False
        method, version = self.parser.get_method(), self.parser.get_http_version()
        takes = self._all_responded and upgrades_to_socket(self.headers, method=method, version=version)
        if method == b"CONNECT":
            self._stop(connect_refused())
            return
        upgrade = b"websocket" if takes else None
        head = rebuilt(self.headers, method=method, target=self.url, version=version, upgrade=upgrade)
        if takes:
            self._ignores_input = True
            self.become_socket(head)
            return
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(head)
