"""Reading an event stream, whatever the pieces it arrives in."""

from hypothesis import given
from hypothesis import strategies as st

from duly.client.sse import Frame, read_frames, read_lines


def frames_in(*chunks: bytes) -> list[Frame]:
    return list(read_frames(read_lines(chunks)))


def test_a_frame_has_its_event_its_data_and_its_id() -> None:
    assert frames_in(b'id: 3\nevent: job_progress\ndata: {"a":1}\n\n') == [Frame("job_progress", '{"a":1}', "3", None)]


def test_comments_are_skipped_and_a_retry_hint_is_in_seconds() -> None:
    assert frames_in(b": still here\n\n", b"retry: 1500\n\n") == [Frame("message", "", None, 1.5)]


def test_data_of_several_lines_is_joined_and_one_leading_space_is_dropped() -> None:
    assert frames_in(b"data: a\ndata:  b\ndata\n\n")[0].data == "a\n b\n"


def test_a_frame_cut_off_by_the_end_of_the_stream_is_dropped() -> None:
    assert frames_in(b"data: whole\n\ndata: ha") == [Frame("message", "whole", None, None)]


def test_a_line_separator_inside_json_does_not_end_the_line() -> None:
    data = '{"message":"one\u2028two\u0085three"}'
    assert frames_in(f"data: {data}\n\n".encode())[0].data == data


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_where_the_chunks_are_cut_makes_no_difference(lines: list[str], end: str, data: st.DataObject) -> None:
    whole = "".join(line + end for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    chunks = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(read_lines(chunks)) == lines
