"""The reader of answers beside h11, on answers of every form and with every fault: where both take one, they read it
alike; what we take and h11 does not is listed here, with the reason.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duly.outbound.response import RequestFailed
from duly.outbound.response_reader import ResponseReader

EXAMPLES = 1_000


class Read(NamedTuple):
    """An answer as it was read: of `transfer-encoding` and `content-length` in the one spelling that h11 gives them."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Refused:
    reason: str


def by_us(raw: bytes, cuts: Iterable[int], *, bodiless: bool) -> Read | Refused:
    """Reads an answer that comes in these pieces, and then the end of the connection."""
    reader = ResponseReader()
    reader.begin(bodiless=bodiless)
    try:
        for start, stop in pairwise([0, *sorted(cuts), len(raw)]):
            if start < stop and not reader.complete:
                reader.feed(raw[start:stop])
        reader.end()
    except RequestFailed as failure:
        return Refused(str(failure))
    status, headers, body, truncated = reader.answer()
    assert not truncated
    coding = {name: value.lower() for name, value in headers.items() if name == "transfer-encoding"}
    return Read(status, dict(headers) | coding, body)


def by_h11(raw: bytes, *, bodiless: bool) -> Read | Refused:
    connection = h11.Connection(h11.CLIENT)
    method = b"HEAD" if bodiless else b"POST"
    connection.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"a"), (b"content-length", b"0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    connection.receive_data(b"")
    head, body = None, b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, h11.InformationalResponse):
                return Refused(f"the answer broke off: {event!r}")
    except h11.RemoteProtocolError as error:
        return Refused(str(error))
    assert head is not None
    headers: dict[str, str] = {}
    for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Read(head.status_code, headers, body)


# Responses that our reader accepts and h11 rejects, by h11's message.
TAKEN_BY_US_ALONE = {
    "no response line received": "An empty line before the status line, which llhttp passes over: it ends nothing.",
    "illegal status line": "A control character in the reason, which nobody reads; or a lone CR before the line.",
    "Only Transfer-Encoding: chunked is supported": (
        "A coding before `chunked` stays in the body, which is kept raw; one behind it is taken where there is no body."
    ),
    "multiple Transfer-Encoding headers": "As if it were one list: `chunked` comes last, or there is no body.",
}
# Responses that our reader rejects and h11 accepts: stricter than needed, but harmless to receivers that speak HTTP.
REFUSED_BY_US_ALONE = re.compile(r"not a valid HTTP response|the response is incomplete")

