"""Cursors: where a page ended, opaque to clients, refused when tampered with."""

from uuid import UUID

from duly.domain.cursor import read_opaque, write_opaque
from duly.errors import Invalid, PathError


def write_cursor(kind: str, position: bytes) -> str:
    """A cursor for one kind of list; it is no use in another."""
    return write_opaque(kind, position)


def read_cursor(kind: str, text: str) -> bytes:
    """The position.

    Raises:
        Invalid: this is no cursor that such a list gave out.
    """
    position = read_opaque(kind, text)
    if position is None:
        raise Invalid.at([PathError("cursor", "is not a cursor that this list gave out")])
    return position


def job_cursor(job_id: UUID) -> str:
    return write_cursor("jobs", job_id.bytes)


def read_job_cursor(text: str) -> UUID:
    position = read_cursor("jobs", text)
    return UUID(bytes=position)
