"""Bisection finds the items that a statement cannot record, and records the others in few statements."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from duly.lifecycle.writes.bisection import record_bisecting
from duly.store.postgres.database import DatabaseOutage, DatabaseTimeout, RecordRefused


class Table:
    """Takes numbers together; an error for some of them refuses all."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        self.errors = errors
        self.rows: list[int] = []
        self.statements = 0

    async def record(self, items: Sequence[int]) -> int:
        self.statements += 1
        for item in items:
            if item in self.errors:
                raise self.errors[item]
        self.rows += items
        return len(items)


@pytest.mark.parametrize("bad", [set(), {0}, {499}, {250}, {0, 1}, {7, 300, 301}, set(range(500))])
async def test_all_but_the_bad_items_are_recorded_in_order(bad: set[int]) -> None:
    table = Table({item: RecordRefused("bad") for item in bad})
    halved = await record_bisecting(range(500), table.record, statement="test")
    assert table.rows == [item for item in range(500) if item not in bad]
    assert [item for item, _ in halved.refused] == sorted(bad)
    assert sum(len(part) for part, _ in halved.parts) == 500 - len(bad)
    assert (halved.left, halved.away) == ([], None)
    if len(bad) == 1:
        assert table.statements <= 19


async def test_what_was_not_tried_is_left_where_the_database_goes_away() -> None:
    table = Table({2: RecordRefused("bad"), 5: DatabaseOutage("gone")})
    halved = await record_bisecting(range(8), table.record, statement="test")
    assert isinstance(halved.away, DatabaseOutage)
    assert table.rows == [0, 1, 3]
    assert [item for item, _ in halved.refused] == [2]
    assert halved.left == [4, 5, 6, 7]


@pytest.mark.parametrize(("splits", "rows"), [(False, []), (True, [0, 1, 2])])
async def test_a_statement_that_is_slow_is_tried_by_halves_only_where_asked(splits: bool, rows: list[int]) -> None:
    table = Table({3: DatabaseTimeout("canceled")})
    halved = await record_bisecting(range(4), table.record, statement="test", splits_slow=splits)
    assert table.rows == rows
    assert (halved.left == []) is splits


async def test_an_error_of_our_own_is_logged_once_and_splits_too() -> None:
    table = Table({2: KeyError("ours")})
    with capture_logs() as logs:
        halved = await record_bisecting(range(4), table.record, statement="test")
    assert table.rows == [0, 1, 3]
    assert [item for item, _ in halved.refused] == [2]
    assert [(entry["action"], entry["statement"]) for entry in logs] == [("statement_failed", "test")]


async def test_nothing_is_no_statement() -> None:
    table = Table({})
    nothing: list[int] = []
    halved = await record_bisecting(nothing, table.record, statement="test")
    assert (table.statements, halved.parts, halved.left) == (0, [], [])