STATUS_LINES = [
    *("HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.1 500 ", "HTTP/1.1 404"),
    *("HTTP/1.0 200 OK", "HTTP/1.0 201 Made", "HTTP/1.1 299 \xff\xe9", "HTTP/1.1 599 Some words", "HTTP/1.1 999 X"),
]
BAD_STATUS_LINES = [
    *("HTTP/1.2 200 OK", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "http/1.1 200 OK", "HTTP/11 200 OK", "HTTP/1.1  200 OK"),
    *("HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 +20 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1 099 OK", "HTTP/1.1 101 S"),
    *("HTTP/1.1 200 a\x01b", "HTTP/1.1 200 \x00", "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", "ICY 200 OK", "", "HTTP/1.1"),
]
INTERIM = ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n", "HTTP/1.1 102\r\n\r\n" * 11]
HEADERS = [
    *("X-A: 1", "X-A: again", "X-B: two words", "X-Empty:", "X-Tab:\tv\t", "X-Wide:  v  ", "X_U: u", "X-C:1:2"),
    *(
        "X-High: \xe9",
        "Set-Cookie: a=b",
        "Connection: close",
        "Connection: keep-alive",
        "Retry-After: 5 ",
        "X-L: " + "y" * 300,
    ),
]
BAD_HEADERS = [
    *(
        "X-Space : v",
        " X-Lead: v",
        "X-Nul: a\x00b",
        "X-Ctl: a\x01b",
        "X-Cr: a\rb",
        "X(Bad): v",
        ": v",
        "NoColon",
        "\xe9: v",
    ),
    *(
        "X-Fold: a\r\n b",
        "X-Fold: a\r\n\tb",
        "X-Fold:\r\n b",
        "Upgrade: h2c\r\nConnection: upgrade",
        "X-A: 1\r\n" * 101,
    ),
]
FRAMES = [
    *([], ["Content-Length: 5"], ["Content-Length: 0"], ["Content-Length: 5 "], ["Transfer-Encoding: chunked"]),
    *(["Transfer-Encoding: Chunked"], ["Transfer-Encoding:\tchunked "], ["Content-Length: 05"]),
]
BAD_FRAMES = [
    *(["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5", "Content-Length: 3"], ["Content-Length: 5, 5"]),
    *(
        ["Content-Length: +5"],
        ["Content-Length: -5"],
        ["Content-Length: 0x5"],
        ["Content-Length:"],
        ["Content-Length: 5;"],
    ),
    *(["Content-Length: " + "9" * 30], ["Content-Length : 5"], ["Content-Length: 5", "Transfer-Encoding: chunked"]),
    *(
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ),
    *(["Transfer-Encoding: gzip, chunked"], ["Transfer-Encoding: chunked, gzip"], ["Transfer-Encoding: identity"]),
    *(["Transfer-Encoding: chunked, chunked"], ["Transfer-Encoding: xchunked"], ["Transfer-Encoding: chunked;a=b"]),
    *(
        ["Transfer-Encoding:"],
        ["Transfer-Encoding : chunked"],
        ['Transfer-Encoding: "chunked"'],
        ["Transfer-Encoding: gzip"],
    ),
]
BODIES = [
    *(
        "",
        "hello",
        "hello and more",
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "A;e=v\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
    ),
    *(
        "5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
        '005;a="q"\r\nhello\r\n00\r\n\r\n',
        "5\r\nhello\r\n0\r\nX-A: 1\r\n\r\nmore",
    ),
]
BAD_BODIES = [
    *(
        "hel",
        "5\r\nhel",
        "5\nhello\n0\n\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
    ),
    *("0x5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "g\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n"),
    *(
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a=\x01\r\nhello\r\n0\r\n\r\n",
        "5;a=b\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nbad\r\n\r\n",
    ),
    *(
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n0\r\n X: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 4\r\n\r\n",
        "1" * 20 + "\r\nx",
    ),
]
FAULTS = ["none", "none", "status", "headers", "frame", "body", "before", "line ends", "a byte"]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer with at most one fault, and parts that may not fit together."""
    fault = draw(st.sampled_from(FAULTS))

    def part(kind: str, good: list[str], bad: list[str]) -> str:
        return draw(st.sampled_from(bad if fault == kind else good))

    lines = [part("status", STATUS_LINES, BAD_STATUS_LINES)]
    lines += draw(st.lists(st.sampled_from(HEADERS), max_size=3))
    lines += [draw(st.sampled_from(BAD_HEADERS))] if fault == "headers" else []
    lines[1:1] = draw(st.sampled_from(BAD_FRAMES if fault == "frame" else FRAMES))
    head = draw(st.sampled_from(INTERIM)) + part("before", [""], ["\r\n", "\n", "\r", " ", "x", "\r\n\r\n"])
    end = draw(st.sampled_from(["\n", "\r", "\r\r\n"])) if fault == "line ends" else "\r\n"
    raw = (head + end.join([*lines, "", ""]) + part("body", BODIES, BAD_BODIES)).encode("latin-1")
    if fault == "a byte":
        place = draw(st.integers(0, len(raw)))
        return raw[:place] + draw(st.binary(max_size=1)) + raw[place + draw(st.integers(0, 1)) :]
    return raw


@settings(max_examples=EXAMPLES, deadline=None)
@given(raw=answers(), cuts=st.sets(st.integers(0, 400), max_size=6), bodiless=st.booleans())
def test_an_answer_is_read_as_h11_reads_it_or_differs_for_a_reason(
    raw: bytes, cuts: set[int], *, bodiless: bool
) -> None:
    ours = by_us(raw, [cut for cut in cuts if cut <= len(raw)], bodiless=bodiless)
    theirs = by_h11(raw, bodiless=bodiless)
    assert by_us(raw, (), bodiless=bodiless) == ours  # in any pieces
    match ours, theirs:
        case Read(), Read():
            assert ours == theirs
        case Read(), Refused(reason):
            assert any(reason.startswith(known) for known in TAKEN_BY_US_ALONE), (raw, ours)
        case Refused(reason), Read():
            assert REFUSED_BY_US_ALONE.search(reason), raw
        case _:
            pass


@pytest.mark.parametrize("status", STATUS_LINES)
def test_a_faultless_answer_is_read_as_h11_reads_it(status: str) -> None:
    read = 0
    for frame, body, bodiless in product(FRAMES, ["", "hello", "5\r\nhello\r\n0\r\n\r\n"], [False, True]):
        raw = "\r\n".join([status, *frame, "X-A: 1", "X-A: 2 ", "", body]).encode("latin-1")
        ours, theirs = by_us(raw, (), bodiless=bodiless), by_h11(raw, bodiless=bodiless)
        assert ours == theirs or (isinstance(ours, Refused) and isinstance(theirs, Refused)), raw
        read += isinstance(ours, Read)
    assert read > len(FRAMES) * 3  # most of them are whole


def test_what_stands_beside_a_value_is_no_part_of_it() -> None:
    raw = b"HTTP/1.1 503 Busy\r\nRetry-After: \t120 \t\r\nX-Empty: \t \r\nContent-Length: 0\r\n\r\n"
    assert by_us(raw, (), bodiless=False) == Read(
        503, {"retry-after": "120", "x-empty": "", "content-length": "0"}, b""
    )
