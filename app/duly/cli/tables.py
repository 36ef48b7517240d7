"""Tables of a command: aligned columns, cut to the width of a terminal, whole elsewhere."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from duly.domain.safe_str import one_line

# Columns are aligned over so many rows; later rows only widen them.
_ROWS = 200


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Prints the rows below their header, which is left out without rows. Returns the number of rows."""
    total = 0
    for line in table_lines(header, rows):
        print(fitted(line), flush=True)
        total += 1
    return max(total - 1, 0)


def table_lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yields the header and a line for each row; nothing without rows.

    Numbers are aligned to the right. The text of a cell cannot control the terminal.
    """
    widths = [len(title) for title in header]
    remaining = iter(rows)
    above = [list(header)]
    while chunk := list(islice(remaining, _ROWS)):
        cells = [[_text(value) for value in row] for row in chunk]
        widths = [max(width, *(cell_width(row[column]) for row in cells)) for column, width in enumerate(widths)]
        numeric = [all(isinstance(row[column], int | float) for row in chunk) for column in range(len(header))]
        for row in above + cells:
            yield _line(row, widths, numeric)
        above = []


def fitted(line: str) -> str:
    """Returns the line, cut to the width of the terminal if standard output is one."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    if cell_width(line) <= width:
        return line
    from rich.cells import set_cell_size  # noqa: PLC0415  # of a long line on a terminal only

    return set_cell_size(line, max(width - 1, 0)) + "…"


def cell_width(text: str) -> int:
    """Returns the number of columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415  # of other alphabets only

    return cell_len(text)


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    return "  ".join(_padded(row, widths, numeric)).rstrip()


def _padded(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> Iterator[str]:
    for cell, width, right in zip(row, widths, numeric, strict=True):
        space = " " * (width - cell_width(cell))
        yield space + cell if right else cell + space


def _text(value: object) -> str:
    """Returns the text of a cell; `-` for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}" if value == 0 or value >= 10 else f"{value:.2f}"  # noqa: PLR2004  # three figures
    return f"{value:,}" if isinstance(value, int) else one_line(str(value))
