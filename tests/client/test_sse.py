"""Reading an event stream, whatever the pieces it arrives in."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.client.sse import Frame, read_frames, read_lines

JOB = '{"type":"job_progress","message":"½ grün 🎉"}'


def frames_in(*chunks: bytes) -> list[Frame]:
    return list(read_frames(read_lines(chunks)))


def test_a_frame_has_its_event_its_data_and_its_id() -> None:
    assert frames_in(b'id: 3\nevent: job_progress\ndata: {"a":1}\n\n') == [Frame("job_progress", '{"a":1}', "3", None)]


def test_comments_are_skipped_and_a_retry_hint_is_in_seconds() -> None:
    assert frames_in(b": still here\n\n", b"retry: 1500\n\n") == [Frame("message", "", None, 1.5)]


def test_data_of_several_lines_is_joined_and_one_leading_space_is_dropped() -> None:
    assert frames_in(b"data: a\ndata:  b\ndata\n\n")[0].data == "a\n b\n"


def test_a_line_separator_inside_json_does_not_end_the_line() -> None:
    data = '{"message":"one\u2028two\u0085three"}'
    assert frames_in(f"data: {data}\n\n".encode())[0].data == data


@pytest.mark.parametrize(
    ("sent", "frame"),
    [
        pytest.param("\ufeffdata: x\n\n", Frame("message", "x", None, None), id="a byte order mark at the start"),
        pytest.param("\ufeff: c\ndata: x\n\n", Frame("message", "x", None, None), id="one before a comment"),
        pytest.param("id: 7\nid: 8\0\ndata: x\n\n", Frame("message", "x", "7", None), id="an id with U+0000"),
        pytest.param("id: 7\nid\ndata: x\n\n", Frame("message", "x", "", None), id="an id that is taken back"),
        pytest.param("event:\ndata: x\n\n", Frame("message", "x", None, None), id="an event without a name"),
        pytest.param("event: a\nevent\ndata: x\n\n", Frame("message", "x", None, None), id="one that is taken back"),
        pytest.param("retry: 10\nretry: x\ndata: y\n\n", Frame("message", "y", None, 0.01), id="a retry of no digits"),
        pytest.param("retry: 10\nretry:\ndata: y\n\n", Frame("message", "y", None, 0.01), id="an empty retry"),
        pytest.param("retry: +5\ndata: y\n\n", Frame("message", "y", None, None), id="a retry with a sign"),
        pytest.param("retry: 1_0\ndata: y\n\n", Frame("message", "y", None, None), id="a retry with an underscore"),
        pytest.param("retry: \u0665\ndata: y\n\n", Frame("message", "y", None, None), id="a retry in other digits"),
        pytest.param("data : x\n data: y\ndata:z\n\n", Frame("message", "z", None, None), id="names with spaces"),
        pytest.param("Data: x\nDATA: y\ndata: z\n\n", Frame("message", "z", None, None), id="names in capitals"),
        pytest.param("data:\tx: y\n\n", Frame("message", "\tx: y", None, None), id="a value with a tab and a colon"),
    ],
)
def test_fields_are_read_by_the_standard(sent: str, frame: Frame) -> None:
    assert frames_in(sent.encode()) == [frame]


def test_a_byte_order_mark_elsewhere_belongs_to_the_line() -> None:
    assert frames_in("\ufeff\ufeffdata: x\ndata: y\n\n\ufeffdata: z\n\n".encode()) == [
        Frame("message", "y", None, None)
    ]


def test_a_retry_of_any_length_is_read() -> None:
    assert frames_in(b"retry: " + b"9" * 5000 + b"\n\n")[0].retry_seconds == float("inf")


@pytest.mark.parametrize("sent", ["\n\n\n", ": c\n\n", "x: y\n\n", "retry: soon\n\n", "id: \0\n\n"])
def test_a_block_that_says_nothing_is_no_frame(sent: str) -> None:
    assert frames_in(sent.encode()) == []


@pytest.mark.parametrize("rest", ["data: ha", "data: half\n", "data: half\r", "data: half\nid: 9\n", "id: 9"])
def test_a_frame_cut_off_by_the_end_of_the_stream_is_dropped(rest: str) -> None:
    assert frames_in(b"data: whole\n\n", rest.encode()) == [Frame("message", "whole", None, None)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_frame_is_there_as_soon_as_its_blank_line_is(end: str) -> None:
    came: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield f"data: x{end}{end}".encode()
        assert came == ["x"]

    came.extend(frame.data for frame in read_frames(read_lines(chunks())))
    assert came == ["x"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_every_byte(end: str) -> None:
    lines = ["\ufeffretry: 1000", ": c", "event: job_progress", f"data: {JOB}", "id: 3", "", "data: a", "data: b", ""]
    whole = "".join(line + end for line in lines).encode()
    expected = [Frame("job_progress", JOB, "3", 1.0), Frame("message", "a\nb", None, None)]
    for cut in range(len(whole) + 1):
        assert frames_in(whole[:cut], b"", whole[cut:]) == expected
    assert frames_in(*(bytes([byte]) for byte in whole)) == expected
    assert json.loads(expected[0].data)


PIECES = st.sampled_from(["data: x", "data", "id: 1", "id", "event: e", ": c", "retry: 5", "½", "\n", "\r", "\r\n"])


@given(st.lists(PIECES, max_size=14), st.data())
def test_mixed_line_ends_are_read_alike_wherever_the_chunks_are_cut(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    chunks = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(read_lines(chunks)) == expected
