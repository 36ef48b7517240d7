"""Columns of statement parameters that one element may stand for."""

import asyncpg
import pytest

from duly.store.postgres.parameter_columns import compact, each_row, in_full

NAMES = each_row("$2::text[]", "name")
ROWS = f"select id, {NAMES} from unnest($1::int[], $2::text[]) as a (id, name) order by id"  # noqa: S608  # constants


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        (("a", "a", "a"), ("a",)),
        (("a", "b", "a"), ("a", "b", "a")),
        (("a", "a", None), ("a", "a", None)),
        ((None, "a", None), (None, "a", None)),
        ((None, None, None), None),
        (("a",), ("a",)),
        ((None,), None),
    ],
)
async def test_each_row_gets_its_value_from_a_compact_column(
    database_url: str, column: tuple[str | None, ...], sent: tuple[str | None, ...] | None
) -> None:
    assert compact(column) == sent
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(ROWS, list(range(len(column))), compact(column))
    await connection.close()
    assert tuple(row["name"] for row in rows) == column


def test_a_column_of_nulls_alone_is_sent_as_null() -> None:
    assert in_full((None, None)) is None
    assert in_full((None, "a")) == (None, "a")
    assert in_full(("a", "a")) == ("a", "a")
