"""Early refusals under overload apply only to requests that the parser would read the same way."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.api.server.shedding_protocol import refusal_of

BEGINS = b"POST /api/v1/jobs HTTP/1.1\r\n"
BODY = b'{"type":"echo"}GET / HTTP/1.1\r\n\r\n'
PLAIN = (b"Host: localhost", b"Content-Type: application/json", b"Content-Length: 15")

NAMES = st.sampled_from(
    [
        *(
            b"Content-Length",
            b"content-length",
            b"Content-Length ",
            b" Content-Length",
            b"Content_Length",
            b"X-Content-Length",
        ),
        *(
            b"Transfer-Encoding",
            b"transfer-encoding",
            b"TRANSFER-ENCODING",
            b"Transfer-Encoding ",
            b"Transfer\x00Encoding",
        ),
        *(b"Host", b"host", b"Connection", b"Upgrade", b"Expect", b"X", b"", b"\x0b", b"Trailer", b"TE"),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            b"15",
            b" 15",
            b"15 ",
            b"\t15\t",
            b"015",
            b"0",
            b"4",
            b"+15",
            b"1 5",
            b"15,15",
            b"0x0f",
            b"9" * 9,
            b"9" * 20,
            b"",
        ),
        *(b"chunked", b" chunked", b"\tchunked", b"gzip, chunked", b"identity", b"\x0bchunked", b"xchunked"),
        *(
            b"localhost",
            b"a b",
            b"close",
            b"keep-alive",
            b"Upgrade",
            b"h2c",
            b"100-continue",
            b"a\r\n b",
            b"\xe9",
            b"a\nb",
        ),
        *(b"a\rb", b"a\x00b", b"x\r\nTransfer-Encoding: chunked", b"x\nTransfer-Encoding: chunked", b"x\r\n\r\n"),
    ]
)
LINES = st.builds(
    lambda name, colon, value: name + colon + value, NAMES, st.sampled_from([b":", b": ", b" :", b""]), VALUES
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Returns heads of ordinary submissions, with lines that do not belong there."""
    lines = [*draw(st.permutations(PLAIN)), *draw(st.lists(LINES, max_size=3))]
    kept = draw(st.sets(st.sampled_from(range(len(PLAIN))), max_size=1))
    lines = [line for number, line in enumerate(lines) if number not in kept]
    lines = draw(st.permutations(lines))
    return BEGINS + b"".join(line + draw(ENDS) for line in lines) + b"\r\n"


class Read:
    """First message in these bytes as llhttp reads it."""

    def __init__(self) -> None:
        self.whole = False
        self.body = 0
        self.hosts = 0

    def on_header(self, name: bytes, _value: bytes) -> None:
        self.hosts += name.lower() == b"host"

    def on_body(self, piece: bytes) -> None:
        self.body += len(piece)

    def on_message_complete(self) -> None:
        self.whole = True


def size_by_parser(received: bytes) -> int | None:
    """Returns the size of the first message by llhttp: one more than the bytes if it waits for the rest, None if it
    refuses them."""
    for size in range(1, len(received) + 1):
        read = Read()
        try:
            httptools.HttpRequestParser(read).feed_data(received[:size])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        if read.whole:
            return size if read.hosts == 1 else None
    return len(received) + 1


@given(heads())
def test_what_is_refused_early_ends_where_the_parser_says(head: bytes) -> None:
    received = head + BODY
    refused = refusal_of(received)
    if refused is not None:
        assert min(refused[1], len(received) + 1) == size_by_parser(received)


def test_an_ordinary_submission_is_refused_early() -> None:
    received = BEGINS + b"\r\n".join(PLAIN) + b"\r\n\r\n" + BODY
    refused = refusal_of(received)
    assert refused is not None
    assert refused[1] == size_by_parser(received)


@pytest.mark.parametrize(
    "line",
    [
        *(b"Content-Length: 15", b"content-length: 4", b"Content-Length : 15", b"Transfer-Encoding: chunked"),
        *(b"TRANSFER-ENCODING:chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\r\n chunked"),
        *(b"X: a\nTransfer-Encoding: chunked", b"X: a\r\n b", b"X: a\x00b", b"Host: other", b"X: a\rb", b"novalue"),
        *(b"Upgrade: h2c", b"Connection: close", b"Connection: keep-alive, close", b"Expect: 100-continue", b": x"),
        *(b"Trailer: x", b"X: " + b"x" * 70_000, b"\r\n".join(b"X: y" for _ in range(200))),
    ],
)
def test_what_is_not_plainly_framed_goes_to_the_parser(line: bytes) -> None:
    for lines in ((*PLAIN, line), (line, *PLAIN)):
        assert refusal_of(BEGINS + b"\r\n".join(lines) + b"\r\n\r\n" + BODY) is None


@pytest.mark.parametrize("lines", [PLAIN[1:], PLAIN[:2], (b"Host: a b", *PLAIN[1:])])
def test_what_lacks_a_host_or_a_length_goes_to_the_parser(lines: tuple[bytes, ...]) -> None:
    assert refusal_of(BEGINS + b"\r\n".join(lines) + b"\r\n\r\n" + BODY) is None
