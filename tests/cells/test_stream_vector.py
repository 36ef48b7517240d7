"""Positions in the stream of all cells, as text."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.stream_position import StreamPosition, before_transaction
from duly.domain.stream_vector import LONGEST, StreamVector, read_vector, write_others, write_vector

TRANSACTIONS = st.integers(0, (1 << 64) - 1)
POSITIONS = TRANSACTIONS.map(before_transaction) | st.builds(
    StreamPosition, TRANSACTIONS, st.integers(0, (1 << 128) - 1).map(lambda number: UUID(int=number)), st.integers(0, 9)
)
VECTORS = st.lists(st.none() | POSITIONS, min_size=2, max_size=9).filter(any)


@given(VECTORS)
def test_a_position_is_read_as_it_was_written(vector: StreamVector) -> None:
    assert read_vector(write_vector(vector), len(vector)) == vector


@given(VECTORS, st.data())
def test_a_frame_has_the_position_of_its_own_cell_and_those_of_all_others(
    vector: StreamVector, data: st.DataObject
) -> None:
    number = data.draw(st.sampled_from(range(len(vector))))
    position = data.draw(POSITIONS)
    frame = f"{write_others(vector, number)}{position}"
    assert read_vector(frame, len(vector)) == [*vector[:number], position, *vector[number + 1 :]]


@given(VECTORS)
def test_a_position_is_of_one_number_of_cells(vector: StreamVector) -> None:
    assert read_vector(write_vector(vector), len(vector) + 1) is None


@given(VECTORS, st.data())
def test_a_changed_position_is_refused(vector: StreamVector, data: st.DataObject) -> None:
    text = write_vector(vector)
    place = data.draw(st.sampled_from(range(len(text))))
    other = data.draw(st.sampled_from("AZaz09-_.").filter(lambda character: character != text[place]))
    assert read_vector(text[:place] + other + text[place + 1 :], len(vector)) is None


@pytest.mark.parametrize("text", ["", ".", "abc", "abc.def", str(before_transaction(7))])
def test_another_text_is_refused(text: str) -> None:
    assert read_vector(text, 4) is None


def test_a_position_of_all_cells_that_there_may_be_fits_a_line() -> None:
    within = StreamPosition((1 << 64) - 1, UUID(int=(1 << 128) - 1), (1 << 32) - 1)
    assert len(write_vector([within] * 256)) < LONGEST
    assert len(write_vector([before_transaction(1 << 40)] * 64)) < 700
