"""A process opens at most the configured number of streams, and a place is free again when its stream ends."""

import pytest

from duly.stream.capacity import StreamCapacity


def test_a_place_is_given_while_there_is_one() -> None:
    capacity = StreamCapacity(1)
    with capacity.place() as first, capacity.place() as second:
        assert (first, second, capacity.taken) == (True, False, 1)
    with capacity.place() as again:
        assert again


def test_a_stream_that_fails_frees_its_place() -> None:
    capacity = StreamCapacity(1)
    with pytest.raises(RuntimeError), capacity.place():
        raise RuntimeError
    assert capacity.taken == 0


def test_a_stream_without_a_place_frees_none() -> None:
    capacity = StreamCapacity(0)
    with capacity.place() as given:
        assert not given
    assert capacity.taken == 0
