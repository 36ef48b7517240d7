"""Cursors: positions survive the round trip, and only the list that gave a cursor out accepts it."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.api.contract.cursors import id_in_cursor, name_in_cursor, numbers_in_cursor, write_cursor
from duly.domain.ids import LARGEST
from duly.errors import Invalid

_NUMBERS = st.integers(0, (1 << 32) - 1)


@given(st.uuids(), st.text(min_size=1), st.tuples(_NUMBERS, _NUMBERS))
def test_a_position_is_read_as_it_was_written(job_id: UUID, name: str, numbers: tuple[int, int]) -> None:
    assert id_in_cursor("jobs", write_cursor("jobs", job_id), start=LARGEST) == job_id
    assert name_in_cursor("queues", write_cursor("queues", name)) == name
    assert numbers_in_cursor("logs", write_cursor("logs", numbers), start=(0, 0)) == numbers


def test_without_a_cursor_a_list_begins_at_its_start() -> None:
    assert id_in_cursor("jobs", None, start=LARGEST) == LARGEST
    assert name_in_cursor("queues", None) == ""
    assert numbers_in_cursor("logs", None, start=(0, 0)) == (0, 0)


@given(st.uuids(), st.integers(0, 200))
def test_a_cursor_of_another_list_or_cut_off_is_refused(job_id: UUID, size: int) -> None:
    cursor = write_cursor("jobs", job_id)
    for list_name, text in (("webhooks", cursor), ("jobs", cursor[: size % len(cursor)]), ("jobs", f"{cursor}A")):
        with pytest.raises(Invalid, match="cursor: not a cursor of this list"):
            id_in_cursor(list_name, text, start=LARGEST)
