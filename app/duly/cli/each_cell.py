"""Commands that work on all cells one after the other, and say for each line which cell it is about."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO, TextIOBase
from typing import Any, TextIO

import typer
from pydantic import SecretStr

from duly.cli.output import print_json
from duly.domain.cells import ONLY, CellNumber
from duly.settings import Settings

# Body of a command for one database, given its settings and its cell.
Body = Callable[[Settings, CellNumber], None]


def in_each_cell(settings: Settings, body: Body, *, as_json: bool = False) -> None:
    """Runs the body of a command for the database, or for each cell. Then each line begins with the cell, JSON is an
    array with an object for each cell, or with the members of their arrays; the exit code is the highest one.
    """
    if settings.cells is None:
        body(settings, ONLY)
        return
    codes, bodies = [0], []
    for cell, of_cell in settings_of_cells(settings):
        printed = StringIO()
        with _naming(cell.number, out=printed if as_json else None):
            codes.append(_exit_code(body, of_cell, cell))
        if as_json and (text := printed.getvalue()):
            printed_json = json.loads(text)
            members = printed_json if isinstance(printed_json, list) else [printed_json]
            bodies += [{"cell": cell.number, **each} for each in members]
    if as_json:
        print_json(bodies, indent=2)
    if code := max(codes):
        raise typer.Exit(code)


def settings_of_cells(settings: Settings) -> Iterator[tuple[CellNumber, Settings]]:
    """Yields each cell with the settings of a command that works on it alone."""
    from duly.cells.cell_list import InvalidCells, cell_list  # noqa: PLC0415  # with several cells only
    from duly.cli.errors import USAGE, stop  # noqa: PLC0415

    try:
        cells = cell_list(settings)
    except InvalidCells as error:
        stop(f"DULY_CELLS: {error}", code=USAGE)
    for cell in cells:
        changed: dict[str, Any] = {
            "cells": None,
            "database_url": SecretStr(cell.url),
            "database_schema": cell.schema,
        }
        yield CellNumber(cell.number, len(cells)), settings.model_copy(update=changed)


def _exit_code(body: Body, settings: Settings, cell: CellNumber) -> int:
    try:
        body(settings, cell)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


@contextmanager
def _naming(number: int, *, out: TextIO | None) -> Iterator[None]:
    """Puts the cell before each line of the block; `out` collects standard output as it is."""
    name = f"cell {number}: "
    with redirect_stdout(out or _Named(sys.stdout, name)), redirect_stderr(_Named(sys.stderr, name)):
        yield


class _Named(TextIOBase):
    """Writes whole lines, each with a name before it."""

    def __init__(self, out: TextIO, name: str) -> None:
        self._out = out
        self._name = name
        self._begun = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the output."""
        return self._out.encoding

    def write(self, text: str, /) -> int:
        for line in text.splitlines(keepends=True):
            self._out.write(line if self._begun else f"{self._name}{line}")
            self._begun = not line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self._out.flush()
