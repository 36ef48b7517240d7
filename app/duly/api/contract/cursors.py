"""Cursors of lists: where the page before ended."""

import struct
from collections.abc import Sequence
from uuid import UUID

from duly.domain.cursor import decode_cursor, encode_cursor
from duly.errors import Invalid, PathError


def write_cursor(list_name: str, position: UUID | str | Sequence[int]) -> str:
    """Returns the cursor of the last item of a page. It is accepted by the list of this name only."""
    match position:
        case UUID():
            return encode_cursor(list_name, position.bytes)
        case str():
            return encode_cursor(list_name, position.encode())
        case _:
            return encode_cursor(list_name, struct.pack(f">{len(position)}I", *position))


def id_in_cursor(list_name: str, cursor: str | None, *, start: UUID) -> UUID:
    """Returns the id after which a page begins; `start` without a cursor.

    Raises:
        Invalid: the cursor is not from this list. The other readers raise the same.
    """
    return start if cursor is None else UUID(bytes=_read(list_name, cursor))


def name_in_cursor(list_name: str, cursor: str | None) -> str:
    """Returns the name after which a page begins; an empty one without a cursor."""
    return "" if cursor is None else _read(list_name, cursor).decode()


def numbers_in_cursor(list_name: str, cursor: str | None, *, start: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the numbers after which a page begins; `start` without a cursor."""
    return start if cursor is None else struct.unpack(f">{len(start)}I", _read(list_name, cursor))


def _read(list_name: str, cursor: str) -> bytes:
    position = decode_cursor(list_name, cursor)
    if position is None:
        raise Invalid.at([PathError("cursor", "not a cursor of this list; pass a nextCursor unchanged")])
    return position
