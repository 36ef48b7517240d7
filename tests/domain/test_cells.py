"""Ids and keys name their cell, and lists of cells are read."""

import time
from collections import Counter
from uuid import RFC_4122, UUID

import pytest

from duly.domain.cells import ONLY, Cell, CellNumber, cell_of, cell_of_key, last_bytes, read_cells
from duly.domain.ids import IdBlock, IdMaker, child_id, made_at


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 64, 100, 255, 256])
def test_all_ids_that_are_made_for_a_cell_end_with_a_byte_of_it(count: int) -> None:
    for number in {0, count // 2, count - 1}:
        maker = IdMaker(time.time, cell=CellNumber(number, count))
        made = [maker.new() for _ in range(1_000)]
        block = maker.block()
        made += [block[place] for place in range(2_000)]
        made += [maker.new() for _ in range(1_000)]

        assert {cell_of(each, count) for each in made} == {number}
        assert made == sorted(made)
        assert len(set(made)) == len(made)
        assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}


def test_ids_of_a_cell_end_with_each_of_its_bytes_about_as_often() -> None:
    maker = IdMaker(time.time, cell=CellNumber(1, 4))
    ends = Counter(maker.new().int & 255 for _ in range(64 * 200))

    assert len(ends) == 64
    assert max(ends.values()) < 3 * min(ends.values())
    assert set(last_bytes(CellNumber(2, 3))) == {byte for byte in range(256) if byte % 3 == 2}


@pytest.mark.parametrize("count", [1, 2, 3, 100, 256])
def test_the_last_id_of_a_large_block_is_still_of_its_moment_its_cell_and_its_block(count: int) -> None:
    maker = IdMaker(lambda: 1_769_508_000.0, cell=CellNumber(count - 1, count))
    blocks = [maker.block() for _ in range(3)]
    most = 2**31 - 1

    lasts = [block[most] for block in blocks]
    assert {cell_of(last, count) for last in lasts} == {count - 1}
    assert {(last.version, last.variant) for last in lasts} == {(7, RFC_4122)}
    assert {made_at(last) for last in lasts} == {made_at(blocks[0][0])}
    if count > 1:  # with one cell, blocks of one moment differ by the counter alone
        assert blocks[0][0] < lasts[0] < blocks[1][0] < lasts[1] < blocks[2][0] < lasts[2] < maker.new()


def test_ids_with_one_cell_are_those_of_before() -> None:
    first = UUID("0199c1f0-0000-7000-8000-0000ffffffff")

    assert IdBlock(first)[5] == IdBlock(first, ONLY)[5] == UUID("0199c1f0-0000-7000-8000-000080000005")


def test_child_jobs_are_of_the_cell_of_their_parent() -> None:
    parent = IdMaker(time.time, cell=CellNumber(5, 7)).new()

    assert {cell_of(child_id(parent, "step", place), 7) for place in range(300)} == {5}


def test_keys_of_a_tenant_are_spread_over_all_cells_and_stay_where_they_are() -> None:
    cells = Counter(cell_of_key(1, f"order-{n}", 4) for n in range(4_000))

    assert cells.keys() == {0, 1, 2, 3}
    assert min(cells.values()) > 800
    # These numbers are stored in clients' jobs: a change would look for keys in other cells.
    assert [cell_of_key(tenant, text, 4) for tenant, text in ((1, "a"), (1, "b"), (2, "a"), (1, "\udc80"))] == [
        2,
        1,
        2,
        2,
    ]


def test_a_list_of_cells_is_read_in_order_with_the_schema_of_each() -> None:
    text = " postgresql://a/x#one\n\tpostgresql://b/x \n postgresql://a/x#two "

    assert read_cells(text, schema="jobs") == (
        Cell(0, "postgresql://a/x", "one"),
        Cell(1, "postgresql://b/x", "jobs"),
        Cell(2, "postgresql://a/x", "two"),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lists 0 cells, of 2 to 256"),
        ("postgresql://a/x#one", "lists 1 cell, of 2 to 256"),
        (" ".join(f"postgresql://a/x#c{n}" for n in range(257)), "lists 257 cells"),
        ("postgresql://a/x#one postgresql://b/x postgresql://a/x#one", "cells 0 and 2 have the same"),
        ("postgresql://a/x#one postgresql://u:s3#cret@a/x#two", "the URL of cell 1 has several #"),
        ("postgresql://a/x#one postgresql://a/x#pg_two", "the schema of cell 1, 'pg_two', is not valid"),
    ],
)
def test_a_wrong_list_is_refused_with_the_number_of_the_cell_and_without_its_password(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="cell") as refused:
        read_cells(text)

    assert reason in str(refused.value)
    assert "s3" not in str(refused.value)
