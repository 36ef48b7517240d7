"""Incremental parser of one response within its bounds, without I/O."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from duly.outbound.response import RESPONSE_LIMIT, RequestFailed

_HEADER_LIMIT: Final = 100
_INTERIM_LIMIT: Final = 10
# Status line, headers, trailers and chunk extensions together; a body in chunks of one byte has five more per byte.
_FRAME_BYTES: Final = 32 * 1024
_FRAME_BYTES_A_BODY_BYTE: Final = 7
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL_STATUS: Final = 200


class ReceivedResponse(NamedTuple):
    """Response as received: header names in lower case, the raw body, and whether it was cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


class ResponseReader:
    """Reader of the responses of one connection, one after the other. `begin` prepares for the next; a `bodiless`
    response (to HEAD) ends with its headers, even if they give a length.

    A receiver may send a few interim responses (1xx) before the response, and nothing after it: `reusable` is set if it
    did so and keeps the connection open.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.complete = True
        self.reusable = True

    def begin(self, *, bodiless: bool = False) -> None:
        """Prepares for the next response."""
        self._bodiless = bodiless
        self.complete = self.reusable = self._truncated = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._received = self._fields = self._interim = 0
        self._head_complete = False

    def feed(self, received: bytes) -> None:
        """Parses received data. `complete` is set at the end of the response.

        Raises:
            RequestFailed: the data is not a bounded HTTP response.
        """
        try:
            self._parser.feed_data(received)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            if not self.complete:
                raise _broken(error) from None
        self._received += len(received)
        if self._received > _FRAME_BYTES + len(self._body) * (1 + _FRAME_BYTES_A_BODY_BYTE) and not self.complete:
            raise RequestFailed("INVALID_RESPONSE", "the response's headers are too long.")

    def end(self) -> None:
        """Handles the end of the connection.

        Raises:
            RequestFailed: the response is incomplete.
        """
        self.reusable = False
        if self.complete:
            return
        if not self._received:
            raise RequestFailed("INVALID_RESPONSE", "the connection was closed without a response.")
        # The end of the connection ends the body only if nothing else does (RFC 9112, section 6.3).
        if not self._head_complete or not self._headers.keys().isdisjoint({"content-length", "transfer-encoding"}):
            raise RequestFailed("INVALID_RESPONSE", "the response is incomplete.")
        self.complete = True

    def answer(self) -> ReceivedResponse:
        """Returns the response, once it is complete."""
        return ReceivedResponse(self._status, self._headers, bytes(self._body), self._truncated)

    # Callbacks of the parser. An error that they raise ends parsing, and is raised by `feed`.

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("more than one response")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > _HEADER_LIMIT:
            raise ValueError("too many headers")
        if self._head_complete:
            return  # a trailer
        known, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        self._headers[known] = f"{self._headers[known]}, {text}" if known in self._headers else text

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status < _FIRST_FINAL_STATUS:
            self._pass_over()
            return
        self._head_complete = True
        if self._bodiless:
            # The parser does not know the request and would wait for a body, so parsing and the connection end here.
            self.complete = True
            raise ValueError("enough was read")

    def _pass_over(self) -> None:
        self._interim += 1
        if self._interim > _INTERIM_LIMIT or self._status == _SWITCHING_PROTOCOLS:
            raise ValueError("unexpected interim response")
        self._headers = {}

    def on_body(self, piece: bytes) -> None:
        self._body += piece
        if len(self._body) > RESPONSE_LIMIT:
            del self._body[RESPONSE_LIMIT:]
            self._truncated = self.complete = True
            raise ValueError("enough was read")

    def on_message_complete(self) -> None:
        if self._head_complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()


def _broken(error: Exception) -> RequestFailed:
    reason = error.__context__ if isinstance(error.__context__, ValueError) else None
    return RequestFailed(
        "INVALID_RESPONSE", f"not a valid HTTP response within the limits ({reason or type(error).__name__})."
    )
