"""Response reader, without a network: responses in any pieces and any valid spelling."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.outbound import RESPONSE_LIMIT
from duly.outbound.response import RequestFailed
from duly.outbound.response_reader import ReceivedResponse, ResponseReader

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n" + CHUNKED + b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX-Trailer: t\r\n\r\n"


def reading(*pieces: bytes) -> ResponseReader:
    reader = ResponseReader()
    reader.begin()
    for piece in pieces:
        reader.feed(piece)
    return reader


@given(cuts=st.sets(st.integers(0, len(WHOLE))))
def test_an_answer_is_the_same_whatever_pieces_it_comes_in(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    reader = reading(*(WHOLE[start:stop] for start, stop in pairwise(places) if start < stop))
    assert reader.complete and reader.reusable
    assert reader.answer() == ReceivedResponse(200, {"transfer-encoding": "chunked"}, b"abc", truncated=False)


@given(answer=st.binary(max_size=200))
def test_whatever_comes_is_an_answer_or_a_failure(answer: bytes) -> None:
    with suppress(RequestFailed):
        reader = reading(answer)
        reader.end()
        assert reader.complete and not reader.reusable


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 204 No Content\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\ngarbage", False),
    ],
)
def test_a_connection_is_used_again_where_the_receiver_keeps_it_and_says_no_more(
    answer: bytes, *, reusable: bool
) -> None:
    reader = reading(answer)
    assert (reader.complete, reader.reusable) == (True, reusable)


def test_a_change_of_protocol_is_no_answer() -> None:
    with pytest.raises(RequestFailed, match="interim"):
        reading(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")


def test_a_bodiless_answer_ends_with_its_headers_and_its_connection_is_not_used_again() -> None:
    reader = ResponseReader()
    reader.begin(bodiless=True)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    assert (reader.complete, reader.reusable) == (True, False)
    assert reader.answer() == ReceivedResponse(200, {"content-length": "9"}, b"", truncated=False)


def test_many_small_chunks_are_read_and_the_space_between_them_is_bounded() -> None:
    small = reading(CHUNKED, *[b"1\r\nx\r\n"] * (RESPONSE_LIMIT - 1))
    small.feed(b"2\r\nxx\r\n")
    assert small.answer() == ReceivedResponse(
        200, {"transfer-encoding": "chunked"}, b"x" * RESPONSE_LIMIT, truncated=True
    )
    with pytest.raises(RequestFailed, match="too long"):
        reading(CHUNKED, *[b"1;" + b"x" * 100 + b"\r\nx\r\n"] * 1_000)


def test_the_next_answer_holds_nothing_of_the_last() -> None:
    reader = reading(b"HTTP/1.1 200 OK\r\nX-Old: 1\r\nContent-Length: 3\r\n\r\nold")
    first = reader.answer()
    reader.begin()
    reader.feed(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    assert reader.answer() == ReceivedResponse(500, {"content-length": "0"}, b"", truncated=False)
    assert first.body == b"old"


@pytest.mark.parametrize("interim", [b"HTTP/1.1 102 Wait\r\n\r\n", b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"])
def test_interim_answers_are_counted(interim: bytes) -> None:
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert reading(interim * 10, answer).complete
    with pytest.raises(RequestFailed, match="interim"):
        reading(interim * 11, answer)


def test_headers_are_counted() -> None:
    assert reading(b"HTTP/1.1 204 No Content\r\n", b"A: b\r\n" * 100, b"\r\n").complete
    with pytest.raises(RequestFailed, match="too many headers"):
        reading(b"HTTP/1.1 204 No Content\r\n", b"A: b\r\n" * 101, b"\r\n")
