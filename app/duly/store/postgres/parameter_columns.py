"""Arrays of a statement's parameters, of which one element may stand for all rows.

The driver tests each element of an array for a nested one, which takes 0.5 to 1 µs (asyncpg 0.31). Most columns of a
round have one value in all rows: sent once, they save a tenth of a submission's processor time.
"""

from collections.abc import Sequence


def compact(column: Sequence[object]) -> Sequence[object] | None:
    """Returns the column, or one element for equal values in all rows, or None for nulls only.

    Not for columns that decide the number of rows, and not for values that differ as a rule: comparing takes time too.
    """
    first = column[0]
    if first is None:
        return in_full(column)
    if first != column[-1] or column.count(first) != len(column):
        return column
    return column[:1]


def in_full(column: Sequence[object]) -> Sequence[object] | None:
    """Returns the column, or None for nulls only: `unnest` makes as many as the longest array has elements."""
    return None if column.count(None) == len(column) else column


def each_row(parameter: str, name: str) -> str:
    """Returns the SQL of a value in each row, for a column that may be compact.

    Args:
        parameter: the array, such as `$2::int[]`.
        name: column of `unnest` that has its elements, null beyond its end.
    """
    return f"case when cardinality({parameter}) = 1 then ({parameter})[1] else {name} end as {name}"
