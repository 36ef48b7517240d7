"""Cursors: where a page ended, opaque to clients, refused when tampered with."""

import base64
import binascii
import hashlib
from uuid import UUID

from duly.errors import Invalid, PathError

_MARK = b"duly cursor"
_CHECK_BYTES = 6


def write_cursor(kind: str, position: bytes) -> str:
    """A cursor for one kind of list; it is no use in another."""
    return base64.urlsafe_b64encode(_check(kind, position) + position).decode().rstrip("=")


def read_cursor(kind: str, text: str) -> bytes:
    """The position.

    Raises:
        Invalid: this is no cursor that such a list gave out.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    check, position = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if not position or check != _check(kind, position) or write_cursor(kind, position) != text:
        raise Invalid.at([PathError("cursor", "is not a cursor that this list gave out")])
    return position


def _check(kind: str, position: bytes) -> bytes:
    return hashlib.blake2b(kind.encode() + b"\0" + position, key=_MARK, digest_size=_CHECK_BYTES).digest()


def job_cursor(job_id: UUID) -> str:
    return write_cursor("jobs", job_id.bytes)


def read_job_cursor(text: str) -> UUID:
    position = read_cursor("jobs", text)
    return UUID(bytes=position)
