"""Takes one answer in as it comes, and holds it to its bounds. No input or output: bytes go in, an answer comes out."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from duly.outbound.response import RESPONSE_LIMIT, PostFailed

_HEADER_LIMIT: Final = 100
_INTERIM_LIMIT: Final = 10
# Status line, headers, trailers and chunk extensions together; a body in chunks of one byte costs five more a byte.
_FRAME_BYTES: Final = 32 * 1024
_FRAME_BYTES_A_BODY_BYTE: Final = 7
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL_STATUS: Final = 200


class ReceivedResponse(NamedTuple):
    """An answer as it came in: names of headers in lower case, the body raw, and whether it was cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


class AnswerReader:
    """Reads the answers of one connection, one after the other. `begin` makes it ready for the next; `bodiless` is the
    answer to a HEAD, which ends with its headers, whatever length they tell of.

    A receiver may send few interim answers (1xx) before the answer, and nothing after it: `reusable` tells whether
    it kept to that and leaves the connection open.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.complete = True
        self.reusable = True

    def begin(self, *, bodiless: bool = False) -> None:
        self._bodiless = bodiless
        self.complete = self.reusable = self._truncated = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._received = self._fields = self._interim = 0
        self._head_complete = False

    def feed(self, received: bytes) -> None:
        """Raises `PostFailed` for what is not a bounded HTTP answer. `complete` tells whether the end was reached."""
        try:
            self._parser.feed_data(received)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            if not self.complete:
                raise _broken(error) from None
        self._received += len(received)
        if self._received > _FRAME_BYTES + len(self._body) * (1 + _FRAME_BYTES_A_BODY_BYTE) and not self.complete:
            raise PostFailed("INVALID_RESPONSE", "the headers of the answer are too long.")

    def end(self) -> None:
        """The receiver closed the connection. Raises `PostFailed` where that breaks the answer off."""
        self.reusable = False
        if self.complete:
            return
        if not self._received:
            raise PostFailed("INVALID_RESPONSE", "the connection was closed without an answer.")
        # Only where nothing else tells the end of the body does the end of the connection (RFC 9112, section 6.3).
        if not self._head_complete or not self._headers.keys().isdisjoint({"content-length", "transfer-encoding"}):
            raise PostFailed("INVALID_RESPONSE", "the answer broke off.")
        self.complete = True

    def answer(self) -> ReceivedResponse:
        """What was read, once it is complete."""
        return ReceivedResponse(self._status, self._headers, bytes(self._body), self._truncated)

    # What follows is called by the parser. An error raised here ends its work and comes out of `feed`.

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("more answers than one request is due")

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
            # The parser knows nothing of the request and would wait for a body: it ends here, and its connection too.
            self.complete = True
            raise ValueError("enough was read")

    def _pass_over(self) -> None:
        self._interim += 1
        if self._interim > _INTERIM_LIMIT or self._status == _SWITCHING_PROTOCOLS:
            raise ValueError("an interim answer that was not asked for")
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


def _broken(error: Exception) -> PostFailed:
    reason = error.__context__ if isinstance(error.__context__, ValueError) else None
    return PostFailed(
        "INVALID_RESPONSE", f"the answer is not one bounded HTTP answer ({reason or type(error).__name__})."
    )
